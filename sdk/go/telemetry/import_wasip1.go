package telemetry

import "stormglass/internal/abi"

//go:wasmimport stormglass:host/telemetry@0.1.2 counter-add
func hostCounterAdd(name, nameLength, labels, labelsLength uint32, amount float64)

//go:wasmimport stormglass:host/telemetry@0.1.2 gauge-set
func hostGaugeSet(name, nameLength, labels, labelsLength uint32, value float64)

func call(call func(name, nameLength, labels, labelsLength uint32, value float64), name string, labels []string, value float64) {
	var pairs []abi.Label
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, abi.Label{Name: labels[i], Value: labels[i+1]})
	}
	address, length := abi.StringOf(name)
	list, count := abi.ListOf(pairs)
	call(address, length, list, count, value)
	abi.Release()
}

func counterAdd(name string, labels []string, amount float64) {
	call(hostCounterAdd, name, labels, amount)
}

func gaugeSet(name string, labels []string, value float64) { call(hostGaugeSet, name, labels, value) }
