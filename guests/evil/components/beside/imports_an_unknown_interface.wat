(import "evil:evil/machine" (instance (export "root" (func))))
