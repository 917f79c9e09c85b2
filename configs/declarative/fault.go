package declarative

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in an input. Line and Column count from 1, Column in characters; 0 is "not known".
type Position struct {
	File   string
	Line   int
	Column int
}

func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Fault is one thing that is wrong in a configuration.
type Fault struct {
	Position Position
	Field    string // a path such as services[0].routes[1].paths[0]; "" is the file itself
	Message  string // what is wrong and, where there is a choice, what is allowed
}

// Error gives file:line:column: field: message.
func (f Fault) Error() string {
	if f.Field == "" {
		return fmt.Sprintf("%s: %s", f.Position, f.Message)
	}
	return fmt.Sprintf("%s: %s: %s", f.Position, f.Field, f.Message)
}

// Faults is every fault of a configuration, in the order of the inputs and of the lines in them.
type Faults []Fault

// Error gives one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Warning is something that Kong would do with a configuration and Sidekong does not.
type Warning struct {
	Position Position
	Message  string
}

// String gives file:line:column: message.
func (w Warning) String() string { return fmt.Sprintf("%s: %s", w.Position, w.Message) }

// report collects what Parse finds.
type report struct {
	files    map[string]int // order of the inputs
	faults   Faults
	warnings []Warning
	secrets  []secret
	broken   map[Position]bool // values that could not be read, about which enough is said
}

func (r *report) fault(at Position, field, format string, args ...any) {
	if r.broken[at] {
		return
	}
	r.faults = append(r.faults, Fault{Position: at, Field: field, Message: fmt.Sprintf(format, args...)})
}

// unreadable reports a value that is replaced by null, and keeps what follows from that quiet.
func (r *report) unreadable(at Position, field, format string, args ...any) {
	r.fault(at, field, format, args...)
	r.broken[at] = true
}

func (r *report) warn(at Position, format string, args ...any) {
	r.warnings = append(r.warnings, Warning{Position: at, Message: fmt.Sprintf(format, args...)})
}

// err is the faults in order, or nil without any.
func (r *report) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(r.faults, func(a, b Fault) int {
		return cmp.Or(r.compare(a.Position, b.Position), cmp.Compare(a.Field, b.Field))
	})
	hide := r.hideSecrets()
	for i := range r.faults {
		r.faults[i].Message = hide.Replace(r.faults[i].Message)
	}
	return slices.Compact(r.faults)
}

func (r *report) sortedWarnings() []Warning {
	slices.SortStableFunc(r.warnings, func(a, b Warning) int {
		return cmp.Or(r.compare(a.Position, b.Position), strings.Compare(a.Message, b.Message))
	})
	hide := r.hideSecrets()
	for i := range r.warnings {
		r.warnings[i].Message = hide.Replace(r.warnings[i].Message)
	}
	return slices.Compact(r.warnings)
}

// hideSecrets shows where a value came from in place of the value.
func (r *report) hideSecrets() *strings.Replacer {
	pairs := make([]string, 0, 2*len(r.secrets))
	for _, s := range r.secrets {
		pairs = append(pairs, s.value, s.source)
	}
	return strings.NewReplacer(pairs...)
}

func (r *report) compare(a, b Position) int {
	return cmp.Or(
		cmp.Compare(r.files[a.File], r.files[b.File]),
		cmp.Compare(a.Line, b.Line),
		cmp.Compare(a.Column, b.Column),
	)
}
