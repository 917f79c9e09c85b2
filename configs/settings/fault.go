package settings

import (
	"strconv"
	"strings"
)

// Fault is one thing that is wrong. It never holds a secret's value.
type Fault struct {
	File    string // kong.conf's path when that is where it stands, else ""
	Line    int    // in File, from 1; 0 for the file as a whole
	Column  int    // in File, in bytes from 1
	Origin  string // "environment KONG_X", "flag --x"; "environment" for OTEL_X; "" where File is set
	Key     string // "" when the line has none
	Problem string // what is wrong
	Allowed string // what would be right; "" when Problem says it
}

// Error gives `file:line:column: key: problem; allowed: …` or the same with the origin in front.
func (f Fault) Error() string {
	var parts []string
	switch {
	case f.File != "" && f.Line > 0:
		parts = append(parts, f.File+":"+strconv.Itoa(f.Line)+":"+strconv.Itoa(f.Column))
	case f.File != "":
		parts = append(parts, f.File)
	case f.Origin != "":
		parts = append(parts, f.Origin)
	}
	if f.Key != "" {
		parts = append(parts, f.Key)
	}
	parts = append(parts, f.Problem)
	text := strings.Join(parts, ": ")
	if f.Allowed != "" {
		text += "; allowed: " + f.Allowed
	}
	return text
}

// Faults is the error that Parse and ParseOTel give: everything that is wrong, not only the first.
type Faults []Fault

// Error gives one fault a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// orNil keeps an empty list from becoming an error that is not nil.
func (f Faults) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// invalid is what a decoder says about a value. The part of the value at fault is kept apart from the text, so that
// a secret's can be left out.
type invalid struct {
	value   string
	problem string // reads after the value: "is not …"
	allowed string
}

func (e *invalid) Error() string { return e.text(false) }

func (e *invalid) text(secret bool) string {
	if secret {
		return "the value " + e.problem
	}
	value := e.value
	if len(value) > 100 {
		value = value[:100] + "…"
	}
	return strconv.Quote(value) + " " + e.problem
}
