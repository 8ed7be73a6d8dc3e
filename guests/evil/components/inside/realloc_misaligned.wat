;; An address that is not a multiple of 4.
(func $realloc (param i32 i32 i32 i32) (result i32) (i32.const 32769))
