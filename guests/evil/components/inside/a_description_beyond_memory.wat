;; The address of the description is outside of memory.
(func $describe (result i32) (i32.const -16))
