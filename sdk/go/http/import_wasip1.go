package http

import (
	"strconv"

	"stormglass/internal/abi"
)

type request struct {
	Method    string
	URL       string
	Headers   []Header
	Body      []byte
	TimeoutMs *uint64
}

type failure struct {
	abi.Variant
	Denied   *string
	Invalid  *string
	Connect  *string
	Timeout  *abi.None
	TooLarge *uint64
	Other    *string
}

type answer = abi.Answer[Response, failure]

//go:wasmimport stormglass:host/http@0.1.2 fetch
func hostFetch(method, methodLength, url, urlLength, headers, headersLength, body, bodyLength, hasTimeout uint32, timeoutMs uint64, answer uint32)

func fetch(r Request) (*Response, string, string) {
	var hasTimeout uint32
	var timeoutMs uint64
	if r.TimeoutMs != nil {
		hasTimeout, timeoutMs = 1, *r.TimeoutMs
	}
	method, methodLength := abi.StringOf(r.Method)
	url, urlLength := abi.StringOf(r.URL)
	headers, headersLength := abi.ListOf(r.Headers)
	body, bodyLength := abi.BytesOf(r.Body)
	got := abi.Ask[answer](func(area uint32) {
		hostFetch(method, methodLength, url, urlLength, headers, headersLength, body, bodyLength, hasTimeout, timeoutMs, area)
	})
	if got.Ok != nil {
		return got.Ok, "", ""
	}
	switch e := got.Err; {
	case e.Denied != nil:
		return nil, "denied", *e.Denied
	case e.Invalid != nil:
		return nil, "invalid", *e.Invalid
	case e.Connect != nil:
		return nil, "connect", *e.Connect
	case e.Timeout != nil:
		return nil, "timeout", "timeout"
	case e.TooLarge != nil:
		return nil, "too-large", "too-large: the limit is " + strconv.FormatUint(*e.TooLarge, 10) + " bytes"
	default:
		return nil, "other", *e.Other
	}
}
