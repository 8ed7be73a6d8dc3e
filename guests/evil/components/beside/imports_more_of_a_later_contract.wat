;; 0.1.1 may add to 0.1.0, which does not have it.
(import "mackerel:collector/http@0.1.1" (instance (export "post" (func))))
