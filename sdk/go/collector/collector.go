// Package collector is for plugins that yield samples at an interval, like a scrape target: the server adds job and instance
// labels, up and the scrape_ series, and ends the series that a collection no longer has.
package collector

import "stormglass"

// Collector is a plugin that collects.
type Collector interface {
	// Collect collects once. On an error nothing of out is kept and up is 0.
	Collect(out *stormglass.Metrics) error
}

// Register says how the plugin is made; to be called in an init function.
func Register[C any, P Collector](make func(config C) (P, error)) { stormglass.Register(make) }
