package proxy_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
)

// BenchmarkRequest is a GET of 1 KiB over loopback and kept connections, through a bare ReverseProxy with a tuned
// Transport and through the gateway with tracing off, unsampled and sampled, and sampled and balanced over 100 targets
// with health checks. Client and backend are part of it, alike in each.
func BenchmarkRequest(b *testing.B) {
	body := strings.Repeat("x", 1024)
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, body)
	}))
	every, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		b.Fatal(err)
	}
	backend.Listener.Close()
	backend.Listener = every
	backend.Start()
	defer backend.Close()
	backend.URL = fmt.Sprintf("http://127.0.0.1:%d", every.Addr().(*net.TCPAddr).Port)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer sink.Close()

	b.Run("bare", func(b *testing.B) {
		target, _ := url.Parse(backend.URL)
		request(b, httptest.NewServer(&httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
			Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		}))
	})
	for _, c := range []struct {
		name    string
		kinds   tracing.Instrumentation
		rate    float64
		targets int // of an upstream with health checks; 0: none
	}{{"off", tracing.Off, 1, 0}, {"unsampled", tracing.All, 0, 0}, {"all", tracing.All, 1, 0}, {"balanced", tracing.All, 1, 100}} {
		b.Run(c.name, func(b *testing.B) {
			exporters := opentelemetry.NewExporters(slog.New(slog.DiscardHandler))
			defer exporters.Close(b.Context())
			g := benchGateway(b, exporters, c.kinds, c.rate, backend.URL, sink.URL, c.targets)
			defer g.Close()
			server := httptest.NewUnstartedServer(g)
			server.Config.ConnContext = g.ConnContext
			server.Start()
			request(b, server)
		})
	}
}

// checks are passive and active ones, on everything that an answer can tell.
const checks = `  algorithm: round-robin
  healthchecks:
    passive: {healthy: {successes: 2, http_statuses: [200]}, unhealthy: {http_failures: 3, tcp_failures: 3, timeouts: 3, http_statuses: [500]}}
    active: {http_path: /probe, healthy: {interval: 10, successes: 2}, unhealthy: {interval: 10, http_failures: 3}}
`

func benchGateway(b *testing.B, exporters *opentelemetry.Exporters, kinds tracing.Instrumentation, rate float64, backend, sink string, targets int) *proxy.Gateway {
	b.Helper()
	registry := plugin.NewRegistry(opentelemetry.Define(exporters, opentelemetry.Defaults{}))
	resolver, err := dns.New(dns.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	g, err := proxy.New(proxy.Options{
		Tracer: tracing.NewTracer(kinds, rate), Registry: registry, Resolver: resolver,
		Logger: slog.New(slog.DiscardHandler), Headers: proxy.DefaultHeaders, Conventions: proxy.KongConventions,
		Keepalive: proxy.Keepalive{PoolSize: 256}, UpstreamRequestID: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	upstreams := ""
	if targets > 0 {
		// All targets are the one backend, by the many addresses of loopback.
		_, port, _ := net.SplitHostPort(strings.TrimPrefix(backend, "http://"))
		upstreams = "upstreams:\n- name: pool\n" + checks + "  targets:\n"
		for i := range targets {
			upstreams += fmt.Sprintf("  - target: 127.0.1.%d:%s\n", i+1, port)
		}
		backend = "http://pool"
	}
	snapshot, _, err := configs.Loader{Schemas: entity.NewSchemas(registry.Configs())}.Load(b.Context(), configs.Text("bench", `
_format_version: "3.0"
`+upstreams+`services:
- name: backend
  url: `+backend+`
  routes:
  - paths: [/hello]
plugins:
- name: opentelemetry
  config: {traces_endpoint: "`+sink+`/v1/traces"}
`))
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Apply(snapshot); err != nil {
		b.Fatal(err)
	}
	return g
}

func request(b *testing.B, server *httptest.Server) {
	b.Helper()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	get := []byte("GET /hello/world?x=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: bench\r\nAccept: */*\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n")
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(get); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < 1024; {
			m, err := conn.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			n += m
		}
	}
}
