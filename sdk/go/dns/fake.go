//go:build !wasip1

package dns

import "stormglass/stormglasstest"

func lookup(name string, of Type, _ string, _ uint64) ([]Record, string, string) {
	records, ok := stormglasstest.LookUp(name, uint8(of))
	if !ok {
		return nil, "denied", "dns: " + name + " is not granted"
	}
	return records, "", ""
}
