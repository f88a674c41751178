package receiver

import (
	"stormglass"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

// A notification has more fields than a function takes arguments, so that its address comes.
//
//go:wasmexport stormglass:plugin/receiver@0.1.2#notify
func notify(address uint32) uint32 {
	abi.Enter()
	notification := abi.Load[Notification](address)
	abi.Release()
	return component.Answer(abi.None{}, stormglass.Instance().(Receiver).Notify(notification))
}

//go:wasmexport cabi_post_stormglass:plugin/receiver@0.1.2#notify
func postNotify(uint32) { abi.Release() }
