;; Always the same place, where the code's own data is.
(func $realloc (param i32 i32 i32 i32) (result i32) (i32.const 16))
