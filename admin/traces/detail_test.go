package traces

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// whole stores a request that a client made and a backend answered, all three with spans, and gives the trace.
func whole(t *testing.T) *Trace {
	t.Helper()
	s := newStore(t, 0)
	id := traceOf(1)
	client := backendSpan(id, spanOf(1), spanOf(0), "GET", tracepb.Span_SPAN_KIND_CLIENT, -5, 15)
	client.ParentSpanId = nil
	s.TakeSpans(sentBy("browser", client))
	request{
		id: id, parent: spanOf(1), root: spanOf(2), try: spanOf(3), service: "hello", path: "/a/7?x=1",
		attributes: map[string]string{
			"http.scheme": "http", "http.target": "/a/7?x=1&token=REDACTED",
			"http.request.headers":  `{"accept-encoding":"gzip","traceparent":"00-aa-bb-01","x-multi":["1","2"],"authorization":"REDACTED","content-length":"2"}`,
			"http.request.body":     `it's {"a":1}`,
			"http.response.headers": `{"content-type":"application/json"}`,
			"http.response.body":    `{"ok":…truncated`,
		},
		note: Note{
			Sampled: true, Sampling: "sampled: rate 1", TraceIn: [][2]string{{"Traceparent", "00-aa-bb-01"}}, TraceOut: [][2]string{{"Traceparent", "00-aa-cc-01"}},
			RouteID: "r", ServiceID: "s", Host: "api.test:8000", UpstreamURI: "/7", UpstreamStatus: 200, BytesSent: 5,
			Request: 10 * time.Millisecond, Gateway: time.Millisecond, Upstream: -1, Receive: time.Millisecond,
			Tries: []Attempt{{IP: "10.0.0.1", Port: 80, Code: 502, State: "failed"}, {IP: "::1", Port: 80}},
		},
	}.add(t, s)
	server := backendSpan(id, spanOf(4), spanOf(3), "GET /7", tracepb.Span_SPAN_KIND_SERVER, 4, 7)
	query := backendSpan(id, spanOf(5), spanOf(4), "query", tracepb.Span_SPAN_KIND_CLIENT, 5, 6)
	query.Attributes = append(query.Attributes, stringAttribute("db.system", "postgresql"), stringAttribute("db.name", "shop"))
	s.TakeSpans(sentBy("backend", query, server))
	s.TakeLogs(logged("backend", id, 5, "asked"))
	trace, ok := s.Get(hexID(id))
	if !ok {
		t.Fatal("the trace is not here")
	}
	return trace
}

// TestTree: spans of all services in one tree, depth first.
func TestTree(t *testing.T) {
	trace := whole(t)
	var got []string
	for _, s := range trace.Spans {
		got = append(got, strings.Repeat("  ", s.Depth)+s.Service+" "+s.Name)
	}
	want := []string{
		"browser GET",
		"  kong kong",
		"    kong kong.router",
		"    kong kong.balancer",
		"      kong kong.send_request_to_upstream",
		"      kong kong.read_headers_from_upstream",
		"      backend GET /7",
		"        backend query",
		"      kong kong.read_body_from_upstream",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	root := trace.Spans[1]
	if root.Start != 5 || root.Duration != 10 || root.Self != 2 || root.Missing {
		t.Errorf("root %+v", root)
	}
	if len(trace.Logs) != 1 || trace.Logs[0].Body != "asked" || trace.Logs[0].Severity != "info" || trace.Logs[0].Service != "backend" {
		t.Errorf("logs %+v", trace.Logs)
	}
}

// TestStrip: whose time it was, without gaps.
func TestStrip(t *testing.T) {
	trace := whole(t)
	type segment struct {
		Who, What   string
		Start, Last float64
	}
	var got []segment
	for _, s := range trace.Strip {
		got = append(got, segment{s.Who, s.What, s.Start, s.Start + s.Duration})
	}
	want := []segment{
		{"client", "before the gateway had the request", 0, 5},
		{"gateway", "finding the route", 5, 6},
		{"gateway", "between its phases", 6, 7},
		{"network", "sending the request", 7, 8},
		{"network", "on the way to the upstream", 8, 9},
		{"upstream", "the upstream at work", 9, 12},
		{"network", "on the way back", 12, 13},
		{"upstream", "the answer's body", 13, 14},
		{"gateway", "between its phases", 14, 15},
		{"client", "after the gateway had answered", 15, 20},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("strip (-want +got):\n%s", diff)
	}
}

// TestCriticalPath: it covers the trace from begin to end, once.
func TestCriticalPath(t *testing.T) {
	trace := whole(t)
	at := 0.0
	var names []string
	for _, s := range trace.Critical {
		if s.Start != at {
			t.Errorf("%s begins at %v, the one before ended at %v", trace.Spans[s.Span].Name, s.Start, at)
		}
		at = s.Start + s.Duration
		names = append(names, trace.Spans[s.Span].Name)
	}
	if at != 20 {
		t.Errorf("it ends at %v, want 20", at)
	}
	want := []string{
		"GET", "kong.router", "kong", "kong.send_request_to_upstream", "kong.read_headers_from_upstream",
		"kong.read_body_from_upstream", "kong", "GET",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("path (-want +got):\n%s", diff)
	}
}

// TestCriticalPathOfOverlaps: of children that ran at once the one that ended last counts.
func TestCriticalPathOfOverlaps(t *testing.T) {
	s := newStore(t, 0)
	id := traceOf(1)
	root := backendSpan(id, spanOf(1), spanOf(0), "root", tracepb.Span_SPAN_KIND_SERVER, 0, 10)
	root.ParentSpanId = nil
	s.TakeSpans(sentBy("x",
		root,
		backendSpan(id, spanOf(2), spanOf(1), "short", tracepb.Span_SPAN_KIND_INTERNAL, 1, 4),
		backendSpan(id, spanOf(3), spanOf(1), "long", tracepb.Span_SPAN_KIND_INTERNAL, 3, 8),
		backendSpan(id, spanOf(4), spanOf(1), "later", tracepb.Span_SPAN_KIND_INTERNAL, 9, 20),
		backendSpan(id, spanOf(5), spanOf(1), "after", tracepb.Span_SPAN_KIND_INTERNAL, 30, 40),
	))
	trace, _ := s.Get(hexID(id))
	var names []string
	for _, p := range trace.Critical {
		names = append(names, trace.Spans[p.Span].Name)
	}
	if diff := cmp.Diff([]string{"root", "long", "root", "later"}, names); diff != "" {
		t.Errorf("path (-want +got):\n%s", diff)
	}
}

// TestBrokenTrees: cycles, spans that are their own parents, parents that are missing.
func TestBrokenTrees(t *testing.T) {
	s := newStore(t, 0)
	id := traceOf(1)
	s.TakeSpans(sentBy("x",
		backendSpan(id, spanOf(1), spanOf(2), "a", 1, 0, 1), backendSpan(id, spanOf(2), spanOf(1), "b", 1, 0, 1),
		backendSpan(id, spanOf(3), spanOf(3), "self", 1, 0, 1), backendSpan(id, spanOf(4), spanOf(9), "orphan", 1, 5, 1),
	))
	trace, _ := s.Get(hexID(id))
	if len(trace.Spans) != 4 {
		t.Fatalf("%d spans, want 4", len(trace.Spans))
	}
	for _, span := range trace.Spans {
		if span.Name == "orphan" && (!span.Missing || span.Duration != 0) {
			t.Errorf("the orphan, which ends before it begins: %+v", span)
		}
	}
}

// TestGatewayRecord: what is known of the request, what was captured, and the command to send it again.
func TestGatewayRecord(t *testing.T) {
	trace := whole(t)
	want := []GatewayRecord{{
		Span: 1, RequestID: "0123456789abcdef0123456789abcdef", TraceIn: []Header{{"traceparent", "00-aa-bb-01"}}, TraceOut: []Header{{"traceparent", "00-aa-cc-01"}},
		Sampling: "sampled: rate 1", Sampled: true, RouteID: "r", ServiceID: "s", UpstreamURI: "/7", UpstreamStatus: 200, BytesSent: 5,
		Request: 10, Gateway: 1, Upstream: -1, Receive: 1,
		Tries: []Try{{"10.0.0.1:80", 502, "failed"}, {"[::1]:80", 0, ""}},
		RequestMessage: &Message{
			Line: "GET /a/7?x=1&token=REDACTED HTTP/1.1", Body: `it's {"a":1}`, HasBody: true, Size: -1,
			Headers: []Header{
				{"accept-encoding", "gzip"},
				{"authorization", "REDACTED"},
				{"content-length", "2"},
				{"traceparent", "00-aa-bb-01"},
				{"x-multi", "1"},
				{"x-multi", "2"},
			},
		},
		ResponseMessage: &Message{
			Line: "HTTP/1.1 200", Headers: []Header{{"content-type", "application/json"}}, Type: "application/json",
			Body: `{"ok":…truncated`, HasBody: true, Size: -1, Truncated: true,
		},
		Curl: "curl -X GET 'http://api.test:8000/a/7?x=1&token=REDACTED' \\\n  -H 'authorization: REDACTED' \\\n  -H 'x-multi: 1' \\\n" +
			"  -H 'x-multi: 2' \\\n  --compressed \\\n  --data-raw 'it'\\''s {\"a\":1}'",
	}}
	if diff := cmp.Diff(want, trace.Requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestMap: who called whom.
func TestMap(t *testing.T) {
	s := newStore(t, 0)
	for i := range 3 {
		id := traceOf(byte(i + 1))
		request{id: id, try: spanOf(3), status: 200 + 300*(i%2)}.add(t, s)
		server := backendSpan(id, spanOf(4), spanOf(3), "GET /7", tracepb.Span_SPAN_KIND_SERVER, 4, 7)
		query := backendSpan(id, spanOf(5), spanOf(4), "query", tracepb.Span_SPAN_KIND_CLIENT, 5, 6)
		query.Attributes = append(query.Attributes, stringAttribute("db.system", "postgresql"), stringAttribute("db.name", "shop"))
		s.TakeSpans(sentBy("backend", server, query))
	}
	request{id: traceOf(9), try: spanOf(3)}.add(t, s) // this backend sends nothing
	got := s.Map()
	want := Map{
		Traces: 4,
		Nodes: []Node{
			{ID: "client", Name: "outside", Kind: "client", Requests: 4, Errors: 1, Mean: 10},
			{ID: "database:postgresql shop", Name: "postgresql shop", Kind: "database", Requests: 3, Mean: 1},
			{ID: "external:backend.test:3000", Name: "backend.test:3000", Kind: "external", Requests: 1, Mean: 7},
			{ID: "service:backend", Name: "backend", Kind: "service", Requests: 3, Mean: 3},
			{ID: "service:kong", Name: "kong", Kind: "gateway", Requests: 4, Errors: 1, Mean: 10},
		},
		Edges: []Edge{
			{From: "client", To: "service:kong", Requests: 4, Errors: 1, Mean: 10},
			{From: "service:backend", To: "database:postgresql shop", Requests: 3, Mean: 1},
			{From: "service:kong", To: "external:backend.test:3000", Requests: 1, Mean: 7},
			{From: "service:kong", To: "service:backend", Requests: 3, Mean: 3},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("map (-want +got):\n%s", diff)
	}
	names, values := s.Completions()
	if len(names) == 0 || values["http.method"] == nil {
		t.Errorf("completions %v %v", names, values)
	}
}
