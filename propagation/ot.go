package propagation

import (
	"encoding/binary"
	"encoding/hex"
	"net/http"

	"sidekong/tracing"
)

const (
	otTraceIDKey  = "Ot-Tracer-Traceid"
	otSpanIDKey   = "Ot-Tracer-Spanid"
	otSampledKey  = "Ot-Tracer-Sampled"
	otBaggageStem = "Ot-Baggage-"
)

// extractOT reads the OpenTracing headers. A bad id voids both; the decision and the baggage stay, and with neither
// there is nothing.
//
// Kong: kong/observability/tracing/propagation/extractors/ot.lua
func extractOT(h http.Header) (c Context, found worth) {
	trace, hasTrace, _ := single(h, otTraceIDKey)
	span, hasSpan, spanOnce := single(h, otSpanIDKey)
	sampled, hasSampled, _ := single(h, otSampledKey)
	if !hasTrace && !hasSpan && !hasSampled {
		return Context{}, absent
	}
	c.Format, c.Sampled, c.Baggage = OT, parseSampled(sampled), extractBaggage(h, otBaggageStem)

	found = usable
	switch {
	case hasTrace:
		ok := false
		if c.TraceID, c.TraceIDSize, ok = parseTraceID(trace); ok && hasSpan {
			c.SpanID, ok = parseSpanID(span)
			ok = ok && spanOnce && c.SpanID.IsValid()
		}
		if !ok {
			c.dropIDs()
			found = malformed
		}
	case hasSpan:
		found = malformed
	}
	if !c.TraceID.IsValid() && c.Sampled == tracing.Undecided {
		if c.Baggage == nil {
			return Context{}, absent
		}
		found = malformed
	}
	return c, found
}

// otSize is the width of a trace id in OT headers: 8 bytes wherever it fits, unless it came as 16. An id that is
// generated counts as fitting, as Kong has it: its last eight bytes are sent.
func otSize(id tracing.TraceID, size uint8) uint8 {
	if size > 8 || binary.BigEndian.Uint64(id[8:]) == 0 {
		return 16
	}
	return 8
}

func injectOT(h http.Header, in *Context, out Outgoing, size uint8) {
	var buffer [48]byte
	b := appendTraceID(buffer[:0], out.TraceID, otSize(out.TraceID, size))
	width := len(b)
	b = hex.AppendEncode(b, out.SpanID[:])
	text := string(b)
	values := []string{text[:width], text[width:], flag(out.Sampled)}
	h[otTraceIDKey] = values[0:1:1]
	h[otSpanIDKey] = values[1:2:2]
	h[otSampledKey] = values[2:3:3]
	in.injectBaggage(h, OT, otBaggageStem)
}
