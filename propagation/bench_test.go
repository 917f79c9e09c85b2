package propagation

import (
	"maps"
	"net/http"
	"testing"
)

// typical is a request in each format.
var typical = map[Format]http.Header{
	W3C:      {traceparentKey: {w3cGood}, tracestateKey: {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}},
	B3:       {b3TraceIDKey: {w3cTrace}, b3SpanIDKey: {w3cSpan}, b3ParentIDKey: {"05e3ac9a4f6e3b90"}, b3SampledKey: {"1"}},
	B3Single: {b3Key: {w3cTrace + "-" + w3cSpan + "-1-05e3ac9a4f6e3b90"}},
	Jaeger:   {jaegerKey: {w3cTrace + ":" + w3cSpan + ":0:1"}},
	OT:       {otTraceIDKey: {w3cTrace}, otSpanIDKey: {w3cSpan}, otSampledKey: {"true"}},
	Datadog:  {datadogTraceIDKey: {"11803532876627986230"}, datadogParentIDKey: {"67667974448284343"}, datadogPriorityKey: {"1"}},
	AWS:      {awsKey: {"Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=" + w3cSpan + ";Sampled=1"}},
	GCP:      {gcpKey: {w3cTrace + "/67667974448284343;o=1"}},
	Instana:  {instanaTraceKey: {w3cTrace}, instanaSpanKey: {w3cSpan}, instanaLevelKey: {"1"}},
}

// usual are headers that a request has besides.
var usual = http.Header{
	"Accept": {"*/*"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"curl/8.5.0"}, "Content-Type": {"application/json"},
	"X-Request-Id": {"a8c5b1de-5f5e-4f0e-9b5e-0c5f3b8e6b1a"}, "Authorization": {"Bearer x"},
}

func typicalRequest(f Format) http.Header {
	h := usual.Clone()
	maps.Copy(h, typical[f])
	return h
}

func extractor(f Format) string {
	if f == B3Single {
		f = B3
	}
	return f.String()
}

func TestExtractDoesNotAllocate(t *testing.T) {
	p := mustNew(t, Config{HeaderType: "preserve", InstanaByDefault: true})
	for f := W3C; f <= Instana; f++ {
		h := typicalRequest(f)
		if n := testing.AllocsPerRun(100, func() {
			if in := p.Extract(h); in.Format != f || !in.SpanID.IsValid() {
				t.Errorf("%v is read as %+v", f, in)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", f, n)
		}
	}
}

func TestInjectAllocatesTwice(t *testing.T) {
	for f := W3C; f <= Instana; f++ {
		h := typicalRequest(f)
		p := mustNew(t, Config{Extract: []string{extractor(f)}, Inject: []string{"preserve"}})
		in := p.Extract(h)
		out := Outgoing{TraceID: in.TraceID, SpanID: balancer, ParentID: rootSpan, Sampled: true}
		if n := testing.AllocsPerRun(100, func() { p.Inject(h, &in, out) }); n > 2 {
			t.Errorf("%v: %v allocations", f, n)
		}
	}
}

func BenchmarkExtract(b *testing.B) {
	for f := W3C; f <= Instana; f++ {
		p, h := mustNew(b, Config{Extract: []string{extractor(f)}}), typicalRequest(f)
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if in := p.Extract(h); !in.SpanID.IsValid() {
					b.Fatal("nothing extracted")
				}
			}
		})
	}
	// Kong's default tries B3 before w3c.
	p, h := mustNew(b, Config{HeaderType: "preserve"}), typicalRequest(W3C)
	b.Run("default", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if in := p.Extract(h); !in.SpanID.IsValid() {
				b.Fatal("nothing extracted")
			}
		}
	})
}

func BenchmarkInject(b *testing.B) {
	for f := W3C; f <= Instana; f++ {
		h := typicalRequest(f)
		p := mustNew(b, Config{Extract: []string{extractor(f)}, Inject: []string{"preserve"}})
		in := p.Extract(h)
		out := Outgoing{TraceID: in.TraceID, SpanID: balancer, ParentID: rootSpan, Sampled: true}
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Inject(h, &in, out)
			}
		})
	}
}
