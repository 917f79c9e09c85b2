package otlp

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"sidekong/internal/collector"
	"sidekong/tracing"
)

func resourceOf(t testing.TB, attributes Resource) []byte {
	t.Helper()
	encoded, err := attributes.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// TestResources: what belongs to different resources arrives so, whatever the order in which it was queued, spans as
// well as log records; nothing of how that is told arrives.
func TestResources(t *testing.T) {
	trace := tracing.NewTracer(tracing.All, 1).Start(time.Now())
	root := trace.StartSpan("kong", tracing.KindServer, tracing.Span{})
	trace.StartSpan("kong.router", tracing.KindInternal, root).End()
	root.End()
	trace.Adopt(tracing.Adoption{TraceID: tracing.NewTraceID(), Sampled: true})

	a, b := resourceOf(t, Resource{"app": "a", "zone": "own"}), resourceOf(t, Resource{"app": "b"})
	var spans, logs []byte
	for _, resource := range [][]byte{a, nil, b, a} {
		spans, _ = Frames{Trace: trace, Resource: resource}.AppendFrames(spans)
		logs, _ = (&LogRecord{Time: time.Now(), Body: "line", Resource: resource}).AppendFrames(logs)
	}
	c := collector.Start(t)
	for _, post := range []struct {
		endpoint string
		signal   Signal
		frames   []byte
		n        int
	}{{c.URL(), Traces, spans, 8}, {c.LogsURL(), Logs, logs, 4}} {
		client := newTestClient(t, Config{Endpoint: post.endpoint, Signal: post.signal, Scope: "test", Resource: Resource{"zone": "base"}})
		if _, err := client.Send(t.Context(), post.frames, post.n); err != nil {
			t.Fatal(err)
		}
		// Another queue with the same folder takes them over.
		if _, err := client.SendWithHead(t.Context(), resourceOf(t, Resource{"zone": "left"}), post.frames, post.n); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int{"a own": 8, "none base": 2, "b base": 2, "none left": 2, "b left": 2}
	count := func(resource map[string]any) string {
		app, ok := resource["app"].(string)
		if !ok {
			app = "none"
		}
		return app + " " + resource["zone"].(string)
	}
	gotSpans, gotLogs := map[string]int{}, map[string]int{}
	for _, span := range c.Spans() {
		gotSpans[count(span.Resource)]++
		if unknown := span.ProtoReflect().GetUnknown(); len(unknown) > 0 || span.Scope != "test" {
			t.Errorf("unknown fields %x, scope %s", unknown, span.Scope)
		}
	}
	for _, log := range c.Logs() {
		gotLogs[count(log.Resource)] += 2 // two spans for each
		if unknown := log.ProtoReflect().GetUnknown(); len(unknown) > 0 || log.Scope != "test" {
			t.Errorf("unknown fields %x, scope %s", unknown, log.Scope)
		}
	}
	if diff := cmp.Diff(want, gotSpans); diff != "" {
		t.Errorf("spans: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(want, gotLogs); diff != "" {
		t.Errorf("logs: -want +got\n%s", diff)
	}
}

// TestCutKeepsResource: a record that is too long loses text, not its resource.
func TestCutKeepsResource(t *testing.T) {
	resource := resourceOf(t, Resource{"app": "a"})
	record := &LogRecord{Time: time.Now(), Body: string(make([]byte, 10_000)), Resource: resource}
	frames, _ := record.AppendFramesWithin(nil, 1000)
	if parts := byResource(frames); len(parts) != 1 || !bytes.Equal(parts[0].attributes, resource) {
		t.Errorf("got %v", parts)
	}
}

// FuzzByResource: whatever the bytes, no record is lost or made, and those without a resource stay as they are.
func FuzzByResource(f *testing.F) {
	record := &LogRecord{Time: time.Unix(1, 0), Body: "b", Resource: []byte("\x0a\x00")}
	marked, _ := record.AppendFrames(nil)
	record.Resource = nil
	plain, _ := record.AppendFrames(nil)
	f.Add(append(bytes.Clone(plain), plain...))
	f.Add(append(bytes.Clone(marked), plain...))
	f.Add([]byte{tagScopeRecord, 0x05, 0xfa, 0xe1, 0x09, 0x7f, 0})
	f.Fuzz(func(t *testing.T, frames []byte) {
		whole := 0 // the leading frames that are whole, as the queue has seen to
		for end := 0; end < len(frames); whole++ {
			number, kind, size := protowire.ConsumeField(frames[end:])
			_ = number
			if size < 0 || frames[end] != tagScopeRecord || kind != protowire.BytesType {
				frames = frames[:end]
				break
			}
			end += size
		}
		got := 0
		for _, part := range byResource(frames) {
			for rest := part.frames; len(rest) > 0; got++ {
				_, _, size := protowire.ConsumeField(rest)
				if size < 0 {
					t.Fatalf("%x is no frame", rest)
				}
				rest = rest[size:]
			}
		}
		want := 0
		for rest := frames; len(rest) > 0; want++ {
			_, _, size := protowire.ConsumeField(rest)
			rest = rest[size:]
		}
		if got != want {
			t.Errorf("%d records of %d", got, want)
		}
	})
}

// BenchmarkByResource is what looking for resources costs a post of 4 MiB in which there are none.
func BenchmarkByResource(b *testing.B) {
	var frames []byte
	for len(frames) < 4<<20 {
		frames, _ = (&LogRecord{Time: time.Unix(1, 0), Body: string(make([]byte, 300))}).AppendFrames(frames)
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(byResource(frames)) != 1 {
			b.Fatal("split")
		}
	}
}
