package capture

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// clean finds out whether there is nothing to mask in lines or in JSON, without reading it token by token: of most
// bodies that can be told at a glance. It may say no to one that has nothing secret, and yes to JSON that is malformed
// if it has nothing secret either.
func (m *masking) clean(in []byte, as format) bool {
	switch first := firstByte(in); {
	case first == '<' || as != formatText && as != formatJSON:
		return false
	case first == '{' || first == '[' || as == formatJSON:
		if len(m.paths) > 0 || bytes.IndexByte(in, '\\') >= 0 || bytes.IndexByte(in, '<') >= 0 {
			return false
		}
	}
	colons := bytes.IndexByte(in, ':') >= 0
	if colons && !m.cleanColons(in) || !m.cleanEquals(in) {
		return false
	}
	if m.cards && (!colons || m.cut) {
		if _, _, card := nextCard(in, 0, m.cut); card {
			return false
		}
	}
	_, _, scheme := nextScheme(in, 0)
	_, _, token := nextWebToken(in, 0)
	return !scheme && !token
}

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// cleanColons finds out whether no colon follows a secret's name, none begins a URL with a password, and whether there
// are no card numbers.
func (m *masking) cleanColons(in []byte) bool {
	url := false
	for at := m.names.pass(in, 0); at < len(in); at = m.names.pass(in, at) {
		if numeric[in[at]] != 0 {
			if _, _, card := cardAround(in, 0, at, m.cut); card && m.cards {
				return false
			}
			at += numberPart
			continue
		}
		if m.named(in, at) {
			return false
		}
		at++
		url = url || at < len(in) && in[at] == '/'
	}
	if url {
		_, _, url = nextUserInfo(in, 0)
	}
	return !url
}

// pass goes from position at on over all that needs no closer look. It gives the place of a colon, unless the known name
// of a JSON field or the hour or minute of a time is before it; of numberPart bytes in a number; or, seldom, of another
// byte behind a colon. It is len(in) if there is none.
func (n *names) pass(in []byte, at int) int {
	const (
		colons = ':' * ones
		kind   = 0xe0 * ones >> (64 - 8*numberPart) // of digits, spaces, hyphens and colons: all are 0x20 to 0x3f
	)
	at = max(at, 0) // as it is: so the compiler knows
	for ; at <= len(in)-8; at += 8 {
		off := binary.LittleEndian.Uint64(in[at:at+8]) ^ colons
		if off&kind == 0 && numeric[in[at]]&numeric[in[at+numberPart-1]] != 0 && inNumber(in, at) {
			return at
		}
		if (off-ones)&tops == 0 { // zeros(off) is 0 then
			continue
		}
		for hits := zeros(off); hits != 0; hits &= hits - 1 {
			colon := at + bits.TrailingZeros64(hits)/8
			if colon < 17 || colon >= len(in)-1 || in[colon+1] == '/' {
				return colon
			}
			if in[colon-1] != '"' {
				if !n.timely && (minuteEnds(in[colon-3:colon]) || hourEnds(in[colon-16:colon])) {
					continue
				}
				return colon
			}
			name, ok := fieldNameIn(binary.BigEndian.Uint64(in[colon-17:colon-9]), binary.BigEndian.Uint64(in[colon-9:colon-1]))
			if !ok {
				return colon
			}
			if known := n.seen[name.hash()].Load(); known == nil || *known != name {
				return colon
			}
		}
	}
	for ; at < len(in); at++ {
		if in[at] == ':' || inNumber(in, at) {
			return at
		}
	}
	return at
}

// zeros has the top bit of each byte of word that is zero, up from the lowest such byte; above it there may be more.
func zeros(word uint64) uint64 { return (word - ones) &^ word & tops }

// numberPart is how many bytes of a card number, or more, are in one of the words of text that it is in: it has minCard
// at least.
const numberPart = minCard - 7

// inNumber reports whether the numberPart bytes at in[at] stand among minCard digits and separators or more in a row.
func inNumber(in []byte, at int) bool {
	count := 0
	for _, c := range in[at:min(at+minCard, len(in))] {
		if numeric[c] == 0 {
			break
		}
		count++
	}
	if count < numberPart {
		return false
	}
	for ; at > 0 && count < minCard && numeric[in[at-1]] != 0; at-- {
		count++
	}
	return count >= minCard
}

// cleanEquals finds out whether no equals sign follows a secret's name.
func (m *masking) cleanEquals(in []byte) bool {
	for at := 0; ; at++ {
		next := bytes.IndexByte(in[at:], '=')
		if next < 0 {
			return true
		}
		if at += next; m.named(in, at) {
			return false
		}
	}
}

// named reports whether the colon or equals sign at in[mark] follows a name that means a secret, or one that is too long
// to tell.
func (m *masking) named(in []byte, mark int) bool {
	end, quoted := mark, false
	for ; end > 0; end-- {
		if c := in[end-1]; c == '"' {
			quoted = true
		} else if c > ' ' && c != '\'' && c != '\\' {
			break
		}
	}
	known := (*[16]byte)(nil)
	if quoted && end >= 16 {
		known = (*[16]byte)(in[end-16:])
		if m.names.knows(known) {
			return false
		}
	}
	start := end
	if quoted { // all of the name of a JSON field
		for start > 0 && in[start-1] != '"' {
			start--
		}
	} else {
		for start > 0 && end-start <= maxName && nameByte(in[start-1]) {
			start--
		}
	}
	name := in[start:end]
	if len(name) > maxName || bytes.IndexByte(name, '%') >= 0 || unsafe(m.names, name) {
		return true
	}
	if known != nil {
		m.names.learn(known)
	}
	return false
}

// minuteEnds reports whether three bytes of text are a minute, behind the hour's colon.
func minuteEnds(text []byte) bool { return text[0] == ':' && digit(text[1]) && digit(text[2]) }

// hourEnds reports whether 16 bytes of text are a date and an hour, as "2026-01-02T03, behind no letter.
func hourEnds(text []byte) bool {
	return hour.fits(binary.LittleEndian.Uint64(text[8:16])) &&
		year.fits(binary.LittleEndian.Uint64(text[:8])>>24) && text[2] <= '"'
}

// pattern is what up to eight bytes may be: a digit where it has a zero, else the byte that it has.
type pattern struct{ bytes, room uint64 } // room is what may be added to a byte's distance so that it stays below 0x80

// The parts of a date and time.
var (
	year = patternOf("0000-")
	hour = patternOf("00-00T00")
)

func patternOf(text string) pattern {
	p := pattern{room: 0x7f * ones}
	for i := range len(text) {
		p.bytes |= uint64(text[i]) << (8 * i)
		if text[i] == '0' {
			p.room -= 9 << (8 * i)
		}
	}
	return p
}

// fits reports whether the bytes of text are such, those beyond the pattern's end zero.
func (p pattern) fits(text uint64) bool {
	off := text ^ p.bytes
	return (off+p.room|off)&tops == 0
}
