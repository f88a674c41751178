// Package function is for plugins that have functions of PromQL, called as wasm_<name>(...). Functions are pure: such a plugin
// calls nothing of the server but log, and keeps nothing between calls.
package function

import "stormglass"

// ValueType is what a function can be given.
type ValueType uint8

const (
	Vector ValueType = iota
	Range
	Scalar
	Text
)

// Signature is a function and what it takes: Vector or Range first, then Scalar and Text, of which the last Optional may be
// left out.
type Signature struct {
	Name       string
	Help       string
	Parameters []ValueType
	Optional   uint32
}

// Call is one function over some series of a query at all of its steps. Of a vector, Values[s*Steps+i] is series s at step
// i; of a range, the samples of all series.
type Call struct {
	Name         string
	StartMs      int64
	StepMs       uint64
	Steps        uint32
	Series       uint32
	Values       []float64
	TimestampsMs []int64
	WindowStarts []uint32
	WindowEnds   []uint32
	Scalars      []float64
	Texts        []string
}

// Row is the values of one series of a vector.
func (c *Call) Row(series uint32) []float64 { return c.Values[series*c.Steps : (series+1)*c.Steps] }

// Windows gives the windows of a range to use, series by series and step by step: times in milliseconds and values.
func (c *Call) Windows(use func(timesMs []int64, values []float64)) {
	for i, start := range c.WindowStarts {
		end := c.WindowEnds[i]
		use(c.TimestampsMs[start:end], c.Values[start:end])
	}
}

// Scalar is a scalar argument at a step; otherwise where it was left out.
func (c *Call) Scalar(argument, step int, otherwise float64) float64 {
	if at := argument*int(c.Steps) + step; at < len(c.Scalars) {
		return c.Scalars[at]
	}
	return otherwise
}

// Function is a plugin that has functions.
type Function interface {
	// Signatures says what functions there are.
	Signatures() []Signature
	// Eval gives one value for each series and step of the call.
	Eval(call *Call) ([]float64, error)
}

// Register says how the plugin is made; to be called in an init function.
func Register[C any, P Function](make func(config C) (P, error)) { stormglass.Register(make) }
