;; Always the same address, which overlaps the module's own data.
(func $realloc (param i32 i32 i32 i32) (result i32) (i32.const 16))
