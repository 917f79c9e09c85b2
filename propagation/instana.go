package propagation

import (
	"encoding/hex"
	"net/http"
	"strings"

	"sidekong/tracing"
)

const (
	instanaTraceKey = "X-Instana-T"
	instanaSpanKey  = "X-Instana-S"
	instanaLevelKey = "X-Instana-L"
)

// extractInstana reads the trace and span ids, of which as Kong does it takes the hexadecimal digits in front, any
// number that fits; both must be there. The level starts with 0 (suppressed) or 1. Suppression needs no ids.
//
// Kong: kong/observability/tracing/propagation/extractors/instana.lua (from 3.10 on)
func extractInstana(h http.Header) (c Context, found worth) {
	trace, hasTrace, traceOnce := single(h, instanaTraceKey)
	span, hasSpan, spanOnce := single(h, instanaSpanKey)
	level, _, _ := single(h, instanaLevelKey)
	switch {
	case strings.HasPrefix(level, "0"):
		c.Sampled = tracing.Drop
	case strings.HasPrefix(level, "1"):
		c.Sampled = tracing.Keep
	}
	c.Format = Instana
	if !traceOnce || !spanOnce {
		switch {
		case c.Sampled != tracing.Drop:
			return Context{}, absent
		case hasTrace || hasSpan:
			return c, malformed
		default:
			return c, usable
		}
	}

	trace, span = hexPrefix(trace), hexPrefix(span)
	if !decode(c.TraceID[:], trace, &hexValues) || !c.TraceID.IsValid() ||
		!decode(c.SpanID[:], span, &hexValues) || !c.SpanID.IsValid() {
		c.dropIDs()
		return c, malformed
	}
	c.TraceIDSize = uint8(len(trace)+1) / 2
	return c, usable
}

// hexPrefix is the hexadecimal digits that s starts with.
func hexPrefix(s string) string {
	for i := range len(s) {
		if hexValues[s[i]] == notHex {
			return s[:i]
		}
	}
	return s
}

func injectInstana(h http.Header, out Outgoing, size uint8) {
	var buffer [48]byte
	b := appendTraceID(buffer[:0], out.TraceID, size)
	width := len(b)
	b = hex.AppendEncode(b, out.SpanID[:])
	text := string(b)
	values := []string{text[:width], text[width:], flag(out.Sampled)}
	h[instanaTraceKey] = values[0:1:1]
	h[instanaSpanKey] = values[1:2:2]
	h[instanaLevelKey] = values[2:3:3]
}
