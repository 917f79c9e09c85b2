package tracing

import "unsafe"

const (
	minTexts = 4 << 10
	// keepTexts is the most that a released trace keeps for the texts of the next one, in bytes.
	keepTexts = 64 << 10
)

// Text copies text into an attribute's value, without an allocation in the steady state. The value is good until the
// trace is released: whoever takes a string out of an attribute for longer clones it.
func (t *Trace) Text(text []byte) Value {
	if t == nil || len(text) == 0 {
		return StringValue("")
	}
	if cap(t.texts)-len(t.texts) < len(text) {
		t.texts = make([]byte, 0, max(minTexts, len(text), min(2*cap(t.texts), keepTexts))) // values keep what was there
	}
	from := len(t.texts)
	t.texts = append(t.texts, text...)
	return StringValue(unsafe.String(&t.texts[from], len(text)))
}
