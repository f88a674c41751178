// Package discoverer is for plugins that find scrape targets, for the scrape jobs that name them.
package discoverer

import "stormglass"

// Label is a name and a value.
type Label struct {
	Name  string
	Value string
}

// Target is where to scrape: host:port.
type Target struct {
	Address string
	Labels  []Label
}

// Group is targets with common labels. A group replaces the earlier one of its source.
type Group struct {
	Source  string
	Targets []Target
	Labels  []Label
}

// Snapshot is all groups there are, and when to ask again, where that is not the configured interval.
type Snapshot struct {
	Groups     []Group
	NextPollMs *uint64
}

// Discoverer is a plugin that finds targets.
type Discoverer interface {
	// Poll answers all there is now: a source that is missing is gone. On an error the server keeps the groups it has.
	Poll() (Snapshot, error)
}

// Register says how the plugin is made; to be called in an init function.
func Register[C any, P Discoverer](make func(config C) (P, error)) { stormglass.Register(make) }
