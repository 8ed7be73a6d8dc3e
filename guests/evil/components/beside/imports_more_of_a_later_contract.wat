;; 0.1.2 may add to 0.1.1, which does not have it.
(import "mackerel:collector/http@0.1.2" (instance (export "post" (func))))
