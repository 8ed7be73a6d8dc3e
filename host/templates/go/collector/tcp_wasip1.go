package collector

import (
	"errors"
	"fmt"
	"io"

	"mackerel/collector/internal/bindings/wasi_io_poll"
	"mackerel/collector/internal/bindings/wasi_io_streams"
	"mackerel/collector/internal/bindings/wasi_sockets_instance_network"
	"mackerel/collector/internal/bindings/wasi_sockets_ip_name_lookup"
	binding "mackerel/collector/internal/bindings/wasi_sockets_network"
	"mackerel/collector/internal/bindings/wasi_sockets_tcp"
	"mackerel/collector/internal/bindings/wasi_sockets_tcp_create_socket"
)

// Connect opens a TCP connection to the target, for protocols other than HTTP. Reads and writes have no timeout of
// their own: the host ends Collect at its timeout. A connection counts as a request; a call may make 100 requests. It
// fails if the connection fails, or if the target is a container and has no address.
func (target Target) Connect() (io.ReadWriteCloser, error) {
	if target.Port == 0 {
		return nil, errors.New("cannot connect: the target is a container and has no address")
	}
	beforeRequest()
	network := wasi_sockets_instance_network.InstanceNetwork()
	defer network.Drop()
	// A name can have several addresses. A numeric address resolves to itself.
	lookup := wasi_sockets_ip_name_lookup.ResolveAddresses(network, text(target.Host))
	if lookup.IsErr() {
		return nil, connectError(lookup.Err())
	}
	addresses := lookup.Ok()
	defer addresses.Drop()
	last := errors.New("connection failed: the name has no address")
	for {
		next := addresses.ResolveNextAddress()
		switch {
		case next.IsErr() && next.Err() == binding.ErrorCodeWouldBlock:
			wait(addresses.Subscribe())
		case next.IsErr():
			return nil, connectError(next.Err())
		case next.Ok().IsNone():
			return nil, last
		default:
			conn, err := connect(network, next.Ok().Some(), target.Port)
			if err == nil {
				return conn, nil
			}
			last = err
		}
	}
}

func connect(network *binding.Network, address binding.IpAddress, port uint16) (*connection, error) {
	family, remote := binding.IpAddressFamilyIpv4, binding.IpSocketAddress{}
	if address.Tag() == binding.IpAddressIpv6 {
		family = binding.IpAddressFamilyIpv6
		remote = binding.MakeIpSocketAddressIpv6(binding.Ipv6SocketAddress{Port: port, Address: address.Ipv6()})
	} else {
		remote = binding.MakeIpSocketAddressIpv4(binding.Ipv4SocketAddress{Port: port, Address: address.Ipv4()})
	}
	created := wasi_sockets_tcp_create_socket.CreateTcpSocket(family)
	if created.IsErr() {
		return nil, connectError(created.Err())
	}
	socket := created.Ok()
	if started := socket.StartConnect(network, remote); started.IsErr() {
		socket.Drop()
		return nil, connectError(started.Err())
	}
	for {
		finished := socket.FinishConnect()
		if !finished.IsErr() {
			conn := &connection{socket, finished.Ok().F0, finished.Ok().F1}
			open[conn] = struct{}{}
			return conn, nil
		}
		if finished.Err() != binding.ErrorCodeWouldBlock {
			socket.Drop()
			return nil, connectError(finished.Err())
		}
		wait(socket.Subscribe())
	}
}

func wait(pollable *wasi_io_poll.Pollable) {
	pollable.Block()
	pollable.Drop()
}

// A connection is an open TCP connection. The streams must be dropped before the socket.
type connection struct {
	socket *wasi_sockets_tcp.TcpSocket
	input  *wasi_io_streams.InputStream
	output *wasi_io_streams.OutputStream
}

// open has the connections that were not closed. Garbage collection would drop their parts in any order, and the host
// ends the call if the socket is dropped before its streams.
var open = map[*connection]struct{}{}

// chunk is the largest number of bytes that one call of blocking-write-and-flush takes.
const chunk = 4096

var errClosed = errors.New("the connection is closed")

// Read waits for data. It returns io.EOF if the target closed the connection.
func (conn *connection) Read(buffer []byte) (int, error) {
	if conn.socket == nil {
		return 0, errClosed
	}
	if len(buffer) == 0 {
		return 0, nil
	}
	beforeRequest()
	for {
		read := conn.input.BlockingRead(uint64(len(buffer)))
		if read.IsErr() {
			return 0, streamError(read.Err())
		}
		if data := read.Ok(); len(data) > 0 {
			return copy(buffer, data), nil
		}
	}
}

// Write sends all of the data.
func (conn *connection) Write(data []byte) (int, error) {
	if conn.socket == nil {
		return 0, errClosed
	}
	sent := 0
	for sent < len(data) {
		part := data[sent:min(sent+chunk, len(data))]
		if written := conn.output.BlockingWriteAndFlush(part); written.IsErr() {
			err := streamError(written.Err())
			if err == io.EOF {
				err = io.ErrClosedPipe
			}
			return sent, err
		}
		sent += len(part)
	}
	return sent, nil
}

// Close closes the connection. Every connection is also closed at the end of the call.
func (conn *connection) Close() error {
	if conn.socket == nil {
		return errClosed
	}
	delete(open, conn)
	conn.input.Drop()
	conn.output.Drop()
	conn.socket.Drop()
	conn.socket = nil
	return nil
}

func streamError(err wasi_io_streams.StreamError) error {
	if err.Tag() == wasi_io_streams.StreamErrorClosed {
		return io.EOF
	}
	cause := err.LastOperationFailed()
	defer cause.Drop()
	return errors.New("connection broken: " + cause.ToDebugString())
}

func connectError(code uint8) error {
	return errors.New("connection failed: " + reason(code))
}

// reason returns the reason of a failed connection in words.
func reason(code uint8) string {
	switch code {
	case binding.ErrorCodeAccessDenied:
		return "denied"
	case binding.ErrorCodeConnectionRefused:
		return "connection refused"
	case binding.ErrorCodeConnectionReset, binding.ErrorCodeConnectionAborted:
		return "connection reset"
	case binding.ErrorCodeRemoteUnreachable:
		return "host unreachable"
	case binding.ErrorCodeTimeout:
		return "timed out"
	case binding.ErrorCodeNameUnresolvable, binding.ErrorCodeTemporaryResolverFailure, binding.ErrorCodePermanentResolverFailure:
		return "the name cannot be resolved"
	case binding.ErrorCodeNewSocketLimit, binding.ErrorCodeOutOfMemory:
		return "too many open connections"
	default:
		return fmt.Sprintf("error %d of wasi:sockets", code)
	}
}
