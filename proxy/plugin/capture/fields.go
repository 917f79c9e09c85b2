package capture

import (
	"math/bits"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"sidekong/tracing"
)

// maxHeaders bounds the text that a request's or an answer's headers become, in bytes.
const maxHeaders = 64 << 10

// field is a header with its values, of which there is one at least.
type field struct {
	name   string
	head   uint64 // the first bytes of name: they nearly always tell which of two names comes first
	values []string
}

// takeFields notes headers. They are not read before the end, when it is known whether they are of interest.
func takeFields(fields []field, h http.Header) []field {
	for name, values := range h {
		if len(values) > 0 {
			fields = append(fields, field{name, headOf(name), values})
		}
	}
	return fields
}

func headOf(name string) (head uint64) {
	if len(name) >= 8 {
		return bits.ReverseBytes64(load(name, 0))
	}
	for i := range len(name) {
		head |= uint64(name[i]) << (56 - 8*i)
	}
	return head
}

// before reports whether f comes before g in the order of names.
func (f *field) before(g *field) bool {
	return f.head < g.head || f.head == g.head && f.name < g.name
}

// maxSorted is how many headers are put in order; there are seldom more.
const maxSorted = 100

// sortFields puts headers in the order of their names.
func sortFields(fields []field) {
	if len(fields) > maxSorted {
		return
	}
	for i := 1; i < len(fields); i++ {
		if !fields[i].before(&fields[i-1]) {
			continue
		}
		f, at := fields[i], i
		for ; at > 0 && f.before(&fields[at-1]); at-- {
			fields[at] = fields[at-1]
		}
		fields[at] = f
	}
}

// texts are what JSON is written to before it becomes an attribute.
var texts = sync.Pool{New: func() any { return new([]byte) }}

// headers writes fields as a JSON object in the order of their names, which are lower case. A header that came more than
// once becomes an array.
func (m *masking) headers(fields []field) tracing.Value {
	sortFields(fields)
	buffer := texts.Get().(*[]byte)
	out := append((*buffer)[:0], '{')
	for i := range fields {
		f := &fields[i]
		if len(out) > maxHeaders {
			out = append(out, `,"…":"truncated"`...)
			break
		}
		if i > 0 {
			out = append(out, ',')
		}
		known := m.names.header(f.name)
		out = append(out, known.quoted...)
		if len(f.values) == 1 {
			out = m.value(out, known, f.values[0])
			continue
		}
		for i, value := range f.values {
			open := byte(',')
			if i == 0 {
				open = '['
			}
			out = m.value(append(out, open), known, value)
		}
		out = append(out, ']')
	}
	out = append(out, '}')
	text := string(out)
	if *buffer = out; cap(out) <= maxHeaders {
		texts.Put(buffer)
	}
	return tracing.StringValue(text)
}

// headerName is what is known of a header by its name.
type headerName struct {
	name   string
	quoted string // as the name of a JSON field, with the colon
	secret bool
}

// header finds out about a header's name. The same come again and again, so that the last ones are kept.
func (n *names) header(name string) *headerName {
	if len(name) == 0 {
		return &headerName{quoted: `"":`}
	}
	last := len(name) - 1
	at := &n.headers[(len(name)<<5^int(name[0])<<3^int(name[last])<<6^int(name[last/2])^int(name[last*3/4])<<2)%len(n.headers)]
	if known := at.Load(); known != nil && known.name == name {
		return known
	}
	name = strings.Clone(name)
	known := &headerName{name, string(appendQuoted(nil, strings.ToLower(name))) + ":", secret(n, name)}
	if len(name) <= maxName {
		at.Store(known)
	}
	return known
}

// What the bytes of a header's value may be part of.
const (
	escapes = 1 << iota // what does not stand for itself in a JSON string
	equals              // parameters, and those of a URL
	signs               // a credential or a name with its password
	digits              // a card number
)

var looks = func() (table [256]uint8) {
	for c := range table {
		if !plain[c] {
			table[c] = escapes
		}
	}
	table['='] = equals | signs
	table['@'], table['B'], table['J'] = signs, signs, signs
	for c := '0'; c <= '9'; c++ {
		table[c] = digits
	}
	return table
}()

// look tells what there may be in a header's value.
func look(value string) (seen uint8) {
	for ; len(value) >= 4; value = value[4:] {
		seen |= looks[value[0]] | looks[value[1]] | looks[value[2]] | looks[value[3]]
	}
	for i := range len(value) {
		seen |= looks[value[i]]
	}
	return seen
}

// value writes a header's value as a JSON string, masked where its name means a secret or where it looks like one.
func (m *masking) value(out []byte, of *headerName, value string) []byte {
	if m.off {
		return appendQuoted(out, value)
	}
	if of.secret {
		return append(m.hide(append(out, '"'), of.name), '"')
	}
	seen, from := look(value), len(out)
	switch {
	case seen&equals != 0:
		out = appendQuoted(out, string(m.lines(nil, []byte(value))))
	case seen&escapes != 0:
		out = appendQuoted(out, value)
	default:
		out = append(append(append(out, '"'), value...), '"')
	}
	switch {
	case seen&signs != 0:
		return m.shapes(out, from)
	case seen&digits != 0 && len(value) >= minCard:
		return m.numbers(out, from)
	}
	return out
}

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (table [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// load reads eight bytes.
func load(text string, at int) uint64 {
	eight := text[at : at+8]
	return uint64(eight[0]) | uint64(eight[1])<<8 | uint64(eight[2])<<16 | uint64(eight[3])<<24 |
		uint64(eight[4])<<32 | uint64(eight[5])<<40 | uint64(eight[6])<<48 | uint64(eight[7])<<56
}

// allPlain reports whether eight bytes are plain.
func allPlain(word uint64) bool {
	const quotes, slashes, spaces = '"' * ones, '\\' * ones, ' ' * ones
	return (word|(word-spaces)|(word^quotes-ones)|(word^slashes-ones))&tops == 0
}

// appendQuoted writes text as a JSON string. What is no UTF-8 is replaced.
func appendQuoted(out []byte, text string) []byte {
	const hexDigits = "0123456789abcdef"
	out = append(out, '"')
	kept := 0
	for i := 0; i < len(text); {
		if i+8 <= len(text) && allPlain(load(text, i)) {
			i += 8
			continue
		}
		c := text[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(text[i:]); r != utf8.RuneError || size > 1 {
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
