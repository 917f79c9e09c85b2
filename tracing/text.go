package tracing

import "unsafe"

const (
	minTexts = 4 << 10
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
	if cap(t.texts)-len(t.texts) < len(text) {
		t.texts = make([]byte, 0, max(minTexts, len(text), min(2*cap(t.texts), keepTexts))) // values keep what was there
	}
	from := len(t.texts)
	t.texts = append(t.texts, text...)
	return Value{Kind: ValueString, Text: unsafe.String(&t.texts[from], len(text)), bits: bits}
}
