package stormglass

import (
	"encoding/base64"
	"encoding/json"
)

// Manifest is what plugin.yaml says of the plugin.
type Manifest struct {
	Name         string
	Version      string
	Description  string
	ConfigSchema string
	Wishes       []Wish
}

// Wish is something that the plugin would like to be granted, and why.
type Wish struct {
	Capability string
	Target     string
	Reason     string
}

// manifestText is the manifest as JSON in Base64. The build sets it, through the linker.
var manifestText string

// ManifestOf reads it. For package component.
func ManifestOf() (read Manifest, err error) {
	text, err := base64.StdEncoding.DecodeString(manifestText)
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	return read, err
}
