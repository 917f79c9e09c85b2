package otlp

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"strings"
	"unicode/utf8"

	"sidekong/tracing"
)

// Field tags of opentelemetry.proto.trace.v1 and common.v1: number<<3 | wire type.
const (
	tagScopeSpansSpan = 2<<3 | 2

	tagSpanTraceID   = 1<<3 | 2
	tagSpanID        = 2<<3 | 2
	tagSpanState     = 3<<3 | 2
	tagSpanParent    = 4<<3 | 2
	tagSpanName      = 5<<3 | 2
	tagSpanKind      = 6 << 3
	tagSpanStart     = 7<<3 | 1
	tagSpanEnd       = 8<<3 | 1
	tagSpanAttribute = 9<<3 | 2
	tagSpanEvent     = 11<<3 | 2
	tagSpanStatus    = 15<<3 | 2
	tagSpanFlags     = 16<<3 | 5 // two bytes on the wire

	tagEventTime      = 1<<3 | 1
	tagEventName      = 2<<3 | 2
	tagEventAttribute = 3<<3 | 2

	tagStatusMessage = 2<<3 | 2
	tagStatusCode    = 3 << 3

	tagKey    = 1<<3 | 2
	tagValue  = 2<<3 | 2
	tagString = 1<<3 | 2
	tagBool   = 2 << 3
	tagInt    = 3 << 3
	tagDouble = 4<<3 | 1
)

// Span flags of OTLP: the W3C trace flags in the low byte, and whether it is known that the parent is remote.
const (
	flagSampled      = 0x01
	flagHasIsRemote  = 0x100
	flagIsRemoteMask = 0x200
)

// Frames encodes a finished trace: each span becomes one length-delimited "spans" field of a ScopeSpans message, so
// that the frames of many traces, one behind the other, are a ScopeSpans message.
type Frames struct{ Trace *tracing.Trace }

// AppendFrames appends the spans to buf and says how many they are. Invalid UTF-8 in the trace is replaced on the
// way, since a receiver refuses a whole batch because of it.
func (f Frames) AppendFrames(buf []byte) (out []byte, n int) {
	t := f.Trace
	start := uint64(t.Start().UnixNano())
	id := t.ID()
	flags := uint32(t.Flags()) | flagSampled | flagHasIsRemote
	for i := range t.Len() {
		r := t.Record(i)
		spanFlags := flags
		if i == 0 && t.RemoteParent() {
			spanFlags |= flagIsRemoteMask
		}
		size := spanSize(t, i, r)
		buf = appendLength(buf, tagScopeSpansSpan, size)
		buf = append(appendLength(buf, tagSpanTraceID, len(id)), id[:]...)
		buf = append(appendLength(buf, tagSpanID, len(r.ID)), r.ID[:]...)
		if t.State() != "" {
			buf = appendString(buf, tagSpanState, t.State())
		}
		if r.Parent.IsValid() {
			buf = append(appendLength(buf, tagSpanParent, len(r.Parent)), r.Parent[:]...)
		}
		buf = appendString(buf, tagSpanName, r.Name)
		buf = append(buf, tagSpanKind, byte(r.Kind))
		buf = binary.LittleEndian.AppendUint64(append(buf, tagSpanStart), start+uint64(r.Start))
		buf = binary.LittleEndian.AppendUint64(append(buf, tagSpanEnd), start+uint64(r.End))
		buf = appendAttrs(buf, tagSpanAttribute, t.Attrs(i))
		events := t.Events()
		for j := range events {
			if e := &events[j]; e.Span == i {
				buf = appendLength(buf, tagSpanEvent, eventSize(t, e))
				buf = binary.LittleEndian.AppendUint64(append(buf, tagEventTime), start+uint64(e.At))
				buf = appendString(buf, tagEventName, e.Name)
				buf = appendAttrs(buf, tagEventAttribute, t.EventAttrs(e))
			}
		}
		if size := statusSize(r); size > 0 {
			buf = appendLength(buf, tagSpanStatus, size)
			if r.StatusText != "" {
				buf = appendString(buf, tagStatusMessage, r.StatusText)
			}
			if r.Status != tracing.StatusUnset {
				buf = append(buf, tagStatusCode, byte(r.Status))
			}
		}
		buf = binary.AppendUvarint(buf, tagSpanFlags)
		buf = binary.LittleEndian.AppendUint32(buf, spanFlags)
	}
	return buf, t.Len()
}

func spanSize(t *tracing.Trace, i int, r *tracing.Record) int {
	r.Name, r.StatusText = validUTF8(r.Name), validUTF8(r.StatusText)
	size := 2 + len(tracing.TraceID{}) + 2 + len(r.ID) + fieldSize(len(r.Name)) + 2 + 9 + 9 + 2 + 4
	if t.State() != "" {
		size += fieldSize(len(t.State()))
	}
	if r.Parent.IsValid() {
		size += 2 + len(r.Parent)
	}
	size += attrsSize(t.Attrs(i))
	events := t.Events()
	for j := range events {
		if e := &events[j]; e.Span == i {
			e.Name = validUTF8(e.Name)
			size += fieldSize(eventSize(t, e))
		}
	}
	if status := statusSize(r); status > 0 {
		size += fieldSize(status)
	}
	return size
}

func eventSize(t *tracing.Trace, e *tracing.Event) int {
	return 9 + fieldSize(len(e.Name)) + attrsSize(t.EventAttrs(e))
}

func statusSize(r *tracing.Record) int {
	size := 0
	if r.StatusText != "" {
		size += fieldSize(len(r.StatusText))
	}
	if r.Status != tracing.StatusUnset {
		size += 2
	}
	return size
}

func attrsSize(attrs iter.Seq[*tracing.Attr]) int {
	size := 0
	for attr := range attrs {
		attr.Key = validUTF8(attr.Key)
		if attr.Value.Kind == tracing.ValueString {
			attr.Value.Text = validUTF8(attr.Value.Text)
		}
		size += fieldSize(attrSize(attr))
	}
	return size
}

// attrSize is the size of a KeyValue message.
func attrSize(attr *tracing.Attr) int {
	return fieldSize(len(attr.Key)) + fieldSize(valueSize(attr.Value))
}

// valueSize is the size of an AnyValue message.
func valueSize(v tracing.Value) int {
	switch v.Kind {
	case tracing.ValueString:
		return fieldSize(len(v.Text))
	case tracing.ValueInt:
		return 1 + varintSize(uint64(v.Int()))
	case tracing.ValueFloat:
		return 1 + 8
	default:
		return 2
	}
}

func appendAttrs(buf []byte, tag byte, attrs iter.Seq[*tracing.Attr]) []byte {
	for attr := range attrs {
		buf = appendLength(buf, tag, attrSize(attr))
		buf = appendString(buf, tagKey, attr.Key)
		v := attr.Value
		buf = appendLength(buf, tagValue, valueSize(v))
		switch v.Kind {
		case tracing.ValueString:
			buf = appendString(buf, tagString, v.Text)
		case tracing.ValueInt:
			buf = binary.AppendUvarint(append(buf, tagInt), uint64(v.Int()))
		case tracing.ValueFloat:
			buf = binary.LittleEndian.AppendUint64(append(buf, tagDouble), v.FloatBits())
		case tracing.ValueBool:
			b := byte(0)
			if v.Bool() {
				b = 1
			}
			buf = append(buf, tagBool, b)
		}
	}
	return buf
}

func appendString(buf []byte, tag byte, s string) []byte {
	return append(appendLength(buf, tag, len(s)), s...)
}

func appendLength(buf []byte, tag byte, n int) []byte {
	if n < 0x80 {
		return append(buf, tag, byte(n))
	}
	return binary.AppendUvarint(append(buf, tag), uint64(n))
}

// fieldSize is the size of a length-delimited field of n bytes with a one-byte tag.
func fieldSize(n int) int { return 1 + varintSize(uint64(n)) + n }

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
