// Package query asks for the server's own metrics, through PromQL. It needs the grant query.
package query

import "stormglass"

// Error says why there is no answer. Kind is denied, invalid, timeout or other.
type Error struct {
	Kind    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// PluginError says that a query that took too long or failed may succeed later.
func (e *Error) PluginError() (retryable bool, retryAfterMs *uint64) {
	return e.Kind == "timeout" || e.Kind == "other", nil
}

// Instant gives the vector or scalar of an expression now: series with one sample each.
func Instant(expr string) (*stormglass.Batch, error) { return instant(expr, nil) }

// InstantAt gives the vector or scalar of an expression at a time in milliseconds.
func InstantAt(expr string, atMs int64) (*stormglass.Batch, error) { return instant(expr, &atMs) }

// Range gives the series of an expression at every step, both ends included.
func Range(expr string, startMs, endMs int64, stepMs uint64) (*stormglass.Batch, error) {
	return queryRange(expr, startMs, endMs, stepMs)
}
