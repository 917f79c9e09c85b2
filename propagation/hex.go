package propagation

import (
	"encoding/hex"
	"net/http"

	"sidekong/tracing"
)

// notHex marks bytes that are no hexadecimal digit: its high bits survive any OR.
const notHex = 0xf0

// hexValues has the value of each hexadecimal digit, lowerHexValues those of lower-case ones only.
var hexValues, lowerHexValues = func() (both, lower [256]byte) {
	for i := range both {
		both[i], lower[i] = notHex, notHex
	}
	for i := range byte(10) {
		both['0'+i], lower['0'+i] = i, i
	}
	for i := range byte(6) {
		both['a'+i], lower['a'+i], both['A'+i] = 10+i, 10+i, 10+i
	}
	return both, lower
}()

// decode fills dst from hexadecimal digits, the last digit into the last byte's low half; what they don't reach is
// left as it is. It reports whether there is at least one digit, no more than fit, and nothing else.
func decode(dst []byte, digits string, values *[256]byte) bool {
	if len(digits) == 0 || len(digits) > 2*len(dst) {
		return false
	}
	var seen byte
	i := len(digits)
	for n := len(dst) - 1; i > 1; n-- {
		low, high := values[digits[i-1]], values[digits[i-2]]
		seen |= low | high
		dst[n] = high<<4 | low
		i -= 2
	}
	if i == 1 {
		value := values[digits[0]]
		seen |= value
		dst[len(dst)-(len(digits)+1)/2] = value
	}
	return seen&notHex == 0
}

// isHex reports whether there is at least one character and all are hexadecimal digits of either case.
func isHex(s string) bool {
	var seen byte
	for i := range len(s) {
		seen |= hexValues[s[i]]
	}
	return s != "" && seen&notHex == 0
}

// parseTraceID reads 16 or 32 hexadecimal digits that are not all zero.
func parseTraceID(digits string) (id tracing.TraceID, size uint8, ok bool) {
	if len(digits) != 16 && len(digits) != 32 || !decode(id[:], digits, &hexValues) || !id.IsValid() {
		return tracing.TraceID{}, 0, false
	}
	return id, uint8(len(digits) / 2), true
}

// parseSpanID reads 16 hexadecimal digits. All zero is a span id that is not valid.
func parseSpanID(digits string) (id tracing.SpanID, ok bool) {
	if len(digits) != 16 || !decode(id[:], digits, &hexValues) {
		return tracing.SpanID{}, false
	}
	return id, true
}

// appendTraceID writes a trace id as 16 digits if size is 8 bytes, else as 32.
func appendTraceID(b []byte, id tracing.TraceID, size uint8) []byte {
	if size == 8 {
		return hex.AppendEncode(b, id[8:])
	}
	return hex.AppendEncode(b, id[:])
}

// parseSampled reads the flag of x-b3-sampled and ot-tracer-sampled.
func parseSampled(value string) tracing.Decision {
	switch value {
	case "1", "true":
		return tracing.Keep
	case "0", "false":
		return tracing.Drop
	default:
		return tracing.Undecided
	}
}

// flag is the usual way to write a decision.
func flag(sampled bool) string {
	if sampled {
		return "1"
	}
	return "0"
}

// single gives the value of a header that occurs once. Without it present is false; occurring several times it is
// present and not ok.
func single(h http.Header, key string) (value string, present, ok bool) {
	switch values := h[key]; len(values) {
	case 0:
		return "", false, false
	case 1:
		return values[0], true, true
	default:
		return "", true, false
	}
}
