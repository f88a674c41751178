package decoder

import (
	"slices"
	"testing"
)

func TestLinesOfStreamsAndDatagrams(t *testing.T) {
	stream := Chunk{Data: []byte("a\r\n\nb\nc")}
	if lines := stream.Lines(); !slices.Equal(lines, []string{"a", "b"}) || stream.Consumed != 6 {
		t.Errorf("%q, %d", lines, stream.Consumed)
	}
	datagrams := Chunk{Data: []byte("abc\nd"), DatagramEnds: []uint32{1, 3, 5}, Last: true}
	if lines := datagrams.Lines(); !slices.Equal(lines, []string{"a", "bc", "d"}) || datagrams.Consumed != 5 {
		t.Errorf("%q, %d", lines, datagrams.Consumed)
	}
}
