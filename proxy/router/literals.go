package router

import (
	"regexp/syntax"
	"strings"
)

// literals are texts without which a regular expression cannot match. They save most of its runs, and rules are filed
// by them. Each is "" where there is none.
type literals struct {
	prefix string // the text begins with it
	inner  string // the text contains it behind the prefix
	suffix string // the text ends with it
}

// admit reports whether the text has all literals.
func (l *literals) admit(s string) bool {
	return strings.HasPrefix(s, l.prefix) && strings.HasSuffix(s, l.suffix) &&
		(l.inner == "" || strings.Contains(s[len(l.prefix):], l.inner))
}

func findLiterals(tree *syntax.Regexp) literals {
	var l literals
	parts := sequence(tree, nil)

	if len(parts) > 0 && parts[0].Op == syntax.OpBeginText {
		parts = parts[1:]
		for len(parts) > 0 && isLiteral(parts[0]) {
			l.prefix += string(parts[0].Rune)
			parts = parts[1:]
		}
	}
	if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
		parts = parts[:n-1]
		for n := len(parts); n > 0 && isLiteral(parts[n-1]); n-- {
			l.suffix = string(parts[n-1].Rune) + l.suffix
			parts = parts[:n-1]
		}
	}
	for _, part := range parts {
		if isLiteral(part) && len(string(part.Rune)) > len(l.inner) {
			l.inner = string(part.Rune)
		}
	}
	return l
}

// sequence appends what an expression matches one after the other.
func sequence(re *syntax.Regexp, parts []*syntax.Regexp) []*syntax.Regexp {
	if re.Op != syntax.OpConcat && re.Op != syntax.OpCapture {
		return append(parts, re)
	}
	for _, sub := range re.Sub {
		parts = sequence(sub, parts)
	}
	return parts
}

func isLiteral(re *syntax.Regexp) bool {
	return re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase == 0
}
