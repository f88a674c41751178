package sampleprocessor

import (
	"stormglass"
	"stormglass/clock"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

// A batch has more fields than a function takes arguments, so that its address comes.
//
//go:wasmexport stormglass:plugin/sample-processor@0.1.2#process
func process(address uint32) uint32 {
	abi.Enter()
	batch := stormglass.BatchIn(abi.Load[abi.Batch](address))
	abi.Release()
	err := stormglass.Instance().(Processor).ProcessSamples(batch)
	var answer abi.Batch
	if err == nil {
		answer = stormglass.BatchOut(batch, clock.NowMs)
	}
	return component.Answer(answer, err)
}

//go:wasmexport cabi_post_stormglass:plugin/sample-processor@0.1.2#process
func postProcess(uint32) { abi.Release() }
