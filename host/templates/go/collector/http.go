package collector

import "strings"

// Get sends a GET request over plain HTTP and returns the response body, at most 4 MiB. The path must begin with "/"
// and may have a query. A status other than 200 is a [StatusError].
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

// A Request is a GET request that [Do] sends.
type Request struct {
	// Path is path and query, sent unchanged: it begins with "/", has no fragment, and is percent-encoded.
	Path string
	// Header are additional header fields. The host rejects Host and fields about the connection or the body.
	Header []HeaderField
	// TLS is true if the target speaks https.
	TLS bool
}

// A Response is the target's response, whatever its status. Redirects are not followed.
type Response struct {
	// Status is the status code, 100 to 599.
	Status int
	// Header are the header fields in the order received, with names in lower case.
	Header []HeaderField
	// Body is the complete body, at most 4 MiB.
	Body []byte
}

// Get returns the value of the first header field of this name, or "" if there is none.
func (response *Response) Get(name string) string {
	for _, field := range response.Header {
		if strings.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return ""
}

// A HeaderField is a header field.
type HeaderField struct {
	Name, Value string
}
