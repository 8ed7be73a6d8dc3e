;; A name that is offered, as something else.
(import "mackerel:collector/container@0.1.2" (instance (export "stats" (func (param "parts" string)))))
