package propagation

import (
	"encoding/hex"
	"net/http"
	"strings"

	"sidekong/tracing"
)

const (
	jaegerKey         = "Uber-Trace-Id"
	jaegerBaggageStem = "Uberctx-"
)

// extractJaeger reads trace:span:parent:flags. Ids may be shorter than their width; the parent is checked for being
// hexadecimal and not used. Baggage counts only beside a valid trace.
//
// Kong: kong/observability/tracing/propagation/extractors/jaeger.lua
func extractJaeger(h http.Header) (c Context, found worth) {
	value, _, ok := single(h, jaegerKey)
	if !ok {
		return Context{}, absent
	}
	trace, rest, _ := strings.Cut(value, ":")
	span, rest, _ := strings.Cut(rest, ":")
	parent, flagDigits, ok := strings.Cut(rest, ":")
	var flags [1]byte
	if !ok || !decode(c.TraceID[:], trace, &hexValues) || !c.TraceID.IsValid() ||
		!decode(c.SpanID[:], span, &hexValues) || !c.SpanID.IsValid() ||
		!isHex(parent) || !decode(flags[:], flagDigits, &hexValues) {
		return Context{}, absent
	}
	c.Format, c.TraceIDSize, c.Sampled = Jaeger, uint8(len(trace)+1)/2, tracing.Drop
	if flags[0]&flagSampled != 0 {
		c.Sampled = tracing.Keep
	}
	c.Baggage = extractBaggage(h, jaegerBaggageStem)
	return c, usable
}

func injectJaeger(h http.Header, in *Context, out Outgoing, size uint8) {
	var buffer [69]byte
	b := appendTraceID(buffer[:0], out.TraceID, size)
	b = append(b, ':')
	b = hex.AppendEncode(b, out.SpanID[:])
	b = append(b, ':')
	if out.ParentID.IsValid() {
		b = hex.AppendEncode(b, out.ParentID[:])
	} else {
		b = append(b, '0')
	}
	b = append(b, ":0"...)
	b = append(b, flag(out.Sampled)...)
	h[jaegerKey] = []string{string(b)}
	in.injectBaggage(h, Jaeger, jaegerBaggageStem)
}
