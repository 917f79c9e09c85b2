package propagation

import (
	"encoding/hex"
	"net/http"
	"strings"

	"sidekong/tracing"
)

const (
	traceparentKey = "Traceparent"
	tracestateKey  = "Tracestate"
)

// Bits of traceparent's flags that Trace Context level 2 defines.
const (
	flagSampled = 1
	flagRandom  = 2
)

// A traceparent of version 00 is 55 characters: version-trace-span-flags. Later versions may go on after another dash.
const (
	traceparentSize  = 55
	traceStart       = 3
	spanStart        = 36
	flagsStart       = 53
	maxStateMembers  = 32
	maxStateKeySize  = 256
	maxStateTextSize = 256
)

// extractW3C reads W3C Trace Context level 2. Other than Kong it accepts later versions as level 2 says, refuses
// upper case, keeps the random flag and minds tracestate.
//
// Kong: kong/observability/tracing/propagation/extractors/w3c.lua
func extractW3C(h http.Header) (c Context, found worth) {
	value, _, ok := single(h, traceparentKey)
	if !ok {
		return Context{}, absent
	}
	found = c.parseTraceparent(value)
	if found == absent {
		return Context{}, absent
	}
	if lines := h[tracestateKey]; validTraceState(lines) {
		c.TraceState = lines
	}
	return c, found
}

// parseTraceparent fills in a traceparent. It says absent for one that is not valid and guessed for a later version.
func (c *Context) parseTraceparent(value string) worth {
	if len(value) != traceparentSize {
		value = strings.Trim(value, " \t")
	}
	if len(value) < traceparentSize || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return absent
	}
	var version, flags [1]byte
	if !decode(version[:], value[:2], &lowerHexValues) ||
		!decode(c.TraceID[:], value[traceStart:traceStart+32], &lowerHexValues) || !c.TraceID.IsValid() ||
		!decode(c.SpanID[:], value[spanStart:spanStart+16], &lowerHexValues) || !c.SpanID.IsValid() ||
		!decode(flags[:], value[flagsStart:flagsStart+2], &lowerHexValues) {
		return absent
	}
	found := usable
	if version[0] != 0 {
		found = guessed
	}
	if version[0] == 0xff || len(value) > traceparentSize && (found == usable || value[traceparentSize] != '-') {
		return absent
	}
	c.Format, c.TraceIDSize, c.Flags, c.Sampled = W3C, 16, flags[0]&flagRandom, tracing.Drop
	if flags[0]&flagSampled != 0 {
		c.Sampled = tracing.Keep
	}
	return found
}

// validTraceState checks a tracestate of any number of lines, which together are one list. Members may be empty, but
// there must be one that is not, and at most 32. A key that occurs twice is passed on, as level 2 allows.
func validTraceState(lines []string) bool {
	members := 0
	for _, line := range lines {
		for more := true; more; {
			var member string
			member, line, more = strings.Cut(line, ",")
			member = strings.Trim(member, " \t")
			if member == "" {
				continue
			}
			if members++; members > maxStateMembers || !validStateMember(member) {
				return false
			}
		}
	}
	return members > 0
}

// validStateMember checks key=value, without white space around.
func validStateMember(member string) bool {
	key, text, ok := strings.Cut(member, "=")
	if !ok || key == "" || len(key) > maxStateKeySize || text == "" || len(text) > maxStateTextSize {
		return false
	}
	if first := key[0]; !isLowerAlphanumeric(first) {
		return false
	}
	for i := range len(key) {
		switch b := key[i]; {
		case isLowerAlphanumeric(b), b == '_', b == '-', b == '*', b == '/', b == '@':
		default:
			return false
		}
	}
	for i := range len(text) {
		if b := text[i]; b < ' ' || b > '~' || b == '=' {
			return false
		}
	}
	return true
}

func isLowerAlphanumeric(b byte) bool { return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' }

// settleTraceState removes a tracestate that would go upstream beside a traceparent it did not come with: because
// its trace is not continued, because it was invalid, or because there is no valid traceparent at all. A tracestate
// that stays is not changed by a byte, apart from lines that are empty. It must run before traceparent is written.
func settleTraceState(h http.Header, in *Context, out Outgoing, writesTraceparent bool) {
	lines, ok := h[tracestateKey]
	if !ok {
		return
	}
	if !writesTraceparent {
		// The caller's traceparent passes through, and its tracestate with it.
		value, _, ok := single(h, traceparentKey)
		if !ok || new(Context).parseTraceparent(value) == absent {
			delete(h, tracestateKey)
		}
		return
	}
	if in.Format != W3C || in.TraceState == nil || in.TraceID != out.TraceID {
		delete(h, tracestateKey)
		return
	}
	for i, line := range lines {
		if line == "" {
			h[tracestateKey] = withoutEmpty(lines, i)
			return
		}
	}
}

// withoutEmpty copies lines without the empty ones, the first of which is at index first.
func withoutEmpty(lines []string, first int) []string {
	kept := append(make([]string, 0, len(lines)), lines[:first]...)
	for _, line := range lines[first:] {
		if line != "" {
			kept = append(kept, line)
		}
	}
	return kept
}

func injectW3C(h http.Header, in *Context, out Outgoing) {
	flags := byte('0')
	if in.TraceID == out.TraceID {
		flags += in.Flags & flagRandom
	}
	if out.Sampled {
		flags += flagSampled
	}
	var buffer [traceparentSize]byte
	b := append(buffer[:0], "00-"...)
	b = hex.AppendEncode(b, out.TraceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, out.SpanID[:])
	b = append(b, '-', '0', flags)
	h[traceparentKey] = []string{string(b)}
}
