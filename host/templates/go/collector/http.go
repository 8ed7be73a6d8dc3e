package collector

import "strings"

// Get sends a GET to the target and gives the answer's body. Path is path and query, and begins with "/". A status other than 200 is a
// [StatusError].
func Get(path string) ([]byte, error) {
	response, err := Do(Request{Path: path})
	if err != nil {
		return nil, err
	}
	if response.Status != 200 {
		return nil, StatusError(response.Status)
	}
	return response.Body, nil
}

// A Request is what [Do] sends.
type Request struct {
	// Path is path and query as they go onto the wire: it begins with "/", has no fragment, and all else is percent-encoded.
	Path string
	// Header are further header fields. Host, Connection and Content-Length are the host's own.
	Header []HeaderField
	// TLS is whether the target speaks https.
	TLS bool
}

// A Response is the target's answer, whatever its status. A redirect is an answer too, and is not followed.
type Response struct {
	// Status is the status code.
	Status int
	// Header are the header fields in the order in which they came, their names in lower case.
	Header []HeaderField
	// Body is the whole body, at most 4 MiB.
	Body []byte
}

// Get gives the value of the first header field of this name, "" where there is none.
func (response *Response) Get(name string) string {
	for _, field := range response.Header {
		if strings.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return ""
}

// A HeaderField is one line of a header.
type HeaderField struct {
	Name, Value string
}
