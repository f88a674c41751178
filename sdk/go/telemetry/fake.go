//go:build !wasip1

package telemetry

import "stormglass/stormglasstest"

func counterAdd(name string, labels []string, amount float64) {
	stormglasstest.Tell(name, labels, amount, true)
}

func gaugeSet(name string, labels []string, value float64) {
	stormglasstest.Tell(name, labels, value, false)
}
