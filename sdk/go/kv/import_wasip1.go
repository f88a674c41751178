package kv

import (
	"strconv"

	"stormglass/internal/abi"
)

type failure struct {
	abi.Variant
	InvalidKey *string
	Full       *uint64
	Other      *string
}

func (f *failure) told() error {
	switch {
	case f == nil:
		return nil
	case f.InvalidKey != nil:
		return &Error{"invalid-key", *f.InvalidKey}
	case f.Full != nil:
		return &Error{"full", "full: the limit is " + strconv.FormatUint(*f.Full, 10) + " bytes"}
	default:
		return &Error{"other", *f.Other}
	}
}

type answer[T any] = abi.Answer[T, failure]

//go:wasmimport stormglass:host/kv@0.1.2 get
func hostGet(key, length, answer uint32)

//go:wasmimport stormglass:host/kv@0.1.2 set
func hostSet(key, length, value, valueLength, hasTTL uint32, ttlMs uint64, answer uint32)

//go:wasmimport stormglass:host/kv@0.1.2 delete
func hostDelete(key, length, answer uint32)

//go:wasmimport stormglass:host/kv@0.1.2 keys
func hostKeys(prefix, length, answer uint32)

func get(key string) ([]byte, bool, error) {
	address, length := abi.StringOf(key)
	got := abi.Ask[answer[*[]byte]](func(area uint32) { hostGet(address, length, area) })
	if got.Ok == nil || *got.Ok == nil {
		return nil, false, got.Err.told()
	}
	return **got.Ok, true, nil
}

func set(key string, value []byte, ttlMs uint64) error {
	address, length := abi.StringOf(key)
	bytes, bytesLength := abi.BytesOf(value)
	got := abi.Ask[answer[abi.None]](func(area uint32) { hostSet(address, length, bytes, bytesLength, abi.Flag(ttlMs > 0), ttlMs, area) })
	return got.Err.told()
}

func remove(key string) error {
	address, length := abi.StringOf(key)
	return abi.Ask[answer[abi.None]](func(area uint32) { hostDelete(address, length, area) }).Err.told()
}

func keys(prefix string) ([]string, error) {
	address, length := abi.StringOf(prefix)
	got := abi.Ask[answer[[]string]](func(area uint32) { hostKeys(address, length, area) })
	if got.Ok == nil {
		return nil, got.Err.told()
	}
	return *got.Ok, nil
}
