package discoverer

import (
	"stormglass"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

//go:wasmexport stormglass:plugin/discoverer@0.1.2#poll
func poll() uint32 {
	abi.Enter()
	snapshot, err := stormglass.Instance().(Discoverer).Poll()
	return component.Answer(snapshot, err)
}

//go:wasmexport cabi_post_stormglass:plugin/discoverer@0.1.2#poll
func postPoll(uint32) { abi.Release() }
