package traces

import (
	"encoding/base64"
	"math"
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// maxSafe is the largest integer that JavaScript holds exactly.
const maxSafe = 1 << 53

// maxNesting bounds lists and maps within each other.
const maxNesting = 16

func attributeList(pairs []*commonpb.KeyValue) []Attribute {
	out := make([]Attribute, 0, len(pairs))
	for _, pair := range pairs {
		value, name := plain(pair.GetValue(), 0)
		out = append(out, Attribute{Key: pair.GetKey(), Value: value, Type: name})
	}
	return out
}

// plain gives a value in terms of JSON, and its type's name.
func plain(v *commonpb.AnyValue, depth int) (value any, name string) {
	if depth > maxNesting {
		return "…", ""
	}
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue, "string"
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue, "bool"
	case *commonpb.AnyValue_IntValue:
		if v.IntValue > maxSafe || v.IntValue < -maxSafe {
			return strconv.FormatInt(v.IntValue, 10), "int"
		}
		return v.IntValue, "int"
	case *commonpb.AnyValue_DoubleValue:
		if math.IsNaN(v.DoubleValue) || math.IsInf(v.DoubleValue, 0) {
			return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64), "double"
		}
		return v.DoubleValue, "double"
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue), "bytes"
	case *commonpb.AnyValue_ArrayValue:
		list := make([]any, 0, len(v.ArrayValue.GetValues()))
		for _, element := range v.ArrayValue.GetValues() {
			value, _ := plain(element, depth+1)
			list = append(list, value)
		}
		return list, "array"
	case *commonpb.AnyValue_KvlistValue:
		object := make(map[string]any, len(v.KvlistValue.GetValues()))
		for _, pair := range v.KvlistValue.GetValues() {
			object[pair.GetKey()], _ = plain(pair.GetValue(), depth+1)
		}
		return object, "map"
	}
	return nil, ""
}

// attributeText is a string attribute's value; ok is false where there is none of that name.
func attributeText(list []Attribute, key string) (text string, ok bool) {
	for i := range list {
		if list[i].Key == key {
			text, ok = list[i].Value.(string)
			return text, ok
		}
	}
	return "", false
}

// attributeNumber is a whole number's value.
func attributeNumber(list []Attribute, key string) (n int64, ok bool) {
	for i := range list {
		if list[i].Key == key {
			n, ok = list[i].Value.(int64)
			return n, ok
		}
	}
	return 0, false
}

// attributeBool is a boolean's value, false where there is none.
func attributeBool(list []Attribute, key string) bool {
	for i := range list {
		if list[i].Key == key {
			b, _ := list[i].Value.(bool)
			return b
		}
	}
	return false
}
