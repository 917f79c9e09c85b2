package router

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// translate rewrites an expression of Rust's regex into RE2's syntax as Go has it. It makes \d, \w and \s mean Unicode
// classes and keeps repeated quantifiers (a++ is a repeated repeat). What Rust refuses or RE2 lacks is an error that
// names the construct.
//
// One difference remains: \b and \B know ASCII letters only, so next to other letters they see word boundaries which
// Rust does not.
func translate(expr string) (string, error) {
	if !utf8.ValidString(expr) {
		return "", fmt.Errorf("invalid UTF-8 in regular expression")
	}
	t := translator{src: expr, atom: -1}
	for t.pos < len(t.src) {
		var err error
		switch c := t.src[t.pos]; c {
		case '\\':
			t.begin()
			_, err = t.escape(false)
		case '[':
			t.begin()
			err = t.class()
		case '(':
			err = t.open()
		case ')':
			err = t.close()
		case '*', '+', '?', '{':
			err = t.quantifier()
		case '|':
			t.copy(1)
			t.atom, t.quantified = -1, false
		default:
			t.begin()
			_, size := utf8.DecodeRuneInString(t.src[t.pos:])
			t.copy(size)
		}
		if err != nil {
			return "", err
		}
	}
	return string(t.out), nil
}

type translator struct {
	src        string
	pos        int
	out        []byte
	atom       int   // where in out the last atom begins, -1 when there is none to repeat
	quantified bool  // the atom has a quantifier already
	groups     []int // where in out the open groups begin
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("unsupported "+format+" in regular expression", args...)
}

func (t *translator) rest() string { return t.src[t.pos:] }

func (t *translator) copy(n int) {
	t.out = append(t.out, t.src[t.pos:t.pos+n]...)
	t.pos += n
}

// replace writes text in place of the next n bytes.
func (t *translator) replace(n int, text string) {
	t.out = append(t.out, text...)
	t.pos += n
}

// begin notes that an atom begins.
func (t *translator) begin() { t.atom, t.quantified = len(t.out), false }

// foreignGroups are group openings of other dialects, the longer of two with a common beginning first.
var foreignGroups = []struct{ open, name string }{
	{"(?P<=", "look-behind (?<="},
	{"(?P<!", "look-behind (?<!"},
	{"(?<=", "look-behind (?<="},
	{"(?<!", "look-behind (?<!"},
	{"(?=", "look-ahead (?="},
	{"(?!", "look-ahead (?!"},
	{"(?>", "atomic group (?>"},
	{"(?|", "branch reset (?|"},
	{"(?#", "comment (?#"},
	{"(?'", "group name in quotes (?'"},
	{"(?(", "condition (?("},
	{"(?&", "recursion (?&"},
	{"(?P>", "recursion (?P>"},
	{"(?P=", "back-reference (?P="},
	{"(?R)", "recursion (?R)"},
	{"(*", "verb (*"},
}

func (t *translator) open() error {
	for _, g := range foreignGroups {
		if strings.HasPrefix(t.rest(), g.open) {
			return unsupported("%s", g.name)
		}
	}
	for _, open := range []string{"(?P<", "(?<"} {
		if name, ok := strings.CutPrefix(t.rest(), open); ok {
			if name != "" && '0' <= name[0] && name[0] <= '9' {
				return unsupported("group name that begins with a digit")
			}
			t.push()
			t.copy(len(open))
			return nil
		}
	}
	flags, ok := strings.CutPrefix(t.rest(), "(?")
	if !ok {
		t.push()
		t.copy(1)
		return nil
	}
	end := strings.IndexAny(flags, ":)")
	if end < 0 {
		return unsupported("unclosed group")
	}
	kept := make([]byte, 0, end)
	negative := false
	for _, f := range []byte(flags[:end]) {
		switch {
		case f == '-':
			negative = true
		case f == 'u' && !negative:
			continue // the default
		case '0' <= f && f <= '9', f == '+':
			return unsupported("recursion (?%s)", flags[:end])
		case strings.IndexByte("imsU", f) < 0:
			return unsupported("flag %q", f)
		}
		kept = append(kept, f)
	}
	scoped := flags[end] == ':'
	if scoped {
		t.push()
	} else {
		t.atom = -1
		if len(kept) == 0 { // (?u) alone
			t.pos += len("(?") + end + 1
			return nil
		}
	}
	t.replace(len("(?")+end+1, "(?"+string(kept)+flags[end:end+1])
	return nil
}

func (t *translator) push() {
	t.groups = append(t.groups, len(t.out))
	t.atom = -1
}

func (t *translator) close() error {
	last := len(t.groups) - 1
	if last < 0 {
		return fmt.Errorf("unopened group in regular expression")
	}
	t.copy(1)
	t.atom, t.quantified = t.groups[last], false
	t.groups = t.groups[:last]
	return nil
}

func (t *translator) quantifier() error {
	length := 1
	if t.src[t.pos] == '{' {
		if length = countedRepeat(t.rest()); length == 0 {
			return unsupported("brace that begins no repetition")
		}
	}
	if length < len(t.rest()) && t.rest()[length] == '?' {
		length++ // lazy
	}
	if t.atom < 0 {
		return fmt.Errorf("repetition of nothing in regular expression: %s", t.rest()[:length])
	}
	if t.quantified {
		t.out = append(t.out[:t.atom:t.atom], "(?:"+string(t.out[t.atom:])+")"...)
	}
	t.copy(length)
	t.quantified = true
	return nil
}

// countedRepeat gives the length of the {n}, {n,} or {n,m} that s begins with, or 0.
func countedRepeat(s string) int {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return 0
	}
	low, high, _ := strings.Cut(s[1:end], ",")
	if low == "" || strings.Trim(low+high, "0123456789") != "" {
		return 0
	}
	return end + 1
}

// escape translates a backslash and what follows. It reports whether that is a set of characters.
func (t *translator) escape(inClass bool) (isSet bool, err error) {
	rest := t.rest()
	if len(rest) < 2 {
		return false, fmt.Errorf("backslash at the end of regular expression")
	}
	c, size := utf8.DecodeRuneInString(rest[1:])
	switch {
	case c == 'd' || c == 'D' || c == 'w' || c == 'W' || c == 's' || c == 'S':
		set := unicodeClasses()[byte(c)]
		if !inClass {
			set = "[" + set + "]"
		}
		t.replace(2, set)
		return true, nil
	case c == 'p' || c == 'P':
		t.copy(2)
		if name := t.rest(); strings.HasPrefix(name, "{") {
			t.copy(strings.IndexByte(name, '}') + 1)
		} else if name != "" {
			_, size := utf8.DecodeRuneInString(name)
			t.copy(size)
		}
		return true, nil
	case c == 'b' || c == 'B':
		if inClass || strings.HasPrefix(rest[2:], "{") {
			return false, unsupported(`\%c here`, c)
		}
		t.copy(2)
	case c == 'A' || c == 'z':
		if inClass {
			return false, unsupported(`\%c in a class`, c)
		}
		t.copy(2)
	case c == 'x' || c == 'u' || c == 'U':
		return false, t.hex(byte(c))
	case strings.ContainsRune("aftnrv", c):
		t.copy(2)
	case '0' <= c && c <= '9':
		return false, unsupported(`back-reference \%c`, c)
	case c == '<' || c == '>' || c >= utf8.RuneSelf || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		return false, unsupported(`escape \%c`, c)
	default:
		t.copy(1 + size)
	}
	return false, nil
}

// hex translates \x7F, \u007F, \U0000007F and the same with braces.
func (t *translator) hex(kind byte) error {
	digits := t.rest()[2:]
	length := 0
	if strings.HasPrefix(digits, "{") {
		if length = strings.IndexByte(digits, '}') + 1; length < 3 {
			return fmt.Errorf(`invalid \%c in regular expression`, kind)
		}
		digits = digits[1 : length-1]
	} else {
		length = map[byte]int{'x': 2, 'u': 4, 'U': 8}[kind]
		if len(digits) < length {
			return fmt.Errorf(`invalid \%c in regular expression`, kind)
		}
		digits = digits[:length]
	}
	for _, c := range []byte(digits) {
		if unhex[c] < 0 {
			return fmt.Errorf(`invalid \%c in regular expression`, kind)
		}
	}
	t.replace(2+length, `\x{`+digits+"}")
	return nil
}

// class translates a bracketed class. Nested classes and set operations, which RE2 lacks, are errors.
func (t *translator) class() error {
	t.copy(1)
	if strings.HasPrefix(t.rest(), "^") {
		t.copy(1)
	}
	if strings.HasPrefix(t.rest(), "]") { // first in the class it is a character
		t.replace(1, `\]`)
	} else {
		for strings.HasPrefix(t.rest(), "-") { // and so are dashes
			t.replace(1, `\-`)
		}
	}
	for t.pos < len(t.src) {
		rest := t.rest()
		switch {
		case rest[0] == ']':
			t.copy(1)
			return nil
		case strings.HasPrefix(rest, "[:") && strings.Contains(rest, ":]"):
			t.copy(strings.Index(rest, ":]") + 2)
		case rest[0] == '[':
			return unsupported("class inside a class")
		case strings.HasPrefix(rest, "&&"), strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "~~"):
			return unsupported("set operation %s in a class", rest[:2])
		case rest[0] == '\\':
			isSet, err := t.escape(true)
			if err != nil {
				return err
			}
			if after := t.rest(); isSet && len(after) > 1 && after[0] == '-' && after[1] != ']' && after[1] != '-' {
				return unsupported("range from a class")
			}
		default:
			_, size := utf8.DecodeRuneInString(rest)
			t.copy(size)
		}
	}
	return fmt.Errorf("unclosed class in regular expression")
}
