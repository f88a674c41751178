package prober

import (
	"stormglass"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

//go:wasmexport stormglass:plugin/prober@0.1.2#probe
func probe(target, targetLength, list, length uint32, deadlineMs uint64) uint32 {
	abi.Enter()
	address := abi.LoadString(target, targetLength)
	params := Params{}
	for _, param := range abi.LoadList[abi.Label](list, length) {
		params[param.Name] = append(params[param.Name], param.Value)
	}
	abi.Release()
	out := stormglass.Metrics{DeadlineMs: deadlineMs}
	err := stormglass.Instance().(Prober).Probe(address, params, &out)
	var text string
	if err == nil {
		text, err = out.Render()
	}
	return component.Answer(abi.Payload{Text: &text}, err)
}

//go:wasmexport cabi_post_stormglass:plugin/prober@0.1.2#probe
func postProbe(uint32) { abi.Release() }
