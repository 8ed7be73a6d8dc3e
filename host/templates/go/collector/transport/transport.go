// Package transport connects an http.Client to the target, for libraries that need one:
//
//	client := http.Client{Transport: transport.Transport}
//	response, err := client.Get("http://" + transport.Address() + "/queue")
//
// It sends only GET requests. Go's package net/http makes a component about 7 MB larger, so use collector.Get unless
// you need it.
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

// Transport sends requests to the target, the only address that the sandbox can reach.
var Transport http.RoundTripper = transport{}

// Address returns the target's HOST:PORT.
func Address() string {
	return net.JoinHostPort(current.Host, strconv.Itoa(int(current.Port)))
}

type transport struct{}

// RoundTrip rejects requests to other addresses, because the host would send them to the target.
func (transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		request.Body.Close()
	}
	if request.Method != "" && request.Method != http.MethodGet {
		return nil, fmt.Errorf("method %s is not supported: a collector can only send GET", request.Method)
	}
	if host := request.URL.Host; host != Address() {
		return nil, fmt.Errorf("denied: %s (a collector can only reach its own target, %s)", host, Address())
	}
	get := collector.Request{Path: request.URL.RequestURI(), TLS: request.URL.Scheme == "https"}
	for name, values := range request.Header {
		for _, value := range values {
			get.Header = append(get.Header, collector.HeaderField{Name: name, Value: value})
		}
	}
	received, err := collector.Do(get)
	if err != nil {
		return nil, err
	}
	response := &http.Response{
		Status:        fmt.Sprintf("%d %s", received.Status, http.StatusText(received.Status)),
		StatusCode:    received.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{},
		Body:          io.NopCloser(bytes.NewReader(received.Body)),
		ContentLength: int64(len(received.Body)),
		Request:       request,
	}
	for _, field := range received.Header {
		response.Header.Add(field.Name, field.Value)
	}
	return response, nil
}
