package opentelemetry_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/internal/collector"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
)

// house is a gateway before a backend, with a receiver of all signals.
type house struct {
	*collector.Collector
	t         *testing.T
	url       string
	log       *slog.Logger
	exporters *opentelemetry.Exporters
	gateway   *proxy.Gateway
	flush     sync.Once
}

type setting struct {
	rate    float64
	config  string // the plugins of kong.yaml; TRACES, LOGS and METRICS stand for the receiver's URLs
	backend http.HandlerFunc
	plugins []*plugin.Definition // besides opentelemetry
	secrets []string             // query parameters whose values are not recorded
	into    slog.Handler         // where log lines go besides the receiver; nil: nowhere
	lua     plugin.Lua           // nil: none
}

const entities = `_format_version: "3.0"
services:
- name: backend
  url: BACKEND
  routes:
  - name: all
    paths: [/]
  - name: captured
    paths: ['~/of/(?<tenant>[a-z]+)/(\d+)']
- name: gone
  url: http://127.0.0.1:1
  retries: 0
  routes:
  - name: nowhere
    paths: [/gone]
consumers:
- username: alice
  id: 3f0c4a53-2c3c-4a0a-8b39-2d3ccf4f2f01
`

func start(t *testing.T, s setting) *house {
	t.Helper()
	if s.backend == nil {
		s.backend = func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }
	}
	backend := httptest.NewServer(s.backend)
	t.Cleanup(backend.Close)
	h := &house{Collector: collector.Start(t), t: t}
	if s.into == nil {
		s.into = slog.NewTextHandler(io.Discard, nil) //nolint:sloglint // DiscardHandler takes nothing, and what is not taken is not sent
	}
	h.exporters = opentelemetry.NewExporters(slog.New(s.into))
	h.log = slog.New(h.exporters.LogHandler(s.into))
	h.exporters.MeasureHealth(func() []opentelemetry.TargetHealth {
		return []opentelemetry.TargetHealth{{Upstream: "u", Target: "a.test:80", Address: "192.0.2.1:80", State: "healthy"}}
	})
	registry := plugin.NewRegistry(append(s.plugins, opentelemetry.Define(h.exporters, opentelemetry.Defaults{Lua: s.lua}))...)
	resolver, err := dns.New(dns.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(resolver.Close)
	h.gateway, err = proxy.New(proxy.Options{
		Tracer: tracing.NewTracer(tracing.All, s.rate), Registry: registry, Resolver: resolver, Logger: h.log,
		Conventions: proxy.KongConventions, Keepalive: proxy.Keepalive{PoolSize: 16, IdleTimeout: time.Minute},
		RedactedQuery: s.secrets,
	})
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("BACKEND", backend.URL, "TRACES", h.URL(), "LOGS", h.LogsURL(), "METRICS", h.MetricsURL()).
		Replace(entities + "plugins:\n" + s.config)
	snapshot, _, err := configs.Loader{Schemas: entity.NewSchemas(registry.Configs())}.Load(t.Context(), configs.Text("test", config))
	if err != nil {
		t.Fatalf("%v in\n%s", err, config)
	}
	if err := h.gateway.Apply(snapshot); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h.gateway)
	server.Config.ConnContext = h.gateway.ConnContext
	server.Start()
	h.url = server.URL
	t.Cleanup(func() { server.Close(); h.export(); h.gateway.Close() })
	return h
}

// get sends a GET with headers "Name: value".
func (h *house) get(target string, header ...string) int {
	h.t.Helper()
	return h.do(http.MethodGet, target, header...)
}

func (h *house) do(method, target string, header ...string) int {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.url+target, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode
}

// export waits for the last request and delivers all that there is.
func (h *house) export() {
	h.flush.Do(func() {
		for end := time.Now().Add(5 * time.Second); h.gateway.Stats().Active > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				h.t.Error("a request does not end")
				break
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.exporters.Close(ctx)
		for _, s := range h.exporters.Stats() {
			if s.Created != s.Delivered {
				h.t.Errorf("%s: created %d, delivered %d", s.Signal, s.Created, s.Delivered)
			}
		}
	})
}

// roots are the root spans, in the order of arrival.
func (h *house) roots() (roots []collector.Span) {
	h.export()
	for _, span := range h.Spans() {
		if span.Name == "kong" {
			roots = append(roots, span)
		}
	}
	return roots
}
