package files

import (
	"strconv"

	"stormglass/internal/abi"
)

type failure struct {
	abi.Variant
	Denied   *string
	NotFound *string
	TooLarge *uint64
	Other    *string
}

func (f *failure) told() (kind, message string) {
	switch {
	case f == nil:
		return "", ""
	case f.Denied != nil:
		return "denied", *f.Denied
	case f.NotFound != nil:
		return "not-found", *f.NotFound
	case f.TooLarge != nil:
		return "too-large", "too-large: the limit is " + strconv.FormatUint(*f.TooLarge, 10) + " bytes"
	default:
		return "other", *f.Other
	}
}

type answer[T any] = abi.Answer[T, failure]

//go:wasmimport stormglass:host/files@0.1.2 read
func hostRead(path, length, answer uint32)

//go:wasmimport stormglass:host/files@0.1.2 read-dir
func hostReadDir(path, length, answer uint32)

func ask[T any](path string, call func(path, length, answer uint32)) (got T, kind, message string) {
	address, length := abi.StringOf(path)
	answered := abi.Ask[answer[T]](func(area uint32) { call(address, length, area) })
	if answered.Ok != nil {
		got = *answered.Ok
	}
	kind, message = answered.Err.told()
	return got, kind, message
}

func read(path string) ([]byte, string, string) { return ask[[]byte](path, hostRead) }

func readDir(path string) ([]Entry, string, string) { return ask[[]Entry](path, hostReadDir) }
