//go:build !wasip1

package collector

import "errors"

// Register makes a collector the one that this component is. It is called from the main package's init. Outside of the sandbox, as in
// tests, it does nothing.
func Register(Collector) {}

// Do sends a GET to the target and waits for the whole answer. The time is bounded by that of the call to Collect.
func Do(Request) (*Response, error) {
	return nil, errOutside
}

// ReadStats gives what the target's container uses at this moment.
func ReadStats(Parts) (*Stats, error) {
	return nil, errOutside
}

// ReadState gives the restarts and the health of the target's container. The host asks the engine for it.
func ReadState() (*State, error) {
	return nil, errOutside
}

var errOutside = errors.New("a target is reached from within the sandbox alone: test what reads its answer")
