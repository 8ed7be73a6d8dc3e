// Package current holds the target of the call that this instance serves.
package current

// Host and Port are the target's address.
var (
	Host string
	Port uint16
)
