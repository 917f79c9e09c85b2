package propagation

import (
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"sidekong/tracing"
)

const gcpKey = "X-Cloud-Trace-Context"

// extractGCP reads trace/span[;o=option]: 32 lower-case hexadecimal digits, a decimal number (0 is no span) and one
// digit, of which 1 means sampled. Without the option the decision is deferred; Kong takes that for not sampled.
//
// Kong: kong/observability/tracing/propagation/extractors/gcp.lua
func extractGCP(h http.Header) (c Context, found worth) {
	value, _, ok := single(h, gcpKey)
	if !ok {
		return Context{}, absent
	}
	trace, rest, _ := strings.Cut(value, "/")
	span, option, hasOption := strings.Cut(rest, ";")
	high, low, ok := parseDecimal(span)
	if len(trace) != 32 || !decode(c.TraceID[:], trace, &lowerHexValues) || !c.TraceID.IsValid() ||
		!ok || high != 0 || len(span) > 20 {
		return Context{}, absent
	}
	if hasOption {
		digit, ok := strings.CutPrefix(option, "o=")
		if !ok || len(digit) != 1 || digit[0] < '0' || digit[0] > '9' {
			return Context{}, absent
		}
		c.Sampled = tracing.Drop
		if digit == "1" {
			c.Sampled = tracing.Keep
		}
	}
	binary.BigEndian.PutUint64(c.SpanID[:], low)
	c.Format, c.TraceIDSize = GCP, 16
	return c, usable
}

func injectGCP(h http.Header, out Outgoing) {
	var buffer [57]byte
	b := hex.AppendEncode(buffer[:0], out.TraceID[:])
	b = append(b, '/')
	b = strconv.AppendUint(b, binary.BigEndian.Uint64(out.SpanID[:]), 10)
	b = append(b, ";o="...)
	b = append(b, flag(out.Sampled)...)
	h[gcpKey] = []string{string(b)}
}
