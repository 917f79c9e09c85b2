package propagation

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"sidekong/tracing"
)

// wellFormed has what each header may look like that is written.
var wellFormed = map[string]*regexp.Regexp{
	traceparentKey:     regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]$`),
	b3Key:              regexp.MustCompile(`^([0-9a-f]{16}){1,2}-[0-9a-f]{16}-[01d](-[0-9a-f]{16})?$`),
	b3TraceIDKey:       regexp.MustCompile(`^([0-9a-f]{16}){1,2}$`),
	b3SpanIDKey:        regexp.MustCompile(`^[0-9a-f]{16}$`),
	b3ParentIDKey:      regexp.MustCompile(`^[0-9a-f]{16}$`),
	jaegerKey:          regexp.MustCompile(`^([0-9a-f]{16}){1,2}:[0-9a-f]{16}:([0-9a-f]{16}|0):0[01]$`),
	otTraceIDKey:       regexp.MustCompile(`^([0-9a-f]{16}){1,2}$`),
	otSpanIDKey:        regexp.MustCompile(`^[0-9a-f]{16}$`),
	otSampledKey:       regexp.MustCompile(`^[01]$`),
	datadogTraceIDKey:  regexp.MustCompile(`^[1-9][0-9]{0,19}$`),
	datadogParentIDKey: regexp.MustCompile(`^[1-9][0-9]{0,19}$`),
	datadogPriorityKey: regexp.MustCompile(`^[01]$`),
	awsKey:             regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]$`),
	gcpKey:             regexp.MustCompile(`^[0-9a-f]{32}/[1-9][0-9]{0,19};o=[01]$`),
	instanaTraceKey:    regexp.MustCompile(`^([0-9a-f]{16}){1,2}$`),
	instanaSpanKey:     regexp.MustCompile(`^[0-9a-f]{16}$`),
	instanaLevelKey:    regexp.MustCompile(`^[01]$`),
}

// written are the headers that injecting a format always writes.
var written = map[Format][]string{
	W3C: {traceparentKey}, B3: {b3TraceIDKey, b3SpanIDKey}, B3Single: {b3Key}, Jaeger: {jaegerKey},
	OT: {otTraceIDKey, otSpanIDKey, otSampledKey}, AWS: {awsKey}, GCP: {gcpKey},
	Datadog: {datadogTraceIDKey, datadogParentIDKey, datadogPriorityKey},
	Instana: {instanaTraceKey, instanaSpanKey, instanaLevelKey},
}

// checkRoundTrip holds an extractor to its promises on one request: what it finds is valid, and what is written back
// in the format is well-formed and says what was meant.
func checkRoundTrip(t *testing.T, f Format, h http.Header) {
	t.Helper()
	in, found := extract(f, h)
	if !in.TraceID.IsValid() && (in.TraceIDSize != 0 || in.SpanID.IsValid() || in.ParentID.IsValid() || found == guessed) {
		t.Fatalf("ids without a trace id in %+v", in)
	}
	if in.TraceIDSize > 16 || in.TraceID.IsValid() && in.TraceIDSize == 0 {
		t.Fatalf("trace id of %d bytes in %+v", in.TraceIDSize, in)
	}
	if found == absent {
		if in.Format != 0 {
			t.Fatalf("nothing found, but %+v", in)
		}
		return
	}
	if in.Format != f && !(f == B3 && in.Format == B3Single) {
		t.Fatalf("format is %v", in.Format)
	}

	p := mustNew(t, Config{Extract: []string{f.String()}, Inject: []string{"preserve"}})
	pass(p, h)
	for _, key := range written[in.Format] {
		if in.Format == Datadog && in.TraceID.IsValid() && [8]byte(in.TraceID[8:]) == [8]byte{} {
			if _, ok := h[key]; ok {
				t.Fatalf("%s is sent for a trace that Datadog can't name", key)
			}
			return
		}
		if values := h[key]; len(values) != 1 || !wellFormed[key].MatchString(values[0]) {
			t.Fatalf("%s is %q after %+v", key, values, in)
		}
	}

	want := in.TraceID
	if !want.IsValid() {
		want = newTrace
	}
	if in.Format == Datadog || in.Format == OT && !in.TraceID.IsValid() {
		clear(want[:8])
	}
	sampled := in.Sampled
	if sampled == tracing.Undecided {
		sampled = tracing.Keep
	}
	again := p.Extract(h)
	if again.TraceID != want || again.SpanID != balancer || again.Sampled != sampled || again.Format != in.Format {
		t.Fatalf("%+v\nwas sent as %v\nand is read as %+v", in, h, again)
	}
}

// request makes headers from pairs of key and value, without those that have no value. A line break in a value makes
// the header occur several times.
func request(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			h[pairs[i]] = strings.Split(pairs[i+1], "\n")
		}
	}
	return h
}

// seed adds the values that the vectors have for some headers to a fuzz target's corpus.
func seed(f *testing.F, keys ...string) {
	f.Helper()
	for _, v := range readLines[vector](f, "testdata/vectors.jsonl") {
		h := v.Headers.canonical()
		args, has := make([]any, len(keys)), false
		for i, key := range keys {
			args[i] = strings.Join(h[key], "\n")
			has = has || args[i] != ""
		}
		if has {
			f.Add(args...)
		}
	}
}

func FuzzW3C(f *testing.F) {
	seed(f, traceparentKey, tracestateKey)
	f.Fuzz(func(t *testing.T, traceparent, tracestate string) {
		h := request(traceparentKey, traceparent, tracestateKey, tracestate)
		checkRoundTrip(t, W3C, h)
		if lines, ok := h[tracestateKey]; ok && continuesW3C(h) && !validTraceState(lines) {
			t.Errorf("invalid tracestate %q goes upstream", lines)
		}
	})
}

// continuesW3C reports whether h holds a W3C trace that is continued.
func continuesW3C(h http.Header) bool {
	_, found := extractW3C(h)
	return found != absent
}

func FuzzB3(f *testing.F) {
	seed(f, b3Key, b3TraceIDKey, b3SpanIDKey, b3ParentIDKey, b3SampledKey, b3FlagsKey, tracestateKey)
	f.Fuzz(func(t *testing.T, b3, trace, span, parent, sampled, flags, tracestate string) {
		checkRoundTrip(t, B3, request(b3Key, b3, b3TraceIDKey, trace, b3SpanIDKey, span, b3ParentIDKey, parent,
			b3SampledKey, sampled, b3FlagsKey, flags, tracestateKey, tracestate))
	})
}

func FuzzJaeger(f *testing.F) {
	seed(f, jaegerKey, "Uberctx-User")
	f.Fuzz(func(t *testing.T, trace, baggage string) {
		checkRoundTrip(t, Jaeger, request(jaegerKey, trace, "Uberctx-User", baggage))
	})
}

func FuzzOT(f *testing.F) {
	seed(f, otTraceIDKey, otSpanIDKey, otSampledKey, "Ot-Baggage-User")
	f.Fuzz(func(t *testing.T, trace, span, sampled, baggage string) {
		checkRoundTrip(t, OT, request(otTraceIDKey, trace, otSpanIDKey, span, otSampledKey, sampled, "Ot-Baggage-User", baggage))
	})
}

func FuzzDatadog(f *testing.F) {
	seed(f, datadogTraceIDKey, datadogParentIDKey, datadogPriorityKey)
	f.Fuzz(func(t *testing.T, trace, parent, priority string) {
		checkRoundTrip(t, Datadog, request(datadogTraceIDKey, trace, datadogParentIDKey, parent, datadogPriorityKey, priority))
	})
}

func FuzzAWS(f *testing.F) {
	seed(f, awsKey)
	f.Fuzz(func(t *testing.T, value string) { checkRoundTrip(t, AWS, request(awsKey, value)) })
}

func FuzzGCP(f *testing.F) {
	seed(f, gcpKey)
	f.Fuzz(func(t *testing.T, value string) { checkRoundTrip(t, GCP, request(gcpKey, value)) })
}

func FuzzInstana(f *testing.F) {
	seed(f, instanaTraceKey, instanaSpanKey, instanaLevelKey)
	f.Fuzz(func(t *testing.T, trace, span, level string) {
		checkRoundTrip(t, Instana, request(instanaTraceKey, trace, instanaSpanKey, span, instanaLevelKey, level))
	})
}

// FuzzBaggage checks that what crosses is URL-encoded, means what it meant, and is stable.
func FuzzBaggage(f *testing.F) {
	for _, value := range []string{"", "a b", "a%20b%2f", "100%", "%zz%4", "a+b", "é\x00", "-._~!*'()"} {
		f.Add(value)
	}
	encoded := regexp.MustCompile(`^([A-Za-z0-9\-._~!*'()+]|%[0-9A-Fa-f]{2})*$`)
	f.Fuzz(func(t *testing.T, value string) {
		got := urlEncode(value)
		if !encoded.MatchString(got) || urlEncode(got) != got || encoded.MatchString(value) && got != value {
			t.Errorf("%q is encoded as %q, and that as %q", value, got, urlEncode(got))
		}
	})
}
