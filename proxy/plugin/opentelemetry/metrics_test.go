package opentelemetry_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"sidekong/internal/collector"
	"sidekong/proxy/plugin"
)

// sums gives the points of a counter by their attributes, of the newest push.
func sums(metrics []collector.Metric, name string) map[string]int64 {
	points := map[string]int64{}
	for _, m := range metrics {
		if m.Name != name {
			continue
		}
		for _, p := range m.GetSum().GetDataPoints() {
			a := collector.Attributes(p.Attributes)
			points[fmt.Sprintln(a["kong.service.name"], a["kong.route.name"], a["kong.auth.consumer.name"], a["http.request.method"],
				a["kong.response.source"], a["kong.response.status_code"], a["kong.workspace.name"])] = p.GetAsInt()
		}
	}
	return points
}

// histogram gives the last of the points with a route's name.
func histogram(metrics []collector.Metric, name, route string) (last *metricspb.HistogramDataPoint) {
	for _, m := range metrics {
		for _, p := range m.GetHistogram().GetDataPoints() {
			if m.Name == name && collector.Attributes(p.Attributes)["kong.route.name"] == route {
				last = p
			}
		}
	}
	return last
}

// TestMetrics: what Kong 3.13 pushes of requests, as far as it is switched on.
func TestMetrics(t *testing.T) {
	h := start(t, setting{
		rate: 0, plugins: []*plugin.Definition{identify},
		config: `
- {name: identify}
- name: opentelemetry
  config:
    metrics: {endpoint: METRICS, push_interval: 3600, enable_request_metrics: true, enable_latency_metrics: true,
      enable_bandwidth_metrics: true, enable_consumer_attribute: true, enable_upstream_health_metrics: true}`,
		backend: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2000)) },
	})
	for range 3 {
		h.get("/")
	}
	h.do("WEIRD", "/", "Who: alice")
	h.do("POST", "/of/acme/1")
	h.get("/gone")
	h.export()
	metrics := h.Metrics()
	want := map[string]int64{
		"backend all <nil> GET upstream 200 default\n":       3,
		"backend all alice _OTHER upstream 200 default\n":    1,
		"backend captured <nil> POST upstream 200 default\n": 1,
		"gone nowhere <nil> GET kong 502 default\n":          1,
	}
	got := sums(metrics, "http.server.request.count")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts: -want +got\n%s", diff)
	}
	for name, unit := range map[string]string{
		"http.server.request.count": "{request}", "kong.latency.total": "s", "kong.latency.internal": "s",
		"kong.latency.upstream": "s", "http.server.request.size": "By", "http.server.response.size": "By",
		"kong.upstream.target.status": "1",
	} {
		found := false
		for _, m := range metrics {
			found = found || m.Name == name && m.Unit == unit && m.Description != "" && m.Scope == "kong-internal"
		}
		if !found {
			t.Errorf("no %s in %s", name, unit)
		}
	}
	total := histogram(metrics, "kong.latency.total", "all")
	if total.GetCount() != 4 || len(total.GetBucketCounts()) != len(total.GetExplicitBounds())+1 || total.GetSum() <= 0 || total.GetSum() > 60 {
		t.Errorf("latency %v", total)
	}
	if p := histogram(metrics, "kong.latency.upstream", "nowhere"); p != nil {
		t.Errorf("no upstream and yet %v", p)
	}
	size := histogram(metrics, "http.server.response.size", "captured")
	if size.GetCount() != 1 || size.GetSum() < 2000 || size.GetSum() > 4000 || size.GetBucketCounts()[2] != 1 {
		t.Errorf("size %v", size)
	}
	for _, m := range metrics {
		if m.Name != "kong.upstream.target.status" {
			continue
		}
		want := map[string]any{
			"kong.upstream.name": "u", "kong.target.address": "a.test:80", "server.address": "192.0.2.1:80",
			"kong.upstream.state": "healthy", "kong.subsystem": "http",
		}
		points := m.GetGauge().GetDataPoints()
		if len(points) != 1 || points[0].GetAsInt() != 1 || !cmp.Equal(want, collector.Attributes(points[0].Attributes)) {
			t.Errorf("health %v", points)
		}
	}
	for _, m := range metrics {
		if temporality := m.GetHistogram().GetAggregationTemporality(); m.GetHistogram() != nil && temporality != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
			t.Errorf("%s is %v", m.Name, temporality)
		}
	}
}

// TestMetricsArePushed in intervals, cumulated.
func TestMetricsArePushed(t *testing.T) {
	h := start(t, setting{
		rate:   0,
		config: "- {name: opentelemetry, config: {queue: {max_coalescing_delay: 0}, metrics: {endpoint: METRICS, push_interval: 0.1, enable_request_metrics: true}}}",
	})
	for i := range 2 {
		h.get("/")
		deadline := time.Now().Add(5 * time.Second)
		for sums(h.Metrics(), "http.server.request.count")["backend all <nil> GET upstream 200 default\n"] != int64(i+1) {
			if time.Now().After(deadline) {
				t.Fatalf("after %d requests: %v", i+1, sums(h.Metrics(), "http.server.request.count"))
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	for _, m := range h.Metrics() {
		if m.Name != "http.server.request.count" {
			t.Errorf("%s was not switched on", m.Name)
		}
	}
}

// TestMetricsSwitchedOff: a receiver that would hear nothing is worth a line, since no kind of metric is on by default.
func TestMetricsSwitchedOff(t *testing.T) {
	for config, want := range map[string]bool{
		"enable_consumer_attribute: true":      true,
		"enable_upstream_health_metrics: true": false,
	} {
		var into bytes.Buffer
		start(t, setting{into: slog.NewTextHandler(&into, nil), config: "- {name: opentelemetry, config: {metrics: {endpoint: METRICS, push_interval: 3600, " + config + "}}}"})
		if got := strings.Contains(into.String(), "nothing is sent to metrics.endpoint"); got != want {
			t.Errorf("%s: warned %v, want %v:\n%s", config, got, want, &into)
		}
	}
}
