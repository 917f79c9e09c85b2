package opentelemetry

import (
	"bytes"
	"testing"
	"time"

	"sidekong/proxy/plugin"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// TestNotedFrames: what is noted of a trace is what its exporter gets, in the place of what was noted before.
func TestNotedFrames(t *testing.T) {
	trace := tracing.NewTracer(tracing.All, 1).Start(time.Unix(1_700_000_000, 0))
	root := trace.StartSpanAt("kong", tracing.KindServer, tracing.Span{}, 0)
	trace.Adopt(tracing.Adoption{TraceID: tracing.TraceID{1}, Sampled: true})
	root.SetString("http.method", "GET")
	root.EndAt(5)
	frames := otlp.Frames{Trace: trace}
	want, _ := frames.AppendFrames(nil)
	notes := &plugin.Notes{Spans: []byte("of another request")}
	got, n := notedFrames{frames, notes}.AppendFrames([]byte("before"))
	if n != 1 || !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Errorf("%d frames: %x, want %x", n, got, want)
	}
	if !bytes.Equal(notes.Spans, want) {
		t.Errorf("noted: %x, want %x", notes.Spans, want)
	}
	notes.TraceIn = [][2]string{{"Traceparent", "x"}}
	notes.Reset()
	if len(notes.Spans) != 0 || len(notes.TraceIn) != 0 || notes.TraceIn[:1][0] != [2]string{} {
		t.Errorf("after Reset: %+v", notes)
	}
}
