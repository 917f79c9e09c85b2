package capture

import (
	"bytes"
	"math/bits"
	"unicode/utf8"

	"sidekong/proxy/plugin/capture/scan"
)

// shows reports whether a body is text in UTF-8 with nothing to mask. It may say no to one that is.
func (m *masking) shows(body []byte, as format) bool {
	if m.off {
		return isText(body, false)
	}
	kinds, clean := m.glance(body, as)
	return clean && kinds&scan.NUL == 0 && (kinds&scan.Beyond == 0 || utf8.Valid(body))
}

// page is a part of a text that is looked at in one go.
type page struct {
	near   [before + pageSize + scan.Size]byte // with some bytes before it and behind it
	blocks [pageSize / scan.Size]scan.Block
}

const (
	pageSize = 1024
	// before is how much of a name, with its quotes, is compared as words, in bytes.
	before = 16
)

// padding is what is behind a text; its bytes are of no kind.
var padding = [scan.Size]byte(bytes.Repeat([]byte("x"), scan.Size))

// turn takes the part of text that begins at a place, and gives its blocks with the kinds of bytes in it.
func (p *page) turn(text []byte, from int) ([]scan.Block, scan.Kinds) {
	if from == 0 {
		clear(p.near[:before])
	} else {
		copy(p.near[:before], text[from-before:])
	}
	size := copy(p.near[before:before+pageSize+1], text[from:])
	if size <= pageSize {
		copy(p.near[before+size:], padding[:])
	}
	blocks := p.blocks[:(min(size, pageSize)+scan.Size-1)/scan.Size]
	return blocks, scan.Text(blocks, p.near[before:])
}

// word reads eight bytes from at-before on.
func (p *page) word(at uint) uint64 {
	return uint64(p.near[at]) | uint64(p.near[at+1])<<8 | uint64(p.near[at+2])<<16 | uint64(p.near[at+3])<<24 |
		uint64(p.near[at+4])<<32 | uint64(p.near[at+5])<<40 | uint64(p.near[at+6])<<48 | uint64(p.near[at+7])<<56
}

// glance finds out whether there is nothing to mask in lines or in JSON, without reading it token by token: of most texts
// that can be told so. It may say no to one that has nothing secret, and yes to JSON that is malformed if it has nothing
// secret either. kinds are those of all bytes where clean is true.
func (m *masking) glance(in []byte, as format) (kinds scan.Kinds, clean bool) {
	v := view{in: in, field: &m.names.start}
	switch first := firstByte(in); {
	case first == '<' || as != formatText && as != formatJSON:
		return 0, false
	case first == '{' || first == '[' || as == formatJSON:
		if v.json = true; len(m.paths) > 0 {
			return 0, false
		}
	}
	if m.page == nil {
		m.page = new(page)
	}
	for from := 0; from < len(in); from += pageSize {
		blocks, found := m.page.turn(in, from)
		if kinds |= found; v.json && !v.escaped && found&scan.Special != 0 {
			if v.escaped, v.url = plainEscapes(in); !v.escaped {
				return 0, false
			}
			if from > 0 { // what has been seen may go on behind an escape
				v.field, v.numbers, from = &m.names.start, 0, -pageSize
				continue
			}
		}
		if kinds&scan.Colon != 0 && !m.names.read(&v, m.page, from, len(blocks)) ||
			m.cards && m.cardIn(&v, from, blocks) || kinds&scan.Sign != 0 && v.credentialIn(from, blocks) {
			return 0, false
		}
	}
	if m.cut && m.cards {
		if _, _, card := nextCard(in, 0, true); card {
			return 0, false
		}
	}
	return kinds, (kinds&scan.Equals == 0 || m.cleanEquals(in)) && !(v.url && v.hasUserInfo())
}

// view is what a glance has seen of a text so far.
type view struct {
	in      []byte
	field   *fieldName // the last one that is known
	json    bool
	escaped bool   // it is JSON with escapes
	url     bool   // there may be one
	numbers uint64 // where digits and separators are in the last block
}

// plainEscapes reports whether JSON is free of markup, and its escapes stand for bytes that matter nowhere and are part of no
// name. url: there is a slash behind a colon.
func plainEscapes(in []byte) (plain, url bool) {
	if bytes.IndexByte(in, '<') >= 0 {
		return false, url
	}
	for at := 0; ; {
		next := bytes.IndexByte(in[at:], '\\')
		if next < 0 {
			return true, url
		}
		if at += next + 2; at > len(in) {
			return false, url
		}
		switch in[at-1] {
		case '/':
			url = url || at > 2 && in[at-3] == ':'
		case 'n', 'r', 't', 'b', 'f', '\\':
		case '"': // neither within a name nor at its end, in JSON within a string
			rest := bytes.TrimLeft(in[at:], " \t\r\n")
			if len(rest) > 0 && rest[0] == ':' {
				return false, url
			}
			end := bytes.IndexByte(in[at:], '"') + 1
			if rest = bytes.TrimLeft(in[at+end:], " \t\r\n"); end == 0 || len(rest) > 0 && rest[0] == ':' {
				return false, url
			}
		case 'u':
			if at+4 > len(in) || in[at] == '0' && in[at+1] == '0' && in[at+2] < '8' {
				return false, url
			}
		default:
			return false, url
		}
	}
}

// hasUserInfo reports whether there is a name or a password in a URL. It may say yes where there is none.
func (v *view) hasUserInfo() bool {
	if v.escaped {
		return bytes.IndexByte(v.in, '@') >= 0
	}
	_, _, ok := nextUserInfo(v.in, 0)
	return ok
}

// credentialIn reports whether there is a credential or a token in blocks, of which the first is about in[at]. It may say yes
// where there is none.
func (v *view) credentialIn(at int, blocks []scan.Block) bool {
	in := v.in
	for i := range blocks {
		for hits := blocks[i].Signs; hits != 0; hits &= hits - 1 {
			sign := at + i*scan.Size + bits.TrailingZeros64(hits)
			switch rest := in[sign+1:]; {
			case len(rest) == 0:
				continue
			case rest[0] == 'e' && bytes.HasPrefix(rest, []byte("earer ")):
			case rest[0] == 'a' && bytes.HasPrefix(rest, []byte("asic ")):
			case sign >= 2 && in[sign-1] == 'y' && in[sign-2] == 'e':
			default:
				continue
			}
			_, _, scheme := nextScheme(in, sign)
			_, _, token := nextWebToken(in, sign)
			if scheme || token || v.json { // a text in JSON may end where this one does not
				return true
			}
		}
	}
	return false
}

// cardIn reports whether there is a card number in blocks, of which the first is about in[at]. It may say yes where there is
// none.
func (m *masking) cardIn(v *view, at int, blocks []scan.Block) bool {
	last := v.numbers
	for i := range blocks {
		numbers, earlier := blocks[i].Numbers, last
		last = numbers
		two := numbers & (numbers << 1)
		four := two & (two << 2)
		eight := four & (four << 4)
		if eight == 0 && numbers&(earlier>>63) == 0 {
			continue
		}
		ends := eight & (four << 8) & (numbers << (minCard - 1)) // where minCard in a row end
		if left, more := bits.LeadingZeros64(^earlier), bits.TrailingZeros64(^numbers); left+more >= minCard {
			ends |= (1<<more - 1) &^ (1<<max(0, minCard-1-left) - 1)
		}
		if ends != 0 && (v.escaped || m.cardAt(v.in, at+i*scan.Size, ends)) {
			return true
		}
	}
	v.numbers = last
	return false
}

// cardAt reports whether there is a card number where minCard digits and separators end in a row, which is at the bits of
// ends, the lowest standing for in[at].
func (m *masking) cardAt(in []byte, at int, ends uint64) bool {
	for ends != 0 {
		end := bits.TrailingZeros64(ends)
		if _, _, card := cardAround(in, 0, at+end, m.cut); card {
			return true
		}
		ends &^= 1<<(end+minCard-1) - 1 // a number that this place is not in goes on behind them
	}
	return false
}

// cleanEquals finds out whether no equals sign follows a secret's name.
func (m *masking) cleanEquals(in []byte) bool {
	for at := 0; ; at++ {
		next := bytes.IndexByte(in[at:], '=')
		if next < 0 {
			return true
		}
		if at += next; m.names.named(in[:at]) {
			return false
		}
	}
}

// named reports whether in ends in a name that means a secret, or one that is too long to tell or escaped.
func (n *names) named(in []byte) bool {
	end, quoted := len(in), false
	for ; end > 0; end-- {
		if c := in[end-1]; c == '"' {
			quoted = true
		} else if c > ' ' && c != '\'' && c != '\\' {
			break
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
	return len(name) > maxName || bytes.IndexByte(name, '%') >= 0 || bytes.IndexByte(name, '\\') >= 0 ||
		start > 0 && in[start-1] == '\\' || unsafe(n, name)
}

// minuteEnds reports whether eight bytes of text end in a minute, behind the hour's colon.
func minuteEnds(text uint64) bool { return minute.fits(text >> 40) }

// hourEnds reports whether 16 bytes of text end in a date and an hour, as 2026-01-02T03, behind no letter.
func hourEnds(head, tail uint64) bool {
	return hour.fits(tail) && year.fits(head>>24) && head>>16&0xff <= '"'
}

// pattern is what up to eight bytes may be: a digit where it has a zero, else the byte that it has.
type pattern struct{ bytes, room uint64 } // room is what may be added to a byte's distance so that it stays below 0x80

// The parts of a date and time.
var (
	year   = patternOf("0000-")
	hour   = patternOf("00-00T00")
	minute = patternOf(":00")
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
