// Package decoder is for plugins that read what comes in at a listener of the server.
package decoder

import (
	"bytes"
	"fmt"
	"strings"

	"stormglass"
)

// Chunk is a stretch of bytes.
type Chunk struct {
	Data []byte
	// DatagramEnds are the exclusive ends of the datagrams in Data; empty for a stream.
	DatagramEnds []uint32
	ContentType  string
	// Last says that nothing follows.
	Last bool
	// Consumed is how many bytes are done with; the rest comes again before what follows. All of them, unless it is set.
	Consumed int
	// Rejected counts messages that made no sense, and Reason says what was wrong with the first.
	Rejected uint64
	Reason   string
}

// Lines gives the lines, without their ends and empty ones. In a stream that goes on, what follows the last end of a line is
// left for the next chunk, and Consumed is set so; a datagram's end is the end of a line.
func (c *Chunk) Lines() []string {
	whole := len(c.Data)
	if !c.Last {
		whole = bytes.LastIndexByte(c.Data, '\n') + 1
	}
	c.Consumed = whole
	var lines []string
	start := 0
	for _, end := range append(c.DatagramEnds[:len(c.DatagramEnds):len(c.DatagramEnds)], uint32(whole)) {
		stop := min(int(end), whole)
		for line := range strings.SplitSeq(string(c.Data[start:stop]), "\n") {
			if line = strings.TrimSuffix(line, "\r"); line != "" {
				lines = append(lines, line)
			}
		}
		start = stop
	}
	return lines
}

// Reject counts a message that made no sense.
func (c *Chunk) Reject(format string, arguments ...any) {
	if c.Rejected == 0 {
		c.Reason = fmt.Sprintf(format, arguments...)
	}
	c.Rejected++
}

// Decoder is a plugin that decodes.
type Decoder interface {
	// Decode reads a chunk and adds to out. An error refuses the whole chunk.
	Decode(chunk *Chunk, out *stormglass.Batch) error
}

// Register says how the plugin is made; to be called in an init function.
func Register[C any, P Decoder](make func(config C) (P, error)) { stormglass.Register(make) }
