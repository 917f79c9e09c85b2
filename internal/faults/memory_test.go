package faults

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekong/internal/collector"
)

// TestMemoryLimit: a program that runs out of the memory that it was granted gives up traces, counted, and no request;
// once there is room again, requests are traced again.
func TestMemoryLimit(t *testing.T) {
	const limit, rounds, each = 80 << 20, 60, 400
	receiver := collector.Start(t)
	receiver.Behave(collector.Status(http.StatusServiceUnavailable))
	p := newProgram(t, kongYAML(backend(t), receiver.URL(), "{max_entries: 1000000, max_bytes: 1000000000}"),
		"KONG_SIDEKONG_MEMORY_LIMIT=80m", "GOMEMLIMIT=1GiB", "KONG_TRACES_STORE_SIZE=64m")
	p.start()
	// Each request leaves some 20 KiB of spans in the queue: far more than the limit together.
	url := "http://" + p.proxy + "/?" + strings.Repeat("x=y&", 1800)
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}}
	for range rounds {
		var all sync.WaitGroup
		slots := make(chan struct{}, atOnce)
		for range each {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				res, err := client.Get(url)
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
					t.Errorf("answered %d, %v", res.StatusCode, err)
				}
			})
		}
		all.Wait()
		if p.ask().Tracing.Shedding {
			break
		}
	}
	s := p.ask()
	if !s.Tracing.Shedding {
		t.Error("no telemetry was given up")
	}
	if peak := p.memory(); peak > limit+limit/2 {
		t.Errorf("it took %d MiB, with a limit of %d", peak>>20, limit>>20)
	}
	if a := p.account(); !a.exact() {
		t.Errorf("not exact: %+v", a)
	}
	l := newLoad(p.proxy)
	l.run(100, 500*time.Millisecond)
	l.noneFailed(t)
	if shed := p.ask().Tracing.ShedRequests; shed < l.answered() {
		t.Errorf("%d requests went untraced, want at least %d", shed, l.answered())
	}

	receiver.Behave(nil)
	p.eventually("room", 30*time.Second, func() bool { s := p.ask(); return !s.Tracing.Shedding && p.account().Queued == 0 })
	before := p.account().Created
	l.run(100, 200*time.Millisecond)
	p.eventually("traces again", 10*time.Second, func() bool { return p.account().Created > before })
	l.noneFailed(t)
	p.stop()
}
