package query

import (
	"stormglass"
	"stormglass/internal/abi"
)

type failure struct {
	abi.Variant
	Denied  *string
	Invalid *string
	Timeout *abi.None
	Other   *string
}

type answer = abi.Answer[abi.Batch, failure]

//go:wasmimport stormglass:host/query@0.1.2 instant
func hostInstant(expr, length, hasAt uint32, atMs int64, answer uint32)

//go:wasmimport stormglass:host/query@0.1.2 range
func hostRange(expr, length uint32, startMs, endMs int64, stepMs uint64, answer uint32)

func instant(expr string, atMs *int64) (*stormglass.Batch, error) {
	var hasAt uint32
	var at int64
	if atMs != nil {
		hasAt, at = 1, *atMs
	}
	address, length := abi.StringOf(expr)
	return read(expr, abi.Ask[answer](func(area uint32) { hostInstant(address, length, hasAt, at, area) }))
}

func queryRange(expr string, startMs, endMs int64, stepMs uint64) (*stormglass.Batch, error) {
	address, length := abi.StringOf(expr)
	return read(expr, abi.Ask[answer](func(area uint32) { hostRange(address, length, startMs, endMs, stepMs, area) }))
}

func read(expr string, got answer) (*stormglass.Batch, error) {
	if got.Ok != nil {
		return stormglass.BatchIn(*got.Ok), nil
	}
	told := func(kind, message string) (*stormglass.Batch, error) {
		return nil, &Error{kind, "query " + expr + ": " + message}
	}
	switch e := got.Err; {
	case e.Denied != nil:
		return told("denied", *e.Denied)
	case e.Invalid != nil:
		return told("invalid", *e.Invalid)
	case e.Timeout != nil:
		return told("timeout", "timeout")
	default:
		return told("other", *e.Other)
	}
}
