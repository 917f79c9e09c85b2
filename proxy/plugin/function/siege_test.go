package function

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidekong/proxy"
)

// TestHostileThroughGateway: each hostile script is stopped within its time and memory and its request gets Kong's 500,
// while other requests, with a script of their own, go on.
func TestHostileThroughGateway(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Canary"))
	}))
	defer backend.Close()
	for _, mode := range []Mode{Sandbox, On} {
		t.Run(string(mode), func(t *testing.T) {
			routes := []any{map[string]any{"name": "canary", "paths": []any{"/canary"}, "plugins": []any{map[string]any{
				"name": PreName, "config": map[string]any{"access": []any{`kong.service.request.set_header("X-Canary", kong.request.get_query_arg("n"))`}},
			}}}}
			for i, h := range hostile {
				if h.trusted == (mode == On) {
					routes = append(routes, map[string]any{"name": fmt.Sprint("hostile", i), "paths": []any{fmt.Sprint("/", i, "/")}, "plugins": []any{map[string]any{
						"name": PreName, "config": map[string]any{"access": []any{h.script}},
					}}})
				}
			}
			server, err := serveConfig(t, Define(Options{UntrustedLua: mode, SandboxRequires: []string{"cjson"}}), proxy.Options{}, func(g http.Handler) http.Handler { return g }, map[string]any{
				"_format_version": "3.0", "services": []any{map[string]any{"name": "backend", "url": backend.URL, "routes": routes}},
			})
			if err != nil {
				t.Fatal(err)
			}
			stop, canaries := keepAsking(t, server.URL+"/canary?n=")
			for i, h := range hostile {
				if h.trusted == (mode == On) {
					siege(t, h.name, fmt.Sprint(server.URL, "/", i, "/"), canaries)
				}
			}
			stop()
		})
	}
}

// keepAsking sends one request after the other until it is told to stop, and counts them.
func keepAsking(t *testing.T, url string) (stop func(), served *atomic.Int64) {
	t.Helper()
	served = new(atomic.Int64)
	over := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				return
			default:
			}
			res, err := http.Get(url + fmt.Sprint(n))
			if err != nil {
				t.Error(err)
				return
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusOK || string(body) != fmt.Sprint(n) || err != nil {
				t.Errorf("canary %d: got %d %q, error %v", n, res.StatusCode, body, err)
			}
			served.Add(1)
			time.Sleep(time.Millisecond) // it is to be there, not to load the machine
		}
	})
	return sync.OnceFunc(func() { close(over); wait.Wait() }), served
}

// siege sends a hostile request; the best of six counts, since other work on the machine makes each longer and larger.
func siege(t *testing.T, name, url string, canaries *atomic.Int64) {
	t.Helper()
	var took time.Duration
	var grown uint64
	for range 6 {
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		var peak atomic.Uint64
		done, watched := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			for {
				runtime.ReadMemStats(&now)
				peak.Store(max(peak.Load(), now.HeapAlloc))
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}()
		served, begun, spent := canaries.Load(), time.Now(), processorTime(t)
		res, err := http.Get(url)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		took = min(time.Since(begun), processorTime(t)-spent)
		res.Body.Close()
		close(done)
		<-watched
		if res.StatusCode != http.StatusInternalServerError || err != nil {
			t.Errorf("%s: got %d, error %v, want 500", name, res.StatusCode, err)
			return
		}
		grown = peak.Load() - min(peak.Load(), before.HeapAlloc)
		if took <= raceFactor*stopTime && grown <= stopMemory && (canaries.Load() > served || took < 10*time.Millisecond) {
			return
		}
	}
	t.Errorf("%s: stopped after %v and %d MiB, %d other requests so far; want at most %v and %d MiB, and others served meanwhile",
		name, took, grown>>20, canaries.Load(), stopTime, stopMemory>>20)
}
