package collector

import (
	"stormglass"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

//go:wasmexport stormglass:plugin/collector@0.1.2#collect
func collect(deadlineMs uint64) uint32 {
	abi.Enter()
	out := stormglass.Metrics{DeadlineMs: deadlineMs}
	err := stormglass.Instance().(Collector).Collect(&out)
	var text string
	if err == nil {
		text, err = out.Render()
	}
	return component.Answer(abi.Payload{Text: &text}, err)
}

//go:wasmexport cabi_post_stormglass:plugin/collector@0.1.2#collect
func postCollect(uint32) { abi.Release() }
