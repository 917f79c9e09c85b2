// Package traces keeps the traces of a running sidecar and answers questions about them: a list that can be filtered
// and followed, one trace in full, how requests went over time, who calls whom.
//
// A Store is bounded in bytes; the oldest traces leave for new ones. It keeps spans as the OTLP bytes that they are
// exported as and decodes them when somebody looks, so that a request costs its encoding and a copy. Spans come from the
// gateway (Store.Add) and from whoever posts them to a Receiver; those of one trace id are one trace.
package traces

import (
	"encoding/hex"
	"sync"
	"time"
)

// Limits of the store.
const (
	DefaultLimit = 64 << 20
	minLimit     = 1 << 20
	// maxTraceShare bounds one trace: a part of the store, and no more than maxTraceBytes. Whoever sends spans without
	// end under one trace id does not push out all others.
	maxTraceShare = 8
	maxTraceBytes = 4 << 20
	maxRecords    = 4096 // of one trace
	// entrySize is what a trace takes besides its records, as far as the limit is concerned.
	entrySize = 128
)

// Options are what a Store is made of.
type Options struct {
	Limit    int64  // bytes; 0: DefaultLimit
	Resource []byte // that the gateway's own spans come from: an OTLP Resource message
	// Expand turns Request.Spans that are not Encoded into the spans as consecutive "spans" fields of an OTLP ScopeSpans
	// message, the root first, so that this is done for what somebody looks at alone. It gives nil for what it cannot read and may be
	// called by several goroutines. nil: they are in that form already.
	Expand func(spans []byte) []byte
}

// Store is a bounded set of traces. It is safe for use by several goroutines.
type Store struct {
	resource []byte
	expand   func([]byte) []byte
	limit    int64
	overview overview

	mu      sync.Mutex
	epoch   uint64 // tells positions and numbers of different stores apart, and those before and after Clear
	ring    ring
	byID    map[[16]byte]uint64 // number of the trace
	entries []entry             // by number, from first on
	first   uint64              // number of entries[0]
	newest  uint64              // number of the trace that changed last, 0: none
	changes uint64              // count of all changes

	evicted, refused uint64
	file, fault      string

	// Of Keep's goroutine.
	kept      uint64 // position up to which records are kept
	keptEpoch uint64
}

// entry is the index of one trace. It holds no pointer, so that the garbage collector has nothing to look at.
type entry struct {
	id      [16]byte
	last    uint64 // position of its newest record
	changed uint64 // Store.changes when it was written
	older   uint64 // number of the trace that changed before it, 0: none
	newer   uint64 // and after it
	bytes   uint32
	records uint32
	clipped bool
}

// New makes an empty store.
func New(options Options) *Store {
	limit := options.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	limit = max(limit, minLimit)
	return &Store{
		resource: options.Resource, expand: options.Expand, limit: limit, epoch: uint64(time.Now().UnixNano()),
		ring: newRing(int(limit)), byID: map[[16]byte]uint64{}, first: 1,
	}
}

// Close gives the memory back. Nobody may use the store any more.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	release(s.ring.memory)
	s.ring.memory = nil
}

// buffers are where notes are written before they are stored.
var buffers = sync.Pool{New: func() any { return new([512]byte) }}

// Add stores a request of the gateway.
func (s *Store) Add(r *Request) {
	buffer := buffers.Get().(*[512]byte)
	note := appendNote(append(buffer[:0], 0, 0, 0), &r.Note)
	size := len(note) - 3
	note[0], note[1], note[2] = byte(size), byte(size>>8), byte(size>>16)
	k := kindOwn
	if s.expand != nil && !r.Encoded {
		k = kindRaw
	}
	s.mu.Lock()
	s.add(k, r.TraceID, note, r.Spans)
	s.mu.Unlock()
	buffers.Put(buffer)
}

// splitOwn takes a record of kindOwn apart.
func splitOwn(body []byte) (note, spans []byte) {
	if len(body) < 3 {
		return nil, nil
	}
	size := int(body[0]) | int(body[1])<<8 | int(body[2])<<16
	if body = body[3:]; size > len(body) {
		return nil, nil
	}
	return body[:size], body[size:]
}

// AddSpans stores a ResourceSpans message whose spans are all of one trace. It reports whether there was room.
func (s *Store) AddSpans(id [16]byte, message []byte) bool {
	return s.addReceived(kindSpans, id, message)
}

// AddLogs stores a ResourceLogs message whose records all name one trace. It reports whether there was room.
func (s *Store) AddLogs(id [16]byte, message []byte) bool {
	return s.addReceived(kindLogs, id, message)
}

func (s *Store) addReceived(k kind, id [16]byte, message []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(k, id, message)
}

// add stores one record. The caller holds the lock.
func (s *Store) add(k kind, id [16]byte, parts ...[]byte) bool {
	size := headerSize
	for _, part := range parts {
		size += len(part)
	}
	most := min(s.limit/maxTraceShare, maxTraceBytes)
	if int64(size) > most || s.ring.memory == nil {
		s.refused++
		if number, ok := s.byID[id]; ok {
			s.entry(number).clipped = true
		}
		return false
	}
	number, known := s.byID[id]
	if known {
		if e := s.entry(number); int64(e.bytes)+int64(size) > most || e.records >= maxRecords {
			e.clipped = true
			s.refused++
			return false
		}
	}
	for s.bytes()+s.ring.room(size)+entrySize > s.limit {
		if !s.evict() {
			break
		}
	}
	if !known || number < s.first { // it may just have left
		number = s.first + uint64(len(s.entries))
		s.entries = append(s.entries, entry{id: id})
		s.byID[id] = number
	}
	e := s.entry(number)
	e.last = s.ring.append(header{size: size, kind: k, number: number, previous: e.last}, parts...)
	e.bytes += uint32(size)
	e.records++
	s.touch(number, e)
	return true
}

func (s *Store) entry(number uint64) *entry { return &s.entries[number-s.first] }

func (s *Store) bytes() int64 { return s.ring.used() + int64(len(s.entries))*entrySize }

// touch makes an entry the one that changed last.
func (s *Store) touch(number uint64, e *entry) {
	s.changes++
	e.changed = s.changes
	if s.newest == number {
		return
	}
	s.unlink(e)
	if s.newest != 0 {
		s.entry(s.newest).newer = number
	}
	e.older, e.newer = s.newest, 0
	s.newest = number
}

// unlink takes an entry out of the order of changes. It is not the newest, or leaves.
func (s *Store) unlink(e *entry) {
	if e.older != 0 {
		s.entry(e.older).newer = e.newer
	}
	if e.newer != 0 {
		s.entry(e.newer).older = e.older
	}
}

// evict drops the oldest record, and with it the whole trace. It reports false where there is nothing left.
func (s *Store) evict() bool {
	h, ok := s.ring.drop()
	if !ok {
		return false
	}
	// The first record of a trace is older than anything of the traces after it; what is left of one that has gone
	// bears a lower number.
	if h.number != s.first || len(s.entries) == 0 {
		return true
	}
	e := &s.entries[0]
	s.unlink(e)
	if s.newest == s.first {
		s.newest = e.older
	}
	delete(s.byID, e.id)
	s.entries = s.entries[1:]
	s.first++
	s.evicted++
	return true
}

// Clear forgets all traces.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *Store) clear() {
	s.epoch++
	s.first += uint64(len(s.entries))
	s.entries, s.newest = nil, 0
	clear(s.byID)
	s.ring.tail = s.ring.head
}

// State tells how full the store is.
func (s *Store) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{
		Traces: len(s.entries), Bytes: s.bytes(), Limit: s.limit, Evicted: s.evicted, Refused: s.refused, File: s.file, Fault: s.fault,
	}
	if len(s.entries) > 0 {
		state.Oldest = s.first
	}
	return state
}

// part is a record of a trace outside of the ring.
type part struct {
	kind kind
	body []byte
}

// stored is one trace as it was at some time, outside of the ring.
type stored struct {
	id      [16]byte
	number  uint64
	changed uint64
	clipped bool
	parts   []part // in the order of their arrival
}

// prepare puts what read has copied into the form that it is worked with.
func (s *Store) prepare(t *stored) *stored {
	for i := range t.parts {
		t.parts[i].kind, t.parts[i].body = s.expanded(t.parts[i].kind, t.parts[i].body)
	}
	return t
}

// expanded makes a record of kindOwn of one of kindRaw.
func (s *Store) expanded(k kind, body []byte) (kind, []byte) {
	if k != kindRaw {
		return k, body
	}
	_, spans := splitOwn(body)
	head := body[:len(body)-len(spans)]
	return kindOwn, append(head[:len(head):len(head)], s.expand(spans)...)
}

// read copies a trace out of the ring, for prepare. The caller holds the lock.
func (s *Store) read(number uint64) stored {
	e := s.entry(number)
	t := stored{id: e.id, number: number, changed: e.changed, clipped: e.clipped, parts: make([]part, e.records)}
	memory := make([]byte, 0, e.bytes)
	i := len(t.parts)
	for position := e.last; position != 0 && i > 0; {
		h, body := s.ring.at(position)
		i--
		start := len(memory)
		memory = append(memory, body...)
		t.parts[i] = part{kind: h.kind, body: memory[start:len(memory):len(memory)]}
		position = h.previous
	}
	return t
}

// find gives the trace of an id in hexadecimal digits.
func (s *Store) find(id string) (stored, bool) {
	raw, ok := parseID(id)
	if !ok {
		return stored{}, false
	}
	s.mu.Lock()
	number, ok := s.byID[raw]
	var t stored
	if ok {
		t = s.read(number)
	}
	s.mu.Unlock()
	return *s.prepare(&t), ok
}

// has reports whether there is a trace of that id.
func (s *Store) has(id [16]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.byID[id]
	return ok
}

func parseID(text string) (id [16]byte, ok bool) {
	if len(text) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(text))
	return id, err == nil
}
