;; The description is not where memory is.
(func $describe (result i32) (i32.const -16))
