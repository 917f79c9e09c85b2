package opentelemetry_test

import (
	"bytes"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/function"
	"sidekong/proxy/plugin/opentelemetry"
)

// TestAccessLogs: one record of each request, sampled or not, with what Kong 3.14 documents and without secrets.
func TestAccessLogs(t *testing.T) {
	h := start(t, setting{
		rate: 0, plugins: []*plugin.Definition{identify},
		config:  "- {name: identify}\n- {name: opentelemetry, config: {traces_endpoint: TRACES, access_logs: {endpoint: LOGS}}}",
		secrets: []string{"token", "apikey"},
		backend: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "id=hunter2")
			w.Header().Set("Location", "/next?token=hunter2")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte("hello"))
		},
	})
	h.get("/of/acme/7?a=b&token=hunter2", "Who: alice", "User-Agent: test", "Authorization: Bearer hunter2", "Cookie: hunter2",
		"Apikey: hunter2", "X-Auth-Token: hunter2", "Referer: http://a.test/?token=hunter2", "X-Two: 1", "X-Two: 2")
	h.get("/gone")
	h.export()
	logs := h.Logs()
	if len(logs) != 2 || len(h.Spans()) != 0 {
		t.Fatalf("%d records, %d spans", len(logs), len(h.Spans()))
	}
	for _, log := range logs {
		if strings.Contains(log.String(), "hunter2") {
			t.Errorf("a secret in %v", log)
		}
	}
	first, second := logs[0], logs[1]
	if body := first.Body.GetStringValue(); !strings.HasPrefix(body, "GET /of/acme/7 201 ") || !strings.HasSuffix(body, "ms") {
		t.Errorf("body %q", body)
	}
	if first.Scope != "api-access" || len(first.TraceId) != 16 || len(first.SpanId) != 8 || first.Flags != 0 || first.SeverityNumber != 0 {
		t.Errorf("record %v", first)
	}
	got := map[string]any{}
	want := map[string]any{
		"log.type": "access", "kong.subsystem": "http", "kong.workspace.name": "default", "client.address": "127.0.0.1",
		"http.request.method": "GET", "url.scheme": "http", "url.path": "/of/acme/7", "url.query": "a=b&token=REDACTED",
		"user_agent.original": "test", "http.response.status_code": int64(201), "kong.response.source": "upstream",
		"kong.upstream.status_code": int64(201), "kong.upstream.uri": "/?a=b&token=REDACTED", "kong.upstream.try.1.ip": "127.0.0.1",
		"http.request.header.user-agent": "test", "http.request.header.authorization": "REDACTED",
		"http.request.header.cookie": "REDACTED", "http.request.header.apikey": "REDACTED", "http.request.header.x-auth-token": "REDACTED",
		"http.request.header.referer": "http://a.test/?token=REDACTED", "http.request.header.x-two": "1, 2",
		"http.response.header.set-cookie": "REDACTED", "http.response.header.location": "/next?token=REDACTED",
		"kong.route.name": "captured", "kong.route.protocols.1": "http", "kong.route.strip_path": true, "kong.service.name": "backend",
		"kong.service.retries": int64(5), "kong.service.protocol": "http", "kong.auth.consumer.username": "alice",
	}
	for name := range want {
		got[name] = first.Attribute(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, name := range []string{
		"kong.request.id", "kong.request.started_at", "kong.latency.total", "kong.latency.internal", "kong.latency.upstream",
		"kong.latency.receive", "kong.route.id", "kong.service.id", "kong.service.port", "url.full", "url.domain", "url.port",
		"http.request.header.host", "kong.upstream.try.1.port", "kong.upstream.try.1.balancer_start", "kong.upstream.try.1.balancer_latency_ns",
		"kong.auth.consumer.id",
	} {
		if first.Attribute(name) == nil {
			t.Errorf("no %s", name)
		}
	}
	for _, name := range []string{"http.request.size", "http.response.size"} {
		if size, _ := first.Attribute(name).(int64); size < 5 {
			t.Errorf("%s is %v", name, first.Attribute(name))
		}
	}
	// A refused connection: the answer is the gateway's.
	if second.Attribute("kong.response.source") != "kong" || second.Attribute("kong.upstream.status_code") != nil ||
		second.Attribute("kong.latency.upstream") != nil || second.Attribute("kong.auth.consumer.id") != nil {
		t.Errorf("without an upstream: %v", second)
	}
}

// TestCustomAttributes: what expressions give is an attribute of the record, in the place of the one of that name, or
// takes it out. The records of other requests, and what is known of routes and services, stay as they are.
func TestCustomAttributes(t *testing.T) {
	const custom = `
      app.tenant: return kong.request.get_header("x-tenant")
      app.size: return 12
      app.ratio: return 0.25
      app.cached: return false
      app.tags: 'return {"a", "b"}'
      app.none: return nil
      url.query: return nil
      url.path: return "/hidden"
      kong.route.name: return kong.request.get_header("x-tenant") and "renamed"
      kong.service.host: return nil
      log.type: 'return "kept", {mode = "add"}'
      app.replaced: 'return 1, {mode = "replace"}'
      app.faulty: return nothing.at.all
      app.endless: while true do end
`
	var log bytes.Buffer
	h := start(t, setting{
		lua: function.New(function.Options{Time: 50 * time.Millisecond}), into: slog.NewTextHandler(&log, nil),
		config: "- name: opentelemetry\n  config:\n    traces_endpoint: TRACES\n    access_logs:\n     endpoint: LOGS\n     custom_attributes_by_lua:" + custom,
	})
	h.get("/a?b=c", "X-Tenant: acme")
	h.get("/a?b=c")
	h.export()
	logs := h.Logs()
	if len(logs) != 2 {
		t.Fatalf("%d records", len(logs))
	}
	for i, want := range []map[string]any{
		{"app.tenant": "acme", "kong.route.name": "renamed"},
		{"app.tenant": nil, "kong.route.name": nil},
	} {
		maps.Copy(want, map[string]any{
			"app.size": int64(12), "app.ratio": 0.25, "app.cached": false, "app.tags": `["a","b"]`, "app.none": nil, "url.query": nil,
			"url.path": "/hidden", "kong.service.host": nil, "kong.service.name": "backend", "log.type": "access", "app.replaced": nil,
			"app.faulty": nil, "app.endless": nil, "http.request.method": "GET",
		})
		got, seen := map[string]any{}, map[string]int{}
		for name := range want {
			got[name] = logs[i].Attribute(name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("record %d: -want +got\n%s", i, diff)
		}
		for _, attribute := range logs[i].Attributes {
			if seen[attribute.Key]++; seen[attribute.Key] > 1 {
				t.Errorf("%s is there twice", attribute.Key)
			}
		}
	}
	for _, want := range []string{"expression=app.faulty", "expression=app.endless"} {
		if n := strings.Count(log.String(), want); n != 2 {
			t.Errorf("%d times %q in the log", n, want)
		}
	}
}

// TestCustomAttributesNeedLua: a configuration with expressions is refused where they do not compile or nothing runs them.
func TestCustomAttributesNeedLua(t *testing.T) {
	lua := function.New(function.Options{})
	for _, test := range []struct {
		lua          plugin.Lua
		source, want string
	}{
		{nil, "return 1", "config.access_logs.custom_attributes_by_lua: no Lua runs here"},
		{lua, "return (", `compile config.access_logs.custom_attributes_by_lua.a: [string "return ("]: unexpected symbol near '<eof>'`},
		{lua, "return 1", ""},
	} {
		definition := opentelemetry.Define(nil, opentelemetry.Defaults{Lua: test.lua, Disabled: true})
		_, err := definition.New(&entity.Plugin{Name: opentelemetry.Name, Config: entity.Object{"access_logs": entity.Object{
			"endpoint": "http://c.test/", "custom_attributes_by_lua": entity.Object{"a": test.source},
		}}}, plugin.Env{Logger: slog.New(slog.DiscardHandler)})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.source, got, test.want)
		}
	}
}
