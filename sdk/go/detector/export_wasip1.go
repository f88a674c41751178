package detector

import (
	"stormglass"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

//go:wasmexport stormglass:plugin/detector@0.1.2#detect
func detect(startMs int64, stepMs uint64, steps, series, address, length uint32) uint32 {
	abi.Enter()
	job := Job{startMs, stepMs, steps, series, abi.LoadList[float64](address, length)}
	abi.Release()
	scores, err := stormglass.Instance().(Detector).Detect(job)
	return component.Answer(scores, err)
}

//go:wasmexport cabi_post_stormglass:plugin/detector@0.1.2#detect
func postDetect(uint32) { abi.Release() }
