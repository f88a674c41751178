package log

import (
	"runtime"
	"unsafe"
)

//go:wasmimport stormglass:host/log@0.1.2 log
func hostLog(level uint32, address unsafe.Pointer, length uint32)

func write(level uint32, message string) {
	hostLog(level, unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)))
	runtime.KeepAlive(message)
}
