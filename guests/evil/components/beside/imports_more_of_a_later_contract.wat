;; A function that a later version could add and 0.1.2 does not have.
(import "mackerel:collector/http@0.1.3" (instance (export "post" (func))))
