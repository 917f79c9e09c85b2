package faults

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// backend answers everything with 200; /slow after half a second.
func backend(t testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			time.Sleep(500 * time.Millisecond)
		}
		io.WriteString(w, "ok")
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// kongYAML proxies everything to the backend and exports to a URL. queue is the plugin's, in YAML's flow style.
func kongYAML(backend, traces, queue string) string {
	return fmt.Sprintf(`_format_version: "3.0"
services:
- name: backend
  url: %s
  routes: [{name: all, paths: [/]}]
plugins:
- name: opentelemetry
  config:
    traces_endpoint: %s
    read_timeout: 1000
    queue: %s
`, backend, traces, queue)
}

const (
	inMemory = "{max_batch_size: 200, max_entries: 200000}"
	onDisk   = "{storage: disk}" // and all of Kong's defaults
)

// A load is requests at a fixed rate, begun when they are due whatever became of the others, as long as no more than
// atOnce are under way: a machine that cannot keep up gets fewer.
type load struct {
	client  http.Client
	url     string
	pending sync.WaitGroup
	slots   chan struct{}

	mu        sync.Mutex
	latencies []time.Duration
	failed    []error
}

const atOnce = 64

func newLoad(address string) *load {
	return &load{
		url:    "http://" + address + "/",
		slots:  make(chan struct{}, atOnce),
		client: http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}},
	}
}

// run sends at rate requests a second for a time, and waits for the answers.
func (l *load) run(rate int, d time.Duration) {
	interval := time.Second / time.Duration(rate)
	began := time.Now()
	for due := began; due.Sub(began) < d && time.Since(began) < 2*d; due = due.Add(interval) {
		time.Sleep(time.Until(due))
		l.slots <- struct{}{}
		l.pending.Go(func() {
			l.note(due, l.one())
			<-l.slots
		})
	}
	l.pending.Wait()
}

func (l *load) one() error {
	res, err := l.client.Get(l.url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || string(body) != "ok" {
		return fmt.Errorf("answered %d %q", res.StatusCode, body)
	}
	return nil
}

func (l *load) note(due time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, err)
		return
	}
	l.latencies = append(l.latencies, time.Since(due))
}

// answered is the number of requests that were answered well.
func (l *load) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.latencies)
}

// p99 is the latency that one request of a hundred exceeds.
func (l *load) p99() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.latencies) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(l.latencies))
	return sorted[len(sorted)*99/100]
}

// noneFailed reports the first failures.
func (l *load) noneFailed(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.failed); n > 0 {
		t.Errorf("%d requests failed, the first: %v", n, l.failed[0])
	}
}
