package capture

import (
	"math/bits"
	"strings"
	"unicode/utf8"
)

// maxHeaders bounds the text that a request's or an answer's headers become, in bytes.
const maxHeaders = 64 << 10

// field is a header with its values, of which there is one at least.
type field struct {
	name   string
	values []string
}

// rank is a field's place in the order of names. head is the first bytes of its name, which nearly always tell which of
// two names comes first.
type rank struct {
	head uint64
	at   int
}

// maxSorted is how many headers are put in order; there are seldom more.
const maxSorted = 100

// sorted gives the order of the fields' names. It is valid until the next call.
func (m *masking) sorted(fields []field) []rank {
	order := m.order[:0]
	for i := range fields {
		name := fields[i].name
		r, at := rank{headOf(name), i}, len(order)
		order = append(order, r)
		if len(fields) > maxSorted {
			continue
		}
		for ; at > 0; at-- {
			left := order[at-1]
			if r.head > left.head || r.head == left.head && name >= fields[left.at].name {
				break
			}
			order[at] = left
		}
		order[at] = r
	}
	m.order = order
	return order
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

// headers appends headers as a JSON object in the order of their names, which are lower case. A header that came more
// than once becomes an array.
func (m *masking) headers(out []byte, h *head, known *layouts) []byte {
	from := len(out)
	if h.layout == nil {
		order := m.sorted(h.fields)
		for _, r := range order {
			if len(out)-from > maxHeaders {
				out = append(out, cutShort...)
				break
			}
			f := &h.fields[r.at]
			out = m.entry(out, m.names.header(f.name, r.head), f.values)
		}
		m.learn(h.fields, order, known)
	} else {
		for i := range h.layout.lines {
			if len(out)-from > maxHeaders {
				out = append(out, cutShort...)
				break
			}
			l, values := &h.layout.lines[i], h.fields[i].values
			if l.text != "" && len(values) == 1 && values[0] == l.value {
				out = append(out, l.text...)
			} else {
				out = m.entry(out, l.known, values)
			}
		}
	}
	if len(out) == from {
		return append(out, "{}"...)
	}
	out[from] = '{' // in the place of a comma
	return append(out, '}')
}

const cutShort = `,"…":"truncated"`

// entry appends a header, behind a comma.
func (m *masking) entry(out []byte, known *headerName, values []string) []byte {
	out = append(out, known.quoted...)
	if len(values) == 1 {
		return m.value(out, known, values[0])
	}
	for i, value := range values {
		between := byte(',')
		if i == 0 {
			between = '['
		}
		out = m.value(append(out, between), known, value)
	}
	return append(out, ']')
}

// headerName is what is known of a header by its name.
type headerName struct {
	name   string
	quoted string // as the name of a JSON field, behind a comma and with the colon
	secret bool
}

// header finds out about a header's name, of which head is the first bytes. The same come again and again, so that the
// last ones are kept.
func (n *names) header(name string, head uint64) *headerName {
	tail := head
	if len(name) >= 8 {
		tail = load(name, len(name)-8)
	}
	at := &n.headers[(head*3^tail)*0x9e3779b97f4a7c15>>57]
	if known := at.Load(); known != nil && known.name == name {
		return known
	}
	name = strings.Clone(name)
	known := &headerName{name, "," + string(appendQuoted(nil, strings.ToLower(name))) + ":", secret(n, name)}
	if len(name) <= maxName {
		at.Store(known)
	}
	return known
}

// What the bytes of a header's value or a target may be part of.
const (
	escapes = 1 << iota // what does not stand for itself in a JSON string
	equals              // parameters, and those of a URL
	signs               // a credential or a name with its password
	digits              // a card number
	colons              // a name and its value
	percent             // anything
)

var looks = func() (table [256]uint8) {
	for c := range table {
		if !plain[c] {
			table[c] = escapes
		}
	}
	table['='], table[':'], table['%'] = equals, colons, percent
	table['@'], table['B'], table['J'] = signs, signs, signs
	for c := '0'; c <= '9'; c++ {
		table[c] = digits
	}
	return table
}()

// look tells what there may be in a header's value or a target.
func look(value string) (seen uint8) {
	i := 0
	for ; i+4 <= len(value); i += 4 {
		four := value[i : i+4]
		seen |= looks[four[0]] | looks[four[1]] | looks[four[2]] | looks[four[3]]
	}
	for ; i < len(value); i++ {
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
	case seen&(equals|signs) != 0:
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
