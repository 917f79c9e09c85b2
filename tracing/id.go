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
