;; A function of the contract, with another type.
(import "mackerel:collector/container@0.1.2" (instance (export "stats" (func (param "parts" string)))))
