package entity

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// scope is what a check sees besides the value: how other kinds look, and whether a stored entity is being updated.
type scope struct {
	schemas  *Schemas
	updating bool
	id       any // of the entity, nil if it has none yet
}

// validate checks filled data against a record and returns the errors by field, empty if there are none. With full
// unset, missing fields are fine. Kong: kong/db/schema/init.lua Schema:validate
func (s *scope) validate(rec, variant *Record, data Object, full bool) Object {
	errs := Object{}
	known := 0
	for i := range rec.Fields {
		f := &rec.Fields[i]
		value, given := data[f.Name]
		if given {
			known++
			if err := validateField(s, override(f, variant), value); err != nil {
				errs[f.Name] = err
			}
		}
		if f.Required && value == nil && (given || full && !f.Auto) {
			errs[f.Name] = errRequired
		}
	}
	if known < len(data) {
		for name := range data {
			if rec.field(name) == nil {
				errs[name] = UnknownField
			}
		}
	}
	subject := &subject{scope: s, rec: rec, variant: variant, data: data, errs: errs, full: full}
	for _, check := range rec.Checks {
		check.run(subject)
	}
	if variant != nil {
		for _, check := range variant.Checks {
			check.run(subject)
		}
	}
	return errs
}

// validateField returns nil, a text, or the nested errors of a record (Object) or a list ([]any).
// Kong: kong/db/schema/init.lua Schema:validate_field
func validateField(s *scope, f *Field, value any) any {
	if value == nil {
		if f.Required {
			return errRequired
		}
		return nil
	}
	if f.Null {
		return f.text(errNull)
	}
	if err := validateType(s, f, value); err != nil {
		return err
	}
	if text, ok := value.(string); ok && f.Referenceable && isReference(text) {
		return nil
	}
	if text := f.broken(value); text != "" {
		return f.text(text)
	}
	return nil
}

func (f *Field) text(text string) string {
	if f.Err != "" {
		return f.Err
	}
	return text
}

// A vault reference stands for a secret. Kong: kong/pdk/vault.lua is_reference
func isReference(text string) bool {
	return strings.HasPrefix(text, "{vault://") && strings.HasSuffix(text, "}") && len(text) > len("{vault://}")
}

func validateType(s *scope, f *Field, value any) any {
	ok := true
	switch f.Type {
	case String:
		_, ok = value.(string)
	case Boolean:
		_, ok = value.(bool)
	case Number:
		_, ok = value.(float64)
	case Integer:
		number, isNumber := value.(float64)
		ok = isNumber && number == math.Floor(number) && !math.IsInf(number, 0)
	case Array, Set:
		list, isList := asList(value)
		if !isList {
			ok = false
			break
		}
		return validateElements(s, f, list)
	case Map:
		if list, isList := value.([]any); isList && len(list) > 0 {
			return "expected a string" // its keys are numbers
		}
		object, isObject := asObject(value)
		if !isObject {
			ok = false
			break
		}
		return validateMap(s, f, object)
	case RecordType:
		object, isObject := asObject(value)
		if !isObject {
			ok = false
			break
		}
		object = clone(object).(Object)
		if errs := fill(f.Record, nil, object, inserting); errs != nil {
			return errs
		}
		if errs := s.validate(f.Record, nil, object, true); len(errs) > 0 {
			return errs
		}
	case Foreign:
		return s.validateReference(f, value)
	}
	if ok {
		return nil
	}
	article := "a "
	if f.Type == Integer || f.Type == Array {
		article = "an "
	}
	return "expected " + article + string(f.Type)
}

func validateElements(s *scope, f *Field, list []any) any {
	var errs []any
	for i, item := range list {
		var err any = errRequired
		if item != nil {
			err = validateField(s, f.Elements, item)
		}
		if err != nil {
			errs = append(errs, make([]any, i-len(errs))...)
			errs = append(errs, err)
		}
	}
	if errs == nil {
		return nil
	}
	return errs
}

// A map stops at its first error; keys are taken in order to make that stable.
func validateMap(s *scope, f *Field, object Object) any {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if err := validateField(s, f.Keys, key); err != nil {
			return err
		}
		if object[key] == nil {
			return errRequired
		}
		if err := validateField(s, f.Values, object[key]); err != nil {
			return err
		}
	}
	return nil
}

// Kong: kong/db/schema/init.lua validate_primary_key
func (s *scope) validateReference(f *Field, value any) any {
	object, isObject := value.(Object)
	err := any("missing primary key")
	if id, given := object["id"]; given {
		if err = errRequired; id != nil {
			err = validateField(s, &idField, id)
		}
		if err == nil {
			return nil
		}
	}
	errs := Object{"id": err}
	if !isObject {
		return errs
	}
	if schema, ok := s.schemas.Of(f.Reference); ok {
		if foreign := schema.validate(s, object, false); len(foreign) > 0 {
			return foreign
		}
	}
	return errs
}

// isUUID reports whether text is a UUID with its hyphens, in either case.
func isUUID(text string) bool {
	if len(text) != len("00000000-0000-0000-0000-000000000000") {
		return false
	}
	for i := range len(text) {
		switch c := text[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
		}
	}
	return true
}

// broken returns the text of the first rule that a value of the right type breaks, or "".
// Kong: kong/db/schema/init.lua Schema.validators, in the order of validators_order
func (f *Field) broken(value any) string {
	if f.Not != nil && value == f.Not {
		return fmt.Sprintf("value must not be %v", f.Not)
	}
	if f.NotOneOf != nil && contains(f.NotOneOf, value) {
		return "must not be one of: " + join(f.NotOneOf)
	}
	if f.OneOf != nil && !contains(f.OneOf, value) && !contains(f.Later, value) {
		return "expected one of: " + join(f.OneOf)
	}
	if number, ok := value.(float64); ok {
		if f.Timestamp && number <= 0 {
			return "expected a valid timestamp"
		}
		if r := f.Between; r != nil && (number < r.Min || number > r.Max) {
			return fmt.Sprintf("value should be between %d and %d", int64(r.Min), int64(r.Max))
		}
	}
	if text, ok := value.(string); ok {
		if broken := f.brokenText(text); broken != "" {
			return broken
		}
	}
	if list, ok := value.([]any); ok {
		if broken := f.brokenList(list); broken != "" {
			return broken
		}
	}
	if f.Check != nil {
		if broken := f.Check(value); broken != "" {
			return broken
		}
	}
	if list, ok := value.([]any); ok && f.Exclusive != nil {
		return exclusive(f.Exclusive, list)
	}
	return ""
}

func (f *Field) brokenText(text string) string {
	if f.UUID && !isUUID(text) {
		return "expected a valid UUID"
	}
	if least := max(f.MinLen, 1); len(text) < least && f.MinLen >= 0 {
		return fmt.Sprintf("length must be at least %d", least)
	}
	if f.StartsWith != "" && !strings.HasPrefix(text, f.StartsWith) {
		return "should start with: " + f.StartsWith
	}
	for _, p := range f.Patterns {
		if p.Re.MatchString(text) != p.Refuse {
			continue
		}
		if p.Err == "" {
			return "invalid value: " + text
		}
		return p.Err
	}
	return ""
}

func (f *Field) brokenList(list []any) string {
	if f.Len != nil && len(list) != *f.Len {
		return fmt.Sprintf("length must be %d", *f.Len)
	}
	if len(list) < f.MinLen {
		return fmt.Sprintf("length must be at least %d", f.MinLen)
	}
	if f.Contains != nil && !contains(list, f.Contains) {
		return fmt.Sprintf("expected to contain: %v", f.Contains)
	}
	return ""
}

// Kong: kong/db/schema/init.lua mutually_exclusive_subsets
func exclusive(sets [][]string, list []any) string {
	var used []string
	seen := map[int]bool{}
	for _, item := range list {
		text, _ := item.(string)
		i := slices.IndexFunc(sets, func(set []string) bool { return slices.Contains(set, text) })
		if i >= 0 && !seen[i] {
			seen[i] = true
			used = append(used, "("+quoted(sets[i])+")")
		}
	}
	if len(used) <= 1 {
		return ""
	}
	return "these sets are mutually exclusive: " + strings.Join(used, ", ")
}

func contains(list []any, value any) bool {
	for _, item := range list {
		if number, ok := item.(int); ok {
			item = float64(number)
		}
		if equal(item, value) {
			return true
		}
	}
	return false
}

// equal compares scalars; lists and objects differ from everything.
func equal(a, b any) bool {
	switch a.(type) {
	case string, float64, bool:
		return a == b
	}
	return false
}

func join(list []any) string {
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = fmt.Sprint(item)
	}
	return strings.Join(texts, ", ")
}

func quoted(names []string) string {
	return "'" + strings.Join(names, "', '") + "'"
}
