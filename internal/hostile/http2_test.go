package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sync/errgroup"
)

const (
	canaryBound = 100 * time.Millisecond
	memoryBound = 32 << 20
	abuseTime   = 500 * time.Millisecond
	maxRounds   = 5
)

// abuses are ways to make an HTTP/2 server work or remember for nothing. Each goes on until ctx ends or the server
// closes the connection, and is begun again then.
var abuses = []struct {
	name  string
	conns int // at once
	abuse func(ctx context.Context, c *attacker) error
}{
	{"rapid reset", 1, rapidReset},
	{"continuation flood", 1, continuationFlood},
	{"ping flood", 1, pingFlood},
	{"settings flood", 1, settingsFlood},
	{"empty data flood", 1, emptyDataFlood},
	{"hpack bomb", 1, hpackBomb},
	{"zero window", 2, zeroWindow},
	{"slow headers", 100, slowHeaders},
}

// TestHTTP2Abuse has honest requests pass at their usual speed, and little memory be held, while others abuse.
func TestHTTP2Abuse(t *testing.T) {
	large := strings.Repeat("x", 256<<10)
	upstream := answering(t, func(target string) string {
		if target == "/large" {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(large), large)
		}
		return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	})
	for _, listener := range []struct{ name, flags string }{{"h2", " ssl http2"}, {"h2c", ""}} {
		t.Run(listener.name, func(t *testing.T) {
			for _, a := range abuses {
				t.Run(a.name, func(t *testing.T) {
					p := start(t, "127.0.0.1:0, 127.0.0.1:0"+listener.flags, service(upstream), "")
					canary := connect(t, p.addresses[0])
					for range 500 {
						canary.get("/")
					}
					before := p.memory(t)
					// The attackers take the same processors as the program: a stall may be the machine's. One of the
					// program's own is there in every round.
					var worst time.Duration
					for range maxRounds {
						ctx, cancel := context.WithTimeout(t.Context(), abuseTime)
						var group errgroup.Group
						for range a.conns {
							group.Go(func() error { attack(ctx, p.addresses[1], listener.name == "h2", a.abuse); return nil })
						}
						worst = 0
						for ctx.Err() == nil {
							begun := time.Now()
							if got := canary.get("/"); got != "200 ok" {
								t.Errorf("the canary got %q", got)
								break
							}
							worst = max(worst, time.Since(begun))
							if grown := p.memory(t) - before; grown > memoryBound {
								t.Errorf("memory has grown by %d KiB", grown>>10)
								break
							}
							time.Sleep(5 * time.Millisecond)
						}
						cancel()
						_ = group.Wait()
						if worst < canaryBound || t.Failed() {
							break
						}
					}
					if worst >= canaryBound {
						t.Errorf("a canary took %v in each of %d rounds", worst, maxRounds)
					}
					t.Logf("canary %v at most, memory %+d KiB", worst, (p.memory(t)-before)>>10)
				})
			}
		})
	}
}

// attacker is a client's side of an HTTP/2 connection.
type attacker struct {
	conn   net.Conn
	framer *http2.Framer
	out    bytes.Buffer // what the framer wrote and flush has not sent yet
	block  bytes.Buffer
	hpack  *hpack.Encoder
}

// attack abuses one connection after the other.
func attack(ctx context.Context, address string, encrypted bool, abuse func(context.Context, *attacker) error) {
	for ctx.Err() == nil {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return
		}
		if encrypted {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		}
		deadline, _ := ctx.Deadline()
		_ = conn.SetDeadline(deadline)
		c := &attacker{conn: conn}
		c.framer = http2.NewFramer(&c.out, nil)
		c.framer.AllowIllegalWrites = true
		c.hpack = hpack.NewEncoder(&c.block)
		c.out.WriteString(http2.ClientPreface)
		_ = c.framer.WriteSettings()
		_ = abuse(ctx, c) // it ends because the server or the time does
		conn.Close()
	}
}

// flush sends what has been written.
func (c *attacker) flush() error {
	_, err := c.out.WriteTo(c.conn)
	return err
}

// drain reads away what the server says.
func (c *attacker) drain() { go func() { _, _ = io.Copy(io.Discard, c.conn) }() }

// fields encodes a request's head.
func (c *attacker) fields(method, path string, more ...hpack.HeaderField) []byte {
	c.block.Reset()
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a.test"}, {Name: ":path", Value: path},
	}, more...) {
		_ = c.hpack.WriteField(f)
	}
	return bytes.Clone(c.block.Bytes())
}

func (c *attacker) headers(stream uint32, block []byte, endStream, endHeaders bool) {
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndStream: endStream, EndHeaders: endHeaders})
}

func rapidReset(ctx context.Context, c *attacker) error {
	c.drain()
	for stream := uint32(1); ctx.Err() == nil; {
		for range 100 {
			c.headers(stream, c.fields("GET", "/"), true, true)
			_ = c.framer.WriteRSTStream(stream, http2.ErrCodeCancel)
			stream += 2
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}

func continuationFlood(ctx context.Context, c *attacker) error {
	c.drain()
	c.headers(1, c.fields("GET", "/"), true, false)
	for n := 0; ctx.Err() == nil; n++ {
		c.block.Reset()
		_ = c.hpack.WriteField(hpack.HeaderField{Name: fmt.Sprintf("x-%d", n), Value: strings.Repeat("v", 8<<10), Sensitive: true})
		_ = c.framer.WriteContinuation(1, false, c.block.Bytes())
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}

// pingFlood does not read what it is answered.
func pingFlood(ctx context.Context, c *attacker) error {
	for ctx.Err() == nil {
		for range 1000 {
			_ = c.framer.WritePing(false, [8]byte{1})
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}

// settingsFlood does not read what it is answered.
func settingsFlood(ctx context.Context, c *attacker) error {
	for ctx.Err() == nil {
		for range 1000 {
			_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}

func emptyDataFlood(ctx context.Context, c *attacker) error {
	c.drain()
	c.headers(1, c.fields("POST", "/"), false, true)
	for ctx.Err() == nil {
		for range 1000 {
			_ = c.framer.WriteData(1, false, nil)
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}

// hpackBomb puts a long field into the server's table and then names it in one byte, again and again.
func hpackBomb(ctx context.Context, c *attacker) error {
	c.drain()
	bomb := hpack.HeaderField{Name: "x-bomb", Value: strings.Repeat("v", 3900)}
	for stream := uint32(1); ctx.Err() == nil; stream += 2 {
		block := c.fields("GET", "/", bomb)
		block = append(block, bytes.Repeat([]byte{0x80 | 62}, 12<<10)...) // the newest entry of the table
		c.headers(stream, block, true, true)
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}

// zeroWindow asks for much and takes nothing.
func zeroWindow(ctx context.Context, c *attacker) error {
	c.drain()
	_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	for n := range uint32(100) {
		c.headers(2*n+1, c.fields("GET", "/large"), true, true)
	}
	if err := c.flush(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// slowHeaders sends a head one byte at a time, each in a frame of its own.
func slowHeaders(ctx context.Context, c *attacker) error {
	c.drain()
	c.headers(1, nil, true, false)
	for _, b := range c.fields("GET", "/", hpack.HeaderField{Name: "x-slow", Value: strings.Repeat("v", 4<<10)}) {
		_ = c.framer.WriteContinuation(1, false, []byte{b})
		if err := c.flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
