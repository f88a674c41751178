package clock

//go:wasmimport stormglass:host/clock@0.1.2 now-ms
func now() int64
