package function

import (
	"stormglass"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

//go:wasmexport stormglass:plugin/function@0.1.2#signatures
func signatures() uint32 {
	abi.Enter()
	address := abi.Store(stormglass.Instance().(Function).Signatures())
	abi.Leave()
	return address
}

//go:wasmexport cabi_post_stormglass:plugin/function@0.1.2#signatures
func postSignatures(uint32) { abi.Release() }

// A call has more fields than a function takes arguments, so that its address comes.
//
//go:wasmexport stormglass:plugin/function@0.1.2#eval
func eval(address uint32) uint32 {
	abi.Enter()
	call := abi.Load[Call](address)
	abi.Release()
	values, err := stormglass.Instance().(Function).Eval(&call)
	return component.Answer(values, err)
}

//go:wasmexport cabi_post_stormglass:plugin/function@0.1.2#eval
func postEval(uint32) { abi.Release() }
