package settings

import (
	"strings"
)

// assignment is one `key = value` of a kong.conf.
type assignment struct {
	key, value string
	line       int // of the key, from 1
	column     int // of the value, in bytes from 1; of the key when the value is empty
}

// parseConf reads the syntax of kong.conf. A line whose first visible byte is # or ; is a comment, and so is what
// follows a # elsewhere unless a backslash stands before it. A backslash at the end of a line joins the next one to it.
// Quotes are part of the value. A byte of a name that is no letter or digit counts as _.
//
// Kong: kong/conf_loader/init.lua load_config, which leaves the lines to Penlight's pl.config.
func parseConf(name string, data []byte) ([]assignment, Faults) {
	var (
		found  []assignment
		faults Faults
		joined string // what lines that end in a backslash have gathered
		first  int    // the line on which joined begins
	)
	take := func(text string, line int) {
		a, problem := parseAssignment(text)
		a.line = line
		switch {
		case problem != "":
			faults = append(faults, Fault{
				File: name, Line: line, Column: a.column,
				Problem: problem, Allowed: "key = value, or a comment that begins with #",
			})
		case a.key != "":
			found = append(found, a)
		}
	}
	number := 0
	for text := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		number++
		visible := strings.TrimSpace(text)
		if visible == "" || visible[0] == '#' || visible[0] == ';' {
			continue
		}
		if joined == "" {
			first = number
		}
		if head, more := strings.CutSuffix(strings.TrimRight(text, " \t\r\n\v\f"), `\`); more {
			joined += head
			continue
		}
		take(joined+strings.TrimRight(text, "\r\n"), first)
		joined = ""
	}
	if joined != "" {
		take(joined, first)
	}
	return found, faults
}

// parseAssignment splits one logical line. The key is empty for a line that holds only a comment.
func parseAssignment(text string) (a assignment, problem string) {
	indent := len(text) - len(strings.TrimLeft(text, " \t\v\f"))
	a.column = indent + 1
	key, rest, ok := strings.Cut(text, "=")
	if strings.HasPrefix(text, "[") {
		return a, "sections are not part of kong.conf"
	}
	if hash := strings.IndexByte(key, '#'); !ok || hash >= 0 {
		return a, "this line assigns nothing"
	}
	if key = strings.TrimSpace(key); key == "" {
		return a, "the name before = is missing"
	}
	a.key = variable(key)
	raw := uncomment(rest)
	a.value = strings.TrimSpace(strings.ReplaceAll(raw, `\#`, "#"))
	if a.value != "" {
		a.column = len(text) - len(rest) + len(raw) - len(strings.TrimLeft(raw, " \t\v\f")) + 1
	}
	return a, ""
}

// uncomment cuts a value at the first # that no backslash escapes.
func uncomment(value string) string {
	for i := range len(value) {
		if value[i] == '#' && (i == 0 || value[i-1] != '\\') {
			return value[:i]
		}
	}
	return value
}

// variable makes a name of what stands before the =. Kong: Penlight's pl.config, variabilize.
func variable(key string) string {
	name := []byte(key)
	for i, c := range name {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			name[i] = '_'
		}
	}
	return string(name)
}
