(import "mackerel:collector/http@0.2.0" (instance (export "post" (func))))
