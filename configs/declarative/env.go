package declarative

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decK lets a file take values from the environment:
//
//	port: ${{ env "DECK_PORT" | toInt }}
//	token: "${{ env "DECK_TOKEN" }}"
//
// decK replaces these in the text and parses what comes out, so that a value with a quote or a line break can change
// the file's structure. Here each expression is first replaced by a stand-in of the same length, which keeps every
// line and column, and its value goes in once the structure is known. A value without quotes around it is still read
// as YAML would read it: 8080 is a number, true a boolean.
//
// decK: go-database-reconciler pkg/file/template.go
var expression = regexp.MustCompile(`\$\{\{.*?\}\}`)

// A stand-in is one character of plane 15's private use area, which says which expression it is, and fillers.
const (
	firstStandIn = 0xF0000
	lastStandIn  = 0xFFFFD
	filler       = 0xE000
)

var standIn = regexp.MustCompile(`[\x{F0000}-\x{FFFFD}]\x{E000}*`)

// secret is a value that came from the environment. Messages show its source instead.
type secret struct{ value, source string }

// environment holds the expressions of one input.
type environment struct {
	lookup      func(string) (string, bool)
	expressions []string
}

// hide replaces the expressions of a text by stand-ins.
func (e *environment) hide(text []byte) ([]byte, error) {
	if !expression.Match(text) {
		return text, nil
	}
	if at := standIn.FindIndex(text); at != nil {
		r, _ := utf8.DecodeRune(text[at[0]:])
		return nil, fmt.Errorf("%U cannot stand in a file that uses ${{ env … }}", r)
	}
	hidden := expression.ReplaceAllFunc(text, func(found []byte) []byte {
		e.expressions = append(e.expressions, string(found))
		number := firstStandIn + len(e.expressions) - 1
		return []byte(string(rune(min(number, lastStandIn))) + strings.Repeat(string(rune(filler)), utf8.RuneCount(found)-1))
	})
	if len(e.expressions) > lastStandIn-firstStandIn {
		return nil, fmt.Errorf("%d expressions ${{ … }}, at most %d are allowed", len(e.expressions), lastStandIn-firstStandIn)
	}
	return hidden, nil
}

var errUnclosed = errors.New(`"${{" without "}}" on the same line`)

// fill puts the expressions' values into a scalar. The text is returned with what went wrong, too.
func (e *environment) fill(text string) (filled string, used []secret, err error) {
	if len(e.expressions) == 0 {
		if strings.Contains(text, "${{") {
			err = errUnclosed
		}
		return text, nil, err
	}
	filled = standIn.ReplaceAllStringFunc(text, func(found string) string {
		r, _ := utf8.DecodeRuneInString(found)
		number := int(r) - firstStandIn
		if number >= len(e.expressions) {
			return found
		}
		value, evalErr := evaluate(e.expressions[number], e.lookup)
		if evalErr != nil && err == nil {
			err = evalErr
		}
		used = append(used, secret{value: value, source: e.expressions[number]})
		return value
	})
	if err == nil && len(used) == 0 && strings.Contains(text, "${{") {
		err = errUnclosed
	}
	return filled, used, err
}

var (
	// The quotes may be escaped, as they have to be within a double-quoted string that other YAML tools read too.
	call     = regexp.MustCompile("^\\s*env\\s+(?:\\\\?[\"']|`)([^\"'`\\\\]*)(?:\\\\?[\"']|`)\\s*(?:\\|(.*))?$")
	filterOf = regexp.MustCompile(`^\s*(toInt|toBool|toFloat|indent\s+[0-9]+)\s*$`)
)

// evaluate gives the value of ${{ env "DECK_X" }}, checked by any of toInt, toBool and toFloat after a |. indent is
// accepted and does nothing, since values go in after the indentation is read. Values never appear in errors.
func evaluate(expr string, lookup func(string) (string, bool)) (string, error) {
	inner := strings.TrimSuffix(strings.TrimPrefix(expr, "${{"), "}}")
	m := call.FindStringSubmatch(inner)
	if m == nil {
		return "", fmt.Errorf(`%s is not understood; allowed: ${{ env "DECK_NAME" }}, with | toInt, toBool, toFloat or indent N`, expr)
	}
	name := m[1]
	if !strings.HasPrefix(name, "DECK_") {
		return "", fmt.Errorf("environment variables in a configuration must begin with DECK_, found %q", name)
	}
	var value string
	set := false
	if lookup != nil {
		value, set = lookup(name)
	}
	if !set {
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	if m[2] == "" {
		return value, nil
	}
	for part := range strings.SplitSeq(m[2], "|") {
		f := filterOf.FindStringSubmatch(part)
		if f == nil {
			return "", fmt.Errorf("%q is not understood in %s; allowed: toInt, toBool, toFloat, indent N", strings.TrimSpace(part), expr)
		}
		switch f[1] {
		case "toInt":
			n, err := strconv.Atoi(value)
			if err != nil {
				return "", fmt.Errorf("environment variable %s is not an integer", name)
			}
			value = strconv.Itoa(n)
		case "toBool":
			b, err := strconv.ParseBool(value)
			if err != nil {
				return "", fmt.Errorf("environment variable %s is not a boolean; allowed: true, false, 1, 0", name)
			}
			value = strconv.FormatBool(b)
		case "toFloat":
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return "", fmt.Errorf("environment variable %s is not a number", name)
			}
			value = strconv.FormatFloat(n, 'g', -1, 64)
		}
	}
	return value, nil
}
