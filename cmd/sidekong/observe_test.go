package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin/traces"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// settled is a complete request as the gateway shows it to its observer.
func settled(sampled bool) *plugin.Context {
	trace := tracing.NewTracer(tracing.All, 1).Start(time.Unix(1_700_000_000, 0))
	root := trace.StartSpanAt("kong", tracing.KindServer, tracing.Span{}, 0)
	trace.Adopt(tracing.Adoption{TraceID: tracing.TraceID{1}, Sampled: sampled})
	root.SetString("http.method", "GET")
	root.SetString("http.url", "http://api.test/a?token=REDACTED")
	root.SetString("http.route", "/a")
	root.SetInt("http.status_code", 200)
	root.EndAt(tracing.Instant(20 * time.Millisecond))
	r := httptest.NewRequest(http.MethodGet, "http://api.test:8000/a?token=planted-secret", nil)
	r.Header.Set("Authorization", "Bearer planted-secret")
	route := &entity.Route{Name: "a-route"}
	route.ID = "route-id"
	service := &entity.Service{Name: "a-service"}
	service.ID = "service-id"
	return &plugin.Context{
		Request: r, Trace: trace, Root: root, Route: route, Service: service, Arrived: time.Unix(1_700_000_000, 0),
		Response: plugin.Response{Status: 200, Header: http.Header{"Content-Type": {"text/plain"}}},
		Notes:    &plugin.Notes{Sampling: "sampled: rate 1", TraceOut: [][2]string{{"Traceparent", "00-01-02-01"}}},
		Summary: plugin.Summary{
			Request: 20 * time.Millisecond, Upstream: -1, UpstreamURI: "/a?token=planted-secret", UpstreamStatus: 200, BytesSent: 7,
			Tries: []plugin.Try{{IP: "10.0.0.1", Port: 80, Code: 502, State: "failed"}, {IP: "10.0.0.2", Port: 80}},
			Fault: errors.New("cut off"),
		},
	}
}

// TestObserve: what the page is told of a request, and that no secret is among it.
func TestObserve(t *testing.T) {
	store := traces.New(traces.Options{Expand: expand})
	t.Cleanup(store.Close)
	o := observer{store}
	o.observe(settled(true))
	got, ok := store.Get("01000000000000000000000000000000")
	if !ok || len(got.Spans) != 1 || len(got.Requests) != 1 {
		t.Fatalf("got %+v", got)
	}
	want := traces.GatewayRecord{
		TraceIn: []traces.Header{}, TraceOut: []traces.Header{{Name: "traceparent", Value: "00-01-02-01"}},
		Sampling: "sampled: rate 1", Sampled: true, RouteID: "route-id", ServiceID: "service-id",
		UpstreamURI: "/a", UpstreamStatus: 200, BytesSent: 7, Request: 20, Upstream: -1, Fault: "cut off",
		Tries: []traces.Try{{Address: "10.0.0.1:80", Code: 502, State: "failed"}, {Address: "10.0.0.2:80"}},
		Curl:  "curl 'http://api.test:8000/a?token=REDACTED'",
	}
	if diff := cmp.Diff(want, got.Requests[0]); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "planted-secret") {
		t.Errorf("a secret is shown: %s", text)
	}
	if overview := store.Overview(time.Unix(1_700_000_000, 0), time.Minute); overview.Total.Requests != 1 || overview.Total.Errors != 1 || overview.Routes[0].Name != "a-route" {
		t.Errorf("overview %+v", overview.Total)
	}
}

// TestObserveExported: the spans that an exporter was given are stored as they are.
func TestObserveExported(t *testing.T) {
	store := traces.New(traces.Options{Expand: expand})
	t.Cleanup(store.Close)
	c := settled(true)
	c.Notes.Spans, _ = otlp.Frames{Trace: c.Trace}.AppendFrames(nil)
	observer{store}.observe(c)
	observer{store}.observe(settled(true))
	got, ok := store.Get("01000000000000000000000000000000")
	if !ok || len(got.Spans) != 2 || len(got.Requests) != 2 {
		t.Fatalf("got %+v", got)
	}
	if diff := cmp.Diff(got.Spans[0].Attributes, got.Spans[1].Attributes); diff != "" {
		t.Errorf("exported and not (-want +got):\n%s", diff)
	}
}

// TestObserveUnsampled: a request that is not recorded is counted alone.
func TestObserveUnsampled(t *testing.T) {
	store := traces.New(traces.Options{Expand: expand})
	t.Cleanup(store.Close)
	o := observer{store}
	o.observe(settled(false))
	if state := store.State(); state.Traces != 0 {
		t.Errorf("%d traces are stored", state.Traces)
	}
	if overview := store.Overview(time.Unix(1_700_000_000, 0), time.Minute); overview.Total.Requests != 1 {
		t.Errorf("%d requests are counted", overview.Total.Requests)
	}
}

func TestAuthentication(t *testing.T) {
	cases := []struct {
		name, header, value string
		credential          any
		want                string
	}{
		{"none", "X-Other", "x", nil, ""},
		{"basic", "Authorization", "Basic eDp5", nil, "basic"},
		{"bearer", "Authorization", "Bearer abc", nil, "bearer"},
		{"secret without a scheme", "Authorization", "abcdef", nil, "authorization"},
		{"long secret before a space", "Authorization", strings.Repeat("a", 40) + " b", nil, "authorization"},
		{"key", "X-Api-Key", "abc", nil, "apikey"},
		{"cookie", "Cookie", "a=b", nil, "cookie"},
		{"key that was taken away", "X-Other", "x", &entity.KeyAuthCredential{}, "apikey"},
		{"password that was taken away", "X-Other", "x", &entity.BasicAuthCredential{}, "basic"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set(c.header, c.value)
			if got := authentication(&plugin.Context{Request: r, Credential: c.credential}); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	store := traces.New(traces.Options{Expand: expand})
	b.Cleanup(store.Close)
	o, c := observer{store}, settled(true)
	b.ReportAllocs()
	for b.Loop() {
		o.observe(c)
	}
}
