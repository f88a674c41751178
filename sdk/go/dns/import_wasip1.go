package dns

import "stormglass/internal/abi"

type failure struct {
	abi.Variant
	Denied     *string
	Invalid    *string
	NoSuchName *abi.None
	Timeout    *abi.None
	Other      *string
}

type data struct {
	abi.Variant
	Address *string
	Name    *string
	MX      *Exchange
	SRV     *Service
	TXT     *string
}

type entry struct {
	Name       string
	TTLSeconds uint32
	Data       data
}

type answer = abi.Answer[[]entry, failure]

//go:wasmimport stormglass:host/dns@0.1.2 lookup
func hostLookup(name, nameLength, of, hasServer, server, serverLength, hasTimeout uint32, timeoutMs uint64, answer uint32)

func lookup(name string, of Type, server string, timeoutMs uint64) ([]Record, string, string) {
	address, length := abi.StringOf(name)
	serverAddress, serverLength := abi.StringOf(server)
	got := abi.Ask[answer](func(area uint32) {
		hostLookup(address, length, uint32(of), abi.Flag(server != ""), serverAddress, serverLength, abi.Flag(timeoutMs > 0), timeoutMs, area)
	})
	if got.Ok == nil {
		switch e := got.Err; {
		case e.Denied != nil:
			return nil, "denied", *e.Denied
		case e.Invalid != nil:
			return nil, "invalid", *e.Invalid
		case e.NoSuchName != nil:
			return nil, "no-such-name", "no-such-name"
		case e.Timeout != nil:
			return nil, "timeout", "timeout"
		default:
			return nil, "other", *e.Other
		}
	}
	var records []Record
	for _, e := range *got.Ok {
		record := Record{Name: e.Name, TTLSeconds: e.TTLSeconds, Exchange: e.Data.MX, Service: e.Data.SRV}
		for _, text := range []*string{e.Data.Address, e.Data.Name, e.Data.TXT} {
			if text != nil {
				record.Text = *text
			}
		}
		records = append(records, record)
	}
	return records, "", ""
}
