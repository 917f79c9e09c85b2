package proxy_test

import (
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
// Transport and through the gateway with tracing off, unsampled and sampled. Client and backend are part of it, alike
// in each.
func BenchmarkRequest(b *testing.B) {
	body := strings.Repeat("x", 1024)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, body)
	}))
	defer backend.Close()
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
		name  string
		kinds tracing.Instrumentation
		rate  float64
	}{{"off", tracing.Off, 1}, {"unsampled", tracing.All, 0}, {"all", tracing.All, 1}} {
		b.Run(c.name, func(b *testing.B) {
			exporters := opentelemetry.NewExporters(slog.New(slog.DiscardHandler))
			defer exporters.Close(b.Context())
			g := benchGateway(b, exporters, c.kinds, c.rate, backend.URL, sink.URL)
			server := httptest.NewUnstartedServer(g)
			server.Config.ConnContext = g.ConnContext
			server.Start()
			request(b, server)
		})
	}
}

func benchGateway(b *testing.B, exporters *opentelemetry.Exporters, kinds tracing.Instrumentation, rate float64, backend, sink string) *proxy.Gateway {
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
	snapshot, _, err := configs.Loader{Schemas: entity.NewSchemas(registry.Configs())}.Load(b.Context(), configs.Text("bench", `
_format_version: "3.0"
services:
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
