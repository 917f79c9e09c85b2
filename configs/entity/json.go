package entity

import (
	"encoding/json"
	"slices"
	"strconv"
)

// AppendJSON appends a value of an Object, or the whole, as JSON: the same text for the same content, since fields are
// in the order of their names. It is the text that encoding/json writes, in a small part of the time. Numbers are finite.
func AppendJSON(out []byte, value any) []byte {
	switch value := value.(type) {
	case nil:
		return append(out, "null"...)
	case bool:
		return strconv.AppendBool(out, value)
	case string:
		return appendString(out, value)
	case float64:
		if whole := int64(value); float64(whole) == value && -1e15 < value && value < 1e15 && (whole != 0 || 1/value > 0) {
			return strconv.AppendInt(out, whole, 10)
		}
	case []any:
		out = append(out, '[')
		for i, item := range value {
			if i > 0 {
				out = append(out, ',')
			}
			out = AppendJSON(out, item)
		}
		return append(out, ']')
	case Object:
		var room [32]string // more than a route has fields
		names := room[:0]
		for name := range value {
			names = append(names, name)
		}
		slices.Sort(names)
		out = append(out, '{')
		for i, name := range names {
			if i > 0 {
				out = append(out, ',')
			}
			out = AppendJSON(append(appendString(out, name), ':'), value[name])
		}
		return append(out, '}')
	}
	text, _ := json.Marshal(value) // strings and finite numbers always marshal
	return append(out, text...)
}

// appendString appends a string in quotes.
func appendString(out []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text)
			return append(out, quoted...)
		}
	}
	out = append(out, '"')
	out = append(out, text...)
	return append(out, '"')
}
