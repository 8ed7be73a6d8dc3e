(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $other (export "describe" (func $f)))
  (export "mackerel:collector/metrics@0.0.1" (instance $other)))
