package collector

import (
	"stormglass"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

// batch is never made here: samples cross as text.
type payload struct {
	abi.Variant
	Text     *string
	Protobuf *[]byte
	Columns  *batch
}

// batch has the size of the interface's: nine lists.
type batch struct {
	Strings, LabelRefs, LabelEnds, SampleEnds, TimestampsMs, Values, Families, Histograms, Exemplars []byte
}

//go:wasmexport stormglass:plugin/collector@0.1.0#collect
func collect(deadlineMs uint64) uint32 {
	abi.Enter()
	out := stormglass.Metrics{DeadlineMs: deadlineMs}
	err := stormglass.Instance().(Collector).Collect(&out)
	var text string
	if err == nil {
		text, err = out.Render()
	}
	return component.Answer(payload{Text: &text}, err)
}

//go:wasmexport cabi_post_stormglass:plugin/collector@0.1.0#collect
func postCollect(uint32) { abi.Release() }
