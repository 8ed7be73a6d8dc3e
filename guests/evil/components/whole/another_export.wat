(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $other (export "describe" (func $f)))
  (export "evil:evil/metrics@0.1.0" (instance $other)))
