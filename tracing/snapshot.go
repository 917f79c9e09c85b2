package tracing

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// A snapshot is the bytes of a trace as it is in memory: quick to write, so that a request pays little for being shown
// to somebody who may never look, and to be read by the program that wrote it alone. First come numbers in tables of
// fixed rows, then all texts in the order of the tables.
const (
	snapshotHead   = 8 + 16 + 8 + 5*8 // time, trace id, flags and marks, counts and the length of the trace state
	snapshotRecord = 8 + 8 + 8 + 8 + 8 + 8
	snapshotAttr   = 8 + 8
	snapshotEvent  = 8 + 8 + 8
	snapshotLink   = 16 + 8 + 8
)

// marks of a trace.
const (
	markRemote = 1 << (8 + iota) // above the flags
	markSampled
)

// AppendSnapshot appends the trace to buf in a form that Restore reads.
func (t *Trace) AppendSnapshot(buf []byte) []byte {
	rows := snapshotHead + len(t.records)*snapshotRecord + len(t.attrs)*snapshotAttr +
		len(t.events)*snapshotEvent + len(t.links)*snapshotLink
	from := len(buf)
	buf = slices.Grow(buf, rows)[:from+rows]
	row := buf[from:]
	binary.LittleEndian.PutUint64(row, uint64(t.base.UnixNano()))
	*(*TraceID)(row[8:]) = t.id
	marks := uint64(t.flags)
	if t.remote {
		marks |= markRemote
	}
	if t.sampled {
		marks |= markSampled
	}
	binary.LittleEndian.PutUint64(row[24:], marks)
	binary.LittleEndian.PutUint64(row[32:], uint64(len(t.records)))
	binary.LittleEndian.PutUint64(row[40:], uint64(len(t.attrs)))
	binary.LittleEndian.PutUint64(row[48:], uint64(len(t.events)))
	binary.LittleEndian.PutUint64(row[56:], uint64(len(t.links)))
	binary.LittleEndian.PutUint64(row[64:], uint64(len(t.state)))
	row = row[snapshotHead:]
	text := len(t.state)
	for i := range t.records {
		r, at := &t.records[i], (*[snapshotRecord]byte)(row)
		row = row[snapshotRecord:]
		*(*SpanID)(at[0:]) = r.ID
		*(*SpanID)(at[8:]) = r.Parent
		binary.LittleEndian.PutUint64(at[16:], uint64(r.Start))
		binary.LittleEndian.PutUint64(at[24:], uint64(r.End))
		binary.LittleEndian.PutUint64(at[32:], uint64(uint32(r.firstAttr))|uint64(r.Kind)<<32|uint64(r.Status)<<40)
		binary.LittleEndian.PutUint64(at[40:], uint64(uint32(len(r.Name)))|uint64(len(r.StatusText))<<32)
		text += len(r.Name) + len(r.StatusText)
	}
	for i := range t.attrs {
		a, at := &t.attrs[i], (*[snapshotAttr]byte)(row)
		row = row[snapshotAttr:]
		content := a.Value.bits
		if a.Value.Kind == ValueString {
			content = uint64(len(a.Value.Text))
		}
		binary.LittleEndian.PutUint64(at[0:], content)
		binary.LittleEndian.PutUint64(at[8:], uint64(a.next)|uint64(a.Value.Kind)<<16|uint64(len(a.Key))<<32)
		text += len(a.Key) + len(a.Value.Text)
	}
	for i := range t.events {
		e, at := &t.events[i], (*[snapshotEvent]byte)(row)
		row = row[snapshotEvent:]
		binary.LittleEndian.PutUint64(at[0:], uint64(e.At))
		binary.LittleEndian.PutUint64(at[8:], uint64(uint32(e.Span))|uint64(e.firstAttr)<<32)
		binary.LittleEndian.PutUint64(at[16:], uint64(len(e.Name)))
		text += len(e.Name)
	}
	for i := range t.links {
		l, at := &t.links[i], (*[snapshotLink]byte)(row)
		row = row[snapshotLink:]
		*(*TraceID)(at[0:]) = l.TraceID
		*(*SpanID)(at[16:]) = l.SpanID
		binary.LittleEndian.PutUint64(at[24:], uint64(l.Flags)|uint64(len(l.State))<<32)
		text += len(l.State)
	}

	buf = append(slices.Grow(buf, text), t.state...)
	for i := range t.records {
		buf = append(buf, t.records[i].Name...)
		if status := t.records[i].StatusText; status != "" {
			buf = append(buf, status...)
		}
	}
	for i := range t.attrs {
		buf = append(buf, t.attrs[i].Key...)
		if t.attrs[i].Value.Kind == ValueString {
			buf = append(buf, t.attrs[i].Value.Text...)
		}
	}
	for i := range t.events {
		buf = append(buf, t.events[i].Name...)
	}
	for i := range t.links {
		buf = append(buf, t.links[i].State...)
	}
	return buf
}

var errSnapshot = errors.New("restore trace: this is no snapshot")

// Restore makes the trace of a snapshot, complete and settled. It is released like any other.
func (t *Tracer) Restore(snapshot []byte) (*Trace, error) {
	r := snapshotReader{rows: snapshot}
	head := r.row(snapshotHead)
	if head == nil {
		return nil, errSnapshot
	}
	get := binary.LittleEndian.Uint64
	marks, records, attrs, events, links, state := get(head[24:]), get(head[32:]), get(head[40:]), get(head[48:]), get(head[56:]), get(head[64:])
	if records > MaxSpans || attrs > MaxAttributes || events > MaxEvents || links > MaxLinks {
		return nil, errSnapshot
	}
	rows := records*snapshotRecord + attrs*snapshotAttr + events*snapshotEvent + links*snapshotLink
	if rows > uint64(len(r.rows)) {
		return nil, errSnapshot
	}
	r.texts = string(r.rows[rows:])
	trace := t.pool.Get().(*Trace)
	trace.base, trace.id, trace.settled = time.Unix(0, int64(get(head))), TraceID(head[8:24]), true
	trace.flags, trace.remote, trace.sampled = uint8(marks), marks&markRemote != 0, marks&markSampled != 0
	trace.state = r.text(state)
	for range records {
		at := r.row(snapshotRecord)
		list, lengths := get(at[32:]), get(at[40:])
		trace.records = append(trace.records, Record{
			ID: SpanID(at[:8]), Parent: SpanID(at[8:16]), Start: Instant(get(at[16:])), End: Instant(get(at[24:])), Ended: true,
			firstAttr: r.place(list&math.MaxUint32, attrs), Kind: Kind(list >> 32), Status: StatusCode(list >> 40),
			Name: r.text(lengths & math.MaxUint32), StatusText: r.text(lengths >> 32),
		})
	}
	for i := range attrs {
		at := r.row(snapshotAttr)
		content, form := get(at), get(at[8:])
		attr := Attr{Key: r.text(form >> 32), next: r.place(form&math.MaxUint16, attrs)}
		if attr.next != 0 && uint64(attr.next) <= i+1 {
			r.bad = true // a list goes forward, or it would not end
		}
		if attr.Value.Kind = ValueKind(form >> 16); attr.Value.Kind == ValueString {
			attr.Value.Text = r.text(content)
		} else {
			attr.Value.bits = content
		}
		trace.attrs = append(trace.attrs, attr)
	}
	for range events {
		at := r.row(snapshotEvent)
		list := get(at[8:])
		trace.events = append(trace.events, Event{
			At: Instant(get(at)), Span: int(list & math.MaxUint32), firstAttr: r.place(list>>32, attrs), Name: r.text(get(at[16:])),
		})
	}
	for range links {
		at := r.row(snapshotLink)
		form := get(at[24:])
		trace.links = append(trace.links, Link{
			TraceID: TraceID(at[:16]), SpanID: SpanID(at[16:24]), Flags: uint8(form), State: r.text(form >> 32),
		})
	}
	if r.bad {
		trace.Release()
		return nil, errSnapshot
	}
	return trace, nil
}

// snapshotReader takes rows and texts off the front. bad says that something was not there.
type snapshotReader struct {
	rows  []byte
	texts string
	bad   bool
}

func (r *snapshotReader) row(size int) []byte {
	if len(r.rows) < size {
		return nil
	}
	row := r.rows[:size]
	r.rows = r.rows[size:]
	return row
}

func (r *snapshotReader) text(size uint64) string {
	if size > uint64(len(r.texts)) {
		r.bad = true
		return ""
	}
	text := r.texts[:size]
	r.texts = r.texts[size:]
	return text
}

// place reads the place of an attribute, counted from 1.
func (r *snapshotReader) place(at, attrs uint64) int32 {
	if at > attrs {
		r.bad = true
		return 0
	}
	return int32(at)
}
