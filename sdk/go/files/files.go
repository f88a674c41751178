// Package files reads files of the server's machine. It needs a grant for a directory above the path; paths are absolute.
package files

// Error says why there is no file. Kind is denied, not-found, too-large or other.
type Error struct {
	Kind    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// PluginError says that only what went wrong for unknown reasons is worth another attempt.
func (e *Error) PluginError() (retryable bool, retryAfterMs *uint64) { return e.Kind == "other", nil }

// Read gives the whole file.
func Read(path string) ([]byte, error) {
	text, kind, message := read(path)
	if kind != "" {
		return nil, &Error{Kind: kind, Message: message}
	}
	return text, nil
}

// EntryKind is what an entry of a directory is.
type EntryKind uint8

const (
	File EntryKind = iota
	Directory
	Link
	Other
)

// Entry is one entry of a directory.
type Entry struct {
	Name string
	Kind EntryKind
}

// ReadDir gives what a directory holds, without . and .., by name.
func ReadDir(path string) ([]Entry, error) {
	entries, kind, message := readDir(path)
	if kind != "" {
		return nil, &Error{Kind: kind, Message: message}
	}
	return entries, nil
}
