package clock

//go:wasmimport stormglass:host/clock@0.1.1 now-ms
func now() int64
