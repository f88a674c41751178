package trainer

import (
	"stormglass"
	"stormglass/detector"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

//go:wasmexport stormglass:plugin/trainer@0.1.2#train
func train(startMs int64, stepMs uint64, steps, series, values, count, prior, length uint32) uint32 {
	abi.Enter()
	history := detector.Job{StartMs: startMs, StepMs: stepMs, Steps: steps, Series: series, Values: abi.LoadList[float64](values, count)}
	before := abi.LoadList[byte](prior, length)
	abi.Release()
	model, err := stormglass.Instance().(Trainer).Train(history, before)
	return component.Answer(model, err)
}

//go:wasmexport cabi_post_stormglass:plugin/trainer@0.1.2#train
func postTrain(uint32) { abi.Release() }

//go:wasmexport stormglass:plugin/trainer@0.1.2#load
func load(address, length uint32) uint32 {
	abi.Enter()
	model := abi.LoadList[byte](address, length)
	abi.Release()
	return component.Answer(abi.None{}, stormglass.Instance().(Trainer).Load(model))
}

//go:wasmexport cabi_post_stormglass:plugin/trainer@0.1.2#load
func postLoad(uint32) { abi.Release() }
