package entity

import (
	"fmt"
	"strings"
	"sync"
)

// Check is a rule that spans several fields of a record, named by dotted paths.
// Kong: kong/db/schema/init.lua Schema.entity_checkers
type Check struct {
	Name   string // Kong's name of it
	Fields []string
	run    func(*subject)
}

// subject is the record that checks look at, and where they put their errors.
type subject struct {
	*scope
	rec, variant *Record
	data, errs   Object
	full         bool
}

func (s *subject) get(path string) (any, bool) {
	object := s.data
	for {
		head, rest, nested := strings.Cut(path, ".")
		value, given := object[head]
		if !nested {
			return value, given
		}
		object, _ = value.(Object)
		path = rest
	}
}

func (s *subject) field(path string) *Field {
	rec, variant := s.rec, s.variant
	for {
		head, rest, nested := strings.Cut(path, ".")
		f := rec.field(head)
		if f == nil {
			return nil
		}
		f = override(f, variant)
		if !nested {
			return f
		}
		if f.Record == nil {
			return nil
		}
		rec, variant, path = f.Record, nil, rest
	}
}

// passes reports whether the field's value would satisfy its rules if they were changed.
func (s *subject) passes(path string, change *changed) (any, bool) {
	value, _ := s.get(path)
	err := validateField(s.scope, change.of(s.field(path)), value)
	return err, err == nil
}

// changed makes fields with changed rules, each once.
type changed struct {
	rule   Rule
	fields sync.Map // of *Field by the *Field that it was made of
}

func (c *changed) of(f *Field) *Field {
	if made, ok := c.fields.Load(f); ok {
		return made.(*Field)
	}
	made := *f
	c.rule(&made)
	c.fields.Store(f, &made)
	return &made
}

// applies reports whether a check of these fields is worth running: some field is there (a partial entity may have
// none) and none holds a vault reference, which says nothing yet.
func (s *subject) applies(fields []string) bool {
	some := s.full
	for _, path := range fields {
		value, given := s.get(path)
		some = some || given
		text, _ := value.(string)
		if f := s.field(path); f != nil && f.Referenceable && isReference(text) {
			return false
		}
	}
	return some
}

func (s *subject) sound(fields []string) bool {
	for _, path := range fields {
		if s.errs[path] != nil {
			return false
		}
	}
	return true
}

func (s *subject) filled(fields []string) int {
	n := 0
	for _, path := range fields {
		if value, _ := s.get(path); nonempty(value) {
			n++
		}
	}
	return n
}

func nonempty(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case string:
		return value != ""
	case []any:
		return len(value) > 0
	case Object:
		return len(value) > 0
	}
	return true
}

// AtLeastOneOf wants a value in one of the fields.
func AtLeastOneOf(fields ...string) Check {
	return Check{"at_least_one_of", fields, func(s *subject) {
		if !s.applies(fields) || s.filled(fields) > 0 {
			return
		}
		text := "at least one of these fields must be non-empty: " + quoted(fields)
		if s.updating {
			text = "when updating, " + text
		}
		insertEntityError(s.errs, text)
	}}
}

// Or gives the check, satisfied too by a value in one of fields, which its message does not name: those of later Kongs.
func (c Check) Or(fields ...string) Check {
	run := c.run
	c.run = func(s *subject) {
		if s.filled(fields) == 0 {
			run(s)
		}
	}
	return c
}

// Distinct wants different values in the fields that have one.
func Distinct(fields ...string) Check {
	return Check{"distinct", fields, func(s *subject) {
		seen := map[any]bool{}
		for _, path := range fields {
			value, _ := s.get(path)
			if text, ok := value.(string); ok && text != "" {
				if seen[text] {
					insertEntityError(s.errs, "values of these fields must be distinct: "+quoted(fields))
					return
				}
				seen[text] = true
			}
		}
	}}
}

// MutuallyRequired wants a value in all of the fields or in none.
func MutuallyRequired(fields ...string) Check {
	return Check{"mutually_required", fields, func(s *subject) {
		if !s.applies(fields) || !s.sound(fields) {
			return
		}
		if n := s.filled(fields); n != 0 && n != len(fields) {
			insertEntityError(s.errs, "all or none of these fields must be set: "+quoted(fields))
		}
	}}
}

// Rule changes a field's rules; a Conditional asks whether the value would satisfy them then.
type Rule func(*Field)

// Rules for conditions.
var (
	BeNull  Rule = func(f *Field) { f.Null = true }
	BeSet   Rule = func(f *Field) { f.Required = true }
	BeEmpty Rule = func(f *Field) { f.Len = new(int) }
)

// Be wants one of the values.
func Be(values ...string) Rule { return func(f *Field) { f.OneOf = Strings(values...) } }

// BeNot wants none of the values.
func BeNot(values ...string) Rule { return func(f *Field) { f.NotOneOf = Strings(values...) } }

// Contain wants the value as an element.
func Contain(value string) Rule { return func(f *Field) { f.Contains = value } }

// HaveOnly wants elements that satisfy the rule.
func HaveOnly(rule Rule) Rule {
	return func(f *Field) {
		element := Field{Type: String}
		rule(&element)
		f.Elements = &element
	}
}

// Conditional wants field then to satisfy must when field if satisfies is. text replaces the error unless "".
func Conditional(ifField string, is Rule, then string, must Rule, text string) Check {
	if text == "" {
		text = fmt.Sprintf("failed conditional validation given value of field '%s'", ifField)
	}
	fields := []string{ifField, then}
	condition, consequence := &changed{rule: is}, &changed{rule: must}
	return Check{"conditional", fields, func(s *subject) {
		if !s.applies(fields) {
			return
		}
		if _, given := s.get(ifField); !given {
			if _, given = s.get(then); given {
				setError(s.errs, ifField, "field required for entity check")
			}
			return
		}
		if _, ok := s.passes(ifField, condition); !ok {
			return
		}
		if err, ok := s.passes(then, consequence); !ok {
			setError(s.errs, then, err)
			insertEntityError(s.errs, text)
		}
	}}
}

// Alternative is one case of ConditionalAtLeastOneOf. Err holds %s where the names of the fields go.
type Alternative struct {
	Is     Rule
	Fields []string
	Err    string
}

// ConditionalAtLeastOneOf wants a value in one of the fields of the first alternative that the field satisfies.
func ConditionalAtLeastOneOf(ifField string, alternatives ...Alternative) Check {
	fields := []string{ifField}
	conditions := make([]changed, len(alternatives))
	for i, a := range alternatives {
		fields = append(fields, a.Fields...)
		conditions[i].rule = a.Is
	}
	return Check{"conditional_at_least_one_of", fields, func(s *subject) {
		if !s.applies(fields) {
			return
		}
		if _, given := s.get(ifField); !given {
			return
		}
		for i, a := range alternatives {
			if _, ok := s.passes(ifField, &conditions[i]); !ok {
				continue
			}
			if s.filled(a.Fields) == 0 {
				insertEntityError(s.errs, strings.ReplaceAll(a.Err, "%s", quoted(a.Fields)))
			}
			return
		}
	}}
}

// Custom runs when the fields have no errors; check returns "" or what is wrong.
func Custom(fields []string, check func(data Object) string) Check {
	return Check{"custom_entity_check", fields, func(s *subject) {
		if !s.applies(fields) || !s.sound(fields) {
			return
		}
		if text := check(s.data); text != "" {
			insertEntityError(s.errs, text)
		}
	}}
}
