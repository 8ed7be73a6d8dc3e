(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $metrics (export "describe" (func $f)) (export "graphs" (func $f)) (export "collect" (func $f)))
  (export "mackerel:collector/metrics@0.1.2" (instance $metrics)))
