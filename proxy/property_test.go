package proxy_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sidekong/internal/collector"
	"sidekong/internal/upstream"
)

// scenario is a setting and the requests that are sent under it.
type scenario struct {
	instrumentations string
	rate             float64
	extract, inject  []string
	requests         []string // target, then header lines
}

// targets lead to upstreams that behave and misbehave in all ways, and to nothing.
var targets = []string{"/ok", "/ok", "/ok?a=b", "/flaky", "/closes", "/refused", "/dies", "/resets", "/500", "/nowhere", "/bare", "/.."}

var incoming = [][]string{
	{},
	{"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate: a=b"},
	{"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
	{"Traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01"},
	{"B3: a3ce929d0e0e4736-00f067aa0ba902b7-1"},
	{"B3: 0"},
	{"X-B3-Traceid: 4bf92f3577b34da6a3ce929d0e0e4736", "X-B3-Spanid: 00f067aa0ba902b7"},
	{"Uber-Trace-Id: 4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:01"},
	{"Ot-Tracer-Traceid: a3ce929d0e0e4736", "Ot-Tracer-Spanid: 00f067aa0ba902b7", "Ot-Tracer-Sampled: true"},
	{"Connection: close, traceparent, b3"},
}

func generate(rng *rand.Rand, requests int) scenario {
	kinds := []string{"request", "router", "balancer", "dns_query", "upstream", "plugin_access", "plugin_header_filter", "http_client"}
	s := scenario{rate: []float64{-1, 0.5, 1, 1}[rng.IntN(4)]}
	switch rng.IntN(4) {
	case 0:
		s.instrumentations = "all"
	case 1:
		s.instrumentations = kinds[rng.IntN(len(kinds))]
	default:
		rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		s.instrumentations = strings.Join(kinds[:1+rng.IntN(len(kinds))], ",")
	}
	for _, format := range []string{"w3c", "b3", "jaeger", "ot"} {
		if rng.IntN(2) == 0 {
			s.extract = append(s.extract, format)
		}
	}
	s.inject = [][]string{{"preserve"}, {"w3c"}, {"b3"}, {"b3-single", "preserve"}, {"jaeger"}, {"ot", "w3c"}}[rng.IntN(6)]
	for range requests {
		lines := append([]string{targets[rng.IntN(len(targets))]}, incoming[rng.IntN(len(incoming))]...)
		s.requests = append(s.requests, strings.Join(lines, "\r\n"))
	}
	return s
}

// parents gives the span ids that a request which arrived upstream names as its parent, and the trace ids.
func parents(r *upstream.Request) (spans, traces []string) {
	add := func(trace, span string) {
		spans = append(spans, span)
		traces = append(traces, strings.Repeat("0", max(32-len(trace), 0))+trace)
	}
	if parts := strings.Split(r.Header.Get("Traceparent"), "-"); len(parts) == 4 {
		add(parts[1], parts[2])
	}
	if parts := strings.Split(r.Header.Get("B3"), "-"); len(parts) > 2 {
		add(parts[0], parts[1])
	}
	if id := r.Header.Get("X-B3-Spanid"); id != "" {
		add(r.Header.Get("X-B3-Traceid"), id)
	}
	if parts := strings.Split(r.Header.Get("Uber-Trace-Id"), ":"); len(parts) == 4 {
		add(parts[0], parts[1])
	}
	if id := r.Header.Get("Ot-Tracer-Spanid"); id != "" {
		add(r.Header.Get("Ot-Tracer-Traceid"), id)
	}
	return spans, traces
}

// run sends the requests and checks what must hold whatever they are.
func (s scenario) run(t *testing.T) {
	t.Helper()
	var flaky []upstream.Behaviour
	for i := range 97 {
		flaky = append(flaky, []upstream.Behaviour{upstream.Answer("ok"), upstream.Closing("")}[i%2])
	}
	backends := map[string]*upstream.Upstream{
		"ok":      upstream.Start(t, upstream.Answer("ok")),
		"flaky":   upstream.Start(t, upstream.Sequence(flaky...)),
		"closes":  upstream.Start(t, upstream.Closing("")),
		"dies":    upstream.Start(t, upstream.Closing("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")),
		"resets":  upstream.Start(t, upstream.Reset("")),
		"500":     upstream.Start(t, upstream.Status(500, "no")),
		"refused": upstream.Start(t, nil),
	}
	backends["refused"].Stop()
	var config strings.Builder
	config.WriteString("routes:\n- paths: [/bare]\nservices:\n")
	for name, up := range backends {
		fmt.Fprintf(&config, "- {url: %q, retries: 2, routes: [{paths: [/%s]}]}\n", up.URL(), name)
	}
	fmt.Fprintf(&config, "plugins:\n- name: opentelemetry\n  config:\n    traces_endpoint: COLLECTOR\n    propagation: {extract: [%s], inject: [%s], default_format: w3c}\n",
		strings.Join(s.extract, ", "), strings.Join(s.inject, ", "))
	e := start(t, setup{instrumentations: s.instrumentations, rate: s.rate, config: config.String()})
	for _, request := range s.requests {
		target, header, _ := strings.Cut(request, "\r\n")
		if header != "" {
			header += "\r\n"
		}
		conn := e.dial()
		_, _ = io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: a.test\r\n"+header+"Connection: close\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
	all := e.spans()
	byID := map[string]collector.Span{}
	roots := map[string]collector.Span{} // by request id
	for _, span := range all {
		if _, twice := byID[hexID(span.SpanId)]; twice {
			t.Errorf("span id %x is used twice", span.SpanId)
		}
		byID[hexID(span.SpanId)] = span
		if span.Name == "kong" {
			roots[span.Attribute("kong.request.id").(string)] = span
		}
	}
	sampled := func(request string) bool {
		return !strings.Contains(request, "-00\r\n") && !strings.HasSuffix(request, "-00") && !strings.HasSuffix(request, "B3: 0")
	}
	if s.rate == 1 && slices.ContainsFunc(s.requests, sampled) && len(roots) == 0 {
		t.Error("nothing is exported")
	}
	for _, span := range all {
		if span.EndTimeUnixNano == 0 || span.StartTimeUnixNano > span.EndTimeUnixNano {
			t.Errorf("%s lasts from %d to %d", span.Name, span.StartTimeUnixNano, span.EndTimeUnixNano)
		}
		if span.Name == "kong" {
			if id := hexID(span.ParentSpanId); id != "" && id != "00f067aa0ba902b7" {
				t.Errorf("root's parent %s is nobody's", id)
			}
			continue
		}
		parent, ok := byID[hexID(span.ParentSpanId)]
		if !ok {
			t.Errorf("%s: parent %x is not exported", span.Name, span.ParentSpanId)
			continue
		}
		if string(parent.TraceId) != string(span.TraceId) {
			t.Errorf("%s is in another trace than its parent %s", span.Name, parent.Name)
		}
		if span.StartTimeUnixNano < parent.StartTimeUnixNano || span.EndTimeUnixNano > parent.EndTimeUnixNano {
			t.Errorf("%s (%d to %d) is not within %s (%d to %d)", span.Name, span.StartTimeUnixNano, span.EndTimeUnixNano,
				parent.Name, parent.StartTimeUnixNano, parent.EndTimeUnixNano)
		}
	}
	for name, up := range backends {
		for _, r := range up.Requests() {
			root, ok := roots[r.Header.Get("X-Kong-Request-Id")]
			if !ok {
				continue
			}
			spanIDs, traceIDs := parents(&r)
			ours := 0
			for i, id := range spanIDs {
				if id == "00f067aa0ba902b7" {
					continue // the client's, in a format that is not injected: it passes through
				}
				ours++
				span, ok := byID[id]
				if !ok {
					t.Errorf("%s was told parent %s, which is not exported", name, id)
					continue
				}
				if span.Name != "kong.balancer" && span.Name != "kong" {
					t.Errorf("%s was told parent %s", name, span.Name)
				}
				if trace := hexID(root.TraceId); !strings.HasSuffix(traceIDs[i], trace[16:]) {
					t.Errorf("%s was told trace %s, exported is %s", name, traceIDs[i], trace)
				}
			}
			if ours == 0 {
				t.Errorf("%s was told nothing: %s", name, r.Head)
			}
		}
	}
}

// TestInjectedParentsAreExported: over generated settings and requests, whatever fails, an upstream never names a
// parent that isn't exported, and every trace holds together.
func TestInjectedParentsAreExported(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			s := generate(rand.New(rand.NewPCG(seed, 1)), 25)
			s.run(t)
			if t.Failed() {
				t.Logf("%+v", s)
			}
		})
	}
}

func FuzzInjectedParents(f *testing.F) {
	for seed := range uint64(3) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { generate(rand.New(rand.NewPCG(seed, 2)), 8).run(t) })
}
