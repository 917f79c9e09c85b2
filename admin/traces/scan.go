package traces

import (
	"bytes"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Reading OTLP bytes without decoding them: lists and filters look at many traces and at little of each.

// fields walks over the fields of a message. What is no message ends the walk.
type fields struct {
	rest   []byte
	number protowire.Number
	bytes  []byte // of a length-delimited field
	value  uint64 // of any other
}

func (f *fields) next() bool {
	number, wire, n := protowire.ConsumeTag(f.rest)
	if n < 0 {
		return false
	}
	f.rest, f.number, f.bytes, f.value = f.rest[n:], number, nil, 0
	switch wire {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(f.rest)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(f.rest)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(f.rest)
		f.value = uint64(v)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(f.rest)
	default:
		n = protowire.ConsumeFieldValue(number, wire, f.rest)
	}
	if n < 0 {
		return false
	}
	f.rest = f.rest[n:]
	return true
}

// Field numbers of opentelemetry.proto.trace.v1, common.v1 and logs.v1.
const (
	numResource = 1 // of ResourceSpans and ResourceLogs
	numScoped   = 2 // their ScopeSpans, ScopeLogs

	numItems = 2 // spans of ScopeSpans, log records of ScopeLogs

	numLogTime = 1

	numTraceID    = 1
	numSpanID     = 2
	numParent     = 4
	numName       = 5
	numKind       = 6
	numStart      = 7
	numEnd        = 8
	numAttribute  = 9
	numEvent      = 11
	numStatus     = 15
	numStatusCode = 3

	numEventAttribute = 3

	numResourceAttribute = 1

	numKey, numValue = 1, 2

	numString, numBool, numInt, numDouble, numArray, numMap, numBytes = 1, 2, 3, 4, 5, 6, 7
)

// span is a look at an encoded span.
type span struct {
	own      bool // the gateway's
	root     bool // of a request of the gateway
	resource []byte
	id       []byte
	parent   []byte
	name     []byte
	kind     uint64
	start    uint64 // nanoseconds since 1970
	end      uint64
	failed   bool
	message  []byte
}

// spans runs over the spans of a trace in the order of their arrival. A span that came more than once, because it was
// sent again or because the gateway exports to its own receiver, is there once.
func (t *stored) spans(resource []byte, yield func(*span) bool) {
	if len(t.parts) > 1 {
		known, each := map[string]struct{}{}, yield
		yield = func(s *span) bool {
			before := len(known)
			if known[string(s.id)] = struct{}{}; len(known) == before {
				return true
			}
			return each(s)
		}
	}
	for i := range t.parts {
		switch part := &t.parts[i]; part.kind {
		case kindOwn:
			_, body := splitOwn(part.body)
			root := true
			for f := (fields{rest: body}); f.next(); {
				if f.number != numItems || f.bytes == nil {
					continue
				}
				s := lookAt(f.bytes)
				s.own, s.root, s.resource = true, root, resource
				root = false
				if !yield(&s) {
					return
				}
			}
		case kindSpans:
			from := first(part.body, numResource)
			for f := (fields{rest: part.body}); f.next(); {
				if f.number != numScoped {
					continue
				}
				for inner := (fields{rest: f.bytes}); inner.next(); {
					if inner.number != numItems || inner.bytes == nil {
						continue
					}
					s := lookAt(inner.bytes)
					s.resource = from
					if !yield(&s) {
						return
					}
				}
			}
		}
	}
}

// logs counts the log records and tells when the first was written.
func (t *stored) logs() (n int, earliest uint64) {
	for i := range t.parts {
		if t.parts[i].kind != kindLogs {
			continue
		}
		for f := (fields{rest: t.parts[i].body}); f.next(); {
			if f.number != numScoped {
				continue
			}
			for inner := (fields{rest: f.bytes}); inner.next(); {
				if inner.number != numItems {
					continue
				}
				n++
				for record := (fields{rest: inner.bytes}); record.next(); {
					if record.number == numLogTime && (earliest == 0 || record.value < earliest) {
						earliest = record.value
					}
				}
			}
		}
	}
	return n, earliest
}

// notes runs over the notes of the gateway's requests, each with the bytes of its spans.
func (t *stored) notes(yield func(note, spans []byte) bool) {
	for i := range t.parts {
		if t.parts[i].kind == kindOwn && !yield(splitOwn(t.parts[i].body)) {
			return
		}
	}
}

// first is a message's first length-delimited field of a number.
func first(message []byte, number protowire.Number) []byte {
	for f := (fields{rest: message}); f.next(); {
		if f.number == number {
			return f.bytes
		}
	}
	return nil
}

func lookAt(message []byte) span {
	s := span{message: message}
	for f := (fields{rest: message}); f.next(); {
		switch f.number {
		case numSpanID:
			s.id = f.bytes
		case numParent:
			s.parent = f.bytes
		case numName:
			s.name = f.bytes
		case numKind:
			s.kind = f.value
		case numStart:
			s.start = f.value
		case numEnd:
			s.end = f.value
		case numStatus:
			for status := (fields{rest: f.bytes}); status.next(); {
				if status.number == numStatusCode {
					s.failed = status.value == 2
				}
			}
		}
	}
	return s
}

// attributes runs over the KeyValue messages of one field of a message. value is the AnyValue message.
func attributes(message []byte, number protowire.Number, yield func(key, value []byte) bool) {
	for f := (fields{rest: message}); f.next(); {
		if f.number != number || f.bytes == nil {
			continue
		}
		var key, value []byte
		for pair := (fields{rest: f.bytes}); pair.next(); {
			switch pair.number {
			case numKey:
				key = pair.bytes
			case numValue:
				value = pair.bytes
			}
		}
		if !yield(key, value) {
			return
		}
	}
}

// text is a scalar value as text, appended to buf; ok is false for what is none.
func appendScalar(buf, value []byte) (text []byte, ok bool) {
	f := fields{rest: value}
	if !f.next() {
		return buf, false
	}
	switch f.number {
	case numString:
		return append(buf, f.bytes...), true
	case numBool:
		return strconv.AppendBool(buf, f.value != 0), true
	case numInt:
		return strconv.AppendInt(buf, int64(f.value), 10), true
	case numDouble:
		return strconv.AppendFloat(buf, math.Float64frombits(f.value), 'g', -1, 64), true
	}
	return buf, false
}

// text is a scalar attribute's value, "" for what is none.
func text(value []byte) string {
	out, _ := appendScalar(nil, value)
	return string(out)
}

// number is a whole number, also one that is written as text or as a float.
func number(value []byte) int {
	n, err := strconv.ParseFloat(text(value), 64)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > 1<<31 {
		return 0
	}
	return int(n)
}

// scalars runs over a value, or where it is a list over its elements, as text.
func scalars(value []byte, yield func(text []byte) bool) bool {
	var buf [64]byte
	if text, ok := appendScalar(buf[:0], value); ok {
		return yield(text)
	}
	list := first(value, numArray)
	for f := (fields{rest: list}); f.next(); {
		if text, ok := appendScalar(buf[:0], f.bytes); ok && !yield(text) {
			return false
		}
	}
	return true
}

var serviceName = []byte("service.name")

// service is a resource's service.name.
func service(resource []byte) (name string) {
	attributes(resource, numResourceAttribute, func(key, value []byte) bool {
		if !bytes.Equal(key, serviceName) {
			return true
		}
		name = text(value)
		return false
	})
	return name
}
