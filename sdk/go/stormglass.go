// Package stormglass makes a Go program a Stormglass plugin.
//
// A plugin is a type with the method of its kind, registered with the kind's package:
//
//	type hello struct{}
//
//	func (hello) Collect(out *stormglass.Metrics) error {
//		out.Gauge("hello_answer", "The answer.").Set(42, "planet", "earth")
//		return nil
//	}
//
//	func init() {
//		collector.Register(func(stormglass.NoConfig) (hello, error) { return hello{}, nil })
//	}
//
//	func main() {}
//
// One value of the type lives as long as the instance and is what all calls work on. What a plugin may ask of the server is
// in the packages log, clock, http, files, kv, secrets, telemetry and query. Each kind has a package of its name.
package stormglass

import (
	"fmt"

	"stormglass/internal/abi"
)

// NoConfig is the configuration of a plugin that has nothing to configure.
type NoConfig struct{}

// Error says what failed, and whether the same call may succeed later: the server retries only what is retryable, and not
// before RetryAfterMs. Any other error counts as retryable.
type Error struct {
	Message      string
	Retryable    bool
	RetryAfterMs *uint64
}

func (e *Error) Error() string { return e.Message }

// Permanent is an error that another attempt would meet again.
func Permanent(format string, arguments ...any) error {
	return &Error{Message: fmt.Sprintf(format, arguments...)}
}

// Retryable is an error that another attempt may not meet.
func Retryable(format string, arguments ...any) error {
	return &Error{Message: fmt.Sprintf(format, arguments...), Retryable: true}
}

// ErrorOf is what crosses to the server for an error. For the kinds' packages.
func ErrorOf(err error) *abi.PluginError {
	if err == nil {
		return nil
	}
	if e, ok := err.(interface{ PluginError() (bool, *uint64) }); ok {
		retryable, after := e.PluginError()
		return &abi.PluginError{Message: err.Error(), Retryable: retryable, RetryAfterMs: after}
	}
	return &abi.PluginError{Message: err.Error(), Retryable: true}
}

// PluginError is what crosses to the server.
func (e *Error) PluginError() (retryable bool, retryAfterMs *uint64) {
	return e.Retryable, e.RetryAfterMs
}
