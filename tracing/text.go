package tracing

import "unsafe"

const (
	minTexts = 4 << 10
	minRoom  = 1 << 10
	// keepTexts is the most that a released trace keeps for the texts of the next one, in bytes.
	keepTexts = 64 << 10
)

// Text copies text into an attribute's value, without an allocation in the steady state. The value is good until the
// trace is released: whoever takes a string out of an attribute for longer clones it.
func (t *Trace) Text(text []byte) Value { return t.text(text, 0) }

// UTF8Text is Text of what is known to be UTF-8. That it is so is the caller's to make sure: a receiver may refuse a whole
// batch of spans because of one such text that is not.
func (t *Trace) UTF8Text(text []byte) Value { return t.text(text, 1) }

func (t *Trace) text(text []byte, bits uint64) Value {
	if t == nil || len(text) == 0 {
		return StringValue("")
	}
	room := t.room(len(text))
	return t.taken(append(room, text...), bits)
}

// Room is where a text can be written, by appending to it, that Taken then makes a value of. Nothing else may be asked of the
// trace in between.
func (t *Trace) Room() []byte {
	if t == nil {
		return nil
	}
	return t.room(minRoom)
}

// Taken is UTF8Text of what was appended to Room, which it need not copy.
func (t *Trace) Taken(text []byte) Value {
	if t == nil || len(text) == 0 {
		return StringValue("")
	}
	return t.taken(text, 1)
}

// room gives room for as many bytes behind the texts that there are.
func (t *Trace) room(size int) []byte {
	if cap(t.texts)-len(t.texts) < size {
		t.texts = make([]byte, 0, max(minTexts, size, min(2*cap(t.texts), keepTexts))) // values keep what was there
	}
	return t.texts[len(t.texts):]
}

// taken makes a value of what was appended to room.
func (t *Trace) taken(text []byte, bits uint64) Value {
	if end := len(t.texts) + len(text); end <= cap(t.texts) && &t.texts[:end][len(t.texts)] == &text[0] {
		t.texts = t.texts[:end]
	} else {
		t.texts = text // there was not enough room
	}
	return Value{Kind: ValueString, Text: unsafe.String(&text[0], len(text)), bits: bits}
}
