package http

import (
	"errors"
	"testing"

	"stormglass/clock"
	"stormglass/files"
	"stormglass/log"
	"stormglass/stormglasstest"
)

func TestAPluginSeesTheHostOfItsTest(t *testing.T) {
	host := stormglasstest.Host{
		Now:   7,
		Files: map[string]string{"/etc/storm/glass": "x", "/etc/hosts": "y"},
		HTTP:  func(request stormglasstest.Request) (uint16, string) { return 200, `{"n": 3}` },
	}
	restore := host.Use()
	response, err := Get("http://api/")
	if err != nil {
		t.Fatal(err)
	}
	var body struct{ N int }
	if err := response.JSON(&body); err != nil || body.N != 3 {
		t.Errorf("%+v, %v", body, err)
	}
	log.Info("got %d", body.N)
	if clock.NowMs() != 7 || len(host.Lines) != 1 || host.Lines[0] != "got 3" {
		t.Errorf("%d, %q", clock.NowMs(), host.Lines)
	}
	entries, err := files.ReadDir("/etc")
	if err != nil || len(entries) != 2 || entries[0].Name != "hosts" || entries[1].Kind != files.Directory {
		t.Errorf("%+v, %v", entries, err)
	}
	restore()
	var refused *Error
	if _, err := Get("http://api/"); !errors.As(err, &refused) || refused.Kind != "denied" {
		t.Errorf("%v", err)
	}
}
