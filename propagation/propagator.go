// Package propagation carries trace context between services in HTTP headers, in the nine formats that Kong's
// opentelemetry plugin knows.
//
// A Propagator is made from the plugin's configuration and used in one sequence per request: Extract reads what the
// caller sent, the user decides on ids and sampling, Clear removes configured headers, Inject writes what the upstream
// gets. Headers come from strangers: they parse to a value or to none, never to an error, in time linear in their
// size. Headers are net/http's: keys are canonical (X-B3-Traceid).
//
// The W3C baggage header is nobody's here: it passes through as it came, bounded by what the server accepts as a
// header, unless it is among the headers to clear.
//
// Kong: kong/observability/tracing/propagation/
package propagation

import (
	"fmt"
	"math/bits"
	"net/http"

	"sidekong/tracing"
)

// Format is one way to write trace context into headers. The zero value is no format.
type Format uint8

const (
	W3C      Format = iota + 1 // traceparent, tracestate
	B3                         // x-b3-traceid and its companions
	B3Single                   // b3
	Jaeger                     // uber-trace-id, uberctx-*
	OT                         // ot-tracer-*, ot-baggage-*
	Datadog                    // x-datadog-*
	AWS                        // x-amzn-trace-id
	GCP                        // x-cloud-trace-context
	Instana                    // x-instana-t, -s, -l
)

var formatNames = [...]string{
	"", W3C: "w3c", B3: "b3", B3Single: "b3-single", Jaeger: "jaeger", OT: "ot", Datadog: "datadog", AWS: "aws",
	GCP: "gcp", Instana: "instana",
}

// String gives the name in Kong's configuration; no format is "".
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// ParseFormat reads a name of Kong's configuration.
func ParseFormat(name string) (Format, bool) {
	for f := W3C; int(f) < len(formatNames); f++ {
		if formatNames[f] == name {
			return f, true
		}
	}
	return 0, false
}

// formatSet has bit f for format f.
type formatSet uint16

func (s formatSet) with(f Format) formatSet { return s | 1<<f }
func (s formatSet) has(f Format) bool       { return s&(1<<f) != 0 }

// Context is what came in. The zero value is nothing. It refers to the headers it was extracted from.
type Context struct {
	TraceID tracing.TraceID // zero if there was none that can be continued
	// TraceIDSize is the trace id's length on arrival, in bytes: formats with ids of either width write back what
	// came. Of a number (datadog) it is the bytes needed.
	TraceIDSize uint8
	SpanID      tracing.SpanID // the caller's span; zero without a trace id
	ParentID    tracing.SpanID // the caller's span's parent, where a format tells (b3)
	Sampled     tracing.Decision
	// Flags are the W3C trace flags besides sampled that go on with the trace: the random bit (2) or nothing.
	Flags uint8
	// Format is the one that preserve writes back. It is set even if only a decision, or nothing usable, came in it.
	Format Format
	// TraceState is the tracestate header's lines as they came; nil if there is none, or none that is valid.
	TraceState []string
	Baggage    []BaggageItem // jaeger and ot

	staleSingle bool // a b3 header came along that does not say what this context says
}

// Parent is the parent of our root span: the caller's span or, if the caller named none, that span's parent.
func (c *Context) Parent() tracing.SpanID {
	if c.SpanID.IsValid() {
		return c.SpanID
	}
	return c.ParentID
}

// Debug reports whether the caller asked for recording whatever the rate.
func (c *Context) Debug() bool { return c.Sampled == tracing.Force }

// dropIDs leaves format and decision.
func (c *Context) dropIDs() {
	c.TraceID, c.TraceIDSize, c.SpanID, c.ParentID = tracing.TraceID{}, 0, tracing.SpanID{}, tracing.SpanID{}
}

// Outgoing is what the upstream is told.
type Outgoing struct {
	TraceID  tracing.TraceID
	SpanID   tracing.SpanID // the upstream's parent
	ParentID tracing.SpanID // SpanID's own parent, zero if none (b3, b3-single, jaeger)
	Sampled  bool
}

// worth ranks what an extractor found.
type worth uint8

const (
	// absent: no header of the format, or nothing left of them; Kong's extractor returns nil.
	absent worth = iota
	// malformed: headers of the format, broken ids. Kong stops here and starts a trace of its own; here any other
	// format that names a trace is followed first.
	malformed
	// guessed: a context read from a later version of its format than is known here. Any other format that is
	// understood in full is followed first.
	guessed
	// usable: a trace to continue, or a sampling decision for a new one.
	usable
)

// Propagator reads and writes trace context as one configuration says. It is read-only after New; any number of
// requests may use it at once.
type Propagator struct {
	policy
}

// New checks a configuration and makes its propagator.
func New(config Config) (*Propagator, error) {
	checked, err := newPolicy(config)
	if err != nil {
		return nil, err
	}
	return &Propagator{checked}, nil
}

// Extract reads the caller's trace context. Formats are tried in their configured order and the first that gives a
// usable context is the answer; contexts of different formats are never merged. If none is usable, the first that was
// at least present settles the format, so that a caller with broken headers is answered in its own format.
//
// Kong: kong/observability/tracing/propagation/init.lua extract_tracing_context
func (p *Propagator) Extract(h http.Header) Context {
	var best Context
	rank := absent
	for _, f := range p.extract {
		c, found := extract(f, h)
		if found == usable {
			return c
		}
		if found > rank {
			best, rank = c, found
		}
	}
	return best
}

// ExtractUnrecorded is Extract for a gateway that records nothing at all. It differs in one case, as in Kong: where b3
// is tried before w3c and a tracestate came, but no B3 header, the format is B3. The caller's traceparent and
// tracestate then go on as they are, which is right here: no span of ours stands between.
//
// Kong: kong/observability/tracing/propagation/extractors/b3.lua, which takes any tracestate for one of its headers
func (p *Propagator) ExtractUnrecorded(h http.Header) Context {
	for _, f := range p.extract {
		_, found := extract(f, h)
		if f == B3 && found == absent && h[tracestateKey] != nil {
			return Context{Format: B3}
		}
		if found != absent {
			break
		}
	}
	return p.Extract(h)
}

func extract(f Format, h http.Header) (Context, worth) {
	switch f {
	case W3C:
		return extractW3C(h)
	case B3:
		return extractB3(h)
	case Jaeger:
		return extractJaeger(h)
	case OT:
		return extractOT(h)
	case Datadog:
		return extractDatadog(h)
	case AWS:
		return extractAWS(h)
	case GCP:
		return extractGCP(h)
	case Instana:
		return extractInstana(h)
	default:
		return Context{}, absent
	}
}

// Clear removes the headers that the configuration names.
func (p *Propagator) Clear(h http.Header) {
	for _, name := range p.clear {
		delete(h, name)
	}
}

// Inject writes the headers of every configured format, each in place of all its occurrences; in is what Extract gave
// for the same request. Headers of other formats stay as they are, with one exception: a tracestate that does not
// belong to the traceparent that goes upstream is removed. Where no format is configured, nothing is touched.
//
// Kong: kong/observability/tracing/propagation/init.lua inject_tracing_context
func (p *Propagator) Inject(h http.Header, in *Context, out Outgoing) {
	formats := p.injected(in)
	if formats == 0 || !out.TraceID.IsValid() || !out.SpanID.IsValid() {
		return
	}
	settleTraceState(h, in, out, formats.has(W3C))
	size := in.sizeOf(out.TraceID)
	for rest := uint(formats); rest != 0; rest &= rest - 1 {
		switch Format(bits.TrailingZeros(rest)) {
		case W3C:
			injectW3C(h, in, out)
		case B3:
			injectB3(h, in, out, size)
		case B3Single:
			injectB3Single(h, in, out, size)
		case Jaeger:
			injectJaeger(h, in, out, size)
		case OT:
			injectOT(h, in, out, size)
		case Datadog:
			injectDatadog(h, out)
		case AWS:
			injectAWS(h, out)
		case GCP:
			injectGCP(h, out)
		case Instana:
			injectInstana(h, out, size)
		}
	}
}

// injected is the set of formats to write for a request.
func (p *Propagator) injected(in *Context) formatSet {
	formats := p.inject
	if p.preserve {
		if in.Format != 0 {
			formats = formats.with(in.Format)
		} else {
			formats = formats.with(p.fallback)
		}
	}
	return formats
}

// sizeOf is the width in which a trace id arrived; 0 if it is not the caller's.
func (c *Context) sizeOf(id tracing.TraceID) uint8 {
	if c.TraceID != id {
		return 0
	}
	return c.TraceIDSize
}

// LogTraceID is the trace_id field of Kong's JSON log: the trace id under the name of each injected format, as it
// was written there. b3 names both B3 forms. It is nil where nothing is injected.
//
// Kong: kong/observability/tracing/tracing_context.lua add_trace_id_formats
func (p *Propagator) LogTraceID(in *Context, id tracing.TraceID) map[string]string {
	formats := p.injected(in)
	if formats == 0 || !id.IsValid() {
		return nil
	}
	size := in.sizeOf(id)
	fields := make(map[string]string, bits.OnesCount(uint(formats)))
	for rest := uint(formats); rest != 0; rest &= rest - 1 {
		switch f := Format(bits.TrailingZeros(rest)); f {
		case B3, B3Single:
			fields[B3.String()] = string(appendTraceID(nil, id, size))
		case Jaeger, Instana:
			fields[f.String()] = string(appendTraceID(nil, id, size))
		case OT:
			fields[f.String()] = string(appendTraceID(nil, id, otSize(id, size)))
		case Datadog:
			if number := string(appendDatadogID(nil, id)); number != "" {
				fields[f.String()] = number
			}
		default:
			fields[f.String()] = id.String()
		}
	}
	return fields
}
