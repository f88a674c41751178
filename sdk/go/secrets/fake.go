//go:build !wasip1

package secrets

import "stormglass/stormglasstest"

func get(name string) (string, error) {
	secret, ok := stormglasstest.Secret(name)
	if !ok {
		return "", &Error{"denied", "secrets: " + name + " is not granted"}
	}
	return secret, nil
}
