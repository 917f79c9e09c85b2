package traces

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Filter says which traces somebody wants to see. The zero Filter is all of them.
type Filter struct {
	text  string
	terms []term
}

// String gives the filter as it was written.
func (f *Filter) String() string { return f.text }

// FilterError says where a filter cannot be read.
type FilterError struct {
	Position int // in bytes from 0
	Length   int // of what is wrong; 0 at the end
	Text     string
}

func (e *FilterError) Error() string {
	return fmt.Sprintf("read filter at %d: %s", e.Position, e.Text)
}

// Limits of a filter: it is looked for in every trace.
const (
	maxFilter = 4 << 10 // bytes
	maxTerms  = 32
	maxRegexp = 512 // bytes
)

// operator compares.
type operator uint8

const (
	contains operator = iota // no field: text somewhere
	exists                   // has:NAME
	equal
	unequal
	greater
	greaterEqual
	less
	lessEqual
	matches
	mismatches
)

// operators in the order in which they are tried: the longer ones first.
var operators = []struct {
	text string
	op   operator
}{
	{"!=", unequal},
	{"!~", mismatches},
	{">=", greaterEqual},
	{"<=", lessEqual},
	{"=", equal},
	{">", greater},
	{"<", less},
	{"~", matches},
}

// term is one word of a filter.
type term struct {
	negated  bool
	field    string // of operators; of has: the attribute
	op       operator
	value    string  // lower case for contains
	number   float64 // value as a number; of a duration in milliseconds
	isNumber bool
	pattern  *regexp.Regexp
}

// ParseFilter reads a filter. An error is a *FilterError.
func ParseFilter(text string) (*Filter, error) {
	if len(text) > maxFilter {
		return nil, &FilterError{maxFilter, len(text) - maxFilter, fmt.Sprintf("it is longer than %d bytes", maxFilter)}
	}
	if !utf8.ValidString(text) {
		return nil, &FilterError{0, len(text), "it is not valid UTF-8"}
	}
	p := filterParser{text: text}
	f := &Filter{text: strings.TrimSpace(text)}
	for {
		p.skipSpace()
		if p.at == len(text) {
			return f, nil
		}
		if len(f.terms) == maxTerms {
			return nil, &FilterError{p.at, len(text) - p.at, fmt.Sprintf("more than %d words", maxTerms)}
		}
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		f.terms = append(f.terms, t)
	}
}

type filterParser struct {
	text string
	at   int
}

func (p *filterParser) skipSpace() {
	for p.at < len(p.text) && isSpace(p.text[p.at]) {
		p.at++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// term reads a word.
func (p *filterParser) term() (t term, err error) {
	if p.text[p.at] == '-' && p.at+1 < len(p.text) && !isSpace(p.text[p.at+1]) {
		t.negated = true
		p.at++
	}
	begin := p.at
	if p.text[p.at] == '"' {
		if t.value, err = p.quoted(); err != nil {
			return t, err
		}
		t.value = strings.ToLower(t.value)
		return t, p.ends()
	}
	for p.at < len(p.text) && !isSpace(p.text[p.at]) && p.text[p.at] != '"' && p.operator() == nil {
		p.at++
	}
	word := p.text[begin:p.at]
	op := p.operator()
	if op == nil {
		if p.at < len(p.text) && p.text[p.at] == '"' && word != "has:" {
			return t, &FilterError{p.at, 1, "a quote within a word: put a space before it, or an operator"}
		}
		if name, ok := strings.CutPrefix(word, "has:"); ok {
			t.op, t.field = exists, name
			if name == "" {
				if p.at == len(p.text) || p.text[p.at] != '"' {
					return t, &FilterError{p.at, 0, "has: wants the name of an attribute"}
				}
				if t.field, err = p.quoted(); err != nil {
					return t, err
				}
				return t, p.ends()
			}
			return t, nil
		}
		t.value = strings.ToLower(word)
		return t, nil
	}
	if word == "" {
		return t, &FilterError{p.at, len(op.text), fmt.Sprintf("%s wants a field before it", op.text)}
	}
	t.field, t.op = word, op.op
	p.at += len(op.text)
	valueAt := p.at
	if p.at < len(p.text) && p.text[p.at] == '"' {
		if t.value, err = p.quoted(); err == nil {
			err = p.ends()
		}
		if err != nil {
			return t, err
		}
	} else {
		for p.at < len(p.text) && !isSpace(p.text[p.at]) {
			if p.text[p.at] == '"' {
				return t, &FilterError{p.at, 1, "a quote within a value: the whole value wants quotes"}
			}
			p.at++
		}
		t.value = p.text[valueAt:p.at]
		if t.value == "" {
			return t, &FilterError{valueAt, 0, fmt.Sprintf(`%s%s wants a value; nothing is ""`, word, op.text)}
		}
	}
	return t, t.check(valueAt, p.at-valueAt)
}

func (p *filterParser) operator() *struct {
	text string
	op   operator
} {
	for i := range operators {
		if strings.HasPrefix(p.text[p.at:], operators[i].text) {
			return &operators[i]
		}
	}
	return nil
}

// ends checks that nothing follows a closing quote directly.
func (p *filterParser) ends() error {
	if p.at < len(p.text) && !isSpace(p.text[p.at]) {
		return &FilterError{p.at, 1, "a space is missing after the closing quote"}
	}
	return nil
}

// quoted reads text in double quotes.
func (p *filterParser) quoted() (string, error) {
	begin := p.at
	var out strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			return out.String(), nil
		case '\\':
			p.at++
			if p.at == len(p.text) || p.text[p.at] != '"' && p.text[p.at] != '\\' {
				// A backslash before anything else is itself, so that regular expressions need not double it.
				out.WriteByte('\\')
				p.at--
				continue
			}
			out.WriteByte(p.text[p.at])
		default:
			out.WriteByte(c)
		}
	}
	return "", &FilterError{begin, len(p.text) - begin, "the closing quote is missing"}
}

// check reads the value as the field and the operator want it.
func (t *term) check(at, length int) error {
	switch t.op {
	case matches, mismatches:
		if len(t.value) > maxRegexp {
			return &FilterError{at, length, fmt.Sprintf("the expression is longer than %d bytes", maxRegexp)}
		}
		pattern, err := regexp.Compile(t.value)
		if err != nil {
			return &FilterError{at, length, err.Error()}
		}
		t.pattern = pattern
		return nil
	case contains, exists:
		return nil
	}
	if t.field == "duration" {
		ms, ok := parseMilliseconds(t.value)
		if !ok {
			return &FilterError{at, length, "a duration is a number with or without ns, us, ms, s or m"}
		}
		t.number, t.isNumber = ms, true
		return nil
	}
	t.number, t.isNumber = parseNumber(t.value)
	ordered := t.op != equal && t.op != unequal
	switch t.field {
	case "status", "spans", "errors", "logs":
		if !t.isNumber {
			return &FilterError{at, length, t.field + " wants a number"}
		}
	case "error", "sampled", "gateway":
		if ordered || t.value != "true" && t.value != "false" {
			return &FilterError{at, length, t.field + " is true or false"}
		}
	}
	if ordered && !t.isNumber {
		return &FilterError{at, length, "greater and less want a number"}
	}
	return nil
}

func parseNumber(text string) (float64, bool) {
	if text == "" || strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

func parseMilliseconds(text string) (float64, bool) {
	if n, ok := parseNumber(text); ok {
		return n, n >= 0
	}
	number := strings.TrimRight(text, "nuµms")
	units := map[string]time.Duration{
		"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute,
	}
	unit, ok := units[text[len(number):]]
	n, isNumber := parseNumber(number)
	return n * float64(unit) / 1e6, ok && isNumber && n >= 0
}
