package traces

import "encoding/binary"

// ring is a fixed stretch of memory that records are written to, one behind the other; the newest take the place of the
// oldest. A record is contiguous. Positions count bytes from the beginning of time, so that they only grow; position 0
// is never a record's.
type ring struct {
	memory []byte
	head   uint64 // where the next record goes
	tail   uint64 // the oldest record
}

// kind says what a record holds.
type kind uint8

const (
	padding   kind = iota // up to the end of the memory
	kindSpans             // a ResourceSpans message
	kindLogs              // a ResourceLogs message
	kindOwn               // a request of the gateway: its note, then the spans as fields of a ScopeSpans message
	kindRaw               // the same with the spans as the gateway has them: kindOwn once Options.Expand has read them
)

// header stands before each record: its size with the header, its kind, the number of its trace, and the position of
// the trace's record before it, 0 for the first.
const headerSize = 4 + 1 + 8 + 8

type header struct {
	size     int
	kind     kind
	number   uint64
	previous uint64
}

func newRing(size int) ring {
	return ring{memory: arena(size), head: headerSize, tail: headerSize}
}

func (r *ring) size() uint64 { return uint64(len(r.memory)) }

func (r *ring) used() int64 { return int64(r.head - r.tail) }

// room says how many bytes a record of n bytes takes with the padding before it.
func (r *ring) room(n int) int64 {
	if left := r.size() - r.head%r.size(); uint64(n) > left {
		return int64(left) + int64(n)
	}
	return int64(n)
}

// append writes a record of the parts. There has to be room for it.
func (r *ring) append(h header, parts ...[]byte) (position uint64) {
	if left := r.size() - r.head%r.size(); uint64(h.size) > left {
		if left >= headerSize {
			r.putHeader(r.head, header{size: int(left), kind: padding})
		}
		r.head += left
	}
	position = r.head
	r.putHeader(position, h)
	at := r.memory[position%r.size()+headerSize:]
	for _, part := range parts {
		at = at[copy(at, part):]
	}
	r.head += uint64(h.size)
	return position
}

func (r *ring) putHeader(position uint64, h header) {
	at := r.memory[position%r.size():]
	binary.LittleEndian.PutUint32(at, uint32(h.size))
	at[4] = byte(h.kind)
	binary.LittleEndian.PutUint64(at[5:], h.number)
	binary.LittleEndian.PutUint64(at[13:], h.previous)
}

// at reads the record at a position that append gave, or that next led to.
func (r *ring) at(position uint64) (h header, body []byte) {
	at := r.memory[position%r.size():]
	h = header{
		size: int(binary.LittleEndian.Uint32(at)), kind: kind(at[4]),
		number: binary.LittleEndian.Uint64(at[5:]), previous: binary.LittleEndian.Uint64(at[13:]),
	}
	return h, at[headerSize:h.size]
}

// seek gives the first record at or after a position that is a record's or follows one; ok is false at the end.
func (r *ring) seek(position uint64) (found uint64, ok bool) {
	position = max(position, r.tail)
	for position < r.head {
		left := r.size() - position%r.size()
		if left < headerSize {
			position += left
			continue
		}
		h, _ := r.at(position)
		if h.kind != padding {
			return position, true
		}
		position += uint64(h.size)
	}
	return position, false
}

// drop removes the oldest record and gives its header; ok is false where there is none.
func (r *ring) drop() (h header, ok bool) {
	position, ok := r.seek(r.tail)
	if !ok {
		r.tail = r.head
		return header{}, false
	}
	h, _ = r.at(position)
	r.tail = position + uint64(h.size)
	return h, true
}
