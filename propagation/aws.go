package propagation

import (
	"encoding/hex"
	"net/http"
	"strings"

	"sidekong/tracing"
)

const awsKey = "X-Amzn-Trace-Id"

// extractAWS reads X-Ray's Root=1-time-rest;Parent=span;Sampled=0|1, in any order, each optional; other keys are
// skipped, and so is what follows a second equals sign. Any of the three that is bad voids the header. A parent
// without a root names no trace.
//
// Kong: kong/observability/tracing/propagation/extractors/aws.lua
func extractAWS(h http.Header) (c Context, found worth) {
	rest, _, ok := single(h, awsKey)
	if !ok {
		return Context{}, absent
	}
	hasRoot, hasParent, hasSampled := false, false, false
	for more := true; more; {
		var field string
		field, rest, more = strings.Cut(rest, ";")
		key, value, _ := strings.Cut(field, "=")
		value, _, _ = strings.Cut(value, "=")
		value = strings.Trim(value, " \t")
		ok := true
		switch strings.Trim(key, " \t") {
		case "Root":
			c.TraceID, ok = parseAWSRoot(value)
			hasRoot = true
		case "Parent":
			c.SpanID, ok = parseSpanID(value)
			hasParent = true
		case "Sampled":
			switch value {
			case "0":
				c.Sampled = tracing.Drop
			case "1":
				c.Sampled = tracing.Keep
			default:
				ok = false
			}
			hasSampled = true
		}
		if !ok {
			return Context{}, absent
		}
	}

	c.Format = AWS
	switch {
	case hasRoot:
		c.TraceIDSize = 16
		return c, usable
	case hasParent:
		c.dropIDs()
		return c, malformed
	case hasSampled:
		return c, usable
	default:
		return Context{}, absent
	}
}

// parseAWSRoot reads 1-8 digits-24 digits.
func parseAWSRoot(value string) (id tracing.TraceID, ok bool) {
	if len(value) != 35 || value[:2] != "1-" || value[10] != '-' ||
		!decode(id[:4], value[2:10], &hexValues) || !decode(id[4:], value[11:], &hexValues) {
		return tracing.TraceID{}, false
	}
	return id, id.IsValid()
}

// injectAWS writes the three known fields; others that came are lost, as in Kong.
func injectAWS(h http.Header, out Outgoing) {
	var buffer [74]byte
	b := append(buffer[:0], "Root=1-"...)
	b = hex.AppendEncode(b, out.TraceID[:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, out.TraceID[4:])
	b = append(b, ";Parent="...)
	b = hex.AppendEncode(b, out.SpanID[:])
	b = append(b, ";Sampled="...)
	b = append(b, flag(out.Sampled)...)
	h[awsKey] = []string{string(b)}
}
