package params

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Object is a JSON object whose members keep their order, and their bytes until they are set. Of members with the same
// name the last counts.
type Object struct {
	members []member
	index   map[string]int // of names that are there
}

// member is one member of an object; a nil value marks one that is gone.
type member struct {
	name  string
	value json.RawMessage
}

// ErrNoObject says that a body is JSON but no object.
var ErrNoObject = errors.New("no JSON object")

// ParseObject reads a JSON object. No bytes at all are an empty one.
func ParseObject(body []byte) (*Object, error) {
	o := &Object{index: map[string]int{}}
	if len(body) == 0 {
		return o, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	start, err := decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("parse JSON: %w", err)
	}
	if start != json.Delim('{') {
		return nil, ErrNoObject
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("parse JSON: %w", err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, fmt.Errorf("parse JSON: %w", err)
		}
		o.SetRaw(name.(string), value) // a name is always a string
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("parse JSON: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("parse JSON: something follows the object")
	}
	return o, nil
}

// Raw gives a member's JSON, nil where there is none.
func (o *Object) Raw(name string) json.RawMessage {
	at, ok := o.index[name]
	if !ok {
		return nil
	}
	return o.members[at].value
}

// SetRaw gives a member a value that is JSON.
func (o *Object) SetRaw(name string, value json.RawMessage) {
	if at, ok := o.index[name]; ok {
		o.members[at].value = value
		return
	}
	o.index[name] = len(o.members)
	o.members = append(o.members, member{name, value})
}

// Lookup is for Set.
func (o *Object) Lookup(name string) (value string, kind Kind) {
	raw := o.Raw(name)
	switch {
	case raw == nil:
		return "", Absent
	case raw[0] == '"':
		if json.Unmarshal(raw, &value) == nil {
			return value, Text
		}
		return "", Other
	case raw[0] == '[' || raw[0] == '{':
		return "", Several
	default:
		return "", Other
	}
}

// Has is for Set.
func (o *Object) Has(name string) bool {
	raw := o.Raw(name)
	return raw != nil && string(raw) != "false"
}

// Delete is for Set.
func (o *Object) Delete(name string) bool {
	at, ok := o.index[name]
	if ok {
		o.members[at].value = nil
		delete(o.index, name)
	}
	return ok
}

// Rename is for Set.
func (o *Object) Rename(old, name string) bool {
	at, ok := o.index[old]
	if !ok || old == name {
		return false
	}
	o.Delete(name)
	delete(o.index, old)
	o.members[at].name = name
	o.index[name] = at
	return true
}

// Set is for Set.
func (o *Object) Set(name, value string) { o.SetRaw(name, Quote(value)) }

// Append is for Set.
func (o *Object) Append(name, value string) { o.AppendRaw(name, Quote(value)) }

// AppendRaw adds a value that is JSON. A text becomes the list of both, a list gets longer, what is neither becomes a
// list of the new value alone; an object stays as it is: there Kong fails. Kong: kong/plugins/*-transformer append_value
func (o *Object) AppendRaw(name string, value json.RawMessage) {
	var list []byte
	switch raw := o.Raw(name); {
	case len(raw) > 0 && raw[0] == '{':
		return
	case len(raw) > 0 && raw[0] == '"':
		list = append(append(append(list, '['), raw...), ',')
	case len(raw) > 0 && raw[0] == '[':
		list = append(list, bytes.TrimRight(raw[:len(raw)-1], " \t\r\n")...)
		if len(list) > 1 {
			list = append(list, ',')
		}
	default:
		list = append(list, '[')
	}
	o.SetRaw(name, append(append(list, value...), ']'))
}

// Encode is for Set.
func (o *Object) Encode() ([]byte, error) {
	out := []byte{'{'}
	for _, m := range o.members {
		if m.value == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(out, Quote(m.name)...), ':')
		out = append(out, m.value...)
	}
	return append(out, '}'), nil
}

// Quote writes a text as JSON, with <, > and & as they are.
func Quote(text string) json.RawMessage {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return json.RawMessage(`""`) // a string can always be encoded
	}
	return slices.Clip(json.RawMessage(strings.TrimSuffix(out.String(), "\n")))
}
