package declarative

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// isJSON says whether to read the input as JSON, which gives exact places for syntax errors and knows JSON's escapes.
// The name decides, as in Kong; under any other name, JSON text is taken for what it is.
func (r *reader) isJSON() bool {
	if strings.HasSuffix(r.name, ".json") {
		return true
	}
	return bytes.HasPrefix(bytes.TrimSpace(r.text), []byte("{")) && json.Valid(r.text)
}

type jsonReader struct {
	*reader
	decoder *json.Decoder
	lines   []int // offsets at which lines begin

	// The last place that was asked for. Places come in order, so a line is counted once however long it is.
	last       Position
	lastOffset int
}

func (r *reader) json() *value {
	r.text = bytes.TrimPrefix(r.text, []byte("\uFEFF"))
	j := jsonReader{reader: r, decoder: json.NewDecoder(bytes.NewReader(r.text)), lines: []int{0}}
	for i, b := range r.text {
		if b == '\n' {
			j.lines = append(j.lines, i+1)
		}
	}
	if len(bytes.TrimSpace(r.text)) == 0 {
		return &value{at: r.at(1, 1)}
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(r.text, new(json.RawMessage)); errors.As(err, &syntax) {
		offset := int(syntax.Offset)
		if offset < len(r.text) || !strings.Contains(syntax.Error(), "unexpected end") {
			offset-- // it counts the character that is wrong
		}
		r.report.fault(r.position(offset), "", "not JSON: %s", syntax.Error())
		return nil
	}
	v, err := j.value(1)
	if err != nil {
		r.report.fault(j.place(j.next()), "", "a number out of range")
		return nil
	}
	return v
}

// value reads the next value. The text is known to be JSON; what can still fail is a number out of range.
func (j *jsonReader) value(depth int) (*value, error) {
	v := &value{at: j.place(j.next())}
	if depth > maxDepth {
		j.report.unreadable(v.at, j.path.String(), "nested deeper than %d", maxDepth)
		return v, j.decoder.Decode(new(json.RawMessage))
	}
	token, err := j.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		v.shape = listShape
		for j.decoder.More() {
			j.path.element(len(v.items))
			item, err := j.value(depth + 1)
			j.path.leave()
			if err != nil {
				return nil, err
			}
			v.items = append(v.items, item)
		}
		_, err = j.decoder.Token()
		return v, err
	case json.Delim('{'):
		v.shape = mapShape
		return v, j.object(v, depth)
	}
	v.scalar = token
	if text, ok := token.(string); ok {
		v.scalar = j.fill(text, v.at)
	}
	return v, nil
}

func (j *jsonReader) object(v *value, depth int) error {
	j.pause()
	for j.decoder.More() {
		f := field{at: j.place(j.next())}
		key, err := j.decoder.Token()
		if err != nil {
			return err
		}
		f.name = j.fill(fmt.Sprint(key), f.at)
		j.path.enter(f.name)
		f.val, err = j.value(depth + 1)
		j.path.leave()
		if err != nil {
			return err
		}
		if first, ok := v.field(f.name); ok {
			j.report.fault(f.at, member(j.path.String(), f.name), "stands here a second time; the first is at %s", first.at)
			continue
		}
		v.add(f)
	}
	_, err := j.decoder.Token()
	return err
}

// next is the offset at which the next token begins.
func (j *jsonReader) next() int {
	offset := int(j.decoder.InputOffset())
	for offset < len(j.text) && strings.IndexByte(" \t\r\n,:", j.text[offset]) >= 0 {
		offset++
	}
	return offset
}

// place is position in a time that does not grow with the text.
func (j *jsonReader) place(offset int) Position {
	offset = max(0, min(offset, len(j.text)))
	line := sort.SearchInts(j.lines, offset+1)
	from, column := j.lines[line-1], 1
	if j.last.Line == line && j.lastOffset <= offset {
		from, column = j.lastOffset, j.last.Column
	}
	j.last, j.lastOffset = j.at(line, column+utf8.RuneCount(j.text[from:offset])), offset
	return j.last
}
