package spanprocessor

import (
	"stormglass"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

//go:wasmexport stormglass:plugin/span-processor@0.1.2#process
func process(resources, resourcesLength, scopes, scopesLength, spans, spansLength uint32) uint32 {
	abi.Enter()
	given := Spans{
		Resources: abi.LoadList[Attributes](resources, resourcesLength),
		Scopes:    abi.LoadList[Scope](scopes, scopesLength),
		Spans:     abi.LoadList[Span](spans, spansLength),
	}
	abi.Release()
	err := stormglass.Instance().(Processor).ProcessSpans(&given)
	return component.Answer(given, err)
}

//go:wasmexport cabi_post_stormglass:plugin/span-processor@0.1.2#process
func postProcess(uint32) { abi.Release() }
