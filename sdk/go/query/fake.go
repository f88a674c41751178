//go:build !wasip1

package query

import "stormglass"

// Answers answers all queries of a test; nil denies them.
var Answers func(expr string) (*stormglass.Batch, error)

func instant(expr string, _ *int64) (*stormglass.Batch, error) {
	if Answers == nil {
		return nil, &Error{"denied", "query: is not granted"}
	}
	return Answers(expr)
}

func queryRange(expr string, _, _ int64, _ uint64) (*stormglass.Batch, error) {
	return instant(expr, nil)
}
