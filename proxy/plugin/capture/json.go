package capture

import (
	"encoding/json"
	"strconv"
)

// maxDepth bounds the nesting of JSON that is looked into.
const maxDepth = 256

// What may come next in a JSON text.
type expected uint8

const (
	aValue expected = iota
	aFirstValue
	aKey
	aFirstKey
	aColon
	aSeparator
)

// level is an object or an array under way.
type level struct {
	array bool
	index int    // of the element, in an array
	key   []byte // of the member in hand, in an object
}

// tokens reads a JSON text, or several one after the other, from its beginning to wherever it ends, and copies it but
// for its secrets. It builds no tree, so that a text that was cut is masked like a whole one.
type tokens struct {
	*masking
	in     []byte
	at     int
	kept   int // what comes before has been written
	out    []byte
	levels []level
	hidden bool // the next value is secret
}

// json masks JSON. Where it turns out to be none, the rest is masked and ok is false.
func (m *masking) json(out, in []byte) (masked []byte, ok bool) {
	var levels [16]level
	t := tokens{masking: m, in: in, out: out, levels: levels[:0]}
	ok = t.run()
	if ok {
		return append(t.out, in[t.kept:]...), true
	}
	t.out = append(t.out, in[t.kept:min(t.at, len(in))]...)
	return m.hide(t.out, "malformed"), false
}

// run reads up to the end. It gives false where the text is no JSON, t.at being the place.
func (t *tokens) run() bool {
	if len(t.in) >= 3 && string(t.in[:3]) == string(byteOrderMark) {
		t.at = 3
	}
	for want := aValue; t.at < len(t.in); {
		c := t.in[t.at]
		if c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\x1e' && len(t.levels) == 0 { // RFC 7464
			t.at++
			continue
		}
		var ok bool
		switch want {
		case aSeparator:
			want, ok = t.separator(c)
		case aColon:
			t.at++
			want, ok = aValue, c == ':'
		case aKey, aFirstKey:
			if c == '}' && want == aFirstKey {
				want, ok = t.pop(), true
				break
			}
			want, ok = aColon, c == '"' && t.key()
		case aFirstValue, aValue:
			if c == ']' && want == aFirstValue {
				want, ok = t.pop(), true
				break
			}
			want, ok = t.value(c)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (t *tokens) separator(c byte) (expected, bool) {
	if len(t.levels) == 0 {
		return t.value(c) // of the next text
	}
	top := &t.levels[len(t.levels)-1]
	switch {
	case c == ',' && top.array:
		t.at++
		top.index++
		return aValue, true
	case c == ',':
		t.at++
		return aKey, true
	case c == ']' && top.array, c == '}' && !top.array:
		return t.pop(), true
	}
	return 0, false
}

func (t *tokens) pop() expected {
	t.at++
	t.levels = t.levels[:len(t.levels)-1]
	return aSeparator
}

// key reads a member's name.
func (t *tokens) key() bool {
	name := t.quoted()
	if !name.valid {
		return false
	}
	top := &t.levels[len(t.levels)-1]
	top.key = t.in[name.first:name.last]
	if !name.plain {
		var ok bool
		if top.key, ok = unquote(top.key); !ok {
			return false
		}
	}
	t.hidden = secret(t.names, top.key)
	t.at = name.end
	return true
}

// span is a string in the text: what stands between its quotes.
type span struct {
	first, last int
	end         int  // behind the closing quote; as last where the text ends before
	plain       bool // there are no escapes
	valid       bool // there is nothing that JSON does not allow
}

// quoted finds the string that begins at t.at.
func (t *tokens) quoted() span {
	in, plain := t.in, true
	for i := t.at + 1; i < len(in); i++ {
		switch c := in[i]; {
		case c == '"':
			return span{t.at + 1, i, i + 1, plain, true}
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			return span{t.at + 1, i, i, plain, false}
		}
	}
	return span{t.at + 1, len(in), len(in), plain, true}
}

// value reads a value, or the beginning of one that has parts.
func (t *tokens) value(c byte) (expected, bool) {
	if len(t.levels) > 0 && (t.hidden || len(t.paths) > 0 && t.selected()) {
		t.hidden = false
		return aSeparator, t.hideValue(c)
	}
	switch {
	case c == '{' || c == '[':
		if len(t.levels) >= maxDepth {
			return 0, false
		}
		t.at++
		t.levels = append(t.levels, level{array: c == '['})
		if c == '[' {
			return aFirstValue, true
		}
		return aFirstKey, true
	case c == '"':
		return aSeparator, t.text()
	case c == '-' || digit(c):
		t.number()
		return aSeparator, true
	default:
		return aSeparator, t.literal()
	}
}

// text reads a string and masks what is secret in it.
func (t *tokens) text() bool {
	found := t.quoted()
	if !found.valid {
		return false
	}
	t.at = found.end
	content := t.in[found.first:found.last]
	if found.plain && !t.suspect(content) {
		return true // cards and the like are found when all is read
	}
	if !found.plain {
		var ok bool
		if content, ok = unquote(content); !ok {
			t.replace(found.first, found.last, t.hide(nil, "malformed"))
			return true
		}
	}
	if shown, same := t.nested(content); !same {
		quoted := appendQuoted(nil, string(shown))
		t.replace(found.first, found.last, quoted[1:len(quoted)-1])
	}
	return true
}

// unquote gives what the inside of a string stands for. An escape at its end that is not whole is left out.
func unquote(content []byte) (text []byte, ok bool) {
	for drop := 0; drop <= 6 && drop <= len(content); drop++ {
		var plain string
		quoted := append(append([]byte{'"'}, content[:len(content)-drop]...), '"')
		if json.Unmarshal(quoted, &plain) == nil {
			return []byte(plain), true
		}
	}
	return nil, false
}

// replace writes text in the place of in[start:end].
func (t *tokens) replace(start, end int, text []byte) {
	t.out = append(t.out, t.in[t.kept:start]...)
	t.out = append(t.out, text...)
	t.kept = end
}

// number reads a number; one with a card number's digits becomes a string.
func (t *tokens) number() {
	start := t.at
	for t.at < len(t.in) && scalar(t.in[t.at]) {
		t.at++
	}
	if !t.cards || t.at-start < minCard && t.at < len(t.in) {
		return
	}
	if _, _, found := nextCard(t.in[start:t.at], 0, t.cut && t.at == len(t.in)); found {
		t.replace(start, t.at, strconv.AppendQuote(nil, string(t.hide(nil, "card"))))
	}
}

func scalar(c byte) bool { return letter(c) || digit(c) || c == '-' || c == '+' || c == '.' }

// literal reads true, false or null, or the beginning of one where the text ends.
func (t *tokens) literal() bool {
	start := t.at
	end := start
	for end < len(t.in) && scalar(t.in[end]) {
		end++
	}
	word := string(t.in[start:end])
	for _, literal := range [...]string{"true", "false", "null"} {
		if word == literal || end == len(t.in) && word != "" && len(word) < len(literal) && word == literal[:len(word)] {
			t.at = end
			return true
		}
	}
	return false
}

// hideValue puts the mask in the place of a value with all its parts. null stays: it tells nothing.
func (t *tokens) hideValue(c byte) bool {
	start := t.at
	switch {
	case c == '{' || c == '[':
		t.skip()
	case c == '"':
		found := t.quoted()
		if !found.valid {
			return false
		}
		t.at = found.end
	case c == 'n' && t.literal():
		return true
	case scalar(c):
		for t.at < len(t.in) && scalar(t.in[t.at]) {
			t.at++
		}
	default:
		return false
	}
	place := "element"
	if top := t.levels[len(t.levels)-1]; !top.array {
		place = string(top.key)
	}
	t.replace(start, t.at, strconv.AppendQuote(nil, string(t.hide(nil, place))))
	return true
}

// skip goes behind the object or array at t.at, whatever is in it.
func (t *tokens) skip() {
	depth := 0
	for t.at < len(t.in) {
		switch t.in[t.at] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				t.at++
				return
			}
		case '"':
			found := t.quoted()
			if !found.valid {
				t.at = len(t.in)
				return
			}
			t.at = found.end
			continue
		}
		t.at++
	}
}

// selected reports whether one of the paths leads to the value at hand.
func (t *tokens) selected() bool {
	for _, path := range t.paths {
		if len(path) == len(t.levels) && t.leads(path) {
			return true
		}
	}
	return false
}

func (t *tokens) leads(path []string) bool {
	for i, step := range path {
		at := &t.levels[i]
		switch {
		case step == "*":
		case at.array && step != strconv.Itoa(at.index), !at.array && step != string(at.key):
			return false
		}
	}
	return true
}
