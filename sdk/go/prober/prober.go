// Package prober is for plugins that yield samples of a target that they are told, for the scrape jobs that name them.
package prober

import "stormglass"

// Params are the parameters of a scrape job; one with several values has them in order.
type Params map[string][]string

// Get is the first value of a parameter, or empty.
func (p Params) Get(name string) string {
	if values := p[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Prober is a plugin that probes.
type Prober interface {
	// Probe probes a target once. One that does not answer is told by a sample, such as probe_success 0; an error says
	// that the plugin could not do its work.
	Probe(target string, params Params, out *stormglass.Metrics) error
}

// Register says how the plugin is made; to be called in an init function.
func Register[C any, P Prober](make func(config C) (P, error)) { stormglass.Register(make) }
