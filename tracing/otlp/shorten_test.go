package otlp_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

func TestAppendFramesWithin(t *testing.T) {
	const limit = 4096
	build := func(fill func(tracing.Span)) *tracing.Trace {
		trace := tracing.NewTracer(tracing.All, 1).Start(time.Unix(1_700_000_000, 0))
		small := trace.StartSpan("small", tracing.KindServer, tracing.Span{})
		small.SetString("a", "b")
		small.End()
		big := trace.StartSpan("big", tracing.KindClient, small)
		fill(big)
		big.End()
		return trace
	}
	tests := []struct {
		name string
		fill func(tracing.Span)
		cut  bool
		want map[string]int // lengths of the big span's texts; nil: none are left
	}{
		{"short", func(s tracing.Span) { s.SetString("k", "v") }, false, map[string]int{"k": 1}},
		{"one long text", func(s tracing.Span) {
			s.SetString("k", "v")
			s.SetString("body", strings.Repeat("x", 10_000))
		}, true, map[string]int{"k": 1, "body": 2048}},
		{"two long texts of characters", func(s tracing.Span) {
			s.SetString("one", strings.Repeat("é", 5000))
			s.SetString("two", strings.Repeat("€", 5000))
		}, true, map[string]int{"one": 1024, "two": 1023}},
		{"an event and a status", func(s tracing.Span) {
			s.RecordError(strings.Repeat("x", 10_000))
			s.SetStatus(tracing.StatusError, strings.Repeat("y", 10_000))
		}, true, map[string]int{}},
		{"many short ones", func(s tracing.Span) {
			for range 1000 {
				s.SetString("some key", "some value")
			}
		}, true, nil},
		{"a long key", func(s tracing.Span) { s.SetString(strings.Repeat("k", 10_000), "v") }, true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			trace := build(tt.fill)
			whole, _ := otlp.Frames{Trace: trace}.AppendFrames(nil)
			got, n := otlp.Frames{Trace: trace}.AppendFramesWithin([]byte{}, limit)
			spans := decode(t, got)
			if n != 2 || len(spans) != 2 {
				t.Fatalf("%d frames, %d spans, want 2", n, len(spans))
			}
			want := decode(t, whole)
			if diff := cmp.Diff(want[0], spans[0], protocmp.Transform()); diff != "" {
				t.Errorf("the short span has changed:\n%s", diff)
			}
			big := spans[1]
			if !tt.cut {
				if diff := cmp.Diff(want[1], big, protocmp.Transform()); diff != "" {
					t.Error(diff)
				}
				return
			}
			if len(got) > 2*limit {
				t.Errorf("%d bytes for two spans of %d at most", len(got), limit)
			}
			attributes := big.Attributes
			mark := attributes[len(attributes)-1]
			if mark.Key != otlp.Truncated || !mark.Value.GetBoolValue() {
				t.Errorf("last attribute is %v, want the mark", mark)
			}
			var lengths map[string]int
			if tt.want != nil {
				lengths = map[string]int{}
			}
			for _, a := range attributes[:len(attributes)-1] {
				text := a.Value.GetStringValue()
				lengths[a.Key] = len(text)
				if !utf8.ValidString(text) {
					t.Errorf("%s is no UTF-8", a.Key)
				}
			}
			if diff := cmp.Diff(tt.want, lengths); diff != "" {
				t.Error(diff)
			}
			// All that is not text stands as it was.
			big.Attributes, big.Events, big.Status = nil, nil, nil
			want[1].Attributes, want[1].Events, want[1].Status = nil, nil, nil
			if diff := cmp.Diff(want[1], big, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzAppendFramesWithin(f *testing.F) {
	f.Add("name", "key", strings.Repeat("text ", 100), 1, 300)
	f.Add("", "k\xff", "é", 500, 200)
	f.Fuzz(func(t *testing.T, name, key, text string, n, limit int) {
		limit = max(limit, 300)
		trace := tracing.NewTracer(tracing.All, 1).Start(time.Unix(1_700_000_000, 0))
		span := trace.StartSpan(name, tracing.KindServer, tracing.Span{})
		for range n % 1000 {
			span.SetString(key, text)
		}
		span.RecordError(text)
		span.SetStatus(tracing.StatusError, text)
		span.End()
		frames, count := otlp.Frames{Trace: trace}.AppendFramesWithin(nil, limit)
		if spans := decode(t, frames); len(spans) != count || count != 1 {
			t.Errorf("%d spans of %d", len(spans), count)
		}
		if len(frames) > limit {
			t.Errorf("%d bytes, want %d at most", len(frames), limit)
		}
	})
}
