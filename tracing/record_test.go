package tracing

import (
	"testing"
	"time"
)

// TestRecordUnsampled: what is not sampled is recorded where somebody decides later, and nowhere else.
func TestRecordUnsampled(t *testing.T) {
	for _, test := range []struct {
		sampled, record    bool
		recording, settled bool
	}{
		{false, false, false, true},
		{false, true, true, true},
		{true, false, true, true},
	} {
		trace := NewTracer(All, 1).Start(time.Now())
		root := trace.StartSpan("kong", KindServer, Span{})
		if trace.Sampled() || !trace.Recording() {
			t.Errorf("before it is settled: sampled %v, recording %v", trace.Sampled(), trace.Recording())
		}
		trace.Adopt(Adoption{TraceID: NewTraceID(), Sampled: test.sampled, Record: test.record})
		trace.Adopt(Adoption{TraceID: NewTraceID(), Sampled: !test.sampled}) // the first call counts
		if trace.Sampled() != test.sampled || trace.Recording() != test.recording || trace.Settled() != test.settled {
			t.Errorf("%+v: sampled %v, recording %v", test, trace.Sampled(), trace.Recording())
		}
		root.SetString("a", "b")
		if _, there := root.Attr("a"); there != test.recording {
			t.Errorf("%+v: an attribute is kept: %v", test, there)
		}
		trace.Release()
	}
	var none *Trace
	if none.Sampled() || none.Recording() {
		t.Error("no trace is sampled")
	}
}
