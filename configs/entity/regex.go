package entity

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
)

// fault is what keeps a regular expression out of the router; text is "" if nothing does.
type fault struct {
	text       string
	everywhere bool // no dialect takes it: the expression itself is malformed
}

type construct struct {
	re   *regexp.Regexp
	name string
}

// Constructs that other dialects have and RE2 lacks, or that RE2 takes in another sense than Kong's router. They are
// looked for outside of character classes, at an unescaped character.
var constructs = []construct{
	{regexp.MustCompile(`^\(\?<?[=!]`), "look-around"},
	{regexp.MustCompile(`^\(\?>`), "an atomic group"},
	{regexp.MustCompile(`^\(\?\|`), "a branch reset"},
	{regexp.MustCompile(`^\(\?\(`), "a conditional"},
	{regexp.MustCompile(`^\(\?(R|[+-]?[0-9]+|&|P>)`), "recursion"},
	{regexp.MustCompile(`^\(\?P=`), "a backreference"},
	{regexp.MustCompile(`^\(\?#`), "a comment group"},
	{regexp.MustCompile(`^\(\?'`), "a group named in quotes"},
	{regexp.MustCompile(`^\(\?[a-zA-Z-]*x`), "free spacing"},
	{regexp.MustCompile(`^\(\*`), "a verb"},
	{regexp.MustCompile(`^\\([0-9]|k[<{'])`), "a backreference"},
	{regexp.MustCompile(`^\\g`), "a backreference or subroutine call"},
	{regexp.MustCompile(`^\\[QE]`), `quoting by \Q…\E`},
	{regexp.MustCompile(`^\\C`), `\C, a single byte`},
	{regexp.MustCompile(`^([*+?]|\{[0-9]+(,[0-9]*)?\})\+`), "a possessive quantifier"},
}

// Quantifiers with numbers; any other { is an error to the router, which is not so for RE2.
var counted = regexp.MustCompile(`^\{[0-9]+(,[0-9]*)?\}`)

// regexFault says why the router could not take a regular expression. The router is built on RE2 syntax; Kong's on
// Rust's, which is nearly the same: what Rust refuses is refused here too.
func regexFault(pattern string) fault {
	named := foreignConstruct(pattern)
	_, err := regexp.Compile(pattern)
	var syntaxErr *syntax.Error
	switch {
	case named != "":
		return fault{text: named + " is not supported"}
	case err == nil:
		return fault{}
	case !errors.As(err, &syntaxErr):
		return fault{text: err.Error()}
	}
	switch syntaxErr.Code {
	case syntax.ErrInvalidEscape:
		return fault{text: "the escape " + syntaxErr.Expr + " is not supported"}
	case syntax.ErrInvalidRepeatSize, syntax.ErrLarge:
		return fault{text: "the repetition " + syntaxErr.Expr + " is not supported"}
	case syntax.ErrInvalidRepeatOp:
		return fault{text: "the repeated quantifier " + syntaxErr.Expr + " is not supported", everywhere: true}
	case syntax.ErrInvalidPerlOp, syntax.ErrNestingDepth, syntax.ErrInvalidUTF8:
		return fault{text: syntaxErr.Code.String() + " " + syntaxErr.Expr}
	}
	return fault{text: syntaxErr.Code.String() + ": " + syntaxErr.Expr, everywhere: true}
}

// foreignConstruct names the first construct that is not RE2's and Rust's alike.
func foreignConstruct(pattern string) string {
	for i := 0; i < len(pattern); i++ {
		rest := pattern[i:]
		for _, c := range constructs {
			if c.re.MatchString(rest) {
				return c.name
			}
		}
		switch {
		case rest[0] == '\\':
			if escape := bracedEscape.FindString(rest); escape != "" {
				i += len(escape) - 1
			} else {
				i++
			}
		case rest[0] == '[':
			length, name := foreignClass(rest)
			if name != "" {
				return name
			}
			i += length - 1
		case rest[0] == '{':
			quantifier := counted.FindString(rest)
			if quantifier == "" {
				return `a "{" that starts no repetition (write \{)`
			}
			i += len(quantifier) - 1
		}
	}
	return ""
}

var bracedEscape = regexp.MustCompile(`^\\[pPx]\{[^}]*\}`)

var posixClass = regexp.MustCompile(`^\[:\^?[a-z]+:\]`)

// foreignClass looks through a character class at the start of pattern and returns its length.
func foreignClass(pattern string) (int, string) {
	i := 1
	if strings.HasPrefix(pattern[i:], "^") {
		i++
	}
	for first := true; i < len(pattern); first = false {
		rest := pattern[i:]
		switch {
		case rest[0] == ']' && !first:
			return i + 1, ""
		case rest[0] == '\\':
			if len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9' {
				return 0, "an octal escape"
			}
			i += 2
			continue
		case rest[0] == '[':
			posix := posixClass.FindString(rest)
			if posix == "" {
				return 0, `a "[" inside a character class (write \[)`
			}
			i += len(posix)
			continue
		case strings.HasPrefix(rest, "&&"), strings.HasPrefix(rest, "~~"),
			strings.HasPrefix(rest, "--") && !first && !strings.HasPrefix(rest, "--]"):
			return 0, "a set operation in a character class"
		}
		i++
	}
	return len(pattern), "" // not closed: the parser says so
}
