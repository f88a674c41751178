// Package detector is for plugins that score how unusual the latest values of series are.
package detector

import "stormglass"

// Job is series over a range, at the same steps: Values[s*Steps+i] is series s at step i, NaN where it has none.
type Job struct {
	StartMs int64
	StepMs  uint64
	Steps   uint32
	Series  uint32
	Values  []float64
}

// Row is the values of one series.
func (j Job) Row(series uint32) []float64 { return j.Values[series*j.Steps : (series+1)*j.Steps] }

// Scores has one value for each of the job's, in the same order; bounds are empty where the detector has none.
type Scores struct {
	Scores []float64
	Lower  []float64
	Upper  []float64
}

// Detector is a plugin that scores.
type Detector interface {
	// Detect gives one score for each value of the job, and bounds where it has them.
	Detect(job Job) (Scores, error)
}

// Register says how the plugin is made; to be called in an init function.
func Register[C any, P Detector](make func(config C) (P, error)) { stormglass.Register(make) }
