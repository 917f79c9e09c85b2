package tracing_test

import (
	"strings"
	"testing"
	"time"

	"sidekong/tracing"
)

// TestText: what Text has copied stays as it is, however much follows, and costs nothing where a trace came before.
func TestText(t *testing.T) {
	tracer := tracing.NewTracer(tracing.All, 1)
	trace := tracer.Start(time.Now())
	var values []tracing.Value
	var want []string
	buf := make([]byte, 0, 10_000)
	for i := range 300 {
		buf = append(buf[:0], strings.Repeat(string(rune('a'+i%26)), i*31)...)
		values, want = append(values, trace.Text(buf)), append(want, string(buf))
	}
	for i, value := range values {
		if value.Text != want[i] {
			t.Fatalf("text %d has changed", i)
		}
	}
	trace.Release()
	var none *tracing.Trace
	if got := none.Text([]byte("a")); got.Text != "" {
		t.Errorf("no trace: got %q", got.Text)
	}
}

// TestRoom: what is written in a trace's room becomes a value where it stands, and is no other text's.
func TestRoom(t *testing.T) {
	tracer := tracing.NewTracer(tracing.All, 1)
	for range 2 {
		trace := tracer.Start(time.Now())
		var values []tracing.Value
		var want []string
		for i := range 300 {
			text := strings.Repeat(string(rune('a'+i%26)), i*31%5000)
			room := trace.Room()
			if len(room) != 0 {
				t.Fatalf("text %d: room has %q", i, room)
			}
			if i%7 == 0 { // nothing comes of it
				_ = append(room, "nothing"...)
				continue
			}
			values, want = append(values, trace.Taken(append(room, text...))), append(want, text)
			if i%3 == 0 {
				values, want = append(values, trace.Text([]byte(text))), append(want, text)
			}
		}
		for i, value := range values {
			if value.Text != want[i] {
				t.Fatalf("text %d has changed", i)
			}
		}
		trace.Release()
	}
	var none *tracing.Trace
	if got := none.Taken(append(none.Room(), 'a')); got.Text != "" {
		t.Errorf("no trace: got %q", got.Text)
	}
}

func BenchmarkText(b *testing.B) {
	tracer := tracing.NewTracer(tracing.All, 1)
	text := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		trace := tracer.Start(time.Time{})
		trace.Text(text)
		trace.Text(text)
		trace.Release()
	}
}
