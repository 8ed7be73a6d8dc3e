;; `describe` never ends.
(func $describe (result i32) (loop $again (br $again)) (unreachable))
