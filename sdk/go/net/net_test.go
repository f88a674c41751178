package net

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"testing"

	"stormglass/dns"
	"stormglass/stormglasstest"
)

func TestAPluginTalksToTheServersOfItsTest(t *testing.T) {
	host := stormglasstest.Host{
		Net: func(place string) [][2]string { return [][2]string{{"PING\r\n", "+PONG " + place + "\r\n"}} },
		DNS: func(name string, of uint8) []stormglasstest.Record {
			return []stormglasstest.Record{{Name: name + ".", Exchange: &stormglasstest.Exchange{Preference: uint16(of)}}}
		},
	}
	restore := host.Use()
	connection, err := Connect("cache.example", 6379)
	if err != nil {
		t.Fatal(err)
	}
	var failed *Error
	if _, err := connection.Read(make([]byte, 1)); !errors.As(err, &failed) || failed.Kind != "other" {
		t.Errorf("read before anything was sent: %v", err)
	}
	fmt.Fprint(connection, "PING\r\n")
	reader := bufio.NewReader(connection)
	if line, err := reader.ReadString('\n'); err != nil || line != "+PONG cache.example:6379\r\n" {
		t.Errorf("%q, %v", line, err)
	}
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("%v", err)
	}
	if _, err := connection.Write([]byte("more")); err == nil {
		t.Error("something that nobody expects was sent")
	}
	records, err := dns.Lookup("a.example", dns.MX)
	if err != nil || len(records) != 1 || records[0].Exchange.Preference != uint16(dns.MX) {
		t.Errorf("%+v, %v", records, err)
	}
	restore()
	if _, err := Connect("cache.example", 6379); !errors.As(err, &failed) || failed.Kind != "denied" {
		t.Errorf("%v", err)
	}
	var refused *dns.Error
	if _, err := dns.Lookup("a.example", dns.A); !errors.As(err, &refused) || refused.Kind != "denied" {
		t.Errorf("%v", err)
	}
}
