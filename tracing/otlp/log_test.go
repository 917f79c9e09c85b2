package otlp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

func decodeLogs(t testing.TB, frames []byte) []*logspb.LogRecord {
	t.Helper()
	var scope logspb.ScopeLogs
	if err := proto.Unmarshal(frames, &scope); err != nil {
		t.Fatalf("unmarshal frames: %v", err)
	}
	return scope.GetLogRecords()
}

func TestLogRecord(t *testing.T) {
	at := time.Unix(1_700_000_000, 42)
	id, span := tracing.TraceID(bytesOf(t, "4bf92f3577b34da6a3ce929d0e0e4736")), tracing.SpanID(bytesOf(t, "00f067aa0ba902b7"))
	for _, test := range []struct {
		name string
		give otlp.LogRecord
		want *logspb.LogRecord
	}{
		{"bare", otlp.LogRecord{Time: at}, &logspb.LogRecord{Body: body("")}},
		{"whole", otlp.LogRecord{
			Time: at, Severity: 17, SeverityText: "ERR", Body: "a\xffb", TraceID: id, SpanID: span, Flags: 3,
			Attributes: []tracing.Attr{{Key: "a", Value: tracing.StringValue("b")}, {Key: "none"}},
			Encoded:    otlp.LogAttributes(nil, tracing.Attr{Key: "n", Value: tracing.IntValue(-1)}),
		}, &logspb.LogRecord{
			SeverityNumber: 17, SeverityText: "ERR", Body: body("a\uFFFDb"), TraceId: id[:], SpanId: span[:], Flags: 3,
			Attributes: []*commonpb.KeyValue{text("a", "b"), {Key: "n", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: -1}}}},
		}},
	} {
		test.want.TimeUnixNano, test.want.ObservedTimeUnixNano = uint64(at.UnixNano()), uint64(at.UnixNano())
		frames, n := test.give.AppendFrames(nil)
		if n != 1 {
			t.Errorf("%s: %d frames", test.name, n)
		}
		if diff := cmp.Diff([]*logspb.LogRecord{test.want}, decodeLogs(t, frames), protocmp.Transform()); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.name, diff)
		}
	}
}

func body(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func TestLogRecordWithin(t *testing.T) {
	const limit = 4096
	many := make([]tracing.Attr, 1000)
	for i := range many {
		many[i] = tracing.Attr{Key: "some key", Value: tracing.StringValue("some value")}
	}
	for _, test := range []struct {
		name string
		give otlp.LogRecord
		cut  bool
	}{
		{"short", otlp.LogRecord{Body: "b"}, false},
		{"long body", otlp.LogRecord{Body: strings.Repeat("é", 5000)}, true},
		{"long attribute", otlp.LogRecord{Body: "b", Attributes: []tracing.Attr{{Key: "k", Value: tracing.StringValue(strings.Repeat("x", 10_000))}}}, true},
		{"many attributes", otlp.LogRecord{Body: "b", Attributes: many}, true},
	} {
		frames, n := test.give.AppendFramesWithin(nil, limit)
		records := decodeLogs(t, frames)
		if n != 1 || len(records) != 1 || len(frames) > limit {
			t.Fatalf("%s: %d frames, %d records, %d bytes", test.name, n, len(records), len(frames))
		}
		marked := false
		for _, attr := range records[0].Attributes {
			marked = marked || attr.Key == otlp.Truncated
		}
		if marked != test.cut {
			t.Errorf("%s: marked %v, want %v", test.name, marked, test.cut)
		}
		if !test.cut && records[0].Body.GetStringValue() != test.give.Body {
			t.Errorf("%s: body %q", test.name, records[0].Body.GetStringValue())
		}
	}
}

func FuzzLogRecord(f *testing.F) {
	f.Add("GET / 200", "k", "v", 100)
	f.Add("\xff", "", "é", 16)
	f.Fuzz(func(t *testing.T, body, key, value string, limit int) {
		record := otlp.LogRecord{
			Time: time.Unix(1, 0), Body: body, Attributes: []tracing.Attr{{Key: key, Value: tracing.StringValue(value)}},
		}
		frames, _ := record.AppendFrames(nil)
		if got := decodeLogs(t, frames)[0].Body.GetStringValue(); got != strings.ToValidUTF8(body, "\uFFFD") {
			t.Errorf("body %q, want %q", got, body)
		}
		limit = min(max(limit, 200), 1<<16)
		short, _ := record.AppendFramesWithin(nil, limit)
		decodeLogs(t, short)
		if len(frames) <= limit && len(short) != len(frames) {
			t.Errorf("cut although it fits: %d of %d bytes", len(short), len(frames))
		}
	})
}

func BenchmarkLogRecord(b *testing.B) {
	record := otlp.LogRecord{Time: time.Unix(1, 0), Body: "GET / 200 1ms", TraceID: tracing.NewTraceID(), SpanID: tracing.NewSpanID()}
	for range 40 {
		record.Attributes = append(record.Attributes, tracing.Attr{Key: "http.request.header.accept", Value: tracing.StringValue("application/json")})
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = record.AppendFrames(buf[:0])
	}
}
