// Package transport leads an http.Client to the target, and with it the libraries that take one:
//
//	client := http.Client{Transport: transport.Transport}
//	response, err := client.Get("http://" + transport.Address() + "/queue")
//
// It sends GET requests alone. Go's package net/http makes a component some 7 MB larger, so what needs no library does without.
package transport

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"mackerel/collector"
	"mackerel/collector/internal/current"
)

// Transport leads to the target. In the sandbox that is the only address there is.
var Transport http.RoundTripper = transport{}

// Address is the target's HOST:PORT.
func Address() string {
	return net.JoinHostPort(current.Host, strconv.Itoa(int(current.Port)))
}

type transport struct{}

// RoundTrip refuses what would not be done as it is asked: a request reaches the target whatever address it names.
func (transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		request.Body.Close()
	}
	if request.Method != "" && request.Method != http.MethodGet {
		return nil, fmt.Errorf("a collector sends GET, not %s", request.Method)
	}
	if host := request.URL.Host; host != Address() {
		return nil, fmt.Errorf("a collector reaches its target %s, not %s", Address(), host)
	}
	asked := collector.Request{Path: request.URL.RequestURI(), TLS: request.URL.Scheme == "https"}
	for name, values := range request.Header {
		for _, value := range values {
			asked.Header = append(asked.Header, collector.HeaderField{Name: name, Value: value})
		}
	}
	answer, err := collector.Do(asked)
	if err != nil {
		return nil, err
	}
	response := &http.Response{
		Status:        fmt.Sprintf("%d %s", answer.Status, http.StatusText(answer.Status)),
		StatusCode:    answer.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{},
		Body:          io.NopCloser(bytes.NewReader(answer.Body)),
		ContentLength: int64(len(answer.Body)),
		Request:       request,
	}
	for _, field := range answer.Header {
		response.Header.Add(field.Name, field.Value)
	}
	return response, nil
}
