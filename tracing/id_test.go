package tracing

import (
	"strings"
	"testing"
)

func TestParseIDs(t *testing.T) {
	trace, span := NewTraceID(), NewSpanID()
	if got, ok := ParseTraceID(trace.String()); !ok || got != trace {
		t.Errorf("got %v, %v, want %v", got, ok, trace)
	}
	if got, ok := ParseSpanID(span.String()); !ok || got != span {
		t.Errorf("got %v, %v, want %v", got, ok, span)
	}
	for _, text := range []string{"", "0", trace.String()[1:], trace.String() + "0", strings.Repeat("x", 32), strings.Repeat("x", 16)} {
		if id, ok := ParseTraceID(text); ok {
			t.Errorf("%q is trace id %v", text, id)
		}
		if id, ok := ParseSpanID(text); ok {
			t.Errorf("%q is span id %v", text, id)
		}
	}
}

func TestSamplerRate(t *testing.T) {
	for _, rate := range []float64{0, 0.01, 0.5, 1} {
		if got := NewSampler(rate).Rate(); got < rate-1e-9 || got > rate+1e-9 {
			t.Errorf("%v: got %v", rate, got)
		}
	}
}
