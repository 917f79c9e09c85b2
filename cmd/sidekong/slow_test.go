package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sidekong/configs/settings"
)

// quick are limits that a test can wait for.
var quick = limits{
	header: 300 * time.Millisecond, body: 300 * time.Millisecond, send: 300 * time.Millisecond, idle: 300 * time.Millisecond,
	headerBytes: 16 << 10, lineBytes: 8 << 10,
}

// serveQuick serves handler with quick limits and gives the address.
func serveQuick(t *testing.T, handler http.HandlerFunc) (address string, counts *connections) {
	t.Helper()
	l := settings.Listener{Address: "127.0.0.1:0"}
	counts = &connections{}
	listener, err := quick.open(context.Background(), l, counts, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := quick.server(handler, l, nil, slog.New(slog.DiscardHandler))
	go func() { _ = serve(s, listener, false) }()
	t.Cleanup(func() { s.Close() })
	return listener.Addr().String(), counts
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn.(*net.TCPConn)
}

func send(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// takes fails the test unless what began at begun ends now, after one limit and little more.
func takes(t *testing.T, begun time.Time) {
	t.Helper()
	if took := time.Since(begun); took < 250*time.Millisecond || took > 3*time.Second {
		t.Errorf("took %v, want 300ms and little more", took)
	}
}

func TestSlowHeads(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing": "", "half a line": "GET / HT", "half a head": "GET / HTTP/1.1\r\nHost: a", "half a preface": "PRI * HTTP/2.0\r\n",
		"nothing after an answer": "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, counts := serveQuick(t, func(http.ResponseWriter, *http.Request) {})
			conn, begun := dial(t, address), time.Now()
			send(t, conn, sent)
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("the connection is not closed: %v", err)
			}
			takes(t, begun)
			for counts.open.Load() != 0 {
				time.Sleep(time.Millisecond)
			}
		})
	}
}

func TestSlowBody(t *testing.T) {
	type seen struct {
		body string
		err  error
	}
	bodies := make(chan seen, 1)
	address, _ := serveQuick(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		bodies <- seen{string(body), err}
	})
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"

	conn, begun := dial(t, address), time.Now()
	send(t, conn, head+"abc")
	if got := <-bodies; !errors.Is(got.err, os.ErrDeadlineExceeded) {
		t.Errorf("a body that stops: got %v, want a time-out", got.err)
	}
	takes(t, begun)

	conn = dial(t, address)
	send(t, conn, head)
	for _, c := range "abcdef" {
		time.Sleep(100 * time.Millisecond)
		send(t, conn, string(c))
	}
	if got := <-bodies; got.err != nil || got.body != "abcdef" {
		t.Errorf("a body that is slow but steady: got %q, %v", got.body, got.err)
	}
}

// TestUnreadSlowBody has a handler that answers without the body, which net/http reads before the answer leaves.
func TestUnreadSlowBody(t *testing.T) {
	address, _ := serveQuick(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	conn, begun := dial(t, address), time.Now()
	send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusTeapot {
		t.Errorf("got %v, %v, want 418", res, err)
	}
	takes(t, begun)
}

// TestSlowHandler has a handler that works for longer than any limit, after the body and before its answer.
func TestSlowHandler(t *testing.T) {
	address, _ := serveQuick(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			w.WriteHeader(http.StatusGone)
		case <-time.After(time.Second):
			_, _ = io.WriteString(w, "done")
		}
	})
	for name, request := range map[string]string{
		"length":  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"chunked": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"no body": "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, address)
			send(t, conn, request)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("got %v, %v, want 200", res, err)
			}
		})
	}
}

func TestSlowReader(t *testing.T) {
	const size = 16 << 20
	sent := make(chan error, 1)
	address, _ := serveQuick(t, func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, size)) // in one piece, which leaves in time only bit by bit
		sent <- err
	})
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

	conn, begun := dial(t, address), time.Now()
	send(t, conn, request)
	if err := <-sent; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that reads nothing: got %v, want a time-out", err)
	}
	takes(t, begun)

	conn = dial(t, address)
	send(t, conn, request)
	buf := make([]byte, 1<<20)
	for total := 0; total < size; {
		n, err := io.ReadFull(conn, buf)
		if total += n; err != nil {
			t.Fatalf("a client that is slow but steady: %v after %d", err, total)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := <-sent; err != nil {
		t.Errorf("a client that is slow but steady: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// http2Client speaks HTTP/2 in the clear.
type http2Client struct {
	t      *testing.T
	conn   net.Conn
	framer *http2.Framer
}

func dialHTTP2(t *testing.T, address string, settings ...http2.Setting) *http2Client {
	t.Helper()
	conn := dial(t, address)
	send(t, conn, http2.ClientPreface)
	c := &http2Client{t, conn, http2.NewFramer(conn, conn)}
	c.must(c.framer.WriteSettings(settings...))
	return c
}

func (c *http2Client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *http2Client) request(method, path string, end bool) {
	c.t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: path},
	} {
		c.must(encoder.WriteField(f))
	}
	c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true}))
}

// outcome reads until stream 1 ends: "status 200", "reset INTERNAL_ERROR" or what went wrong.
func (c *http2Client) outcome() string {
	status := ""
	decoder := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			status = "status " + f.Value
		}
	})
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return err.Error()
		}
		ended := false
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			if _, err := decoder.Write(f.HeaderBlockFragment()); err != nil {
				return err.Error()
			}
			ended = f.StreamEnded()
		case *http2.DataFrame:
			ended = f.StreamEnded()
		case *http2.RSTStreamFrame:
			return "reset " + f.ErrCode.String()
		}
		if ended {
			return status
		}
	}
}

func TestSlowStreams(t *testing.T) {
	address, _ := serveQuick(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/read":
			if _, err := io.Copy(io.Discard, r.Body); errors.Is(err, os.ErrDeadlineExceeded) {
				w.WriteHeader(http.StatusRequestTimeout)
			}
		case "/wait":
			time.Sleep(time.Second)
		case "/short":
			_, _ = io.WriteString(w, "abc")
		case "/long":
			if _, err := io.CopyN(w, zeros{}, 1<<20); err == nil {
				t.Error("a client without a window got everything")
			}
		case "/parts":
			for range 3 {
				fmt.Fprint(w, "part")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(500 * time.Millisecond)
			}
		}
	})
	closed := http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}
	tests := []struct {
		name, path string
		settings   []http2.Setting
		body       bool // that never ends
		late       bool // after a limit
		want       string
	}{
		{"body stops", "/read", nil, true, true, "status 408"},
		{"body is not waited for", "/wait", nil, true, true, "status 200"},
		{"no window for a short answer", "/short", []http2.Setting{closed}, false, true, "reset INTERNAL_ERROR"},
		{"no window for a long answer", "/long", []http2.Setting{closed}, false, true, "reset INTERNAL_ERROR"},
		{"answer with pauses", "/parts", nil, false, true, "status 200"},
		{"short answer", "/short", nil, false, false, "status 200"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, begun := dialHTTP2(t, address, tt.settings...), time.Now()
			method := "GET"
			if tt.body {
				method = "POST"
			}
			c.request(method, tt.path, !tt.body)
			if got := c.outcome(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.late {
				takes(t, begun)
			}
		})
	}
}

// TestBodyReadAfterHandler has a goroutine wait for a body when its handler has returned, as a transport may, while the
// stream is kept open by a client that grants no window.
func TestBodyReadAfterHandler(t *testing.T) {
	read := make(chan error, 1)
	address, _ := serveQuick(t, func(w http.ResponseWriter, r *http.Request) {
		begun := make(chan struct{})
		go func() {
			close(begun)
			_, err := io.ReadAll(r.Body)
			read <- err
		}()
		<-begun
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(w, "abc")
	})
	c := dialHTTP2(t, address, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	c.request("POST", "/", false)
	if got := c.outcome(); got != "reset INTERNAL_ERROR" {
		t.Errorf("got %q, want a reset", got)
	}
	if err := <-read; err == nil {
		t.Error("a body without an end was read")
	}
}

func TestLongHeads(t *testing.T) {
	address, _ := serveQuick(t, func(http.ResponseWriter, *http.Request) {})
	tests := []struct {
		name, target, header string
		want                 int
	}{
		{"usual", "/", "", 200},
		{"line up to the limit", "/" + strings.Repeat("a", quick.lineBytes-len("GET / HTTP/1.1\r\n")), "", 200},
		{"line beyond the limit", "/" + strings.Repeat("a", quick.lineBytes-len("GET / HTTP/1.1\r\n")+1), "", 414},
		{"head below the limit", "/", strings.Repeat("a", quick.headerBytes-100), 200},
		{"head beyond the limit", "/", strings.Repeat("a", quick.headerBytes+4096), 431},
		{"line beyond all limits", "/" + strings.Repeat("a", quick.headerBytes+8192), "", 431},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, address)
			go func() { // the server may answer before it has read all
				_, _ = io.WriteString(conn, "GET "+tt.target+" HTTP/1.1\r\nHost: a\r\nX: "+tt.header+"\r\n\r\n")
			}()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.want {
				t.Errorf("got %d, want %d", res.StatusCode, tt.want)
			}
		})
	}
	c := dialHTTP2(t, address)
	c.request("GET", "/"+strings.Repeat("a", quick.lineBytes), true)
	if got := c.outcome(); got != "status 414" {
		t.Errorf("HTTP/2: got %q, want status 414", got)
	}
}

// TestDoubtfulFraming has the requests of which net/http keeps one of two framings end their connection, also where
// the answer's headers are cleared in between, as httputil.ReverseProxy does after an informational answer.
func TestDoubtfulFraming(t *testing.T) {
	address, _ := serveQuick(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		clear(w.Header())
		if r.URL.Path == "/flush" {
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.WriteString(w, "ok")
	})
	for request, want := range map[string]bool{
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n": true,
		"POST /flush HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                 true,
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":                                               true,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na":                                       false,
	} {
		conn := dial(t, address)
		send(t, conn, request)
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		for err == nil && res.StatusCode == http.StatusEarlyHints {
			res, err = http.ReadResponse(r, nil)
		}
		if err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		if res.Close != want {
			t.Errorf("%q: closing is %v, want %v", request, res.Close, want)
		}
	}
}

func BenchmarkGuard(b *testing.B) {
	handler := quick.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(nil)
	}))
	for name, change := range map[string]func(*http.Request){
		"HTTP1":      func(*http.Request) {},
		"HTTP1/body": func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("body")) },
		"HTTP2":      func(r *http.Request) { r.ProtoMajor = 2 },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := http.Request{Method: "GET", RequestURI: "/", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}
				change(&r)
				handler.ServeHTTP(deaf{}, &r)
			}
		})
	}
}

// deaf is a ResponseWriter that does nothing.
type deaf struct{}

func (deaf) Header() http.Header              { return nil }
func (deaf) Write(p []byte) (int, error)      { return len(p), nil }
func (deaf) WriteHeader(int)                  {}
func (deaf) SetReadDeadline(time.Time) error  { return nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }
