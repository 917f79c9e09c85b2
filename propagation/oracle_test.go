package propagation

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"testing"

	contribb3 "go.opentelemetry.io/contrib/propagators/b3"
	contribjaeger "go.opentelemetry.io/contrib/propagators/jaeger"
	otel "go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"sidekong/tracing"
)

// The propagators of opentelemetry-go-contrib are the oracle for B3 and Jaeger on what both should read alike: one
// occurrence of each header, ids in lower case and in full, fields where the format's documents put them. Outside of
// it contrib and Kong differ; docs/decisions/0003-own-codecs-for-b3-and-jaeger.md lists where.

// ids are what a fuzzer makes a request from.
type ids struct {
	high, low, span, parent uint64
	wide                    bool // the trace id has 32 digits
}

func (i ids) trace() string {
	if i.wide {
		return fmt.Sprintf("%016x%016x", i.high, i.low)
	}
	return fmt.Sprintf("%016x", i.low)
}

func (i ids) valid() bool { return i.span != 0 && (i.low != 0 || i.wide && i.high != 0) }

// agree compares what the oracle reads from a request with what we read, both ways round: whether there is a trace,
// its ids and its decision, and what the oracle then reads from what we send on.
func agree(t *testing.T, oracle otel.TextMapPropagator, f Format, h http.Header, wantTrace bool, want tracing.Decision) {
	t.Helper()
	theirs := trace.SpanContextFromContext(oracle.Extract(context.Background(), otel.HeaderCarrier(h.Clone())))
	ours, _ := extract(f, h)
	if theirs.IsValid() != wantTrace || ours.TraceID.IsValid() != wantTrace {
		t.Fatalf("%v: a trace is wanted: %t, oracle %t, we %t", h, wantTrace, theirs.IsValid(), ours.TraceID.IsValid())
	}
	if !wantTrace {
		return
	}
	if tracing.TraceID(theirs.TraceID()) != ours.TraceID || tracing.SpanID(theirs.SpanID()) != ours.SpanID {
		t.Fatalf("%v: oracle reads %v, we %+v", h, theirs, ours)
	}
	if ours.Sampled != want || theirs.IsSampled() != (want == tracing.Keep || want == tracing.Force) {
		t.Fatalf("%v: decision is %v, oracle %t, want %v", h, ours.Sampled, theirs.IsSampled(), want)
	}

	pass(mustNew(t, Config{Extract: []string{f.String()}, Inject: []string{"preserve"}}), h)
	sent := trace.SpanContextFromContext(oracle.Extract(context.Background(), otel.HeaderCarrier(h)))
	if tracing.TraceID(sent.TraceID()) != ours.TraceID || tracing.SpanID(sent.SpanID()) != balancer ||
		sent.IsSampled() != (want != tracing.Drop) {
		t.Fatalf("we send %v, the oracle reads %v", h, sent)
	}
}

func FuzzB3Oracle(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(3), uint64(4), true, byte(0), true)
	f.Add(uint64(0), uint64(2), uint64(3), uint64(0), false, byte(1), false)
	f.Add(uint64(0), uint64(0), uint64(3), uint64(1), true, byte(2), true)
	f.Add(uint64(1), uint64(1), uint64(0), uint64(1), true, byte(3), false)
	oracle := contribb3.New()
	f.Fuzz(func(t *testing.T, high, low, span, parent uint64, wide bool, state byte, single bool) {
		i := ids{high, low, span, parent, wide}
		decision := tracing.Decision(state % 4)
		h := http.Header{}
		if single {
			value := fmt.Sprintf("%s-%016x", i.trace(), i.span)
			if decision != tracing.Undecided {
				value += "-" + map[tracing.Decision]string{tracing.Drop: "0", tracing.Keep: "1", tracing.Force: "d"}[decision]
				if parent != 0 {
					value += fmt.Sprintf("-%016x", parent)
				}
			}
			h[b3Key] = []string{value}
		} else {
			h[b3TraceIDKey], h[b3SpanIDKey] = []string{i.trace()}, []string{fmt.Sprintf("%016x", span)}
			if parent != 0 {
				h[b3ParentIDKey] = []string{fmt.Sprintf("%016x", parent)}
			}
			switch decision {
			case tracing.Drop:
				h[b3SampledKey] = []string{"0"}
			case tracing.Keep:
				h[b3SampledKey] = []string{"true"}
			case tracing.Force:
				h[b3FlagsKey] = []string{"1"}
			}
		}
		agree(t, oracle, B3, h, i.valid(), decision)
	})
}

func FuzzJaegerOracle(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(3), uint64(4), byte(1), byte(0))
	f.Add(uint64(0), uint64(2), uint64(3), uint64(0), byte(0), byte(7))
	f.Add(uint64(0), uint64(0), uint64(3), uint64(0), byte(3), byte(15))
	f.Add(uint64(5), uint64(0), uint64(0), uint64(0), byte(2), byte(3))
	oracle := contribjaeger.Jaeger{}
	f.Fuzz(func(t *testing.T, high, low, span, parent uint64, flags, cut byte) {
		// Leading zeros may be missing from any id.
		i := ids{high, low, span, parent, true}
		digits := i.trace()
		for n := cut % 32; n > 0 && digits[0] == '0'; n-- {
			digits = digits[1:]
		}
		h := http.Header{jaegerKey: {fmt.Sprintf("%s:%x:%x:%x", digits, span, parent, flags)}}
		decision := tracing.Drop
		if flags&1 != 0 {
			decision = tracing.Keep
		}
		agree(t, oracle, Jaeger, h, i.valid(), decision)
	})
}

// FuzzDecimal holds the 128-bit reader to encoding the number again, by halves.
func FuzzDecimal(f *testing.F) {
	f.Add(uint64(0), uint64(0))
	f.Add(uint64(1), uint64(0))
	f.Add(^uint64(0), ^uint64(0))
	f.Fuzz(func(t *testing.T, high, low uint64) {
		var id [16]byte
		binary.BigEndian.PutUint64(id[:8], high)
		binary.BigEndian.PutUint64(id[8:], low)
		text := bigDecimal(id)
		gotHigh, gotLow, ok := parseDecimal(text)
		if !ok || gotHigh != high || gotLow != low {
			t.Errorf("%s is read as %x %x, %t; want %x %x", text, gotHigh, gotLow, ok, high, low)
		}
	})
}
