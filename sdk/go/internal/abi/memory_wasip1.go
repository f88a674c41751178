//go:build wasip1

package abi

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

// collectAfterBytes is how much the server may write into this instance before the garbage of it is looked for. A
// collection of a small heap takes a millisecond.
const collectAfterBytes = 4 << 20

var written uint32

// The adapter for WASI asks for its own memory, two pages of 64 KiB, at Go's first call of an import, which is before Go has
// a heap. That memory is never given back.
const earlyBytes = 3 << 16

var (
	early     [earlyBytes]byte
	earlyUsed uint32
	hasHeap   bool
)

func init() {
	hasHeap = true
	// Go's garbage collector reads the clock, and while the server allocates in here no import may be called: a collection
	// that begins within cabi_realloc would end the instance. So it is off while the server may write, and on while the
	// plugin's own code runs.
	debug.SetGCPercent(-1)
}

// Enter begins an exported function.
func Enter() {
	if written > collectAfterBytes {
		written = 0
		runtime.GC()
	}
	debug.SetGCPercent(100)
}

// Leave ends an exported function, and begins an import that answers with texts or lists.
func Leave() { debug.SetGCPercent(-1) }

// Resume ends such an import.
func Resume() { debug.SetGCPercent(100) }

// Ask calls an import that lays its answer out where it is told.
func Ask[T any](call func(answer uint32)) T {
	area := Room[T]()
	Leave()
	call(area)
	Resume()
	answer := Load[T](area)
	Release()
	return answer
}

//go:wasmexport cabi_realloc
func realloc(old, oldSize, align, size uint32) uint32 {
	if !hasHeap {
		base := uint32(uintptr(unsafe.Pointer(&early)))
		at := up(base+earlyUsed, align)
		earlyUsed = at + size - base
		if earlyUsed > earlyBytes {
			return 0
		}
		return at
	}
	written += size
	address := Allocate(size)
	if old != 0 && oldSize > 0 {
		copy(unsafe.Slice(at[byte](address), size), unsafe.Slice(at[byte](old), oldSize))
	}
	return address
}
