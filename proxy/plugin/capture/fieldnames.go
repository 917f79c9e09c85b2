package capture

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"sync/atomic"

	"sidekong/proxy/plugin/capture/scan"
)

// fieldName is the name of a JSON field that means no secret.
type fieldName struct {
	text       string // with its quotes
	head, tail uint64 // the last 16 bytes of text, the lowest byte being the first
	heads      uint64 // the bits of head that count, if text is not longer: where it is, these words fit nothing
	tails      uint64 // of tail

	// next is the place of the name that came after it: the fields of one kind of object mostly come in one order.
	next atomic.Uint32
}

// fieldNames are names that have been, each at the place that its hash says: the same come again and again. The other places
// have noField, as the first one always does.
type fieldNames [1 << fieldBits]atomic.Pointer[fieldName]

const fieldBits = 9

// expected is the name that is to come behind another.
func (f *fieldNames) expected(last *fieldName) *fieldName {
	return f[last.next.Load()%uint32(len(f))].Load()
}

// noField fits no text.
var noField = newFieldName(strings.Repeat("-", before+1))

func newFieldNames() *fieldNames {
	f := new(fieldNames)
	for i := range f {
		f[i].Store(noField)
	}
	return f
}

// placeOf is where a name stands, with its quotes.
func placeOf(text []byte) uint32 {
	var end uint64
	for _, c := range text[max(0, len(text)-8):] {
		end = end<<8 | uint64(c)
	}
	return max(1, uint32((end+uint64(len(text)))*0x9e3779b97f4a7c15>>(64-fieldBits)))
}

func newFieldName(text string) *fieldName {
	var last, counts [before]byte
	for i := 1; i <= min(len(text), len(last)); i++ {
		last[len(last)-i], counts[len(last)-i] = text[len(text)-i], 0xff
	}
	if len(text) > len(last) {
		counts = [before]byte{} // no text has other bits than none
	}
	half := binary.LittleEndian.Uint64
	return &fieldName{text: text, head: half(last[:8]), tail: half(last[8:]), heads: half(counts[:8]), tails: half(counts[8:])}
}

// read goes over the names before the colons in blocks of a page that begins with in[at]. It reports false where there is one
// that may mean a secret.
func (n *names) read(v *view, p *page, at, blocks int) bool {
	for i, hits := 0, p.blocks[0].Colons; ; hits &= hits - 1 {
		if i, hits, v.field = n.skip(p, blocks, i, hits, v.field); hits == 0 {
			return true
		}
		colon := at + i*scan.Size + bits.TrailingZeros64(hits)
		v.url = v.url || colon+1 < len(v.in) && v.in[colon+1] == '/'
		if v.field = n.look(v.in[:colon], v.field); v.field == nil {
			return false
		}
	}
}

// skip goes over the colons of a page, from those at the bits of hits in its block at i on, that need no closer look: they
// follow the name that is expected behind the one before, or are those of a time. It gives the place of the next, there being
// none where no hits are left, and the last such name.
func (n *names) skip(p *page, blocks, i int, hits uint64, last *fieldName) (at int, left uint64, field *fieldName) {
	for start := uint(i) * scan.Size; ; start += scan.Size {
		for ; hits != 0; hits &= hits - 1 {
			mark := (start + uint(bits.TrailingZeros64(hits))) % pageSize
			head, tail := p.word(mark), p.word(mark+8)
			if p.near[before+mark+1] == '/' {
				return i, hits, last
			}
			if tail>>56 != '"' {
				if n.timely || !minuteEnds(tail) && !hourEnds(head, tail) {
					return i, hits, last
				}
				continue
			}
			next := n.fields.expected(last)
			if tail&next.tails != next.tail || head&next.heads != next.head {
				return i, hits, last
			}
			last = next
		}
		if i++; i >= min(blocks, len(p.blocks)) {
			return i, 0, last
		}
		hits = p.blocks[i].Colons
	}
}

// look takes a closer look at what a colon follows. It gives the name if it is that of a JSON field, last if it is none or
// one that is not kept, and nil if it may mean a secret. last is the field before.
func (n *names) look(in []byte, last *fieldName) *fieldName {
	if next := n.fields.expected(last); next != noField && len(next.text) < len(in) && string(in[len(in)-len(next.text):]) == next.text {
		return next
	}
	text := fieldBefore(in)
	at := placeOf(text)
	known := n.fields[at].Load()
	if known.text == string(text) {
		last.follow(at)
		return known
	}
	if n.named(in) {
		return nil
	}
	if text == nil || known != noField && !seldom() {
		return last
	}
	known = newFieldName(string(text))
	n.fields[at].Store(known)
	last.follow(at)
	return known
}

// follow notes, now and then, the place of the name that came after this one.
func (f *fieldName) follow(at uint32) {
	if now := f.next.Load(); now == 0 || now != at && seldom() {
		f.next.Store(at)
	}
}

// fieldBefore is the name of a JSON field that ends where in ends, with its quotes, nil if there is none.
func fieldBefore(in []byte) []byte {
	end := len(in) - 1
	if end < 1 || in[end] != '"' {
		return nil
	}
	start := end - 1
	for ; start >= 0 && in[start] != '"'; start-- {
		if end-start > maxName {
			return nil
		}
	}
	switch c := in[end-1]; {
	case start < 0, c <= ' ', c == '\'', c == '\\', c == '"': // what named leaves out
		return nil
	}
	return in[start:]
}
