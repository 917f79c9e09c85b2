package capture

import (
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// maxHeaders bounds the text that a request's or an answer's headers become, in bytes: at most one header, and what is kept of
// others, makes it longer.
const maxHeaders = 64 << 10

// headerName is what is known of a header by its name.
type headerName struct {
	name   string
	rank   uint64 // its first bytes, which nearly always tell which of two names comes first
	quoted string // as the name of a JSON field, behind a comma and with the colon
	secret bool
	host   bool // it is the one that net/http keeps apart

	// The value that it had, and what became of it: the messages of one client or one service are much alike.
	kept atomic.Pointer[keptValue]
}

// keptValue is a value and what entry writes for the header that has it.
type keptValue struct {
	value, text string
	each        uint32      // of how many other values one takes its place
	used        atomic.Bool // the value has come again
}

const (
	// maxKept is the length up to which what became of a header is kept, in bytes.
	maxKept = 256
	// keepEach is of how many new things one is kept where there is one already: some never come twice.
	keepEach = 16
	// keepMost is the same where no value has come twice for long.
	keepMost = 1 << 12
)

// seldom reports true one time in keepEach.
func seldom() bool { return rand.Uint32()%keepEach == 0 }

// header finds out about a header's name. The same come again and again, so that the last ones are kept.
func (n *names) header(name string) *headerName {
	rank := rankOf(name)
	tail := rank
	if len(name) >= 8 {
		tail = load(name, len(name)-8)
	}
	at := &n.headers[(rank*3^tail)*0x9e3779b97f4a7c15>>55]
	if known := at.Load(); known != nil && known.name == name {
		return known
	}
	name = strings.Clone(name)
	known := &headerName{
		name: name, rank: rank, secret: secret(n, name), host: name == hostName,
		quoted: "," + string(appendQuoted(nil, strings.ToLower(name))) + ":",
	}
	if len(name) <= maxName {
		at.Store(known)
	}
	return known
}

func rankOf(name string) (rank uint64) {
	if len(name) >= 8 {
		return bits.ReverseBytes64(load(name, 0))
	}
	for i := range len(name) {
		rank |= uint64(name[i]) << (56 - 8*i)
	}
	return rank
}

// maxSorted is how many headers are put in order; there are seldom more.
const maxSorted = 100

// position is where a field stands among others.
type position struct {
	rank uint64
	at   int
}

// sorted gives the order of the fields' names. It is valid until the next call.
func (m *masking) sorted(fields []field) []position {
	order := m.order[:0]
	for i := range fields {
		known := fields[i].known
		p, at := position{known.rank, i}, len(order)
		order = append(order, p)
		if len(fields) > maxSorted {
			continue
		}
		for ; at > 0; at-- {
			left := order[at-1]
			if p.rank > left.rank || p.rank == left.rank && known.name >= fields[left.at].known.name {
				break
			}
			order[at] = left
		}
		order[at] = p
	}
	m.order = order
	return order
}

// header appends a header, behind a comma, and may keep what became of it.
func (m *masking) header(out []byte, known *headerName, values []string) []byte {
	out = m.entry(out, known, values)
	m.keep(known, values)
	return out
}

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

// keep keeps what became of a header, now and then, and the more seldom the longer no value has come twice. A value with a
// secret is not kept: it is marked each time.
func (m *masking) keep(known *headerName, values []string) {
	if len(values) != 1 || known.secret || len(values[0]) > maxKept {
		return
	}
	each := uint32(keepEach)
	if kept := known.kept.Load(); kept != nil {
		if rand.Uint32()%kept.each != 0 {
			return
		}
		if !kept.used.Load() {
			each = min(2*kept.each, keepMost)
		}
	}
	trial := *m
	trial.marks = new(marks)
	text := trial.entry(nil, known, values)
	if len(trial.marks.places) == 0 && len(text) <= maxHeaders/maxSorted { // so that all that are kept are no longer than that
		known.kept.Store(&keptValue{value: strings.Clone(values[0]), text: string(text), each: each})
	}
}

// What the bytes of a header's value or a target may be part of.
const (
	escapes = 1 << iota // what does not stand for itself in a JSON string
	equals              // parameters, and those of a URL
	signs               // a credential or a name with its password
	digits              // a card number
	colons              // a name and its value
	percent             // anything
	letters             // no card number in one piece with them
	gaps                // the end of a piece
)

var looks = func() (table [256]uint8) {
	for c := range table {
		if !plain[c] {
			table[c] = escapes
		}
	}
	table['='], table[':'], table['%'] = equals, colons, percent
	table['@'], table['B'], table['J'] = signs, signs, signs
	for c := range table {
		switch {
		case digit(byte(c)):
			table[c] |= digits
		case letter(byte(c)):
			table[c] |= letters
		default:
			table[c] |= gaps
		}
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
	case seen&digits != 0 && len(value) >= minCard && seen&(letters|gaps) != letters:
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

// A bit of each byte of a word: the lowest, and the top one.
const (
	ones = 0x0101010101010101
	tops = 0x80 * ones
)

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
