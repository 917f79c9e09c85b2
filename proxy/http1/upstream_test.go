package http1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// upstream is a TCP server whose every byte is the test's. serve gets each connection
// with its number, from 0, and the connection is closed when it returns.
type upstream struct {
	url   string
	conns atomic.Int64
}

func newUpstream(t testing.TB, serve func(n int, c net.Conn, br *bufio.Reader)) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{url: "http://" + l.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(u.conns.Add(1)) - 1
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				serve(n, c, bufio.NewReader(c))
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return u
}

// answering reads requests entirely and gives the same bytes as answer to each.
func answering(t testing.TB, answer string) *upstream {
	return newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for readRequest(br) != nil {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	})
}

// readRequest reads a request with its body, or returns nil.
func readRequest(br *bufio.Reader) *http.Request {
	req, err := http.ReadRequest(br)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil
	}
	req.Body = io.NopCloser(strings.NewReader(string(body)))
	return req
}

// reset makes the close of c a reset.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// newTransport returns one that is closed with the test.
func newTransport(t testing.TB) *Transport {
	tr := &Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func newRequest(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// get sends a GET and returns status and body.
func get(t testing.TB, tr *Transport, url string, trip *Trip) (int, string) {
	t.Helper()
	return do(t, tr, newRequest(t, "GET", url, nil), trip)
}

func do(t testing.TB, tr *Transport, req *http.Request, trip *Trip) (int, string) {
	t.Helper()
	res, err := tr.Do(req, trip)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	return res.StatusCode, string(body)
}

// checkLeaks fails the test if it leaves goroutines or descriptors behind.
func checkLeaks(t testing.TB) {
	t.Helper()
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close() // the first socket leaves the runtime's poller open
	}
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	t.Cleanup(func() {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			runtime.GC() // closes the pipes that io.Copy between sockets keeps for later
			g, f := runtime.NumGoroutine(), descriptors(t)
			if g <= goroutines && f <= files {
				return
			}
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<20)
				t.Errorf("goroutines %d, were %d; descriptors %d, were %d\n%s", g, goroutines, f, files, buf[:runtime.Stack(buf, true)])
				return
			}
		}
	})
}

// descriptors counts the open files where the system tells, and else returns 0.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
