package secrets

import "stormglass/internal/abi"

type failure struct {
	abi.Variant
	Denied      *string
	Unavailable *string
}

type answer = abi.Answer[string, failure]

//go:wasmimport stormglass:host/secrets@0.1.2 get
func hostGet(name, length, answer uint32)

func get(name string) (string, error) {
	address, length := abi.StringOf(name)
	got := abi.Ask[answer](func(area uint32) { hostGet(address, length, area) })
	switch {
	case got.Ok != nil:
		return *got.Ok, nil
	case got.Err.Denied != nil:
		return "", &Error{"denied", *got.Err.Denied}
	default:
		return "", &Error{"unavailable", *got.Err.Unavailable}
	}
}
