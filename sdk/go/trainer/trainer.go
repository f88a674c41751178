// Package trainer is for detectors that learn ahead of time. The server keeps what they learn.
package trainer

import (
	"stormglass"
	"stormglass/detector"
)

// Trainer is a detector that learns.
type Trainer interface {
	detector.Detector
	// Train learns from a longer job and answers a model; prior is the one there is, empty before the first.
	Train(history detector.Job, prior []byte) ([]byte, error)
	// Load takes the model that Detect is to use.
	Load(model []byte) error
}

// Register says how the plugin is made, which is a detector as well; to be called in an init function.
func Register[C any, P Trainer](make func(config C) (P, error)) { stormglass.Register(make) }
