package otlp_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

func bytesOf(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t *testing.T, frames []byte) []*tracepb.Span {
	t.Helper()
	var scope tracepb.ScopeSpans
	if err := proto.Unmarshal(frames, &scope); err != nil {
		t.Fatalf("unmarshal frames: %v", err)
	}
	if unknown := scope.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Fatalf("unknown fields: %x", unknown)
	}
	return scope.GetSpans()
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func TestAppendFrames(t *testing.T) {
	tracer := tracing.NewTracer(tracing.All, 1)
	at := time.Unix(1_700_000_000, 42)
	trace := tracer.Start(at)
	root := trace.StartSpanAt("kong", tracing.KindServer, tracing.Span{}, 0)
	root.SetString("http.method", "GET")
	root.SetString("not.utf8", "a\xffb")
	root.SetInt("http.status_code", 200)
	root.SetInt("negative", -1)
	root.SetBool("yes", true)
	root.SetBool("no", false)
	root.Set("half", tracing.FloatValue(0.5))
	root.SetString("gone", "x")
	root.Replace("gone", tracing.Value{})
	root.SetString("empty", "")
	child := trace.StartSpanAt("kong.balancer", tracing.KindClient, root, 1000)
	child.RecordError("connection refused")
	child.SetStatus(tracing.StatusError, "failed")
	child.EndAt(5000)
	root.EndAt(300_000_000)
	trace.Adopt(tracing.Adoption{
		TraceID: tracing.TraceID(bytesOf(t, "4bf92f3577b34da6a3ce929d0e0e4736")),
		Parent:  tracing.SpanID(bytesOf(t, "00f067aa0ba902b7")),
		State:   "a=b",
		Flags:   2,
		Sampled: true,
	})
	trace.Link(tracing.Link{
		TraceID: tracing.TraceID(bytesOf(t, "0af7651916cd43dd8448eb211c80319c")),
		SpanID:  tracing.SpanID(bytesOf(t, "b7ad6b7169203331")),
		State:   "c=d", Flags: 1,
	})

	frames, n := otlp.Frames{Trace: trace}.AppendFrames(nil)
	if n != 2 {
		t.Fatalf("frames: got %d, want 2", n)
	}
	got := decode(t, frames)
	rootID, childID := root.ID(), child.ID()
	eventTime := got[1].GetEvents()[0].GetTimeUnixNano()
	traceID := bytesOf(t, "4bf92f3577b34da6a3ce929d0e0e4736")
	want := []*tracepb.Span{
		{
			TraceId: traceID, SpanId: rootID[:], ParentSpanId: bytesOf(t, "00f067aa0ba902b7"), TraceState: "a=b",
			Name: "kong", Kind: tracepb.Span_SPAN_KIND_SERVER, Flags: 0x303,
			StartTimeUnixNano: uint64(at.UnixNano()), EndTimeUnixNano: uint64(at.UnixNano()) + 300_000_000,
			Attributes: []*commonpb.KeyValue{
				text("http.method", "GET"),
				text("not.utf8", "a\uFFFDb"),
				{Key: "http.status_code", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 200}}},
				{Key: "negative", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: -1}}},
				{Key: "yes", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
				{Key: "no", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: false}}},
				{Key: "half", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.5}}},
				text("empty", ""),
			},
			Links: []*tracepb.Span_Link{{
				TraceId: bytesOf(t, "0af7651916cd43dd8448eb211c80319c"), SpanId: bytesOf(t, "b7ad6b7169203331"),
				TraceState: "c=d", Flags: 0x301,
			}},
		},
		{
			TraceId: traceID, SpanId: childID[:], ParentSpanId: rootID[:], TraceState: "a=b",
			Name: "kong.balancer", Kind: tracepb.Span_SPAN_KIND_CLIENT, Flags: 0x103,
			StartTimeUnixNano: uint64(at.UnixNano()) + 1000, EndTimeUnixNano: uint64(at.UnixNano()) + 5000,
			Events: []*tracepb.Span_Event{{
				TimeUnixNano: eventTime, Name: "exception", Attributes: []*commonpb.KeyValue{text("exception.message", "connection refused")},
			}},
			Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "failed"},
		},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	canonical, err := proto.MarshalOptions{Deterministic: true}.Marshal(&tracepb.ScopeSpans{Spans: got})
	if err != nil {
		t.Fatal(err)
	}
	if len(canonical) != len(frames) {
		t.Errorf("frames are %d bytes, the official encoding %d", len(frames), len(canonical))
	}
}

func FuzzAppendFrames(f *testing.F) {
	f.Add("kong", "key", "value", int64(1), "error", "event")
	f.Add("\xff", "\xc3\x28", string(make([]byte, 300)), int64(-1), "\x80", "")
	f.Fuzz(func(t *testing.T, name, key, value string, number int64, status, event string) {
		trace := tracing.NewTracer(tracing.All, 1).Start(time.Unix(1, 0))
		root := trace.StartSpan(name, tracing.KindServer, tracing.Span{})
		root.SetString(key, value)
		root.SetInt(key, number)
		root.AddEvent(event, tracing.Attr{Key: key, Value: tracing.StringValue(value)})
		root.SetStatus(tracing.StatusError, status)
		root.End()
		trace.Adopt(tracing.Adoption{TraceID: tracing.NewTraceID(), Sampled: true})
		frames, n := otlp.Frames{Trace: trace}.AppendFrames(nil)
		if got := len(decode(t, frames)); got != n {
			t.Fatalf("spans: got %d, want %d", got, n)
		}
	})
}

func BenchmarkAppendFrames(b *testing.B) {
	trace := tracing.NewTracer(tracing.All, 1).Start(time.Now())
	root := trace.StartSpan("kong", tracing.KindServer, tracing.Span{})
	for range 8 {
		span := trace.StartSpan("kong.access.plugin.opentelemetry", tracing.KindInternal, root)
		for range 4 {
			span.SetString("net.peer.name", "backend.example.com")
		}
		span.End()
	}
	root.End()
	trace.Adopt(tracing.Adoption{TraceID: tracing.NewTraceID(), Sampled: true})
	buf := make([]byte, 0, 8192)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = otlp.Frames{Trace: trace}.AppendFrames(buf[:0])
	}
}
