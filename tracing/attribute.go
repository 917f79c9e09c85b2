package tracing

import (
	"encoding/json"
	"math"
	"strconv"
)

// ValueKind says which field of a Value counts.
type ValueKind uint8

// The kinds of attribute value. The zero kind is no value.
const (
	ValueNone ValueKind = iota
	ValueString
	ValueInt
	ValueBool
	ValueFloat
)

// Value is an attribute's value.
type Value struct {
	Kind ValueKind
	Text string
	bits uint64 // the integer, the bool (0 or 1), the float's bits; of a string 1 where it is known to be UTF-8
}

// StringValue makes a string value. Bytes that are no UTF-8 are replaced when the value is exported.
func StringValue(v string) Value { return Value{Kind: ValueString, Text: v} }

// UTF8 reports whether a string value is known to be UTF-8: an exporter need not look.
func (v Value) UTF8() bool { return v.Kind == ValueString && v.bits == 1 }

// IntValue makes an integer value.
func IntValue(v int64) Value { return Value{Kind: ValueInt, bits: uint64(v)} }

// BoolValue makes a boolean value.
func BoolValue(v bool) Value {
	if v {
		return Value{Kind: ValueBool, bits: 1}
	}
	return Value{Kind: ValueBool}
}

// FloatValue makes a floating-point value.
func FloatValue(v float64) Value { return Value{Kind: ValueFloat, bits: math.Float64bits(v)} }

// Int is the number of a ValueInt.
func (v Value) Int() int64 { return int64(v.bits) }

// Bool is the truth of a ValueBool.
func (v Value) Bool() bool { return v.bits != 0 }

// Float is the number of a ValueFloat.
func (v Value) Float() float64 { return math.Float64frombits(v.bits) }

// FloatBits is Float in its IEEE 754 form.
func (v Value) FloatBits() uint64 { return v.bits }

// Any gives the value as a string, int64, bool, float64 or nil.
func (v Value) Any() any {
	switch v.Kind {
	case ValueString:
		return v.Text
	case ValueInt:
		return v.Int()
	case ValueBool:
		return v.Bool()
	case ValueFloat:
		return v.Float()
	default:
		return nil
	}
}

// String gives the value as JSON writes it.
func (v Value) String() string {
	text, err := json.Marshal(v.Any())
	if err != nil { // a float that is no number
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	}
	return string(text)
}

// Attr is an attribute of a span or of an event.
type Attr struct {
	Key   string
	Value Value
	next  int32 // place of the owner's next attribute in Trace.attrs, counted from 1; 0 ends the list
}
