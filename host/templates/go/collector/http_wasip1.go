package collector

import (
	"fmt"

	binding "mackerel/collector/internal/bindings/mackerel_collector_http"
	witTypes "mackerel/collector/internal/wit/types"
)

// Do sends a GET to the target and waits for the whole answer. The time is bounded by that of the call to Collect.
func Do(request Request) (*Response, error) {
	asked := binding.Request{Scheme: binding.SchemeHttp, Path: text(request.Path)}
	if request.TLS {
		asked.Scheme = binding.SchemeHttps
	}
	for _, field := range request.Header {
		asked.Headers = append(asked.Headers, witTypes.Tuple2[string, string]{F0: text(field.Name), F1: text(field.Value)})
	}
	answer := binding.Get(asked)
	if answer.IsErr() {
		return nil, httpError{answer.Err()}
	}
	given := answer.Ok()
	response := &Response{Status: int(given.Status), Body: given.Body}
	for _, field := range given.Headers {
		response.Header = append(response.Header, HeaderField{field.F0, field.F1})
	}
	return response, nil
}

// An httpError is the host's own, and is handed back to it as it came.
type httpError struct {
	cause binding.Error
}

func (err httpError) Error() string {
	switch cause := err.cause; cause.Tag() {
	case binding.ErrorInvalidRequest:
		return "this cannot be sent: " + cause.InvalidRequest()
	case binding.ErrorConnect:
		return "no connection: " + cause.Connect()
	case binding.ErrorProtocol:
		return "no whole answer: " + cause.Protocol()
	case binding.ErrorBodyTooLarge:
		return fmt.Sprintf("the answer is larger than %d bytes", cause.BodyTooLarge())
	default:
		return "there is no address to ask"
	}
}
