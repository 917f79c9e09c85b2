package propagation

import (
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/tracing"
)

func bigDecimal(id [16]byte) string { return new(big.Int).SetBytes(id[:]).String() }

// What the vectors don't show.
func TestExtract(t *testing.T) {
	const (
		trace      = "80f198ee56343ba864fe8b2a57d3eff7"
		span       = "e457b5a2e4d86bd1"
		largest64  = "18446744073709551615"
		above64    = "18446744073709551616"
		largest128 = "340282366920938463463374607431768211455"
		above128   = "340282366920938463463374607431768211456"
	)
	id, spanID := mustTraceID(trace), mustSpanID(span)
	all := tracing.TraceID{}
	for i := range all {
		all[i] = 0xff
	}
	cases := []struct {
		name   string
		format Format
		h      http.Header
		want   Context
		found  worth
	}{
		{
			"b3: decision in b3, ids in x-b3", B3, request(b3Key, "0", b3TraceIDKey, trace, b3SpanIDKey, span, b3SampledKey, "1"),
			Context{TraceID: id, TraceIDSize: 16, SpanID: spanID, Sampled: tracing.Drop, Format: B3, staleSingle: true},
			usable,
		},
		{
			"b3: decision in b3, bad ids in x-b3", B3, request(b3Key, "d", b3TraceIDKey, "12"),
			Context{Sampled: tracing.Force, Format: B3Single},
			malformed,
		},
		{"b3: repeated b3", B3, request(b3Key, "0\n1"), Context{Format: B3, staleSingle: true}, malformed},
		{
			"b3: repeated flags", B3, request(b3FlagsKey, "1\n1", b3TraceIDKey, trace),
			Context{TraceID: id, TraceIDSize: 16, Format: B3},
			usable,
		},
		{
			"b3: repeated parent", B3, request(b3TraceIDKey, trace, b3SpanIDKey, span, b3ParentIDKey, span+"\n"+span),
			Context{Format: B3},
			malformed,
		},
		{
			"b3: zero parent", B3, request(b3TraceIDKey, trace, b3SpanIDKey, span, b3ParentIDKey, "0000000000000000"),
			Context{TraceID: id, TraceIDSize: 16, SpanID: spanID, Format: B3},
			usable,
		},
		{
			"b3: more members in tracestate", B3, request(tracestateKey, "b3="+trace+"-"+span+"-1 ,a=1"),
			Context{TraceID: id, TraceIDSize: 16, SpanID: spanID, Sampled: tracing.Keep, Format: B3Single},
			usable,
		},
		{"b3: tracestate with b3 elsewhere", B3, request(tracestateKey, "a=1,b3=1"), Context{}, absent},
		{
			"b3: trailing dash", B3, request(b3Key, trace+"-"+span+"-d-"),
			Context{TraceID: id, TraceIDSize: 16, SpanID: spanID, Sampled: tracing.Force, Format: B3Single},
			usable,
		},
		{"b3: trace id alone", B3, request(b3Key, trace), Context{Format: B3Single}, malformed},

		{"jaeger: empty parent", Jaeger, request(jaegerKey, trace+":"+span+"::1"), Context{}, absent},
		{
			"jaeger: long parent", Jaeger, request(jaegerKey, trace+":"+span+":"+strings.Repeat("a", 100)+":1"),
			Context{TraceID: id, TraceIDSize: 16, SpanID: spanID, Sampled: tracing.Keep, Format: Jaeger},
			usable,
		},
		{"jaeger: zero span", Jaeger, request(jaegerKey, trace+":0:0:1"), Context{}, absent},
		{"jaeger: repeated", Jaeger, request(jaegerKey, trace+":1:0:1\n"+trace+":1:0:1"), Context{}, absent},

		{
			"ot: zero span", OT, request(otTraceIDKey, trace, otSpanIDKey, "0000000000000000", otSampledKey, "1"),
			Context{Sampled: tracing.Keep, Format: OT},
			malformed,
		},
		{"ot: span without trace", OT, request(otSpanIDKey, span), Context{}, absent},
		{
			"ot: span without trace, sampled", OT, request(otSpanIDKey, span, otSampledKey, "0"),
			Context{Sampled: tracing.Drop, Format: OT},
			malformed,
		},
		{"ot: repeated sampled", OT, request(otSampledKey, "1\n1"), Context{}, absent},

		{
			"datadog: largest ids", Datadog, request(datadogTraceIDKey, largest128, datadogParentIDKey, largest64),
			Context{TraceID: all, TraceIDSize: 16, SpanID: tracing.SpanID(all[:8]), Format: Datadog},
			usable,
		},
		{
			"datadog: parent above 64 bits", Datadog, request(datadogTraceIDKey, "1", datadogParentIDKey, above64),
			Context{TraceID: tracing.TraceID{15: 1}, TraceIDSize: 1, Format: Datadog},
			usable,
		},
		{"datadog: trace above 128 bits", Datadog, request(datadogTraceIDKey, above128), Context{}, absent},
		{
			"datadog: leading zeros", Datadog, request(datadogTraceIDKey, strings.Repeat("0", 50)+"256"),
			Context{TraceID: tracing.TraceID{14: 1}, TraceIDSize: 2, Format: Datadog},
			usable,
		},
		{
			"datadog: zero trace, parent ignored", Datadog, request(datadogTraceIDKey, "0", datadogParentIDKey, "5", datadogPriorityKey, "1"),
			Context{Sampled: tracing.Keep, Format: Datadog},
			malformed,
		},
		{"datadog: sign", Datadog, request(datadogTraceIDKey, "-1"), Context{}, absent},
		{
			"datadog: priority -1", Datadog, request(datadogTraceIDKey, "1", datadogPriorityKey, "-1"),
			Context{TraceID: tracing.TraceID{15: 1}, TraceIDSize: 1, Sampled: tracing.Drop, Format: Datadog},
			usable,
		},
		{
			"datadog: repeated parent", Datadog, request(datadogTraceIDKey, "1", datadogParentIDKey, "2\n2"),
			Context{TraceID: tracing.TraceID{15: 1}, TraceIDSize: 1, Format: Datadog},
			usable,
		},

		{"aws: sampled alone", AWS, request(awsKey, "Sampled=0"), Context{Sampled: tracing.Drop, Format: AWS}, usable},
		{"aws: nothing known", AWS, request(awsKey, "Self=1;;x"), Context{}, absent},
		{"aws: version 2", AWS, request(awsKey, "Root=2-80f198ee-56343ba864fe8b2a57d3eff7"), Context{}, absent},
		{
			"aws: zero parent", AWS, request(awsKey, "Root=1-80f198ee-56343ba864fe8b2a57d3eff7;Parent=0000000000000000"),
			Context{TraceID: id, TraceIDSize: 16, Format: AWS},
			usable,
		},

		{
			"gcp: no span", GCP, request(gcpKey, trace+"/0;o=1"),
			Context{TraceID: id, TraceIDSize: 16, Sampled: tracing.Keep, Format: GCP},
			usable,
		},
		{
			"gcp: largest span", GCP, request(gcpKey, trace+"/"+largest64),
			Context{TraceID: id, TraceIDSize: 16, SpanID: tracing.SpanID(all[:8]), Format: GCP},
			usable,
		},
		{"gcp: 21 digits", GCP, request(gcpKey, trace+"/000000000000000000001"), Context{}, absent},
		{"gcp: no slash", GCP, request(gcpKey, trace), Context{}, absent},
		{"gcp: other option", GCP, request(gcpKey, trace+"/1;p=1"), Context{}, absent},

		{
			"instana: no level", Instana, request(instanaTraceKey, trace, instanaSpanKey, span),
			Context{TraceID: id, TraceIDSize: 16, SpanID: spanID, Format: Instana},
			usable,
		},
		{
			"instana: repeated level", Instana, request(instanaTraceKey, trace, instanaSpanKey, span, instanaLevelKey, "1\n0"),
			Context{TraceID: id, TraceIDSize: 16, SpanID: spanID, Format: Instana},
			usable,
		},
		{
			"instana: ids too long", Instana, request(instanaTraceKey, trace+"0", instanaSpanKey, span),
			Context{Format: Instana},
			malformed,
		},
		{
			"instana: suppressed, repeated trace", Instana, request(instanaTraceKey, trace+"\n"+trace, instanaSpanKey, span, instanaLevelKey, "0"),
			Context{Sampled: tracing.Drop, Format: Instana},
			malformed,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, found := extract(c.format, c.h)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(Context{})); diff != "" || found != c.found {
				t.Errorf("worth %d, want %d (-want +got)\n%s", found, c.found, diff)
			}
		})
	}
}

// A repeated header is a stranger's mistake or trick: no format may fail on it or continue one of its values.
func TestRepeatedHeaders(t *testing.T) {
	for _, v := range readLines[vector](t, "testdata/vectors.jsonl") {
		for name := range v.Headers {
			h := v.Headers.canonical()
			key := http.CanonicalHeaderKey(name)
			h[key] = append(h[key], h[key]...)
			for f := range written {
				checkRoundTrip(t, f, h.Clone())
			}
		}
	}
}

// The first format that names a trace is followed; a broken one in front of it, or one of a later version, is not.
func TestOrder(t *testing.T) {
	const jaeger = "80f198ee56343ba864fe8b2a57d3eff7:e457b5a2e4d86bd1:0:1"
	later := "01" + w3cGood[2:]
	cases := []struct {
		name    string
		extract []string
		h       http.Header
		want    Format
		traced  bool
	}{
		{"first", []string{"jaeger", "w3c"}, request(traceparentKey, w3cGood, jaegerKey, jaeger), Jaeger, true},
		{"broken, then good", []string{"b3", "jaeger"}, request(b3Key, "x", jaegerKey, jaeger), Jaeger, true},
		{"broken, then broken", []string{"instana", "b3"}, request(b3Key, "x", instanaTraceKey, "x", instanaSpanKey, "x"), Instana, false},
		{"a decision counts", []string{"b3", "jaeger"}, request(b3Key, "0", jaegerKey, jaeger), B3Single, false},
		{"later version, then known", []string{"w3c", "jaeger"}, request(traceparentKey, later, jaegerKey, jaeger), Jaeger, true},
		{"later version, then broken", []string{"w3c", "b3"}, request(traceparentKey, later, b3Key, "x"), W3C, true},
		{"broken, then later version", []string{"b3", "w3c"}, request(traceparentKey, later, b3Key, "x"), W3C, true},
		{"not in the list", []string{"ot"}, request(traceparentKey, w3cGood), 0, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := mustNew(t, Config{Extract: c.extract}).Extract(c.h)
			if in.Format != c.want || in.TraceID.IsValid() != c.traced {
				t.Errorf("got %+v, want format %v, with a trace: %t", in, c.want, c.traced)
			}
		})
	}
}

func TestInject(t *testing.T) {
	high := tracing.TraceID{0: 1} // its last eight bytes are zero
	cases := []struct {
		name   string
		inject string
		h      http.Header
		in     Context
		out    Outgoing
		want   http.Header
	}{
		{"no trace", "w3c", request(traceparentKey, "x"), Context{}, Outgoing{SpanID: balancer}, request(traceparentKey, "x")},
		{"no span", "w3c", request(traceparentKey, "x"), Context{}, Outgoing{TraceID: newTrace}, request(traceparentKey, "x")},
		{
			"b3 without a parent", "b3", request(b3ParentIDKey, "12", b3FlagsKey, "1", b3SampledKey, "0\n1"),
			Context{},
			Outgoing{TraceID: newTrace, SpanID: balancer, Sampled: true},
			request(b3TraceIDKey, newTrace.String(), b3SpanIDKey, balancer.String(), b3SampledKey, "1"),
		},
		{
			"datadog can't name it", "datadog", request(datadogTraceIDKey, "1", datadogParentIDKey, "2", datadogPriorityKey, "1"),
			Context{},
			Outgoing{TraceID: high, SpanID: balancer},
			request(),
		},
		{
			"ot needs all of it", "ot", request(),
			Context{},
			Outgoing{TraceID: high, SpanID: balancer},
			request(otTraceIDKey, high.String(), otSpanIDKey, balancer.String(), otSampledKey, "0"),
		},
		{
			"ot does not cut", "ot", request(),
			Context{TraceID: newTrace, TraceIDSize: 11},
			Outgoing{TraceID: newTrace, SpanID: balancer},
			request(otTraceIDKey, newTrace.String(), otSpanIDKey, balancer.String(), otSampledKey, "0"),
		},
		{
			"the width of another trace does not matter", "jaeger", request(),
			Context{TraceID: tracing.TraceID{15: 1}, TraceIDSize: 8},
			Outgoing{TraceID: newTrace, SpanID: balancer},
			request(jaegerKey, newTrace.String()+":"+balancer.String()+":0:00"),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			mustNew(t, Config{Inject: []string{c.inject}}).Inject(c.h, &c.in, c.out)
			if diff := cmp.Diff(c.want, c.h); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBaggage(t *testing.T) {
	const jaeger = "80f198ee56343ba864fe8b2a57d3eff7:e457b5a2e4d86bd1:0:1"
	many := func(n int) http.Header {
		h := request(jaegerKey, jaeger)
		for i := range n {
			h[fmt.Sprintf("Uberctx-K%d", i)] = []string{"v"}
		}
		return h
	}
	cases := []struct {
		name    string
		inject  string
		clear   []string
		h       http.Header
		want    map[string][]string // of baggage headers that go upstream
		without []string            // and that don't
	}{
		{
			name: "crosses encoded", inject: "ot", h: request(jaegerKey, jaeger, "Uberctx-User", "a b%20c+d=é"),
			want: map[string][]string{"Ot-Baggage-User": {"a%20b%20c+d%3D%C3%A9"}, "Uberctx-User": {"a b%20c+d=é"}},
		},
		{
			name: "crosses, all occurrences", inject: "ot", h: request(jaegerKey, jaeger, "Uberctx-User", "a\nb"),
			want: map[string][]string{"Ot-Baggage-User": {"a", "b"}},
		},
		{
			name: "replaces what is there", inject: "ot", h: request(jaegerKey, jaeger, "Uberctx-User", "a", "Ot-Baggage-User", "x\ny"),
			want: map[string][]string{"Ot-Baggage-User": {"a"}},
		},
		{
			name: "stays as it came", inject: "jaeger", h: request(jaegerKey, jaeger, "Uberctx-User", "a b"),
			want: map[string][]string{"Uberctx-User": {"a b"}},
		},
		{
			name: "sent though cleared", inject: "jaeger", clear: []string{"uberctx-user"}, h: request(jaegerKey, jaeger, "Uberctx-User", "a b"),
			want: map[string][]string{"Uberctx-User": {"a%20b"}},
		},
		{
			name: "no other format", inject: "w3c", clear: []string{"uberctx-user"}, h: request(jaegerKey, jaeger, "Uberctx-User", "a"),
			without: []string{"Uberctx-User"},
		},
		{name: "no name", inject: "ot", h: request(jaegerKey, jaeger, "Uberctx-", "a"), without: []string{"Ot-Baggage-"}},
		{name: "as many as may cross", inject: "ot", h: many(maxBaggageItems), want: map[string][]string{"Ot-Baggage-K0": {"v"}}},
		{
			name: "too many to cross", inject: "ot", h: many(maxBaggageItems + 1),
			want: map[string][]string{"Uberctx-K0": {"v"}}, without: []string{"Ot-Baggage-K0", "Ot-Baggage-K64"},
		},
		{
			name: "too long to cross", inject: "ot", h: request(jaegerKey, jaeger, "Uberctx-A", strings.Repeat("x", maxBaggageSize)),
			without: []string{"Ot-Baggage-A"},
		},
		{
			name: "W3C baggage is not touched", inject: "w3c", h: request(jaegerKey, jaeger, "Baggage", "a=1;p, b = 2\n,,"),
			want: map[string][]string{"Baggage": {"a=1;p, b = 2", ",,"}},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			pass(mustNew(t, Config{Extract: []string{"jaeger"}, Inject: []string{c.inject}, Clear: c.clear}), c.h)
			for key, want := range c.want {
				if diff := cmp.Diff(want, c.h[key]); diff != "" {
					t.Errorf("%s (-want +got)\n%s", key, diff)
				}
			}
			for _, key := range c.without {
				if got, ok := c.h[key]; ok {
					t.Errorf("%s is sent: %q", key, got)
				}
			}
		})
	}
}

func TestLogTraceID(t *testing.T) {
	const digits, low, number = "0af7651916cd43dd8448eb211c80319c", "8448eb211c80319c", "9532127138774266268"
	every := []string{"w3c", "b3", "b3-single", "jaeger", "ot", "datadog", "aws", "gcp", "instana"}
	narrow := Context{TraceID: tracing.TraceID{15: 1}, TraceIDSize: 8, Format: Jaeger}
	cases := []struct {
		name   string
		inject []string
		in     Context
		id     tracing.TraceID
		want   map[string]string
	}{
		{"generated", every, Context{}, newTrace, map[string]string{
			"w3c": digits, "b3": digits, "jaeger": digits, "ot": low, "datadog": number,
			"aws": digits, "gcp": digits, "instana": digits,
		}},
		{"64 bits", every, narrow, narrow.TraceID, map[string]string{
			"w3c": "00000000000000000000000000000001", "b3": "0000000000000001", "jaeger": "0000000000000001",
			"ot": "0000000000000001", "datadog": "1", "aws": "00000000000000000000000000000001",
			"gcp": "00000000000000000000000000000001", "instana": "0000000000000001",
		}},
		{"preserved", []string{"preserve"}, narrow, narrow.TraceID, map[string]string{"jaeger": "0000000000000001"}},
		{"single form", []string{"preserve"}, Context{Format: B3Single}, newTrace, map[string]string{"b3": digits}},
		{"none", []string{}, Context{}, newTrace, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := mustNew(t, Config{Inject: c.inject}).LogTraceID(&c.in, c.id)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Headers far larger than any server lets through are read in time linear in their size: anything more would take
// minutes here.
func TestHugeHeaders(t *testing.T) {
	const size = 4 << 20
	values := []string{
		strings.Repeat("0", size), strings.Repeat("a", size), strings.Repeat("1-", size/2), strings.Repeat(":", size),
		strings.Repeat(";=", size/2), strings.Repeat(",", size), "cc" + w3cGood[2:] + strings.Repeat("-", size),
		strings.Repeat("%", size), "b3=" + strings.Repeat("b3=", size/3),
	}
	p := mustNew(t, Config{HeaderType: "preserve", InstanaByDefault: true})
	start := time.Now()
	for _, value := range values {
		h := http.Header{}
		for key := range wellFormed {
			h[key] = []string{value}
			pass(p, http.Header{key: {value}, tracestateKey: {value}, "Ot-Baggage-A": {value}})
		}
		pass(p, h)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// A header that Extract read is not changed by Inject, but replaced: the caller's own map may share its values.
func TestInjectLeavesValuesAlone(t *testing.T) {
	for _, v := range readLines[vector](t, "testdata/vectors.jsonl") {
		before := v.Headers.canonical()
		shared := http.Header{}
		maps.Copy(shared, before)
		pass(v.propagator(t), shared)
		if diff := cmp.Diff(v.Headers.canonical(), before); diff != "" {
			t.Errorf("%s (-want +got)\n%s", v.ID, diff)
		}
	}
}
