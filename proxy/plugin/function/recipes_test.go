package function_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/internal/collector"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/function"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
)

// recipes are what people write for API inventories: who asks for what with which headers and bodies, on the active
// span of each phase.
const recipes = `
plugins:
- name: pre-function
  config:
    access:
    - |
      local cjson = require "cjson"
      local span = kong.tracing.active_span()
      if not span then return end
      span:set_attribute("net.sock.peer.addr", kong.client.get_ip())
      span:set_attribute("http.target", kong.request.get_path_with_query())
      span:set_attribute("http.request.headers", cjson.encode(kong.request.get_headers()))
    - |
      local span = kong.tracing.active_span()
      local body = kong.request.get_raw_body()
      if span and body and #body > 0 then span:set_attribute("http.request.body", body) end
- name: post-function
  config:
    header_filter:
    - |
      local span = kong.tracing.active_span()
      if span then span:set_attribute("http.response.headers", require("cjson").encode(kong.response.get_headers())) end
    body_filter:
    - |
      local ctx = kong.ctx.plugin
      local chunk, eof = ngx.arg[1], ngx.arg[2]
      ctx.size = (ctx.size or 0) + #(chunk or "")
      if ctx.size > 1048576 then ctx.pieces = nil
      elseif chunk and #chunk > 0 then
        ctx.pieces = ctx.pieces or {}
        table.insert(ctx.pieces, chunk)
      end
      if eof then
        local span = kong.tracing.active_span()
        local body = ctx.size <= 1048576 and table.concat(ctx.pieces or {}) or ""
        if span then span:set_attribute("http.response.body", body) end
      end
`

// TestRecipes: the attributes stand on the root where no phase is traced, and on the plugin's own span where its phase
// is; in what is exported.
func TestRecipes(t *testing.T) {
	for _, c := range []struct {
		name             string
		kinds            tracing.Instrumentation
		access, hf, body string // the spans
	}{
		{"http_client", tracing.HTTPClient, "kong", "kong", "kong"},
		{
			"Kong's all", tracing.All &^ (tracing.PluginBodyFilter | tracing.PluginLog),
			"kong.access.plugin.pre-function", "kong.header_filter.plugin.post-function", "kong",
		},
		{
			"all", tracing.All, "kong.access.plugin.pre-function", "kong.header_filter.plugin.post-function",
			"kong.body_filter.plugin.post-function",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			long := strings.Repeat("0123456789abcdef", 1<<17) // 2 MiB
			url, spans := tracedGateway(t, c.kinds, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Answer", "a")
				if r.URL.Path == "/long" {
					_, _ = io.WriteString(w, long)
					return
				}
				for i := range 3 {
					fmt.Fprintf(w, "piece %d;", i)
					w.(http.Flusher).Flush()
				}
			}, recipes)
			_, body := fetch(t, "POST", url+"/short?q=1", `{"name":"x"}`)
			if want := "piece 0;piece 1;piece 2;"; body != want {
				t.Errorf("the client got %q, want %q", body, want)
			}
			all := spans(1)
			text := func(span, key string) string {
				for _, one := range all {
					if one.Name == span {
						value, _ := one.Attribute(key).(string)
						return value
					}
				}
				t.Errorf("no span %s", span)
				return ""
			}
			got := map[string]string{
				"net.sock.peer.addr": text(c.access, "net.sock.peer.addr"),
				"http.target":        text(c.access, "http.target"),
				"http.request.body":  text(c.access, "http.request.body"),
				"http.response.body": text(c.body, "http.response.body"),
			}
			want := map[string]string{
				"net.sock.peer.addr": "127.0.0.1", "http.target": "/short?q=1", "http.request.body": `{"name":"x"}`,
				"http.response.body": "piece 0;piece 1;piece 2;",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for span, key := range map[string]string{c.access: "http.request.headers", c.hf + " ": "http.response.headers"} {
				var headers map[string]any
				if err := json.Unmarshal([]byte(text(strings.TrimSpace(span), key)), &headers); err != nil {
					t.Errorf("%s: %v", key, err)
				}
				name, value := "host", strings.TrimPrefix(url, "http://")
				if key == "http.response.headers" {
					name, value = "x-answer", "a"
				}
				if headers[name] != value {
					t.Errorf("%s: got %v, want %s: %s", key, headers, name, value)
				}
			}

			if _, body = fetch(t, "GET", url+"/long", ""); body != long {
				t.Errorf("the client got %d bytes, want %d", len(body), len(long))
			}
			for _, one := range spans(2) {
				value, ok := one.Attribute("http.response.body").(string)
				if ok && one.Attribute("http.response.body") != nil && value != "" && value != want["http.response.body"] {
					t.Errorf("%s: a body of %d bytes, want none", one.Name, len(value))
				}
			}
		})
	}
}

// tracedGateway is gateway with the opentelemetry plugin. spans waits for so many requests and gives what was exported.
func tracedGateway(t *testing.T, kinds tracing.Instrumentation, backend http.HandlerFunc, plugins string) (url string, spans func(requests int) []collector.Span) {
	t.Helper()
	upstream := httptest.NewServer(backend)
	t.Cleanup(upstream.Close)
	receiver := collector.Start(t)
	exporters := opentelemetry.NewExporters(slog.New(slog.DiscardHandler))
	registry := plugin.NewRegistry(append(function.Define(function.Options{SandboxRequires: []string{"cjson"}}),
		opentelemetry.Define(exporters, opentelemetry.Defaults{}))...)
	resolver, err := dns.New(dns.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(resolver.Close)
	g, err := proxy.New(proxy.Options{
		Tracer: tracing.NewTracer(kinds, 1), Registry: registry, Resolver: resolver, Logger: slog.New(slog.DiscardHandler),
		Conventions: proxy.KongConventions, Keepalive: proxy.Keepalive{PoolSize: 16, IdleTimeout: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	snapshot, _, err := configs.Loader{Schemas: entity.NewSchemas(registry.Configs())}.Load(t.Context(), configs.Text("test", `
_format_version: "3.0"
services:
- name: backend
  url: `+upstream.URL+`
  routes:
  - paths: [/]
`+plugins+`
- name: opentelemetry
  config: {traces_endpoint: "`+receiver.URL()+`", queue: {max_coalescing_delay: 0.01}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(snapshot); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(g)
	server.Config.ConnContext = g.ConnContext
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		g.Close()
		exporters.Close(t.Context())
	})
	return server.URL, func(requests int) []collector.Span {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			all := receiver.Spans()
			roots := 0
			for _, one := range all {
				if one.Name == "kong" {
					roots++
				}
			}
			if roots >= requests {
				return all
			}
		}
		t.Fatalf("%d requests are not exported: %d spans", requests, len(receiver.Spans()))
		return nil
	}
}
