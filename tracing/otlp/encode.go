package otlp

import (
	"encoding/binary"
	"math/bits"
	"strings"

	"sidekong/tracing"
)

// Field tags of opentelemetry.proto.trace.v1 and common.v1: number<<3 | wire type.
const (
	tagScopeRecord = 2<<3 | 2 // a span, a log record, a metric

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
	tagSpanLink      = 13<<3 | 2
	tagSpanStatus    = 15<<3 | 2
	tagSpanFlags     = 16<<3 | 5 // two bytes on the wire

	tagEventTime      = 1<<3 | 1
	tagEventName      = 2<<3 | 2
	tagEventAttribute = 3<<3 | 2

	tagLinkTraceID = 1<<3 | 2
	tagLinkSpanID  = 2<<3 | 2
	tagLinkState   = 3<<3 | 2
	tagLinkFlags   = 6<<3 | 5

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
type Frames struct {
	Trace *tracing.Trace
	// Resource are attributes that the resource of these spans has beyond the client's: Bytes of a Resource. nil: none.
	Resource []byte
}

// AppendFrames appends the spans to buf and says how many they are. Invalid UTF-8 is replaced, since a receiver
// refuses a whole batch because of it.
func (f Frames) AppendFrames(buf []byte) (out []byte, n int) {
	t := f.Trace
	start := uint64(t.Start().UnixNano())
	id := t.ID()
	flags := uint32(t.Flags()) | flagHasIsRemote
	if t.Sampled() {
		flags |= flagSampled
	}
	for i := range t.Len() {
		r := t.Record(i)
		spanFlags := flags
		if i == 0 && t.RemoteParent() {
			spanFlags |= flagIsRemoteMask
		}
		var frame int
		buf, frame = begin(append(buf, tagScopeRecord), 2)
		buf = appendResource(buf, f.Resource)
		buf = append(append(buf, tagSpanTraceID, byte(len(id))), id[:]...)
		buf = append(append(buf, tagSpanID, byte(len(r.ID))), r.ID[:]...)
		if t.State() != "" {
			buf = appendString(buf, tagSpanState, t.State())
		}
		if r.Parent.IsValid() {
			buf = append(append(buf, tagSpanParent, byte(len(r.Parent))), r.Parent[:]...)
		}
		buf = appendString(buf, tagSpanName, r.Name)
		buf = append(buf, tagSpanKind, byte(r.Kind))
		buf = binary.LittleEndian.AppendUint64(append(buf, tagSpanStart), start+uint64(r.Start))
		buf = binary.LittleEndian.AppendUint64(append(buf, tagSpanEnd), start+uint64(r.End))
		for attr := t.FirstAttr(i); attr != nil; attr = t.NextAttr(attr) {
			buf = appendAttr(buf, tagSpanAttribute, attr)
		}
		events := t.Events()
		for j := range events {
			if e := &events[j]; e.Span == i {
				buf = appendEvent(buf, t, e, start)
			}
		}
		if i == 0 {
			for j := range t.Links() {
				buf = appendLink(buf, &t.Links()[j])
			}
		}
		if r.Status != tracing.StatusUnset || r.StatusText != "" {
			buf = appendStatus(buf, r)
		}
		buf = binary.AppendUvarint(buf, tagSpanFlags)
		buf = binary.LittleEndian.AppendUint32(buf, spanFlags)
		buf = end(buf, frame, 2)
	}
	return buf, t.Len()
}

func appendEvent(buf []byte, t *tracing.Trace, e *tracing.Event, start uint64) []byte {
	buf, event := begin(append(buf, tagSpanEvent), 1)
	buf = binary.LittleEndian.AppendUint64(append(buf, tagEventTime), start+uint64(e.At))
	buf = appendString(buf, tagEventName, e.Name)
	for attr := range t.EventAttrs(e) {
		buf = appendAttr(buf, tagEventAttribute, attr)
	}
	return end(buf, event, 1)
}

func appendLink(buf []byte, l *tracing.Link) []byte {
	buf, link := begin(append(buf, tagSpanLink), 1)
	buf = append(append(buf, tagLinkTraceID, byte(len(l.TraceID))), l.TraceID[:]...)
	buf = append(append(buf, tagLinkSpanID, byte(len(l.SpanID))), l.SpanID[:]...)
	if l.State != "" {
		buf = appendString(buf, tagLinkState, l.State)
	}
	buf = binary.LittleEndian.AppendUint32(append(buf, tagLinkFlags), uint32(l.Flags)|flagHasIsRemote|flagIsRemoteMask)
	return end(buf, link, 1)
}

func appendStatus(buf []byte, r *tracing.Record) []byte {
	buf, status := begin(append(buf, tagSpanStatus), 1)
	if r.StatusText != "" {
		buf = appendString(buf, tagStatusMessage, r.StatusText)
	}
	if r.Status != tracing.StatusUnset {
		buf = append(buf, tagStatusCode, byte(r.Status))
	}
	return end(buf, status, 1)
}

// appendAttr appends a KeyValue message; one without a value is left out.
func appendAttr(buf []byte, tag byte, attr *tracing.Attr) []byte {
	key, v := attr.Key, &attr.Value
	if !plainASCII(key) {
		key = validText(key)
	}
	text, size := "", 0 // size is the AnyValue message's
	switch v.Kind {
	case tracing.ValueNone:
		return buf
	case tracing.ValueString:
		if text = v.Text; !v.UTF8() && !plainASCII(text) {
			text = validText(text)
		}
		size = 1 + varintSize(uint64(len(text))) + len(text)
	case tracing.ValueInt:
		size = 1 + varintSize(uint64(v.Int()))
	case tracing.ValueFloat:
		size = 1 + 8
	default:
		size = 1 + 1
	}
	inner := 1 + varintSize(uint64(len(key))) + len(key) + 1 + varintSize(uint64(size)) + size
	if inner < 0x80 { // so that each of the lengths in it takes a byte
		buf = append(append(buf, tag, byte(inner), tagKey, byte(len(key))), key...)
		if v.Kind == tracing.ValueString {
			return append(append(buf, tagValue, byte(size), tagString, byte(len(text))), text...)
		}
		buf = append(buf, tagValue, byte(size))
	} else {
		buf = append(appendLength(appendLength(buf, tag, inner), tagKey, len(key)), key...)
		buf = appendLength(buf, tagValue, size)
	}
	switch v.Kind {
	case tracing.ValueString:
		return append(appendLength(buf, tagString, len(text)), text...)
	case tracing.ValueInt:
		return binary.AppendUvarint(append(buf, tagInt), uint64(v.Int()))
	case tracing.ValueFloat:
		return binary.LittleEndian.AppendUint64(append(buf, tagDouble), v.FloatBits())
	default:
		b := byte(0)
		if v.Bool() {
			b = 1
		}
		return append(buf, tagBool, b)
	}
}

// begin leaves room for the length of a message, in bytes: 1 where most are shorter than 128 bytes, 2 where most are not
// and are shorter than 16 KiB. end writes the length when it is known; where it needs another room, the message is moved.
func begin(buf []byte, room int) (out []byte, at int) {
	return append(buf, "\x00\x00"[:room]...), len(buf) + room
}

func end(buf []byte, at, room int) []byte {
	n := len(buf) - at
	size := varintSize(uint64(n))
	for range size - room {
		buf = append(buf, 0)
	}
	if size != room {
		copy(buf[at-room+size:], buf[at:at+n])
		buf = buf[:at-room+size+n]
	}
	binary.PutUvarint(buf[at-room:], uint64(n))
	return buf
}

func appendString(buf []byte, tag byte, s string) []byte {
	s = validText(s)
	return append(appendLength(buf, tag, len(s)), s...)
}

// appendLength begins a length-delimited field of n bytes.
func appendLength(buf []byte, tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(buf, tag, byte(n))
	case n < 0x80<<7:
		return append(buf, tag, byte(n)|0x80, byte(n>>7))
	}
	return binary.AppendUvarint(append(buf, tag), uint64(n))
}

func validText(s string) string {
	if plainASCII(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// plainASCII looks at eight bytes at a time: nearly every string is ASCII, and needs no closer look.
func plainASCII(s string) bool {
	const high = 0x8080808080808080
	if len(s) < 8 {
		for i := range len(s) {
			if s[i] >= 0x80 {
				return false
			}
		}
		return true
	}
	all := eight(s[len(s)-8:])
	for ; len(s) >= 32; s = s[32:] {
		all |= eight(s) | eight(s[8:]) | eight(s[16:]) | eight(s[24:])
	}
	for ; len(s) > 8; s = s[8:] {
		all |= eight(s)
	}
	return all&high == 0
}

func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
