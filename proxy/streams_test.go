package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sidekong/internal/upstream"
)

// TestWebSocketBothWays: 10 MiB each way at once, over plain and encrypted connections, and a close that both agree on.
func TestWebSocketBothWays(t *testing.T) {
	const pieces, size = 160, 64 << 10
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(2 * size)
		for {
			kind, message, err := conn.Read(r.Context())
			if err != nil {
				return // the close frame has been answered
			}
			if conn.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	})
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			server := httptest.NewUnstartedServer(backend)
			s := setup{}
			route := "ws"
			if scheme == "https" {
				server.StartTLS()
				s.server, route = func(s *httptest.Server) { s.TLS = &tls.Config{} }, "wss"
			} else {
				server.Start()
			}
			defer server.Close()
			_, address, _ := strings.Cut(server.URL, "://")
			s.config = service(scheme + "://" + address)
			e := start(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			conn, _, err := websocket.Dial(ctx, route+"://"+e.server.Listener.Addr().String()+"/x", &websocket.DialOptions{HTTPClient: client})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.CloseNow()
			conn.SetReadLimit(2 * size)
			go func() {
				for i := range pieces {
					if conn.Write(ctx, websocket.MessageBinary, noise(uint64(i), size)) != nil {
						return
					}
				}
			}()
			for i := range pieces {
				_, got, err := conn.Read(ctx)
				if err != nil || !bytes.Equal(got, noise(uint64(i), size)) {
					t.Fatalf("message %d of %d bytes, %v", i, len(got), err)
				}
			}
			if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("close: %v", err)
			}
			all := e.spans()
			for _, name := range []string{"kong", "kong.balancer"} {
				if span := all.named(t, name); failed(span) || span.Attribute("http.status_code") != int64(101) {
					t.Errorf("%s: status %v, %v", name, span.Status, span.Attributes)
				}
			}
		})
	}
}

// TestUpgradeHalfClosed: who has said all it has to say still hears the other.
func TestUpgradeHalfClosed(t *testing.T) {
	up := upstream.Start(t, func(conn net.Conn, _ *upstream.Request) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		heard, _ := io.ReadAll(conn) // until the client closes its half
		_, _ = fmt.Fprintf(conn, "%x", sha256.Sum256(heard))
		return false
	})
	e := start(t, setup{config: service(up.URL())})
	conn := e.dial()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	head := make([]byte, 12)
	if _, err := io.ReadFull(conn, head); err != nil || string(head) != "HTTP/1.1 101" {
		t.Fatalf("got %q, %v", head, err)
	}
	said := noise(7, 1<<20)
	if _, err := conn.Write(said); err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	rest, err := io.ReadAll(conn)
	if want := fmt.Sprintf("%x", sha256.Sum256(said)); err != nil || !strings.HasSuffix(string(rest), want) {
		t.Errorf("heard %q, %v, want %s at the end", rest, err, want)
	}
	if root := e.spans().named(t, "kong"); failed(root) {
		t.Errorf("root %v", root.Status)
	}
}

// endless gives n bytes that cost nothing to make.
func endless(n int64) io.Reader { return io.LimitReader(zeros{}, n) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestHugeBodies: 1 GiB up and 1 GiB down at once take a constant amount of memory.
func TestHugeBodies(t *testing.T) {
	const size = 1 << 30
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		got := make(chan int64, 1)
		go func() {
			n, _ := io.Copy(io.Discard, r.Body)
			got <- n
		}()
		_, _ = io.Copy(w, endless(size))
		if n := <-got; n != size {
			panic(http.ErrAbortHandler)
		}
	}))
	defer backend.Close()
	e := start(t, setup{config: service(backend.URL)})
	var before, now, most runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&now)
				most.HeapAlloc = max(most.HeapAlloc, now.HeapAlloc)
			}
		}
	}()
	res, err := transport.RoundTrip(e.request("POST", "/", endless(size)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	close(stop)
	<-watched
	if err != nil || n != size {
		t.Errorf("got %d bytes, %v", n, err)
	}
	if grown := int64(most.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if root := e.spans().named(t, "kong"); failed(root) {
		t.Errorf("root %v", root.Status)
	}
}

// TestNothingLeftIsARequest: what is left of a body whose answer came early is never read as the next request.
func TestNothingLeftIsARequest(t *testing.T) {
	up := upstream.Start(t, nil, upstream.Early(func(conn net.Conn, _ *upstream.Request) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
		return false
	}))
	e := start(t, setup{config: service(up.URL())})
	for _, begun := range []string{"Content-Length: 1000000\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"} {
		conn := e.dial()
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a.test\r\n"+begun)
		time.Sleep(100 * time.Millisecond) // the answer is complete
		_, _ = io.WriteString(conn, "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")
		got, _ := io.ReadAll(conn)
		if n := strings.Count(string(got), "HTTP/1.1 "); n != 1 || !strings.Contains(string(got), "Connection: close") {
			t.Errorf("%d answers: %q", n, got)
		}
	}
	for _, r := range up.Requests() {
		if r.Target == "/smuggled" {
			t.Error("a piece of a body became a request")
		}
	}
	e.idle()
}

// TestConnectionStays: a client whose request was read to its end keeps its connection.
func TestConnectionStays(t *testing.T) {
	up := upstream.Start(t, upstream.Answer("ok"))
	e := start(t, setup{config: service(up.URL(), "  retries: 0\n")})
	client := &http.Transport{}
	defer client.CloseIdleConnections()
	for _, body := range []io.Reader{
		strings.NewReader("short"), strings.NewReader(strings.Repeat("x", 20_000)), strings.NewReader(strings.Repeat("x", 200_000)),
		chunked([]byte("short")), chunked(noise(1, 200_000)),
	} {
		res, err := client.RoundTrip(e.request("POST", "/", body))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.Close || res.StatusCode != 200 {
			t.Errorf("declared %d: status %d, connection closed: %t", res.Request.ContentLength, res.StatusCode, res.Close)
		}
	}
}
