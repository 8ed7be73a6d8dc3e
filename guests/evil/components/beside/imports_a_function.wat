(import "root" (func))
