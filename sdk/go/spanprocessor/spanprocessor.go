// Package spanprocessor is for plugins that stand between what brings spans and the trace store. Its types are those of
// OpenTelemetry's trace data model.
package spanprocessor

import (
	"stormglass"
	"stormglass/internal/abi"
)

// Value is the value of an attribute: exactly one of the fields is set. Lists and maps are JSON.
type Value struct {
	abi.Variant
	Text   *string
	Bool   *bool
	Int    *int64
	Double *float64
	Bytes  *[]byte
	JSON   *string
	Empty  *struct{}
}

// Text is the value of an attribute that is a text.
func Text(text string) Value { return Value{Text: &text} }

// Bool is the value of an attribute that is true or false.
func Bool(value bool) Value { return Value{Bool: &value} }

// Int is the value of an attribute that is a whole number.
func Int(value int64) Value { return Value{Int: &value} }

// Double is the value of an attribute that is any number.
func Double(value float64) Value { return Value{Double: &value} }

// Attribute is a name and a value.
type Attribute struct {
	Key   string
	Value Value
}

// Attributes of a span, a resource or whatever has some.
type Attributes []Attribute

// Get is the value of a key; nil where there is none. It may be changed where it is.
func (a Attributes) Get(key string) *Value {
	for i := range a {
		if a[i].Key == key {
			return &a[i].Value
		}
	}
	return nil
}

// Set sets the value of a key.
func (a *Attributes) Set(key string, value Value) {
	if found := a.Get(key); found != nil {
		*found = value
		return
	}
	*a = append(*a, Attribute{key, value})
}

// Kind is who did it, seen from the other side.
type Kind uint8

const (
	KindUnspecified Kind = iota
	KindInternal
	KindServer
	KindClient
	KindProducer
	KindConsumer
)

// Status is how a span ended.
type Status uint8

const (
	StatusUnset Status = iota
	StatusOK
	StatusError
)

// Event is something that happened within a span.
type Event struct {
	TimeNs     uint64
	Name       string
	Attributes Attributes
}

// Link is a reference to another span.
type Link struct {
	TraceID    []byte
	SpanID     []byte
	TraceState string
	Attributes Attributes
}

// Span is one span; ParentSpanID is empty for a root.
type Span struct {
	TraceID       []byte
	SpanID        []byte
	ParentSpanID  []byte
	TraceState    string
	Name          string
	Kind          Kind
	StartNs       uint64
	EndNs         uint64
	Status        Status
	StatusMessage string
	Attributes    Attributes
	Events        []Event
	Links         []Link
	TraceFlags    uint32
	// ResourceIndex and ScopeIndex say what it comes from.
	ResourceIndex uint32
	ScopeIndex    uint32
}

// Scope is the instrumentation that made a span.
type Scope struct {
	Name       string
	Version    string
	Attributes Attributes
}

// Spans are spans and what they come from: the attributes of each resource, service.name among them.
type Spans struct {
	Resources []Attributes
	Scopes    []Scope
	Spans     []Span
}

// Processor is a plugin that processes spans.
type Processor interface {
	// ProcessSpans changes the spans to what is to be stored in place of them. On an error the configuration says whether
	// the spans pass as they were or are dropped.
	ProcessSpans(spans *Spans) error
}

// Register says how the plugin is made; to be called in an init function.
func Register[C any, P Processor](make func(config C) (P, error)) { stormglass.Register(make) }
