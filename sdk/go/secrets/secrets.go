// Package secrets reads secrets of the operator, by name. It needs a grant for each. One that the configuration sends as a
// header needs nothing here: the server sets it in each request.
package secrets

// Error says why there is no secret. Kind is denied or unavailable.
type Error struct {
	Kind    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// PluginError says that a secret that cannot be read now may be read later.
func (e *Error) PluginError() (retryable bool, retryAfterMs *uint64) {
	return e.Kind == "unavailable", nil
}

// Get gives the secret as it is now. Ask each time it is needed, so that a changed one is used.
func Get(name string) (string, error) { return get(name) }
