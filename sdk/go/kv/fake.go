//go:build !wasip1

package kv

import "stormglass/stormglasstest"

func get(key string) ([]byte, bool, error) {
	value, found := stormglasstest.KV()[key]
	return value, found, nil
}

func set(key string, value []byte, _ uint64) error {
	stormglasstest.KV()[key] = value
	return nil
}

func remove(key string) error {
	delete(stormglasstest.KV(), key)
	return nil
}

func keys(prefix string) ([]string, error) { return stormglasstest.KeysOf(prefix), nil }
