package traces

import (
	"encoding/hex"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// origin is when the traces of tests begin.
var origin = time.Unix(1_700_000_000, 0)

var tracer = tracing.NewTracer(tracing.All, 1)

// request is a request of the gateway as a test wants it.
type request struct {
	id           tracing.TraceID
	at           time.Time
	path         string
	status       int
	took         time.Duration
	attributes   map[string]string // further ones of the root
	note         Note
	service      string
	parent, root tracing.SpanID
	try          tracing.SpanID // zero: no try
}

// add stores the request as the gateway would.
func (r request) add(t testing.TB, s *Store) tracing.TraceID {
	t.Helper()
	if !r.id.IsValid() {
		r.id = tracing.NewTraceID()
	}
	if r.at.IsZero() {
		r.at = origin
	}
	if r.took == 0 {
		r.took = 10 * time.Millisecond
	}
	if r.status == 0 {
		r.status = 200
	}
	if r.path == "" {
		r.path = "/a"
	}
	trace := tracer.Start(r.at)
	defer trace.Release()
	root := trace.StartReserved("kong", tracing.KindServer, tracing.Span{}, 0, r.root)
	trace.Adopt(tracing.Adoption{TraceID: r.id, Parent: r.parent, Sampled: true})
	ms := func(n int) tracing.Instant { return tracing.Instant(n) * tracing.Instant(time.Millisecond) }
	trace.StartSpanAt("kong.router", tracing.KindInternal, root, ms(0)).EndAt(ms(1))
	if r.try.IsValid() {
		try := trace.StartReserved("kong.balancer", tracing.KindClient, root, ms(2), r.try)
		trace.StartSpanAt("kong.send_request_to_upstream", tracing.KindInternal, try, ms(2)).EndAt(ms(3))
		trace.StartSpanAt("kong.read_headers_from_upstream", tracing.KindInternal, try, ms(3)).EndAt(ms(8))
		trace.StartSpanAt("kong.read_body_from_upstream", tracing.KindInternal, try, ms(8)).EndAt(ms(9))
		try.SetString("server.address", "backend.test")
		try.SetInt("server.port", 3000)
		try.EndAt(ms(9))
	}
	root.SetString("http.method", "GET")
	root.SetString("http.url", "http://api.test"+r.path)
	root.SetString("http.host", "api.test")
	root.SetInt("http.status_code", int64(r.status))
	root.SetString("http.route", "/a")
	root.SetString("kong.request.id", "0123456789abcdef0123456789abcdef")
	if r.service != "" {
		root.SetString("kong.service.name", r.service)
	}
	for key, value := range r.attributes {
		root.SetString(key, value)
	}
	if r.status >= 500 {
		root.SetStatus(tracing.StatusError, "")
	}
	root.EndAt(tracing.Instant(r.took))
	frames, _ := otlp.Frames{Trace: trace}.AppendFrames(nil)
	s.Add(&Request{TraceID: r.id, Spans: frames, Note: r.note})
	return r.id
}

// newStore makes a store that is closed with the test.
func newStore(t testing.TB, limit int64) *Store {
	t.Helper()
	resource, err := otlp.NewResource("1.0", "node", nil).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Limit: limit, Resource: resource})
	t.Cleanup(s.Close)
	return s
}

// ms is a time so many milliseconds after origin, as OTLP has it.
func ms(n int) uint64 { return uint64(origin.Add(time.Duration(n) * time.Millisecond).UnixNano()) }

func stringAttribute(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func resourceOf(service string) *resourcepb.Resource {
	return &resourcepb.Resource{Attributes: []*commonpb.KeyValue{stringAttribute("service.name", service)}}
}

// backendSpan is a span that an instrumented service sends.
func backendSpan(id tracing.TraceID, span, parent tracing.SpanID, name string, kind tracepb.Span_SpanKind, from, to int) *tracepb.Span {
	s := &tracepb.Span{TraceId: id[:], SpanId: span[:], Name: name, Kind: kind, StartTimeUnixNano: ms(from), EndTimeUnixNano: ms(to)}
	if parent.IsValid() {
		s.ParentSpanId = parent[:]
	}
	return s
}

func sentBy(service string, spans ...*tracepb.Span) []*tracepb.ResourceSpans {
	return []*tracepb.ResourceSpans{{Resource: resourceOf(service), ScopeSpans: []*tracepb.ScopeSpans{{
		Scope: &commonpb.InstrumentationScope{Name: "http", Version: "1.2"}, Spans: spans,
	}}}}
}

func logged(service string, id tracing.TraceID, at int, text string) []*logspb.ResourceLogs {
	return []*logspb.ResourceLogs{{Resource: resourceOf(service), ScopeLogs: []*logspb.ScopeLogs{{LogRecords: []*logspb.LogRecord{{
		TimeUnixNano: ms(at), SeverityNumber: 9, TraceId: id[:],
		Body: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: text}},
	}}}}}}
}

func hexID(id tracing.TraceID) string { return hex.EncodeToString(id[:]) }

func traceOf(n byte) tracing.TraceID { return tracing.TraceID{0: 0xaa, 15: n} }

func spanOf(n byte) tracing.SpanID { return tracing.SpanID{0: 0xbb, 7: n} }
