(component
  (type (component
    (type (component (export "example:shop/prices@0.1.0" (instance (export "of" (func (result u32)))))))
    (export "prices" (component (type 0)))))
  (export "prices" (type 0)))
