// Package tracing records the spans of one request.
//
// A Tracer hands out a Trace per request: one flat record that is filled on the request's own goroutine, read once at
// its end by whoever exports it, and used again. There is no lock, no allocation in the steady state and no span
// object: a Span is a handle into the record. The recorder is ours and not the OpenTelemetry SDK's because in Kong
// trace id, parent and sampling are settled after spans exist, and because the SDK costs more than the proxying
// (docs/decisions/0001-own-span-recorder.md).
//
// A nil *Trace and a zero Span are valid and record nothing, so callers need no "if tracing".
package tracing

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is the role of a span, numbered as in OTLP.
type Kind uint8

// The kinds that Kong's spans have.
const (
	KindInternal Kind = 1
	KindServer   Kind = 2
	KindClient   Kind = 3
)

// StatusCode is a span's status, numbered as in OTLP.
type StatusCode uint8

// Unset until somebody says otherwise.
const (
	StatusUnset StatusCode = 0
	StatusOK    StatusCode = 1
	StatusError StatusCode = 2
)

// Limits of one trace's record. What goes beyond is counted and left out, so that nothing that a client or a script
// does makes the record grow without bound.
const (
	MaxSpans          = 1024
	MaxAttributes     = 8192
	MaxEvents         = 1024
	MaxLinks          = 16
	MaxAttributeBytes = 8 << 20 // keys and string values together
)

// Instant is a point of time in nanoseconds after the start of its trace. It comes from the monotonic clock.
type Instant int64

// Record is what was recorded of a span.
type Record struct {
	ID         SpanID
	Parent     SpanID // zero: none
	Name       string
	Kind       Kind
	Status     StatusCode
	StatusText string
	Start, End Instant
	Ended      bool
	firstAttr  int32 // as Attr.next
	lastAttr   int32
}

// Event is something that happened within a span, an exception for example.
type Event struct {
	Span      int // index of the span's Record
	Name      string
	At        Instant
	firstAttr int32
	lastAttr  int32
}

// Link names a span of another trace that the root has to do with, without being its child.
type Link struct {
	TraceID TraceID
	SpanID  SpanID
	State   string // W3C tracestate
	Flags   uint8  // W3C trace flags
}

// Trace is the record of one request. It belongs to one goroutine at a time.
type Trace struct {
	tracer  *Tracer
	base    time.Time
	id      TraceID
	state   string // W3C tracestate of the caller's trace
	flags   uint8  // W3C trace flags besides sampled
	remote  bool   // the root's parent came from outside
	settled bool
	sampled bool // as settled: what the upstream is told
	dropped bool // not recorded: nothing more is kept

	records []Record
	attrs   []Attr
	events  []Event
	links   []Link
	bytes   int
	lost    int
	texts   []byte // what Text has kept
}

// Tracer makes traces. It is safe for use by several goroutines.
type Tracer struct {
	instrumentations Instrumentation
	sampler          Sampler
	pool             sync.Pool
	shedding         atomic.Bool
	shed             atomic.Uint64
}

// NewTracer makes a tracer that records the given kinds and samples at rate (0 to 1) where a plugin sets no rate of
// its own.
func NewTracer(instrumentations Instrumentation, rate float64) *Tracer {
	t := &Tracer{instrumentations: instrumentations, sampler: NewSampler(rate)}
	t.pool.New = func() any {
		return &Trace{
			tracer:  t,
			records: make([]Record, 0, 16),
			attrs:   make([]Attr, 0, 64),
		}
	}
	return t
}

// Instrumentations tells which kinds of span are recorded.
func (t *Tracer) Instrumentations() Instrumentation { return t.instrumentations }

// Sampler is the sampler of the global rate.
func (t *Tracer) Sampler() Sampler { return t.sampler }

// Start begins the trace of a request that arrived at the given time; nil when tracing is off or shed.
func (t *Tracer) Start(at time.Time) *Trace {
	if t == nil || t.instrumentations == Off {
		return nil
	}
	if t.shedding.Load() {
		t.shed.Add(1)
		return nil
	}
	trace := t.pool.Get().(*Trace)
	trace.base = at
	return trace
}

// Release gives the record back for the next request. Nobody may hold the trace or a span of it afterwards.
func (t *Trace) Release() {
	if t == nil {
		return
	}
	const keep = 256 // a record that grew beyond this is left to the collector
	if cap(t.records) > keep || cap(t.attrs) > 4*keep || cap(t.events) > keep {
		return
	}
	clear(t.records)
	clear(t.attrs)
	clear(t.events)
	clear(t.links)
	tracer := t.tracer
	texts := t.texts[:0]
	if cap(texts) > keepTexts {
		texts = nil
	}
	*t = Trace{tracer: tracer, records: t.records[:0], attrs: t.attrs[:0], events: t.events[:0], links: t.links[:0], texts: texts}
	tracer.pool.Put(t)
}

// Now is the time since the trace began.
func (t *Trace) Now() Instant {
	if t == nil {
		return 0
	}
	return Instant(time.Since(t.base))
}

// At turns a time into an Instant of this trace.
func (t *Trace) At(at time.Time) Instant {
	if t == nil {
		return 0
	}
	return Instant(at.Sub(t.base))
}

// Start is the time at which the trace began.
func (t *Trace) Start() time.Time { return t.base }

// Sampled reports whether the trace was settled as sampled. An unsampled one may be recorded all the same: see
// Adoption.Record.
func (t *Trace) Sampled() bool { return t != nil && t.sampled }

// Recording reports whether spans are recorded: there is a trace, and it was not settled that nobody wants it.
func (t *Trace) Recording() bool { return t != nil && !t.dropped }

// Has reports whether spans of a kind are recorded.
func (t *Trace) Has(kinds Instrumentation) bool {
	return t != nil && !t.dropped && t.tracer.instrumentations.Has(kinds)
}

// Sampler is the sampler of the global rate.
func (t *Trace) Sampler() Sampler { return t.tracer.sampler }

// Adoption settles what a trace takes over from its caller, and whether it is sampled.
type Adoption struct {
	TraceID TraceID
	Parent  SpanID // the caller's span; zero: none
	State   string // W3C tracestate
	Flags   uint8  // W3C trace flags besides sampled
	Sampled bool
	Record  bool // record although it is not sampled: whether it is kept is decided when the request is complete
	Local   bool // Parent is a span of this process
}

// Adopt settles trace id, parent and sampling for all spans, those that exist already included. The first call counts.
func (t *Trace) Adopt(a Adoption) {
	if t == nil || t.settled {
		return
	}
	t.settled = true
	t.id, t.state, t.flags, t.remote = a.TraceID, a.State, a.Flags, a.Parent.IsValid() && !a.Local
	t.sampled, t.dropped = a.Sampled, !a.Sampled && !a.Record
	if len(t.records) > 0 {
		t.records[0].Parent = a.Parent
	}
}

// Link links the root to a span of another trace.
func (t *Trace) Link(to Link) {
	if !t.Recording() {
		return
	}
	if len(t.links) >= MaxLinks {
		t.lost++
		return
	}
	t.links = append(t.links, to)
}

// Links are the root's links in the order they were made.
func (t *Trace) Links() []Link { return t.links }

// Settled reports whether Adopt was called.
func (t *Trace) Settled() bool { return t != nil && t.settled }

// ID is the trace id; zero until it is settled.
func (t *Trace) ID() TraceID {
	if t == nil {
		return TraceID{}
	}
	return t.id
}

// State is the caller's W3C tracestate.
func (t *Trace) State() string { return t.state }

// Flags are the W3C trace flags besides sampled.
func (t *Trace) Flags() uint8 { return t.flags }

// RemoteParent reports whether the root continues a caller's span.
func (t *Trace) RemoteParent() bool { return t.remote }

// Lost counts the spans, attributes and events that were left out because a limit was reached.
func (t *Trace) Lost() int {
	if t == nil {
		return 0
	}
	return t.lost
}

// NewTraceID makes a random trace id whose eight-byte halves are both not zero.
func NewTraceID() (id TraceID) {
	binary.LittleEndian.PutUint64(id[:8], nonZero())
	binary.LittleEndian.PutUint64(id[8:], nonZero())
	return id
}

// NewSpanID makes a random span id.
func NewSpanID() (id SpanID) {
	binary.LittleEndian.PutUint64(id[:], nonZero())
	return id
}

func nonZero() uint64 {
	for {
		if v := rand.Uint64(); v != 0 {
			return v
		}
	}
}

// Len is the number of spans.
func (t *Trace) Len() int {
	if t == nil {
		return 0
	}
	return len(t.records)
}

// Record gives the record of span i, 0 being the root. It is valid until the next span starts.
func (t *Trace) Record(i int) *Record { return &t.records[i] }

// Attrs runs over the attributes of span i in the order they were set.
func (t *Trace) Attrs(i int) iter.Seq[*Attr] { return t.list(t.records[i].firstAttr) }

// FirstAttr is the first attribute of span i and NextAttr the one after, nil at the end: Attrs for those in a hurry.
// An attribute that was removed comes too, with no value.
func (t *Trace) FirstAttr(i int) *Attr { return t.attr(t.records[i].firstAttr) }

// NextAttr is the attribute after attr, nil at the end.
func (t *Trace) NextAttr(attr *Attr) *Attr { return t.attr(attr.next) }

func (t *Trace) attr(at int32) *Attr {
	if at == 0 {
		return nil
	}
	return &t.attrs[at-1]
}

// Events gives all events of all spans in the order they happened.
func (t *Trace) Events() []Event { return t.events }

// EventAttrs runs over the attributes of an event.
func (t *Trace) EventAttrs(e *Event) iter.Seq[*Attr] { return t.list(e.firstAttr) }

func (t *Trace) list(at int32) iter.Seq[*Attr] {
	return func(yield func(*Attr) bool) {
		for at != 0 {
			attr := &t.attrs[at-1]
			if attr.Value.Kind != ValueNone && !yield(attr) {
				return
			}
			at = attr.next
		}
	}
}

// add puts an attribute at the end of a list and returns its place.
func (t *Trace) add(first, last *int32, key string, value Value) {
	size := len(key) + len(value.Text)
	if len(t.attrs) >= MaxAttributes || t.bytes+size > MaxAttributeBytes {
		t.lost++
		return
	}
	t.bytes += size
	t.attrs = append(t.attrs, Attr{Key: key, Value: value})
	at := int32(len(t.attrs))
	if *last == 0 {
		*first = at
	} else {
		t.attrs[*last-1].next = at
	}
	*last = at
}
