//go:build !wasip1

package net

import (
	"bytes"
	"strconv"

	"stormglass/stormglasstest"
)

// connection is one whose other side keeps to pairs of what it is sent and what it answers.
type connection struct {
	talk  [][2][]byte
	place string
}

func connect(host string, port uint16, _ Options) (*connection, *Error) {
	place := host + ":" + strconv.Itoa(int(port))
	talk, ok := stormglasstest.Talk(place)
	if !ok {
		return nil, &Error{Kind: "denied", Message: "net: it is not granted"}
	}
	made := &connection{place: place}
	for _, turn := range talk {
		made.talk = append(made.talk, [2][]byte{[]byte(turn[0]), []byte(turn[1])})
	}
	return made, nil
}

func (c *connection) turn() *[2][]byte {
	for i := range c.talk {
		if len(c.talk[i][0])+len(c.talk[i][1]) > 0 {
			return &c.talk[i]
		}
	}
	return &[2][]byte{}
}

func (c *connection) read(most uint32, _ uint64) ([]byte, *Error) {
	turn := c.turn()
	if len(turn[0]) > 0 {
		return nil, &Error{Kind: "other", Message: "the test waits for " + strconv.Quote(string(turn[0]))}
	}
	given := turn[1][:min(int(most), len(turn[1]))]
	turn[1] = turn[1][len(given):]
	return given, nil
}

func (c *connection) write(sent []byte, _ uint64) *Error {
	for len(sent) > 0 {
		turn := c.turn()
		length := min(len(sent), len(turn[0]))
		if length == 0 || !bytes.Equal(sent[:length], turn[0][:length]) {
			return &Error{Kind: "other", Message: "the test does not expect " + strconv.Quote(string(sent))}
		}
		turn[0], sent = turn[0][length:], sent[length:]
	}
	return nil
}

func (c *connection) startTLS(TLS, uint64) *Error { return nil }
func (c *connection) session() *Session           { return nil }
func (c *connection) peer() string                { return c.place }
func (c *connection) drop()                       {}
