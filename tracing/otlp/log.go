package otlp

import (
	"encoding/binary"
	"time"

	"sidekong/tracing"
)

// Field tags of opentelemetry.proto.logs.v1.LogRecord.
const (
	tagLogTime         = 1<<3 | 1
	tagLogSeverity     = 2 << 3
	tagLogSeverityText = 3<<3 | 2
	tagLogBody         = 5<<3 | 2
	tagLogAttribute    = 6<<3 | 2
	tagLogFlags        = 8<<3 | 5
	tagLogTraceID      = 9<<3 | 2
	tagLogSpanID       = 10<<3 | 2
	tagLogObserved     = 11<<3 | 1
)

// LogRecord is one record of a log. It encodes itself as one frame.
type LogRecord struct {
	Time         time.Time // when it happened, and was observed
	Severity     uint8     // OTLP's number; 0: none
	SeverityText string
	Body         string
	TraceID      tracing.TraceID // zero: none
	SpanID       tracing.SpanID  // zero: none
	Flags        uint8           // W3C trace flags
	Attributes   []tracing.Attr
	// Encoded are further attributes, as LogAttributes encodes them.
	Encoded []byte
	// Resource are attributes that the record's resource has beyond the client's: Bytes of a Resource. nil: none.
	Resource []byte
}

// LogAttributes appends attributes in the form that LogRecord.Encoded takes, so that what is the same for many records
// is encoded once.
func LogAttributes(buf []byte, attributes ...tracing.Attr) []byte {
	for i := range attributes {
		buf = appendAttr(buf, tagLogAttribute, &attributes[i])
	}
	return buf
}

// AppendFrames appends the record to buf. Invalid UTF-8 is replaced, since a receiver refuses a whole batch because of
// it.
func (r *LogRecord) AppendFrames(buf []byte) (out []byte, n int) {
	at := uint64(r.Time.UnixNano())
	buf, frame := begin(append(buf, tagScopeRecord), 2)
	buf = appendResource(buf, r.Resource)
	buf = binary.LittleEndian.AppendUint64(append(buf, tagLogTime), at)
	buf = binary.LittleEndian.AppendUint64(append(buf, tagLogObserved), at)
	if r.Severity != 0 {
		buf = append(buf, tagLogSeverity, r.Severity)
	}
	if r.SeverityText != "" {
		buf = appendString(buf, tagLogSeverityText, r.SeverityText)
	}
	buf, body := begin(append(buf, tagLogBody), 1)
	buf = end(appendString(buf, tagString, r.Body), body, 1)
	buf = LogAttributes(buf, r.Attributes...)
	buf = append(buf, r.Encoded...)
	if r.TraceID.IsValid() {
		buf = append(append(buf, tagLogTraceID, byte(len(r.TraceID))), r.TraceID[:]...)
		buf = binary.LittleEndian.AppendUint32(append(buf, tagLogFlags), uint32(r.Flags))
	}
	if r.SpanID.IsValid() {
		buf = append(append(buf, tagLogSpanID, byte(len(r.SpanID))), r.SpanID[:]...)
	}
	return end(buf, frame, 2), 1
}

// AppendFramesWithin is AppendFrames with no frame longer than limit, as far as that can be: of a longer one the longest
// texts are cut, to one length, and where that is not enough it loses its attributes. Such a record says so by
// Truncated.
func (r *LogRecord) AppendFramesWithin(buf []byte, limit int) (out []byte, n int) {
	frame, n := r.AppendFrames(nil)
	return append(buf, shorten(frame, limit, cutLogRecord)...), n
}

// cutLogRecord copies a LogRecord message with no text longer than longest bytes; bare: without attributes.
func cutLogRecord(record []byte, longest int, bare bool) []byte {
	out := make([]byte, 0, min(len(record), 64<<10))
	eachField(record, func(tag byte, raw, value []byte) {
		switch {
		case bare && tag == tagLogAttribute:
		case tag == tagLogAttribute:
			out = appendBytes(out, tag, cutAttribute(value, longest))
		case tag == tagLogBody:
			out = appendBytes(out, tag, cutField(value, tagString, longest, cutText))
		default:
			out = append(out, raw...)
		}
	})
	return appendMark(out, tagLogAttribute)
}
