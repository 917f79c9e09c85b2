package traces

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// TestSummary: a gateway's request and the backend's spans of the same trace are one row.
func TestSummary(t *testing.T) {
	s := newStore(t, 0)
	id := request{
		id: traceOf(1), path: "/a/7?x=1", status: 503, took: 12500 * time.Microsecond, try: spanOf(1), service: "billing",
		attributes: map[string]string{"kong.route.name": "a-route", "kong.consumer.username": "jo"}, note: Note{Sampled: true},
	}.add(t, s)
	s.TakeSpans(sentBy("backend", backendSpan(id, spanOf(9), spanOf(1), "GET /a", tracepb.Span_SPAN_KIND_SERVER, 4, 6)))
	s.TakeLogs(logged("backend", id, 5, "hello"))
	page := s.List(nil, "", 10)
	want := []Summary{{
		ID: hexID(id), Number: 1, Time: 1.7e12, Duration: 12.5, Name: "kong", Method: "GET", Host: "api.test", Path: "/a/7?x=1", Route: "/a",
		Status: 503, Service: "billing", RouteName: "a-route", Consumer: "jo", RequestID: "0123456789abcdef0123456789abcdef",
		Services: []string{"kong", "backend"}, Gateway: true, Error: true, Errors: 1, Spans: 7, Logs: 1, Sampled: true,
	}}
	if diff := cmp.Diff(want, page.Traces); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if page.Next != "" {
		t.Errorf("next is %q after the last trace", page.Next)
	}
}

// TestSummaryWithoutGateway: what others send alone has its root's facts.
func TestSummaryWithoutGateway(t *testing.T) {
	s := newStore(t, 0)
	root := backendSpan(traceOf(1), spanOf(1), spanOf(0), "POST /orders", tracepb.Span_SPAN_KIND_SERVER, 2, 9)
	root.ParentSpanId = nil
	root.Attributes = append(root.Attributes, stringAttribute("http.request.method", "POST"), stringAttribute("url.path", "/orders"),
		stringAttribute("url.query", "x=1"), stringAttribute("http.response.status_code", "201"))
	child := backendSpan(traceOf(1), spanOf(2), spanOf(1), "query", tracepb.Span_SPAN_KIND_CLIENT, 1, 12)
	s.TakeSpans(sentBy("orders", child, root))
	got := s.List(nil, "", 10).Traces
	want := []Summary{{
		ID: hexID(traceOf(1)), Number: 1, Time: 1.7e12 + 1, Duration: 11, Name: "POST /orders", Method: "POST", Path: "/orders?x=1", Status: 201,
		Service: "orders", Services: []string{"orders"}, Spans: 2, Sampled: true,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	s.TakeLogs(logged("orders", traceOf(2), 5, "alone"))
	if row := s.List(nil, "", 1).Traces[0]; row.Time != 1.7e12+5 || row.Spans != 0 || row.Logs != 1 {
		t.Errorf("a trace of logs alone: %+v", row)
	}
}

// TestSpansComeOnce: what is sent again, or what the gateway exports to its own receiver, is there once.
func TestSpansComeOnce(t *testing.T) {
	s := newStore(t, 0)
	id := request{id: traceOf(1), root: spanOf(1)}.add(t, s)
	data, _ := s.OTLP(hexID(id))
	for range 2 {
		s.TakeSpans(data.GetResourceSpans())
	}
	if row := s.List(nil, "", 1).Traces[0]; row.Spans != 2 {
		t.Errorf("%d spans in the row, want 2", row.Spans)
	}
	trace, _ := s.Get(hexID(id))
	if len(trace.Spans) != 2 {
		t.Errorf("%d spans in the trace, want 2", len(trace.Spans))
	}
}

// TestEviction: the store stays within its limit, the oldest traces go first and whole, and what is left can be read.
func TestEviction(t *testing.T) {
	s := newStore(t, minLimit)
	const n = 3000
	for i := range n {
		id := request{path: fmt.Sprintf("/%d", i), attributes: map[string]string{"pad": strings.Repeat("x", i%700)}}.add(t, s)
		if i%3 == 0 {
			s.TakeLogs(logged("backend", id, 1, "line"))
		}
		if state := s.State(); state.Bytes > state.Limit {
			t.Fatalf("%d bytes after %d traces, limit %d", state.Bytes, i+1, state.Limit)
		}
	}
	state := s.State()
	if state.Traces < 100 || uint64(state.Traces)+state.Evicted != n || state.Oldest != state.Evicted+1 {
		t.Fatalf("state %+v", state)
	}
	if len(s.byID) != len(s.entries) {
		t.Errorf("%d ids for %d traces", len(s.byID), len(s.entries))
	}
	seen, before := 0, ""
	for number := uint64(n); ; {
		page := s.List(nil, before, 100)
		for _, row := range page.Traces {
			wantLogs := 0
			if (number-1)%3 == 0 {
				wantLogs = 1
			}
			if row.Number != number || row.Path != fmt.Sprintf("/%d", number-1) || row.Logs != wantLogs || row.Spans != 2 {
				t.Fatalf("row %d: %+v", number, row)
			}
			number--
			seen++
		}
		if before = page.Next; before == "" {
			break
		}
	}
	if seen != state.Traces {
		t.Errorf("%d traces in the list, %d in the store", seen, state.Traces)
	}
}

// TestOneTraceIsBounded: spans without end under one id neither push out the others nor are all taken.
func TestOneTraceIsBounded(t *testing.T) {
	s := newStore(t, minLimit)
	other := request{}.add(t, s)
	id := traceOf(1)
	rejected := 0
	for i := range 2000 {
		span := backendSpan(id, [8]byte{1, byte(i), byte(i >> 8)}, spanOf(0), strings.Repeat("n", 200), tracepb.Span_SPAN_KIND_SERVER, 0, 1)
		rejected += s.TakeSpans(sentBy("x", span)).Rejected
	}
	if rejected == 0 {
		t.Error("everything was taken")
	}
	if got := s.TakeSpans(sentBy("x", backendSpan(traceOf(2), spanOf(1), spanOf(0), strings.Repeat("n", minLimit), 1, 0, 1))); got.Rejected != 1 {
		t.Errorf("a span as large as the store: %+v", got)
	}
	if _, ok := s.Get(hexID(other)); !ok {
		t.Error("the other trace is gone")
	}
	if trace, ok := s.Get(hexID(id)); !ok || !trace.Clipped {
		t.Error("the trace does not say that spans are missing")
	}
	if state := s.State(); state.Refused == 0 {
		t.Error("nothing is counted as refused")
	}
}

// TestChanges: a cursor from the list leads to what came after it, changed traces included, and never to a trace twice
// without a change.
func TestChanges(t *testing.T) {
	s := newStore(t, 0)
	first := request{path: "/1"}.add(t, s)
	page := s.List(nil, "", 10)
	if got := s.Changes(nil, page.Resume, 10); len(got.Traces) != 0 || got.Reset || got.Skipped != 0 {
		t.Fatalf("nothing has changed, got %+v", got)
	}
	request{path: "/2"}.add(t, s)
	s.TakeLogs(logged("backend", first, 1, "late"))
	got := s.Changes(nil, page.Resume, 10)
	var paths []string
	for _, row := range got.Traces {
		paths = append(paths, row.Path)
	}
	if diff := cmp.Diff([]string{"/2", "/1"}, paths); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if again := s.Changes(nil, got.Next, 10); len(again.Traces) != 0 {
		t.Errorf("the same changes come again: %+v", again)
	}
	for i := range 5 {
		request{path: fmt.Sprint("/more", i)}.add(t, s)
	}
	many := s.Changes(nil, got.Next, 2)
	if len(many.Traces) != 2 || many.Traces[1].Path != "/more4" || many.Skipped != 3 {
		t.Errorf("of five the newest two: %+v", many)
	}
	s.Clear()
	if after := s.Changes(nil, many.Next, 10); !after.Reset || len(after.Traces) != 0 {
		t.Errorf("after clearing: %+v", after)
	}
	if odd := s.Changes(nil, "nonsense", 10); !odd.Reset {
		t.Error("a cursor of nobody's is taken")
	}
}

// TestClear: nothing is left, and the store goes on.
func TestClear(t *testing.T) {
	s := newStore(t, minLimit)
	for range 10 {
		id := request{}.add(t, s)
		s.Clear()
		if _, ok := s.Get(hexID(id)); ok || s.State().Traces != 0 || len(s.List(nil, "", 10).Traces) != 0 {
			t.Fatal("something is left")
		}
	}
	request{}.add(t, s)
	if s.State().Traces != 1 {
		t.Error("the store has ended")
	}
}

// TestManyAtOnce: writers and readers at once, for the race detector.
func TestManyAtOnce(t *testing.T) {
	s := newStore(t, minLimit)
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			for i := range 400 {
				id := request{path: fmt.Sprintf("/%d/%d", w, i), status: 200 + i%400}.add(t, s)
				s.TakeLogs(logged("backend", id, 1, "line"))
				s.Count("a", "b", time.Now(), time.Millisecond, false)
			}
		})
	}
	filter, err := ParseFilter("status>=300 /1")
	if err != nil {
		t.Fatal(err)
	}
	readers.Go(func() {
		cursor := s.List(nil, "", 1).Resume
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, row := range s.List(filter, "", 20).Traces {
				s.Get(row.ID)
			}
			cursor = s.Changes(filter, cursor, 50).Next
			s.Map()
			s.Completions()
			s.Overview(time.Now(), time.Minute)
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
	if s.State().Traces == 0 {
		t.Error("nothing was stored")
	}
}

// BenchmarkAdd stores a request whose spans have been encoded.
func BenchmarkAdd(b *testing.B) {
	from := newStore(b, 0)
	id := request{try: spanOf(1)}.add(b, from)
	found, _ := from.find(hexID(id))
	_, frames := splitOwn(found.parts[0].body)
	s := newStore(b, 0)
	r := &Request{Spans: frames, Note: Note{
		RouteID: "r", ServiceID: "s", Sampling: "rate 1", UpstreamURI: "/a",
		Tries: []Attempt{{IP: "127.0.0.1", Port: 80}},
	}}
	b.ReportAllocs()
	b.SetBytes(int64(len(frames)))
	for i := 0; b.Loop(); i++ {
		r.TraceID = [16]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24), 1}
		s.Add(r)
	}
}

// BenchmarkSearch looks through a full store for what is not there.
func BenchmarkSearch(b *testing.B) {
	s := newStore(b, 8<<20)
	for s.State().Evicted == 0 {
		request{try: spanOf(1)}.add(b, s)
	}
	filter, err := ParseFilter("nothing-like-this user.id=7")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.List(filter, "", 100)
	}
	b.ReportMetric(float64(s.State().Traces), "traces")
}
