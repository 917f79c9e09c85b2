package tracing_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// full makes a trace that has something of everything.
func full(tracer *tracing.Tracer) *tracing.Trace {
	trace := tracer.Start(time.Unix(1_700_000_000, 123_456_789))
	root := trace.StartSpanAt("kong", tracing.KindServer, tracing.Span{}, 0)
	trace.Adopt(tracing.Adoption{
		TraceID: tracing.TraceID{1, 2, 3}, Parent: tracing.SpanID{4}, State: "a=b", Flags: 2, Sampled: true,
	})
	trace.Link(tracing.Link{TraceID: tracing.TraceID{9}, SpanID: tracing.SpanID{8}, State: "c=d", Flags: 1})
	root.SetString("http.method", "GET")
	try := trace.StartSpanAt("kong.balancer", tracing.KindClient, root, 5)
	try.SetInt("try_count", 1)
	root.SetBool("flag", true)
	root.Set("share", tracing.FloatValue(0.25))
	root.SetString("gone", "x")
	root.Replace("gone", tracing.Value{})
	try.AddEvent("exception", tracing.Attr{Key: "exception.message", Value: tracing.StringValue("refused")})
	try.SetStatus(tracing.StatusError, "no answer")
	try.EndAt(900)
	root.SetString("http.url", "http://a.test/ä")
	root.EndAt(1000)
	return trace
}

func encoded(t *tracing.Trace) []byte {
	out, _ := otlp.Frames{Trace: t}.AppendFrames(nil)
	return out
}

// TestSnapshot: what is restored is exported as what was recorded.
func TestSnapshot(t *testing.T) {
	tracer := tracing.NewTracer(tracing.All, 1)
	trace := full(tracer)
	want := encoded(trace)
	snapshot := trace.AppendSnapshot([]byte("before"))
	trace.Release()
	restored, err := tracer.Restore(snapshot[len("before"):])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, encoded(restored)); diff != "" {
		t.Errorf("exported (-want +got):\n%s", diff)
	}
	if !restored.RemoteParent() || !restored.Sampled() || restored.State() != "a=b" {
		t.Error("the parent, the state or the decision is lost")
	}
	restored.Release()
	if again, err := tracer.Restore(snapshot[:20]); err == nil {
		t.Errorf("half a snapshot gives %v", again)
	}
}

// FuzzRestore: whatever the bytes are, they are a trace that can be exported or an error.
func FuzzRestore(f *testing.F) {
	tracer := tracing.NewTracer(tracing.All, 1)
	trace := full(tracer)
	f.Add(trace.AppendSnapshot(nil))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 200))
	f.Fuzz(func(_ *testing.T, snapshot []byte) {
		restored, err := tracer.Restore(snapshot)
		if err != nil {
			return
		}
		encoded(restored)
		restored.Release()
	})
}

func BenchmarkSnapshot(b *testing.B) {
	trace := full(tracing.NewTracer(tracing.All, 1))
	buf := trace.AppendSnapshot(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = trace.AppendSnapshot(buf[:0])
	}
}
