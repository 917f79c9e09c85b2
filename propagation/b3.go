package propagation

import (
	"encoding/hex"
	"net/http"
	"strings"

	"sidekong/tracing"
)

const (
	b3Key          = "B3"
	b3TraceIDKey   = "X-B3-Traceid"
	b3SpanIDKey    = "X-B3-Spanid"
	b3ParentIDKey  = "X-B3-Parentspanid"
	b3SampledKey   = "X-B3-Sampled"
	b3FlagsKey     = "X-B3-Flags"
	b3InTraceState = "b3="
)

// extractB3 reads both B3 forms. The single header wins for ids and decision; what it lacks is taken from the x-b3
// headers. Format tells which form named the trace; where none did, the single header counts if it came.
//
// Kong: kong/observability/tracing/propagation/extractors/b3.lua
func extractB3(h http.Header) (c Context, found worth) {
	multi, multiFound := extractB3Multi(h)
	text, present, once := b3Single(h)
	if !present && multiFound == absent {
		return Context{}, absent
	}
	one, ok := Context{}, false
	if once {
		one, ok = parseB3Single(text)
	}

	c, found = multi, max(multiFound, malformed)
	switch {
	case one.TraceID.IsValid():
		c, found = one, usable
	case ok: // a decision alone
		if multiFound != malformed {
			found = usable
		}
	case present && !multi.TraceID.IsValid():
		found = malformed
	}
	c.Format = B3
	if once && !multi.TraceID.IsValid() || one.TraceID.IsValid() {
		c.Format = B3Single
	}
	c.Sampled = multi.Sampled
	if one.Sampled != tracing.Undecided {
		c.Sampled = one.Sampled
	}
	c.staleSingle = c.Format == B3 && present
	return c, found
}

// b3Single finds the text of the single form: the b3 header or, without one, a tracestate line that starts with b3=.
// Several b3 headers are as good as none, but present.
func b3Single(h http.Header) (text string, present, once bool) {
	if text, present, once = single(h, b3Key); present {
		return text, present, once
	}
	for _, line := range h[tracestateKey] {
		if text, ok := strings.CutPrefix(line, b3InTraceState); ok {
			text, _, _ = strings.Cut(text, ",")
			return strings.TrimRight(text, " \t"), true, true
		}
	}
	return "", false, false
}

// extractB3Multi reads the x-b3 headers. One bad id voids them all; decision and debug stay.
func extractB3Multi(h http.Header) (c Context, found worth) {
	trace, hasTrace, traceOnce := single(h, b3TraceIDKey)
	span, hasSpan, spanOnce := single(h, b3SpanIDKey)
	parent, hasParent, parentOnce := single(h, b3ParentIDKey)
	sampled, hasSampled, _ := single(h, b3SampledKey)
	flags, hasFlags, _ := single(h, b3FlagsKey)
	if !hasTrace && !hasSpan && !hasParent && !hasSampled && !hasFlags {
		return Context{}, absent
	}

	c.Sampled = parseSampled(sampled)
	if flags == "1" {
		c.Sampled = tracing.Force
	}
	if !hasTrace && !hasSpan && !hasParent {
		if c.Sampled == tracing.Undecided {
			return c, malformed
		}
		return c, usable
	}

	var ok bool
	if !traceOnce || hasSpan && !spanOnce || hasParent && !parentOnce {
		return c, malformed
	}
	if c.TraceID, c.TraceIDSize, ok = parseTraceID(trace); !ok {
		return c, malformed
	}
	if hasSpan {
		if c.SpanID, ok = parseSpanID(span); !ok || !c.SpanID.IsValid() {
			c.dropIDs()
			return c, malformed
		}
	}
	if hasParent {
		if c.ParentID, ok = parseSpanID(parent); !ok {
			c.dropIDs()
			return c, malformed
		}
	}
	return c, usable
}

// parseB3Single reads trace-span[-sampled][-parent], or sampled alone. As Kong does, it lets dashes after the span be
// missing and takes one at the end; sampled is 0, 1 or d (debug). A parent without sampled is told from one with it
// by its length, whatever its first digit.
func parseB3Single(text string) (c Context, ok bool) {
	if len(text) == 1 {
		c.Sampled, ok = b3State(text[0])
		return c, ok
	}
	trace, rest, ok := strings.Cut(text, "-")
	if !ok || len(rest) < 16 {
		return Context{}, false
	}
	if c.TraceID, c.TraceIDSize, ok = parseTraceID(trace); !ok {
		return Context{}, false
	}
	if c.SpanID, ok = parseSpanID(rest[:16]); !ok || !c.SpanID.IsValid() {
		return Context{}, false
	}
	rest = strings.TrimPrefix(rest[16:], "-")
	if rest != "" && len(rest) != 16 {
		if c.Sampled, ok = b3State(rest[0]); !ok {
			return Context{}, false
		}
		rest = strings.TrimPrefix(rest[1:], "-")
	}
	if rest != "" {
		if c.ParentID, ok = parseSpanID(rest); !ok {
			return Context{}, false
		}
	}
	return c, true
}

func b3State(b byte) (d tracing.Decision, ok bool) {
	switch b {
	case '0':
		return tracing.Drop, true
	case '1':
		return tracing.Keep, true
	case 'd':
		return tracing.Force, true
	default:
		return tracing.Undecided, false
	}
}

// injectB3 writes the x-b3 headers. The ones of them that nothing is written to are removed where they would
// contradict: Kong leaves those, and writes any flags value back. With debug, x-b3-sampled is not touched: who reads
// flags 1 looks no further.
func injectB3(h http.Header, in *Context, out Outgoing, size uint8) {
	var buffer [64]byte
	b := appendTraceID(buffer[:0], out.TraceID, size)
	width := len(b)
	b = hex.AppendEncode(b, out.SpanID[:])
	b = hex.AppendEncode(b, out.ParentID[:])
	text := string(b)
	values := []string{text[:width], text[width : width+16], text[width+16:], flag(out.Sampled)}

	h[b3TraceIDKey] = values[0:1:1]
	h[b3SpanIDKey] = values[1:2:2]
	if out.ParentID.IsValid() {
		h[b3ParentIDKey] = values[2:3:3]
	} else {
		delete(h, b3ParentIDKey)
	}
	if in.Debug() {
		values[3] = "1"
		h[b3FlagsKey] = values[3:4:4]
	} else {
		h[b3SampledKey] = values[3:4:4]
		delete(h, b3FlagsKey)
	}
	if in.staleSingle {
		delete(h, b3Key)
	}
}

func injectB3Single(h http.Header, in *Context, out Outgoing, size uint8) {
	var buffer [68]byte
	b := appendTraceID(buffer[:0], out.TraceID, size)
	b = append(b, '-')
	b = hex.AppendEncode(b, out.SpanID[:])
	b = append(b, '-')
	if in.Debug() {
		b = append(b, 'd')
	} else {
		b = append(b, flag(out.Sampled)...)
	}
	if out.ParentID.IsValid() {
		b = append(b, '-')
		b = hex.AppendEncode(b, out.ParentID[:])
	}
	h[b3Key] = []string{string(b)}
}
