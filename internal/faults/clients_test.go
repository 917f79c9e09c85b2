package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidekong/internal/collector"
)

// aborts is how many clients go away at each point; atATime of them at once.
const (
	aborts  = 1000
	atATime = 50
)

// A leaver is a client that goes away: it gets a fresh connection and leaves when it returns.
type leaver struct {
	name   string
	status int64 // of the request's span; 0: there is no request, so no span
	leave  func(t testing.TB, conn net.Conn, b *patient)
}

func leavers() []leaver {
	return []leaver{
		{"within the head", 0, func(t testing.TB, conn net.Conn, _ *patient) {
			send(t, conn, "GET /answered HTTP/1.1\r\nHost: a.test\r\nX-Long: ")
		}},
		{"within the body", 499, func(t testing.TB, conn net.Conn, b *patient) {
			entered := b.entered.Load()
			send(t, conn, "POST /body HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 30000))
			b.wait(t, &b.entered, entered)
		}},
		{"before the answer", 499, func(t testing.TB, conn net.Conn, b *patient) {
			entered := b.entered.Load()
			send(t, conn, "GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n")
			b.wait(t, &b.entered, entered)
		}},
		{"within the answer", 200, func(t testing.TB, conn net.Conn, _ *patient) {
			send(t, conn, "GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n")
			receive(t, conn, 20000)
		}},
		{"within the answer, with a reset", 200, func(t testing.TB, conn net.Conn, _ *patient) {
			send(t, conn, "GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n")
			receive(t, conn, 20000)
			if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Error(err)
			}
		}},
	}
}

func send(t testing.TB, conn net.Conn, text string) {
	if _, err := io.WriteString(conn, text); err != nil {
		t.Error(err)
	}
}

func receive(t testing.TB, conn net.Conn, n int64) {
	if _, err := io.CopyN(io.Discard, conn, n); err != nil {
		t.Error(err)
	}
}

// patient is an upstream that waits for whom it serves.
type patient struct {
	url     string
	entered atomic.Int64 // requests whose handler has begun
}

func startPatient(t testing.TB) *patient {
	p := &patient{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.entered.Add(1)
		switch r.URL.Path {
		case "/never":
			<-r.Context().Done()
		case "/body":
			_, _ = io.Copy(io.Discard, r.Body) // it breaks off
		case "/endless":
			piece := make([]byte, 16<<10)
			for r.Context().Err() == nil {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		case "/broken":
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 20000))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	p.url = server.URL
	return p
}

// wait waits until n has grown, so that the one who waits has most probably been served.
func (p *patient) wait(t testing.TB, n *atomic.Int64, before int64) {
	for end := time.Now().Add(10 * time.Second); n.Load() <= before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Error("the upstream got no request")
			return
		}
	}
}

// dial connects to the proxy.
func (p *program) dial() (net.Conn, error) { return net.DialTimeout("tcp", p.proxy, 10*time.Second) }

// TestClientsLeave: whenever clients go away, each of their requests has its spans with the right status, and the
// program keeps neither goroutine nor descriptor of them.
func TestClientsLeave(t *testing.T) {
	upstream := startPatient(t)
	receiver := collector.Start(t)
	p := newProgram(t, kongYAML(upstream.url, receiver.URL(), inMemory))
	p.start()
	p.warm(t)
	before := p.resources()

	for _, leaver := range leavers() {
		earlier := len(receiver.Spans())
		var clients sync.WaitGroup
		slots := make(chan struct{}, atATime)
		for range aborts {
			slots <- struct{}{}
			clients.Go(func() {
				defer func() { <-slots }()
				conn, err := p.dial()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				leaver.leave(t, conn, upstream)
			})
		}
		clients.Wait()
		want := aborts
		if leaver.status == 0 {
			want = 0
		}
		statuses := map[int64]int{}
		p.eventually(leaver.name+": all spans", 20*time.Second, func() bool {
			statuses = roots(receiver.Spans()[earlier:])
			n := 0
			for _, count := range statuses {
				n += count
			}
			return n >= want && p.account().Queued == 0
		})
		if n := statuses[leaver.status]; want > 0 && (n != want || len(statuses) != 1) || want == 0 && len(statuses) > 0 {
			t.Errorf("%s: statuses %v, want %d of %d", leaver.name, statuses, want, leaver.status)
		}
		if a := p.account(); !a.exact() {
			t.Errorf("%s: not exact: %+v", leaver.name, a)
		}
		p.returned(t, leaver.name, before)
	}
	p.stop()
}

// TestUpstreamBreaks: an upstream that breaks off within its answer is reported, and nothing of it stays.
func TestUpstreamBreaks(t *testing.T) {
	upstream := startPatient(t)
	receiver := collector.Start(t)
	p := newProgram(t, kongYAML(upstream.url, receiver.URL(), inMemory))
	p.start()
	p.warm(t)
	before := p.resources()
	earlier := len(receiver.Spans())
	var clients sync.WaitGroup
	slots := make(chan struct{}, atATime)
	for range aborts {
		slots <- struct{}{}
		clients.Go(func() {
			defer func() { <-slots }()
			res, err := http.Get("http://" + p.proxy + "/broken")
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if n, err := io.Copy(io.Discard, res.Body); err == nil {
				t.Errorf("got a whole body of %d bytes", n)
			}
		})
	}
	clients.Wait()
	broken := 0
	p.eventually("all spans", 20*time.Second, func() bool {
		broken = 0
		for _, span := range receiver.Spans()[earlier:] {
			if span.Name == "kong.balancer" && len(span.Events) > 0 {
				broken++
			}
		}
		return broken >= aborts
	})
	if statuses := roots(receiver.Spans()[earlier:]); statuses[200] != aborts || broken != aborts {
		t.Errorf("statuses %v, %d tries with an exception, want %d of 200", statuses, broken, aborts)
	}
	p.returned(t, "after it", before)
	p.stop()
}

// TestSlowClients: clients that send or read too slowly are cut off, in the head, the body and the answer; those whose
// request had begun have their spans.
func TestSlowClients(t *testing.T) {
	const slow = 100
	upstream := startPatient(t)
	receiver := collector.Start(t)
	p := newProgram(t, kongYAML(upstream.url, receiver.URL(), inMemory), "KONG_NGINX_HTTP_CLIENT_HEADER_TIMEOUT=1s",
		"KONG_NGINX_HTTP_CLIENT_BODY_TIMEOUT=1s", "KONG_NGINX_HTTP_SEND_TIMEOUT=1s")
	p.start()
	p.warm(t)
	before := p.resources()
	tests := []struct {
		name, request string
		status        int64
		reads         bool
	}{
		{"head", "GET /answered HTTP/1.1\r\nHost: a.test\r\n", 0, true},
		{"body", "POST /body HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nabc", 408, true},
		{"answer", "GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n", 200, false},
	}
	for _, tt := range tests {
		earlier := len(receiver.Spans())
		var clients sync.WaitGroup
		for range slow {
			clients.Go(func() {
				conn, err := p.dial()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				send(t, conn, tt.request)
				if !tt.reads {
					time.Sleep(4 * time.Second)
					return
				}
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				if _, err := io.Copy(io.Discard, conn); err != nil && os.IsTimeout(err) {
					t.Errorf("%s: not cut off", tt.name)
				}
			})
		}
		clients.Wait()
		want := map[int64]int{tt.status: slow}
		if tt.status == 0 {
			want = map[int64]int{}
		}
		p.eventually(tt.name+": spans", 20*time.Second, func() bool {
			return fmt.Sprint(roots(receiver.Spans()[earlier:])) == fmt.Sprint(want) && p.account().Queued == 0
		})
		p.returned(t, tt.name, before)
	}
	p.stop()
}

// roots counts root spans by their status.
func roots(spans []collector.Span) map[int64]int {
	counts := map[int64]int{}
	for _, span := range spans {
		if span.Name == "kong" {
			status, _ := span.Attribute("http.status_code").(int64)
			counts[status]++
		}
	}
	return counts
}

// resources are what a program holds.
type resources struct{ goroutines, descriptors int }

func (p *program) resources() resources {
	entries, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(p.cmd.Process.Pid), "fd"))
	if err != nil {
		p.t.Fatal(err)
	}
	return resources{p.ask().Memory.Goroutines, len(entries)}
}

// warm lets what is made at first use be there.
func (p *program) warm(t testing.TB) {
	l := newLoad(p.proxy)
	l.url += "answered"
	var all sync.WaitGroup
	for range atATime {
		all.Go(func() {
			res, err := l.client.Get(l.url)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
		})
	}
	all.Wait()
	l.client.CloseIdleConnections()
	p.eventually("delivered", 10*time.Second, func() bool { a := p.account(); return a.Created > 0 && a.Queued == 0 })
}

// returned waits until the program holds no more than before. Connections to the upstream and to the receiver that wait
// for their next use, each with what reads from it, are allowed for.
func (p *program) returned(t testing.TB, when string, before resources) {
	t.Helper()
	var now resources
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if now = p.resources(); now.goroutines <= before.goroutines+4 && now.descriptors <= before.descriptors+atATime {
			return
		}
	}
	t.Errorf("%s: goroutines %d and descriptors %d, were %d and %d", when, now.goroutines, now.descriptors, before.goroutines, before.descriptors)
}
