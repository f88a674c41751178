//go:build wasip1

// Package component exports what every plugin must: who it is, and how it starts.
package component

import (
	"stormglass"
	"stormglass/internal/abi"
)

type wish struct {
	Capability string
	Target     string
	Reason     string
}

type info struct {
	Name         string
	Version      string
	Description  string
	ConfigSchema string
	Wishes       []wish
}

// Answer lays out the answer of an exported function, which stays until the server has read it.
func Answer[T any](ok T, err error) uint32 {
	result := abi.Result[T]{Ok: &ok}
	if err != nil {
		result = abi.Result[T]{Err: stormglass.ErrorOf(err)}
	}
	address := abi.Store(result)
	abi.Leave()
	return address
}

//go:wasmexport stormglass:plugin/meta@0.1.2#describe
func describe() uint32 {
	abi.Enter()
	read, err := stormglass.ManifestOf()
	if err != nil {
		panic("stormglass: build with `stormglass plugin build`, which puts in what plugin.yaml says: " + err.Error())
	}
	described := info{Name: read.Name, Version: read.Version, Description: read.Description, ConfigSchema: read.ConfigSchema}
	for _, w := range read.Wishes {
		described.Wishes = append(described.Wishes, wish(w))
	}
	address := abi.Store(described)
	abi.Leave()
	return address
}

//go:wasmexport cabi_post_stormglass:plugin/meta@0.1.2#describe
func postDescribe(uint32) { abi.Release() }

//go:wasmexport stormglass:plugin/lifecycle@0.1.2#init
func initialise(address, length uint32) uint32 {
	abi.Enter()
	config := abi.LoadString(address, length)
	abi.Release()
	return Answer(abi.None{}, stormglass.Start([]byte(config)))
}

//go:wasmexport cabi_post_stormglass:plugin/lifecycle@0.1.2#init
func postInitialise(uint32) { abi.Release() }
