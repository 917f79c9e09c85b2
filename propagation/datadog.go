package propagation

import (
	"encoding/binary"
	"math/bits"
	"net/http"
	"strconv"
	"strings"

	"sidekong/tracing"
)

const (
	datadogTraceIDKey  = "X-Datadog-Trace-Id"
	datadogParentIDKey = "X-Datadog-Parent-Id"
	datadogPriorityKey = "X-Datadog-Sampling-Priority"
)

// extractDatadog reads decimal ids, the trace's of up to 128 bits as Kong does, and a priority. A priority it does
// not know voids everything, a bad trace id both ids, a bad parent id itself; zero is none.
//
// Kong: kong/observability/tracing/propagation/extractors/datadog.lua
func extractDatadog(h http.Header) (c Context, found worth) {
	trace, hasTrace, _ := single(h, datadogTraceIDKey)
	parent, hasParent, _ := single(h, datadogParentIDKey)
	priority, hasPriority, _ := single(h, datadogPriorityKey)
	if hasPriority {
		switch priority {
		case "1", "2":
			c.Sampled = tracing.Keep
		case "0", "-1":
			c.Sampled = tracing.Drop
		default:
			return Context{}, absent
		}
	}
	c.Format = Datadog
	high, low, ok := parseDecimal(trace)
	if !ok || high|low == 0 {
		switch {
		case !hasPriority:
			return Context{}, absent
		case hasTrace || hasParent:
			return c, malformed
		default:
			return c, usable
		}
	}
	binary.BigEndian.PutUint64(c.TraceID[:8], high)
	binary.BigEndian.PutUint64(c.TraceID[8:], low)
	c.TraceIDSize = uint8(bits.Len64(low)+7) / 8
	if high != 0 {
		c.TraceIDSize = 8 + uint8(bits.Len64(high)+7)/8
	}
	if high, low, ok := parseDecimal(parent); ok && high == 0 {
		binary.BigEndian.PutUint64(c.SpanID[:], low)
	}
	return c, usable
}

// parseDecimal reads a decimal number of up to 128 bits.
func parseDecimal(digits string) (high, low uint64, ok bool) {
	if digits == "" {
		return 0, 0, false
	}
	digits = strings.TrimLeft(digits, "0")
	if len(digits) > len("340282366920938463463374607431768211455") {
		return 0, 0, false
	}
	for i := range len(digits) {
		digit := digits[i] - '0'
		if digit > 9 {
			return 0, 0, false
		}
		over, high10 := bits.Mul64(high, 10)
		carry, low10 := bits.Mul64(low, 10)
		var c uint64
		low, c = bits.Add64(low10, uint64(digit), 0)
		high, c = bits.Add64(high10, carry, c)
		if over|c != 0 {
			return 0, 0, false
		}
	}
	return high, low, true
}

// appendDatadogID writes the last eight bytes of a trace id in decimal. There is nothing to write where they are
// zero, which Datadog reads as no trace.
func appendDatadogID(b []byte, id tracing.TraceID) []byte {
	if low := binary.BigEndian.Uint64(id[8:]); low != 0 {
		b = strconv.AppendUint(b, low, 10)
	}
	return b
}

func injectDatadog(h http.Header, out Outgoing) {
	var buffer [40]byte
	b := appendDatadogID(buffer[:0], out.TraceID)
	width := len(b)
	if width == 0 {
		delete(h, datadogTraceIDKey)
		delete(h, datadogParentIDKey)
		delete(h, datadogPriorityKey)
		return
	}
	b = strconv.AppendUint(b, binary.BigEndian.Uint64(out.SpanID[:]), 10)
	text := string(b)
	values := []string{text[:width], text[width:], flag(out.Sampled)}
	h[datadogTraceIDKey] = values[0:1:1]
	h[datadogParentIDKey] = values[1:2:2]
	h[datadogPriorityKey] = values[2:3:3]
}
