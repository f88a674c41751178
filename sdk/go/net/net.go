// Package net connects to servers over TCP. It needs a grant for host and port. TLS is the server's work: it checks the
// certificate, and the plugin reads and writes plain bytes.
//
//	connection, err := net.Connect("cache.example", 6379)
//	if err != nil {
//		return err
//	}
//	defer connection.Close()
//	fmt.Fprintf(connection, "PING\r\n")
//	line, err := bufio.NewReader(connection).ReadString('\n')
//
// A connection ends with the call that made it: make one in each call. All waiting is within the call's deadline.
package net

import (
	"io"
	"strconv"
)

// Family says which addresses of a name are taken.
type Family uint8

// The families of addresses.
const (
	Any Family = iota
	IPv4
	IPv6
)

// Options says how to connect. The zero value is any address, no TLS, and the server's own limit of time.
type Options struct {
	TimeoutMs uint64
	Family    Family
	// TLS is spoken from the first byte on, where it is not nil.
	TLS *TLS
}

// TLS says how it is spoken. Certificates and key are PEM; without authorities the system's count.
type TLS struct {
	// ServerName is the host's where it is empty.
	ServerName    string
	Authorities   []byte
	Certificate   []byte
	Key           []byte
	AcceptInvalid bool
	Protocols     []string
}

// Certificate is one that the other side showed.
type Certificate struct {
	Subject     string
	Issuer      string
	Names       []string
	Serial      string
	NotBefore   int64
	NotAfter    int64
	Fingerprint string
}

// Session is what a TLS handshake told.
type Session struct {
	Version      string
	Cipher       string
	Protocol     string
	Certificates []Certificate
	// VerifiedUntil is nil where the chain was not trusted.
	VerifiedUntil *int64
	// Problem is why the certificate would not do, where AcceptInvalid let it pass.
	Problem *string
}

// Error says why a connection did not do it. Kind is denied, invalid, connect, tls, timeout, closed, limit or other.
type Error struct {
	Kind    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// PluginError says that what depends on the other side may succeed later.
func (e *Error) PluginError() (retryable bool, retryAfterMs *uint64) {
	switch e.Kind {
	case "connect", "tls", "timeout", "closed", "other":
		return true, nil
	}
	return false, nil
}

// Connection is an io.ReadWriteCloser.
type Connection struct {
	raw   *connection
	place string
	// TimeoutMs is how long each read and write may take, where it is not 0.
	TimeoutMs uint64
}

var _ io.ReadWriteCloser = (*Connection)(nil)

// Connect connects to the first of the host's addresses that takes it.
func Connect(host string, port uint16) (*Connection, error) {
	return ConnectWith(host, port, Options{})
}

// ConnectWith does so as the options say; each read and write then has the same time.
func ConnectWith(host string, port uint16, options Options) (*Connection, error) {
	place := host + ":" + strconv.Itoa(int(port))
	raw, failed := connect(host, port, options)
	if failed != nil {
		return nil, failed.at(place)
	}
	return &Connection{raw: raw, place: place, TimeoutMs: options.TimeoutMs}, nil
}

// Read waits for bytes; io.EOF is the end of what the other side sends.
func (c *Connection) Read(into []byte) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	bytes, failed := c.raw.read(uint32(min(len(into), 64<<10)), c.TimeoutMs)
	if failed != nil {
		return 0, failed.at(c.place)
	}
	if len(bytes) == 0 {
		return 0, io.EOF
	}
	return copy(into, bytes), nil
}

// Write sends all of it.
func (c *Connection) Write(bytes []byte) (int, error) {
	if failed := c.raw.write(bytes, c.TimeoutMs); failed != nil {
		return 0, failed.at(c.place)
	}
	return len(bytes), nil
}

// StartTLS speaks TLS from here on. Nothing may have been read ahead, as by a bufio.Reader.
func (c *Connection) StartTLS(tls TLS) error {
	if failed := c.raw.startTLS(tls, c.TimeoutMs); failed != nil {
		return failed.at(c.place)
	}
	return nil
}

// Session is what the TLS handshake told; nil where there was none.
func (c *Connection) Session() *Session { return c.raw.session() }

// Peer is the address of the other side: 192.0.2.1:5432.
func (c *Connection) Peer() string { return c.raw.peer() }

// Close ends the connection.
func (c *Connection) Close() error {
	c.raw.drop()
	return nil
}

// at says at what place it was.
func (e *Error) at(place string) error {
	return &Error{Kind: e.Kind, Message: place + ": " + e.Message}
}
