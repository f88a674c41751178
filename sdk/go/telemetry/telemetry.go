// Package telemetry is for metrics of the plugin about itself, shown among the server's as stormglass_plugin_own_<name>. It
// needs no grant. What is no metric, and series over the limit, are dropped and counted.
package telemetry

// CounterAdd adds to a counter with these labels: name, value, name, value.
func CounterAdd(name string, amount float64, labels ...string) { counterAdd(name, labels, amount) }

// GaugeSet sets a gauge with these labels: name, value, name, value.
func GaugeSet(name string, value float64, labels ...string) { gaugeSet(name, labels, value) }
