package capture

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
)

// maxWord is the length up to which a secret's name must be a whole word of a name, and not just a part of one: "pin" is
// a part of "shipping", and a word of "user[pin]" and "userPin".
const maxWord = 4

// secretNames are always looked for. They are compared by letters and digits alone, case apart. Those of a few letters
// must be whole words (see maxWord), the others may stand anywhere in a name.
var secretNames = []string{
	"password", "passwd", "passphrase", "passcode", "secret", "token", "api_key", "access_key", "private_key",
	"authorization", "cookie", "credential", "signature", "session",
	"pwd", "pass", "pin", "otp", "cvv", "cvc", "ssn", "sig", "sid", "auth", "jwt",
}

// harmlessNames contain a secret's name and name no secret.
var harmlessNames = []string{
	"token_type", "tokens", "max_tokens", "max_completion_tokens", "prompt_tokens", "completion_tokens", "total_tokens",
	"input_tokens", "output_tokens", "access-control-allow-credentials",
}

// names finds out whether a name of a header, parameter, field or element means a secret: an automaton that looks for
// all names at once, reading backwards. It is safe
// for use by several goroutines.
type names struct {
	next     []uint16 // state<<6 + class of the byte → state
	ends     []bool   // state → a name that ends here means a secret
	harmless map[string]struct{}
	timely   bool // one of the names could be part of a time of day, as "2026-01-02T03"

	// What is known of names that have been: start stands before all fields, headers has those of headers, secret or not, each
	// at the place that its hash says. These alone change.
	start   fieldName
	fields  *fieldNames
	headers [512]atomic.Pointer[headerName]
}

// States with a meaning of their own. Once found, always found.
const (
	started = 0
	found   = 1
)

// Classes of bytes: letters of either case, digits, and what stands between words.
const (
	upperClass = 26
	digitClass = 52
	otherClass = 62
)

var classOf = func() (table [256]uint8) {
	for c := range table {
		switch {
		case 'a' <= c && c <= 'z':
			table[c] = uint8(c - 'a')
		case 'A' <= c && c <= 'Z':
			table[c] = upperClass + uint8(c-'A')
		case '0' <= c && c <= '9':
			table[c] = digitClass + uint8(c-'0')
		default:
			table[c] = otherClass
		}
	}
	return table
}()

// fold gives a name's letters and digits, in lower case.
func fold[T ~string | ~[]byte](name T) string {
	folded := make([]byte, 0, len(name))
	for i := range len(name) {
		switch class := classOf[name[i]]; {
		case class < upperClass || class >= digitClass && class < otherClass:
			folded = append(folded, name[i])
		case class < digitClass:
			folded = append(folded, name[i]|0x20)
		}
	}
	return string(folded)
}

// tree holds folded names from their last letter to their first.
type tree struct {
	steps []map[byte]int
	ends  []bool
}

func newTree() *tree { return &tree{steps: []map[byte]int{{}}, ends: []bool{false}} }

func (t *tree) add(folded string) {
	at := 0
	for i := len(folded) - 1; i >= 0; i-- {
		next, ok := t.steps[at][folded[i]]
		if !ok {
			next = len(t.steps)
			t.steps = append(t.steps, map[byte]int{})
			t.ends = append(t.ends, false)
			t.steps[at][folded[i]] = next
		}
		at = next
	}
	t.ends[at] = true
}

// situation is what has been read of a name: the places in the tree of parts where one may be under way (Aho and
// Corasick's automaton keeps the deepest; it knows the others by it), the place in the tree of words, and whether the
// byte to the right is a capital.
type situation struct {
	part, word int
	capital    bool
}

// astray is the place in the tree of words of a word that is none of them.
const astray = -1

// errNames tells of a configuration with more names than the automaton takes.
var errNames = errors.New("too many names to mask")

// newNames makes the automaton of the names that are always looked for, and more, less the harmless ones.
func newNames(more, harmless []string) (*names, error) {
	n := &names{harmless: map[string]struct{}{}, fields: newFieldNames()}
	for _, name := range slices.Concat(harmlessNames, harmless) {
		n.harmless[fold(name)] = struct{}{}
	}
	parts, words := newTree(), newTree()
	for _, name := range slices.Concat(secretNames, more) {
		folded := fold(name)
		n.timely = n.timely || folded != "" && strings.Trim(folded, "0123456789t") == ""
		switch {
		case len(folded) > maxWord:
			parts.add(folded)
		case folded != "":
			words.add(folded)
		}
	}
	suffixes := parts.suffixes()

	states := map[situation]uint16{{}: started}
	reached := []situation{{}, {}} // the second stands for found
	n.ends = []bool{false, true}
	for state := 0; state < len(reached); state++ {
		n.next = append(n.next, make([]uint16, 64)...)
		for class := range otherClass + 1 {
			to := uint16(found)
			if next, ok := reached[state].step(parts, words, suffixes, class); ok && state != found {
				if to, ok = states[next]; !ok {
					if len(reached) >= 1<<16 {
						return nil, errNames
					}
					to = uint16(len(reached))
					states[next] = to
					reached = append(reached, next)
					n.ends = append(n.ends, next.word != astray && words.ends[next.word])
				}
			}
			n.next[state<<6+class] = to
		}
	}
	return n, nil
}

// suffixes gives for each place of the tree that of the longest other path to end in the same letters.
func (t *tree) suffixes() []int {
	suffix := make([]int, len(t.steps))
	waiting := []int{0}
	for len(waiting) > 0 {
		at := waiting[0]
		waiting = waiting[1:]
		t.ends[at] = t.ends[at] || t.ends[suffix[at]]
		for letter, next := range t.steps[at] {
			if at != 0 {
				suffix[next] = t.follow(suffix, suffix[at], letter)
			}
			waiting = append(waiting, next)
		}
	}
	return suffix
}

func (t *tree) follow(suffix []int, at int, letter byte) int {
	for {
		if next, ok := t.steps[at][letter]; ok {
			return next
		}
		if at == 0 {
			return 0
		}
		at = suffix[at]
	}
}

// step reads one more byte to the left. ok is false where it shows a secret's name.
func (s situation) step(parts, words *tree, suffixes []int, class int) (next situation, ok bool) {
	next = s
	lower, capital := class < upperClass, class >= upperClass && class < digitClass
	if class == otherClass || lower && s.capital { // the word to the right is whole
		if s.word != astray && words.ends[s.word] {
			return next, false
		}
		next.word = 0
	}
	if next.capital = capital; class == otherClass {
		return next, true
	}
	letter := byte('a' + class)
	switch {
	case capital:
		letter = byte('a' + class - upperClass)
	case !lower:
		letter = byte('0' + class - digitClass)
	}
	if next.word != astray {
		if place, ok := words.steps[next.word][letter]; ok {
			next.word = place
		} else {
			next.word = astray
		}
	}
	next.part = parts.follow(suffixes, s.part, letter)
	return next, !parts.ends[next.part]
}

// secret reports whether name means a secret.
func secret[T ~string | ~[]byte](n *names, name T) bool {
	if !unsafe(n, name) {
		return false
	}
	_, harmless := n.harmless[fold(name)]
	return !harmless
}

// unsafe reports whether a secret's name is in name.
func unsafe[T ~string | ~[]byte](n *names, name T) bool {
	state, next := uint(started), n.next
	for i := len(name) - 1; i >= 0; i-- {
		state = uint(next[state<<6+uint(classOf[name[i]])])
	}
	return n.ends[state]
}
