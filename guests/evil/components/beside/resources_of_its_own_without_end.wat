;; Creates resources of the component's own in an endless loop, at instantiation.
(type $handle (resource (rep i32)))
(core func $new (canon resource.new $handle))
(core module $maker
  (import "" "new" (func $new (param i32) (result i32)))
  (func $start (loop $again (drop (call $new (i32.const 0))) (br $again)))
  (start $start))
(core instance (instantiate $maker (with "" (instance (export "new" (func $new))))))
