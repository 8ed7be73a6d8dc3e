//go:build !wasip1

package collector

import (
	"errors"
	"io"
)

// Register exports a collector from the component. Call it in an init function of the package main. Outside of the
// sandbox, as in tests, it does nothing.
func Register(Collector) {}

// Do sends a GET request to the target and waits for the complete response, whatever its status. It fails if the
// request is invalid, the connection fails, or the response is incomplete or too large. It has no timeout of its own:
// the host ends Collect instead.
func Do(Request) (*Response, error) {
	return nil, errOutside
}

// Connect opens a TCP connection to the target, for protocols other than HTTP. Reads and writes have no timeout of
// their own: the host ends Collect at its timeout. A connection counts as a request; a call may make 100 requests. It
// fails if the connection fails, or if the target is a container and has no address.
func (target Target) Connect() (io.ReadWriteCloser, error) {
	return nil, errOutside
}

// ReadStats reads the current resource use of the target's container. It fails if there is no container or no source of
// stats.
func ReadStats(Parts) (*Stats, error) {
	return nil, errOutside
}

// ReadState reads the restarts and the health of the target's container. It costs the engine a request, and fails if
// there is no container or the engine does not respond.
func ReadState() (*State, error) {
	return nil, errOutside
}

var errOutside = errors.New("the target can only be reached in the sandbox: test the parser of its response instead")
