package opentelemetry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/proxy/plugin"
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
