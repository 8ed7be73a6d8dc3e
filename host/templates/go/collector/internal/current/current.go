// Package current is the one call that this instance serves.
package current

// Host and Port are the target's address.
var (
	Host string
	Port uint16
)
