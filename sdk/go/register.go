package stormglass

import (
	"encoding/json"
	"reflect"
)

var (
	start      func(config []byte) (any, error)
	registered reflect.Type
	instance   any
)

// Register says how the plugin is made from its configuration. For the kinds' packages, whose Register also says which kind
// it is of; a plugin of several kinds registers the same function with each.
func Register[C, P any](make func(config C) (P, error)) {
	kind := reflect.TypeFor[P]()
	if registered != nil && registered != kind {
		panic("stormglass: both " + registered.String() + " and " + kind.String() + " are registered; a project has one plugin")
	}
	registered = kind
	start = func(config []byte) (any, error) {
		var read C
		if err := json.Unmarshal(config, &read); err != nil {
			return nil, Permanent("config: %v", err)
		}
		return make(read)
	}
}

// Start makes the plugin. For package internal to the component; the server calls it through `init`.
func Start(config []byte) error {
	if start == nil {
		return Permanent("nothing is registered: call collector.Register, or that of another kind, in func init")
	}
	made, err := start(config)
	if err != nil {
		return err
	}
	instance = made
	return nil
}

// Instance is the plugin that Start made. For the kinds' packages.
func Instance() any { return instance }
