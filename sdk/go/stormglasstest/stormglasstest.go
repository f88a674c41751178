// Package stormglasstest is a server in miniature, so that ordinary tests can call a plugin as the server would.
//
//	host := stormglasstest.Host{Now: 1000, Files: map[string]string{"/etc/hostname": "storm\n"}}
//	defer host.Use()()
package stormglasstest

import (
	"sort"
	"strings"
)

// Header is one field of a request or response.
type Header struct {
	Name  string
	Value string
}

// Request is what a plugin sends.
type Request struct {
	Method    string
	URL       string
	Headers   []Header
	Body      []byte
	TimeoutMs *uint64
}

// Record is a record of the DNS; see package dns.
type Record struct {
	Name       string
	TTLSeconds uint32
	Text       string
	Exchange   *Exchange
	Service    *Service
}

// Exchange is a mail server.
type Exchange struct {
	Preference uint16
	Host       string
}

// Service says where a service is.
type Service struct {
	Priority uint16
	Weight   uint16
	Port     uint16
	Target   string
}

// Host is what the plugin under test finds around it.
type Host struct {
	Now   int64
	Files map[string]string
	// HTTP answers all requests; nil denies them.
	HTTP func(request Request) (status uint16, body string)
	// Net says what is said over a connection to a place, host:port, in pairs: what the plugin has to send, which may be
	// empty, and what it is sent then. Nil denies them all.
	Net func(place string) [][2]string
	// DNS answers all look-ups, of types as package dns has them; nil denies them.
	DNS func(name string, of uint8) []Record
	// KV is what the plugin's store holds.
	KV map[string][]byte
	// Secrets are those that it may read.
	Secrets map[string]string
	// Lines are what the plugin has logged.
	Lines []string
	// Telemetry is its metrics about itself, by name with labels behind it.
	Telemetry map[string]float64
}

var current = &Host{}

// Use makes it the host of all calls until the function it gives is called.
func (h *Host) Use() (restore func()) {
	before := current
	current = h
	return func() { current = before }
}

// Log is for package log.
func Log(level uint32, message string) { current.Lines = append(current.Lines, message) }

// NowMs is for package clock.
func NowMs() int64 { return current.Now }

// Fetch is for package http.
func Fetch(request Request) (status uint16, body string, ok bool) {
	if current.HTTP == nil {
		return 0, "", false
	}
	status, body = current.HTTP(request)
	return status, body, true
}

// Talk is for package net.
func Talk(place string) (talk [][2]string, ok bool) {
	if current.Net == nil {
		return nil, false
	}
	return current.Net(place), true
}

// LookUp is for package dns.
func LookUp(name string, of uint8) (records []Record, ok bool) {
	if current.DNS == nil {
		return nil, false
	}
	return current.DNS(name, of), true
}

// KV is for package kv.
func KV() map[string][]byte {
	if current.KV == nil {
		current.KV = map[string][]byte{}
	}
	return current.KV
}

// KeysOf is for package kv.
func KeysOf(prefix string) []string {
	var keys []string
	for key := range current.KV {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys
}

// Secret is for package secrets.
func Secret(name string) (string, bool) {
	secret, ok := current.Secrets[name]
	return secret, ok
}

// Tell is for package telemetry.
func Tell(name string, labels []string, value float64, add bool) {
	if current.Telemetry == nil {
		current.Telemetry = map[string]float64{}
	}
	if len(labels) > 0 {
		name += "{" + strings.Join(labels, ",") + "}"
	}
	if add {
		value += current.Telemetry[name]
	}
	current.Telemetry[name] = value
}

// File is for package files.
func File(path string) (string, bool) {
	text, ok := current.Files[path]
	return text, ok
}

// Below is for package files: names in a directory, with a slash behind those of directories.
func Below(path string) []string {
	prefix := strings.TrimSuffix(path, "/") + "/"
	seen := map[string]bool{}
	for name := range current.Files {
		if below, ok := strings.CutPrefix(name, prefix); ok {
			if directory, _, deeper := strings.Cut(below, "/"); deeper {
				below = directory + "/"
			}
			seen[below] = true
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
