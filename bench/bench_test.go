package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func TestLoadEndsAfterItsRequests(t *testing.T) {
	var served atomic.Int64
	inner := backend()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		inner.ServeHTTP(w, r)
	}))
	defer server.Close()
	got, err := load{connections: 3, requests: 50}.run(t.Context(), server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got.requests != 50 || len(got.latencies) != 50 || served.Load() != 50 {
		t.Errorf("%d requests, %d latencies, %d served; want 50 each", got.requests, len(got.latencies), served.Load())
	}
}

// A stall delays all requests that were due meanwhile, and the latencies of all of them say so.
func TestFixedRateCountsFromWhenARequestWasDue(t *testing.T) {
	const stall = 200 * time.Millisecond
	var first atomic.Bool
	inner := backend()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first.CompareAndSwap(false, true) {
			time.Sleep(stall)
		}
		inner.ServeHTTP(w, r)
	}))
	defer server.Close()
	got, err := load{connections: 1, requests: 20, rate: 100}.run(t.Context(), server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	late := 0
	for _, latency := range got.latencies {
		if latency > stall/4 {
			late++
		}
	}
	if late < 10 {
		t.Errorf("%d of 20 requests saw the stall, want at least 10: %v", late, got.latencies)
	}
}

func TestLoadRefusesOtherAnswers(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }},
		{"short body", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.handler)
			defer server.Close()
			if _, err := (load{connections: 1, requests: 5}).run(t.Context(), server.Listener.Addr().String()); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestSinkCounts(t *testing.T) {
	message, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
		ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{{}, {}, {}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = zip.Write(message)
	_ = zip.Close()
	framed := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)

	s := &sink{}
	post := func(kind, encoding string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Content-Encoding", encoding)
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	post("application/x-protobuf", "", message)
	post("application/x-protobuf", "gzip", zipped.Bytes())
	post("application/grpc+proto", "", framed)
	post("application/grpc", "", framed[:4])
	got := counts{s.posts.Load(), s.spans.Load(), s.bytes.Load()}
	want := counts{Posts: 3, Spans: 9, Bytes: int64(len(message) + zipped.Len() + len(framed))}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestQuantile(t *testing.T) {
	r := result{latencies: []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 6, 0.99: 10, 1: 10} {
		if got := r.quantile(q); got != want {
			t.Errorf("quantile %v: got %d, want %d", q, got, want)
		}
	}
}

func TestParsePerf(t *testing.T) {
	for _, test := range []struct {
		name, out string
		want      float64
		ok        bool
	}{
		{"both", "1200,,instructions:u,100,100.00,,\n300,,instructions:k,100,100.00,,\n", 1500, true},
		{"not supported", "<not supported>,,instructions:u,0,100.00,,\n", 0, false},
		{"nothing", "sleep: not found\n", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parsePerf(test.out)
			if got != test.want || (err == nil) != test.ok {
				t.Errorf("got %v, %v; want %v, ok %v", got, err, test.want, test.ok)
			}
		})
	}
}

func TestReadLimits(t *testing.T) {
	got, err := readLimits(strings.NewReader("# remark\n\nallocations all 5\ninstructions off 0.5 # why\ninstructions all with the page 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []limit{{"allocations", "all", 5}, {"instructions", "off", 0.5}, {"instructions", "all with the page", 1}}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(limit{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"allocations all", "times all 5", "allocations all many"} {
		if _, err := readLimits(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestCompareFailsAboveALimit(t *testing.T) {
	limits := []limit{{"allocations", "all", 5}, {"instructions", "all", 0.7}}
	for _, test := range []struct {
		name     string
		measured map[limit]float64
		ok       bool
	}{
		{"at the limit", map[limit]float64{{kind: "allocations", name: "all"}: 5, {kind: "instructions", name: "all"}: 0.7}, true},
		{"not measured", map[limit]float64{{kind: "allocations", name: "all"}: 4}, true},
		{"above", map[limit]float64{{kind: "allocations", name: "all"}: 6}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := compare(limits, test.measured, &strings.Builder{}); (err == nil) != test.ok {
				t.Errorf("got %v, want ok %v", err, test.ok)
			}
		})
	}
}
