package tracing

import "encoding/hex"

// TraceID names a trace: 16 bytes, all zero when there is none.
type TraceID [16]byte

// SpanID names a span: 8 bytes, all zero when there is none.
type SpanID [8]byte

// IsValid reports whether any byte is set.
func (id TraceID) IsValid() bool { return id != TraceID{} }

// IsValid reports whether any byte is set.
func (id SpanID) IsValid() bool { return id != SpanID{} }

// String gives 32 lower-case hexadecimal digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// String gives 16 lower-case hexadecimal digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// ParseTraceID reads what String gives.
func ParseTraceID(text string) (id TraceID, ok bool) {
	ok = len(text) == 2*len(id) && decodeHex(id[:], text)
	return id, ok
}

// ParseSpanID reads what String gives.
func ParseSpanID(text string) (id SpanID, ok bool) {
	ok = len(text) == 2*len(id) && decodeHex(id[:], text)
	return id, ok
}

func decodeHex(into []byte, digits string) bool {
	_, err := hex.Decode(into, []byte(digits))
	return err == nil
}
