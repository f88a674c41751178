package net

import "stormglass/internal/abi"

// tlsOptions is TLS as it crosses.
type tlsOptions struct {
	ServerName    *string
	Authorities   []byte
	Certificate   []byte
	Key           []byte
	AcceptInvalid bool
	Protocols     []string
}

type failure struct {
	abi.Variant
	Denied  *string
	Invalid *string
	Connect *string
	TLS     *string
	Timeout *abi.None
	Closed  *abi.None
	Limit   *string
	Other   *string
}

func (f *failure) told() *Error {
	switch {
	case f == nil:
		return nil
	case f.Denied != nil:
		return &Error{"denied", *f.Denied}
	case f.Invalid != nil:
		return &Error{"invalid", *f.Invalid}
	case f.Connect != nil:
		return &Error{"connect", *f.Connect}
	case f.TLS != nil:
		return &Error{"tls", *f.TLS}
	case f.Timeout != nil:
		return &Error{"timeout", "timeout"}
	case f.Closed != nil:
		return &Error{"closed", "closed"}
	case f.Limit != nil:
		return &Error{"limit", *f.Limit}
	default:
		return &Error{"other", *f.Other}
	}
}

type answer[T any] = abi.Answer[T, failure]

// connectArguments are the parameters of connect: more than the ABI passes one by one, so that they cross in memory.
type connectArguments struct {
	Host    string
	Port    uint16
	Options connectOptions
}

type connectOptions struct {
	TimeoutMs *uint64
	Family    uint8
	TLS       *tlsOptions
}

// connection is the handle of one.
type connection struct{ handle uint32 }

//go:wasmimport stormglass:host/net@0.1.2 connect
func hostConnect(arguments, answer uint32)

//go:wasmimport stormglass:host/net@0.1.2 [method]connection.read
func hostRead(handle, most, hasTimeout uint32, timeoutMs uint64, answer uint32)

//go:wasmimport stormglass:host/net@0.1.2 [method]connection.write
func hostWrite(handle, bytes, length, hasTimeout uint32, timeoutMs uint64, answer uint32)

//go:wasmimport stormglass:host/net@0.1.2 [method]connection.start-tls
func hostStartTLS(handle, hasName, name, nameLength, authorities, authoritiesLength, certificate, certificateLength, key, keyLength, acceptInvalid, protocols, protocolsLength, hasTimeout uint32, timeoutMs uint64, answer uint32)

//go:wasmimport stormglass:host/net@0.1.2 [method]connection.session
func hostSession(handle, answer uint32)

//go:wasmimport stormglass:host/net@0.1.2 [method]connection.peer
func hostPeer(handle, answer uint32)

//go:wasmimport stormglass:host/net@0.1.2 [resource-drop]connection
func hostDrop(handle uint32)

func (t *TLS) crossing() *tlsOptions {
	if t == nil {
		return nil
	}
	made := &tlsOptions{Authorities: t.Authorities, Certificate: t.Certificate, Key: t.Key, AcceptInvalid: t.AcceptInvalid, Protocols: t.Protocols}
	if t.ServerName != "" {
		made.ServerName = &t.ServerName
	}
	return made
}

func connect(host string, port uint16, options Options) (*connection, *Error) {
	arguments := connectArguments{Host: host, Port: port, Options: connectOptions{Family: uint8(options.Family), TLS: options.TLS.crossing()}}
	if options.TimeoutMs > 0 {
		arguments.Options.TimeoutMs = &options.TimeoutMs
	}
	laid := abi.Store(arguments)
	got := abi.Ask[answer[uint32]](func(area uint32) { hostConnect(laid, area) })
	if got.Ok == nil {
		return nil, got.Err.told()
	}
	return &connection{*got.Ok}, nil
}

func (c *connection) read(most uint32, timeoutMs uint64) ([]byte, *Error) {
	got := abi.Ask[answer[[]byte]](func(area uint32) { hostRead(c.handle, most, abi.Flag(timeoutMs > 0), timeoutMs, area) })
	if got.Ok == nil {
		return nil, got.Err.told()
	}
	return *got.Ok, nil
}

func (c *connection) write(bytes []byte, timeoutMs uint64) *Error {
	address, length := abi.BytesOf(bytes)
	return abi.Ask[answer[abi.None]](func(area uint32) {
		hostWrite(c.handle, address, length, abi.Flag(timeoutMs > 0), timeoutMs, area)
	}).Err.told()
}

func (c *connection) startTLS(tls TLS, timeoutMs uint64) *Error {
	name, nameLength := abi.StringOf(tls.ServerName)
	authorities, authoritiesLength := abi.BytesOf(tls.Authorities)
	certificate, certificateLength := abi.BytesOf(tls.Certificate)
	key, keyLength := abi.BytesOf(tls.Key)
	protocols, protocolsLength := abi.ListOf(tls.Protocols)
	return abi.Ask[answer[abi.None]](func(area uint32) {
		hostStartTLS(c.handle, abi.Flag(tls.ServerName != ""), name, nameLength, authorities, authoritiesLength, certificate, certificateLength,
			key, keyLength, abi.Flag(tls.AcceptInvalid), protocols, protocolsLength, abi.Flag(timeoutMs > 0), timeoutMs, area)
	}).Err.told()
}

func (c *connection) session() *Session {
	return abi.Ask[*Session](func(area uint32) { hostSession(c.handle, area) })
}

func (c *connection) peer() string {
	return abi.Ask[string](func(area uint32) { hostPeer(c.handle, area) })
}

func (c *connection) drop() {
	if c.handle != 0 {
		hostDrop(c.handle)
		c.handle = 0
	}
}
