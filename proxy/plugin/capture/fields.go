package capture

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxHeaders bounds the text that a request's or an answer's headers become, in bytes.
const maxHeaders = 64 << 10

// field is a header with its values: the first, and those after it.
type field struct {
	name, value string
	more        []string
}

// takeFields notes headers. They are not read before the end, when it is known whether they are of interest.
func takeFields(fields []field, h http.Header) []field {
	for name, values := range h {
		if len(values) > 0 {
			fields = append(fields, field{name, values[0], values[1:]})
		}
	}
	return fields
}

// headers writes fields as a JSON object in the order of their names, which are lower case. A header that came more than
// once becomes an array.
func (m *masking) headers(out []byte, fields []field) []byte {
	slices.SortFunc(fields, func(a, b field) int { return cmp.Compare(a.name, b.name) })
	from := len(out)
	out = append(out, '{')
	for i := range fields {
		f := &fields[i]
		if len(out)-from > maxHeaders {
			out = append(out, `,"…":"truncated"`...)
			break
		}
		if i > 0 {
			out = append(out, ',')
		}
		start := len(out)
		out = append(appendQuoted(out, f.name), ':')
		for j := start; j < len(out); j++ {
			if c := out[j]; 'A' <= c && c <= 'Z' {
				out[j] = c + ('a' - 'A')
			}
		}
		if len(f.more) == 0 {
			out = m.value(out, f.name, f.value)
			continue
		}
		out = m.value(append(out, '['), f.name, f.value)
		for _, value := range f.more {
			out = m.value(append(out, ','), f.name, value)
		}
		out = append(out, ']')
	}
	out = append(out, '}')
	if m.off {
		return out
	}
	return m.shapes(out, from)
}

// value writes a header's value, but for what is secret by its look.
func (m *masking) value(out []byte, name, value string) []byte {
	switch {
	case m.off:
	case secret(m.names, name):
		out = append(out, '"')
		return append(m.hide(out, name), '"')
	case strings.IndexByte(value, '=') >= 0: // parameters, and those of a URL
		return appendQuoted(out, m.lines(nil, []byte(value)))
	}
	return appendQuoted(out, value)
}

// appendQuoted writes text as a JSON string. What is no UTF-8 is replaced.
func appendQuoted[T ~string | ~[]byte](out []byte, text T) []byte {
	const hexDigits = "0123456789abcdef"
	out = append(out, '"')
	kept := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))])); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		out = append(out, text[kept:i]...)
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c == '\t':
			out = append(out, `\t`...)
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			out = utf8.AppendRune(out, utf8.RuneError)
		}
		i++
		kept = i
	}
	out = append(out, text[kept:]...)
	return append(out, '"')
}
