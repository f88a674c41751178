// Package kv keeps values that outlive the instance: they are there again after a trap, a reload, a new version of the plugin
// and a restart of the server. It needs no grant; limits.kv says how much there may be.
package kv

import "encoding/json"

// Error says why the store did not do it. Kind is invalid-key, full or other.
type Error struct {
	Kind    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// PluginError says that only what went wrong for unknown reasons is worth another attempt.
func (e *Error) PluginError() (retryable bool, retryAfterMs *uint64) { return e.Kind == "other", nil }

// Get gives the value, and whether there is one.
func Get(key string) (value []byte, found bool, err error) { return get(key) }

// Set stores a value in place of what was there.
func Set(key string, value []byte) error { return set(key, value, 0) }

// SetFor stores a value that is gone after this long.
func SetFor(key string, value []byte, ttlMs uint64) error { return set(key, value, ttlMs) }

// Delete removes a value; one that is not there is no error.
func Delete(key string) error { return remove(key) }

// Keys gives the keys that begin with prefix, sorted.
func Keys(prefix string) ([]string, error) { return keys(prefix) }

// GetJSON reads the value into a variable, and says whether there is one.
func GetJSON(key string, into any) (found bool, err error) {
	value, found, err := get(key)
	if err != nil || !found {
		return false, err
	}
	return true, json.Unmarshal(value, into)
}

// SetJSON stores a value as JSON.
func SetJSON(key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return set(key, text, 0)
}
