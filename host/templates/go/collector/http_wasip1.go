package collector

import (
	"fmt"

	binding "mackerel/collector/internal/bindings/mackerel_collector_http"
	witTypes "mackerel/collector/internal/wit/types"
)

// Do sends a GET request to the target and waits for the complete response, whatever its status. It fails if the
// request is invalid, the connection fails, or the response is incomplete or too large. It has no timeout of its own:
// the host ends Collect instead.
func Do(request Request) (*Response, error) {
	wire := binding.Request{Scheme: binding.SchemeHttp, Path: text(request.Path)}
	if request.TLS {
		wire.Scheme = binding.SchemeHttps
	}
	for _, field := range request.Header {
		wire.Headers = append(wire.Headers, witTypes.Tuple2[string, string]{F0: text(field.Name), F1: text(field.Value)})
	}
	beforeRequest()
	result := binding.Get(wire)
	if result.IsErr() {
		return nil, httpError{result.Err()}
	}
	received := result.Ok()
	response := &Response{Status: int(received.Status), Body: received.Body}
	for _, field := range received.Headers {
		response.Header = append(response.Header, HeaderField{field.F0, field.F1})
	}
	return response, nil
}

// An httpError is an error of the host. It is passed back unchanged, because the host writes its message.
type httpError struct {
	cause binding.Error
}

func (err httpError) Error() string {
	switch cause := err.cause; cause.Tag() {
	case binding.ErrorInvalidRequest:
		return "invalid request: " + cause.InvalidRequest()
	case binding.ErrorConnect:
		return "connection failed: " + cause.Connect()
	case binding.ErrorProtocol:
		return cause.Protocol()
	case binding.ErrorBodyTooLarge:
		return fmt.Sprintf("response body exceeds %d bytes", cause.BodyTooLarge())
	default:
		return "the target has no address"
	}
}
