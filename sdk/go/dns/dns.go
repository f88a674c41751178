// Package dns looks names up. It needs a grant for the name.
package dns

import "stormglass/stormglasstest"

// Record is what a look-up finds. Text is an address of A and AAAA, a name of CNAME, NS and PTR, a text of TXT; Exchange is
// there of MX and Service of SRV.
type Record = stormglasstest.Record

// Exchange is a mail server.
type Exchange = stormglasstest.Exchange

// Service says where a service is.
type Service = stormglasstest.Service

// Type is one of records.
type Type uint8

// The types of records.
const (
	A Type = iota
	AAAA
	CNAME
	MX
	NS
	PTR
	SRV
	TXT
)

// Error says why there is no answer. Kind is denied, invalid, no-such-name, timeout or other.
type Error struct {
	Kind    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// PluginError says that servers that cannot answer now may answer later.
func (e *Error) PluginError() (retryable bool, retryAfterMs *uint64) {
	return e.Kind == "timeout" || e.Kind == "other", nil
}

// Lookup asks the system's servers.
func Lookup(name string, of Type) ([]Record, error) { return LookupAt(name, of, "", 0) }

// LookupAt asks this server, host:port, unless it is empty, and gives up after this long, unless it is 0.
func LookupAt(name string, of Type, server string, timeoutMs uint64) ([]Record, error) {
	records, kind, message := lookup(name, of, server, timeoutMs)
	if kind != "" {
		return nil, &Error{Kind: kind, Message: "look up " + name + ": " + message}
	}
	return records, nil
}
