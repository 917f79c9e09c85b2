package traces

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// OTLP's JSON is protobuf's own, but for ids, which are hexadecimal digits instead of base64, and enumerations, which
// are numbers. https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding

// idNames are the members that hold ids, in both spellings that protobuf's JSON allows.
var idNames = map[string]bool{
	"traceId": true, "spanId": true, "parentSpanId": true, "trace_id": true, "span_id": true, "parent_span_id": true,
}

// MarshalJSON writes a message in OTLP's JSON.
func MarshalJSON(message proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("write OTLP JSON: %w", err)
	}
	return rewriteIDs(text, func(id string) (string, error) {
		raw, err := base64.StdEncoding.DecodeString(id)
		return hex.EncodeToString(raw), err
	})
}

// UnmarshalJSON reads a message in OTLP's JSON. Unknown members are ignored, as the protocol wants.
func UnmarshalJSON(text []byte, message proto.Message) error {
	text, err := rewriteIDs(text, func(id string) (string, error) {
		raw, err := hex.DecodeString(id)
		return base64.StdEncoding.EncodeToString(raw), err
	})
	if err == nil {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, message)
	}
	if err != nil {
		return fmt.Errorf("read OTLP JSON: %w", err)
	}
	return nil
}

// maxJSONDepth bounds objects and lists within each other.
const maxJSONDepth = 200

var errJSON = errors.New("it is nested too deep")

// rewriteIDs copies a JSON text with the ids in another form. Member names of what senders say themselves do not occur:
// OTLP has them as values.
func rewriteIDs(text []byte, rewrite func(string) (string, error)) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	out := bytes.NewBuffer(make([]byte, 0, len(text)))
	type level struct {
		object bool
		count  int // of tokens so far
	}
	var levels []level
	name := ""
	for {
		token, err := d.Token()
		if err == io.EOF && len(levels) == 0 && out.Len() > 0 {
			return out.Bytes(), nil
		}
		if err == io.EOF {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		if len(levels) == 0 && out.Len() > 0 {
			return nil, errors.New("more than one JSON text")
		}
		isName := false
		closing := token == json.Delim('}') || token == json.Delim(']')
		if len(levels) > 0 && !closing {
			top := &levels[len(levels)-1]
			isName = top.object && top.count%2 == 0
			switch {
			case top.object && !isName:
				out.WriteByte(':')
			case top.count > 0:
				out.WriteByte(',')
			}
			top.count++
		}
		switch v := token.(type) {
		case json.Delim:
			out.WriteByte(byte(v))
			if closing {
				levels = levels[:len(levels)-1]
				continue
			}
			if len(levels) == maxJSONDepth {
				return nil, errJSON
			}
			levels = append(levels, level{object: v == '{'})
		case string:
			if isName {
				name = v
			} else if top := len(levels); top > 0 && levels[top-1].object && idNames[name] {
				if v, err = rewrite(v); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			}
			quoted, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			out.Write(quoted)
		case json.Number:
			out.WriteString(v.String())
		case bool:
			fmt.Fprint(out, v)
		case nil:
			out.WriteString("null")
		}
	}
}
