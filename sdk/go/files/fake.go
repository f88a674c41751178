//go:build !wasip1

package files

import "stormglass/stormglasstest"

func read(path string) ([]byte, string, string) {
	text, ok := stormglasstest.File(path)
	if !ok {
		return nil, "not-found", path + ": no such file"
	}
	return []byte(text), "", ""
}

func readDir(path string) ([]Entry, string, string) {
	var entries []Entry
	for _, name := range stormglasstest.Below(path) {
		kind := File
		if name[len(name)-1] == '/' {
			name, kind = name[:len(name)-1], Directory
		}
		entries = append(entries, Entry{Name: name, Kind: kind})
	}
	if entries == nil {
		return nil, "not-found", path + ": no such file"
	}
	return entries, "", ""
}
