// Package http asks other servers. It needs a grant for scheme, host and port of the URL and of every redirect.
package http

import (
	"encoding/json"
	"strings"

	"stormglass/stormglasstest"
)

// Header is one field.
type Header = stormglasstest.Header

// Request is what to send.
type Request = stormglasstest.Request

// Response is what came back; any status is a response, not an error.
type Response struct {
	Status  uint16
	Headers []Header
	Body    []byte
}

// Header is the first field of this name, whatever its case, or empty.
func (r *Response) Header(name string) string {
	for _, header := range r.Headers {
		if strings.EqualFold(header.Name, name) {
			return header.Value
		}
	}
	return ""
}

// JSON reads the body into a value.
func (r *Response) JSON(into any) error { return json.Unmarshal(r.Body, into) }

// Error says why there is no response. Kind is denied, invalid, connect, timeout, too-large or other.
type Error struct {
	Kind    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// PluginError says that a server that cannot be reached now may be reached later.
func (e *Error) PluginError() (retryable bool, retryAfterMs *uint64) {
	return e.Kind == "connect" || e.Kind == "timeout" || e.Kind == "other", nil
}

// Get sends a GET request and waits for the whole response.
func Get(url string) (*Response, error) { return Send(Request{Method: "GET", URL: url}) }

// PostJSON sends a value as JSON and waits for the whole response.
func PostJSON(url string, body any) (*Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	headers := []Header{{Name: "content-type", Value: "application/json"}}
	return Send(Request{Method: "POST", URL: url, Headers: headers, Body: text})
}

// Send sends a request and waits for the whole response.
func Send(request Request) (*Response, error) {
	response, kind, message := fetch(request)
	if kind != "" {
		return nil, &Error{Kind: kind, Message: request.Method + " " + request.URL + ": " + message}
	}
	return response, nil
}
