package propagation

import (
	"net/http"
	"strings"
)

// BaggageItem is one entry of jaeger's or ot's baggage as it came in.
type BaggageItem struct {
	Name   string   // what follows uberctx- or ot-baggage-, in canonical case
	Values []string // one for each occurrence of the header, URL-encoded as they came
}

// Baggage crosses from one format to another up to these limits, which are W3C's for baggage. Above, none of it
// crosses; its own headers pass through whatever their number.
const (
	maxBaggageItems = 64
	maxBaggageSize  = 8192 // bytes of names and values together
)

// extractBaggage gives all headers whose names begin with stem; nil if there are none or too many to cross.
func extractBaggage(h http.Header, stem string) []BaggageItem {
	var items []BaggageItem
	count, size := 0, 0
	for key, values := range h {
		name, ok := strings.CutPrefix(key, stem)
		if !ok || name == "" {
			continue
		}
		for _, value := range values {
			count++
			size += len(name) + len(value)
		}
		if count > maxBaggageItems || size > maxBaggageSize {
			return nil
		}
		items = append(items, BaggageItem{name, values})
	}
	return items
}

// injectBaggage writes the baggage that crosses under f's stem. Baggage that came in format f is in its headers
// already and stays as the caller wrote it, unless it was cleared.
func (c *Context) injectBaggage(h http.Header, f Format, stem string) {
	for _, item := range c.Baggage {
		key := stem + item.Name
		if _, ok := h[key]; ok && c.Format == f {
			continue
		}
		values := make([]string, len(item.Values))
		for i, value := range item.Values {
			values[i] = urlEncode(value)
		}
		h[key] = values
	}
}

// urlEncode writes a value that may or may not be URL-encoded so that it is. Escapes that are there stay, and so does
// a plus sign: whether it means itself or a space is for the reader who knows the sender. (Kong decodes and encodes
// again, and so turns it into a space.)
func urlEncode(value string) string {
	const digits = "0123456789ABCDEF"
	extra := 0
	for i := range len(value) {
		if mustEscape(value, i) {
			extra += 2
		}
	}
	if extra == 0 {
		return value
	}
	b := make([]byte, 0, len(value)+extra)
	for i := range len(value) {
		if mustEscape(value, i) {
			b = append(b, '%', digits[value[i]>>4], digits[value[i]&0xf])
		} else {
			b = append(b, value[i])
		}
	}
	return string(b)
}

// mustEscape reports whether the byte at i can't stand in a URL-encoded value as it is.
func mustEscape(value string, i int) bool {
	switch b := value[i]; {
	case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		return false
	case b == '%':
		return i+2 >= len(value) || !isHex(value[i+1:i+3])
	default:
		return strings.IndexByte("-._~!*'()+", b) < 0
	}
}
