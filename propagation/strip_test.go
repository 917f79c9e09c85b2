package propagation

import (
	"net/http"
	"testing"

	"sidekong/tracing"
)

// TestStrip: what any format injects, Strip removes, and nothing else.
func TestStrip(t *testing.T) {
	p, err := New(Config{Inject: []string{"w3c", "b3", "b3-single", "jaeger", "ot", "datadog", "aws", "gcp", "instana"}, DefaultFormat: "w3c"})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	out := Outgoing{TraceID: tracing.NewTraceID(), SpanID: tracing.NewSpanID(), ParentID: tracing.NewSpanID(), Sampled: true}
	p.Inject(h, &Context{TraceID: out.TraceID, TraceIDSize: 16, TraceState: []string{"a=b"}}, out)
	h["Tracestate"] = []string{"a=b"}
	if len(h) < 15 {
		t.Fatalf("injected %d headers only: %v", len(h), h)
	}
	h["Baggage"], h["X-Mine"] = []string{"k=v"}, []string{"1"}
	Strip(h)
	if len(h) != 2 || h["Baggage"] == nil || h["X-Mine"] == nil {
		t.Errorf("left are %v", h)
	}
}
