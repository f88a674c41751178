// Package sampleprocessor is for plugins that stand between what brings samples and storage.
package sampleprocessor

import "stormglass"

// Processor is a plugin that processes samples.
type Processor interface {
	// ProcessSamples changes the batch to what is to be stored in place of it. On an error the configuration says whether
	// the samples pass as they were or are dropped.
	ProcessSamples(batch *stormglass.Batch) error
}

// Register says how the plugin is made; to be called in an init function.
func Register[C any, P Processor](make func(config C) (P, error)) { stormglass.Register(make) }
