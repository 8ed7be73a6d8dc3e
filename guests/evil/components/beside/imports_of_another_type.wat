;; A function of the contract, with another type.
(import "mackerel:collector/container@0.1.3" (instance (export "stats" (func (param "parts" string)))))
