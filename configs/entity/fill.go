package entity

import (
	"maps"
	"slices"
	"strconv"
)

// mode says what a missing value means.
type mode int

const (
	inserting mode = iota // missing values get their defaults
	updating              // missing values are left to the old entity
)

// fill expands shorthands, drops duplicates from sets and, when inserting, puts defaults in place of missing values.
// variant is nil or has fields that take the place of rec's. data is changed. Errors are those of shorthands: they
// stand at the shorthand's name without the path to it, as in Kong.
// Kong: kong/db/schema/init.lua process_auto_fields
func fill(rec, variant *Record, data Object, m mode) Object {
	if errs := expand(rec, data); errs != nil {
		return errs
	}
	for i := range rec.Fields {
		f := override(&rec.Fields[i], variant)
		value, given := data[f.Name]
		value, given, errs := fillField(f, value, given, m)
		if errs != nil {
			return errs
		}
		if given {
			data[f.Name] = value
		}
	}
	return nil
}

func expand(rec *Record, data Object) Object {
	errs := Object{}
	for _, s := range rec.Shorthands {
		value, given := data[s.Name]
		if !given {
			continue
		}
		if err := validateField(&scope{}, &s.Field, value); err != nil {
			errs[s.Name] = err
			continue
		}
		delete(data, s.Name)
		for name, v := range s.Expand(value) {
			if !s.Deprecated || data[name] == nil {
				data[name] = v
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// override returns the variant's field of the same name, if it has one.
func override(f *Field, variant *Record) *Field {
	if variant != nil {
		if special := variant.field(f.Name); special != nil {
			return special
		}
	}
	return f
}

// Kong: kong/db/schema/init.lua adjust_field_for_context, handle_missing_field
func fillField(f *Field, value any, given bool, m mode) (any, bool, Object) {
	if !given {
		if m == updating || f.Auto {
			return nil, false, nil
		}
		value = clone(f.Default)
		switch {
		case value != nil:
		case f.Required && f.Type == RecordType:
			value = Object{}
		default:
			return nil, !f.Required, nil // null, or missing and refused later
		}
	}
	switch f.Type {
	case RecordType:
		if object, ok := asObject(value); ok {
			return object, true, fill(f.Record, nil, object, m)
		}
	case Array, Set:
		list, ok := asList(value)
		if !ok {
			break
		}
		if f.Type == Set {
			list = unique(list)
		}
		for i, item := range list {
			var errs Object
			if list[i], _, errs = fillField(f.Elements, item, true, m); errs != nil {
				return nil, true, errs
			}
		}
		return list, true, nil
	case Map:
		if list, ok := value.([]any); ok && len(list) == 0 {
			value = Object{}
		}
		if object, ok := value.(Object); ok {
			for key, item := range object {
				var errs Object
				if object[key], _, errs = fillField(f.Values, item, true, m); errs != nil {
					return nil, true, errs
				}
			}
		}
	}
	return value, true, nil
}

// asObject takes a list for an object with the keys 1, 2, …: to Lua they are one.
func asObject(value any) (Object, bool) {
	if list, ok := value.([]any); ok {
		object := make(Object, len(list))
		for i, item := range list {
			object[strconv.Itoa(i+1)] = item
		}
		return object, true
	}
	object, ok := value.(Object)
	return object, ok
}

// asList takes {} for [].
func asList(value any) ([]any, bool) {
	if object, ok := value.(Object); ok && len(object) == 0 {
		return []any{}, true
	}
	list, ok := value.([]any)
	return list, ok
}

// unique drops repeated scalars; objects and lists all differ.
func unique(list []any) []any {
	const few = 8
	kept := make([]any, 0, len(list))
	var seen map[any]bool
	if len(list) > few {
		seen = make(map[any]bool, len(list))
	}
	for _, item := range list {
		switch item.(type) {
		case Object, []any:
		default:
			if seen[item] || seen == nil && contains(kept, item) {
				continue
			}
			if seen != nil {
				seen[item] = true
			}
		}
		kept = append(kept, item)
	}
	return kept
}

// merge lays changes over an entity: records merge field by field, everything else is replaced.
// Kong: kong/db/schema/init.lua merge_values
func merge(rec, variant *Record, changes, old Object) Object {
	merged := maps.Clone(old)
	if merged == nil {
		merged = Object{}
	}
	for name, value := range changes {
		if base := rec.field(name); base != nil {
			f := override(base, variant)
			if top, ok := value.(Object); ok && f.Type == RecordType {
				bottom, _ := old[name].(Object)
				value = merge(f.Record, nil, top, bottom)
			}
		}
		merged[name] = value
	}
	return merged
}

// clone copies a value deeply and turns Go's other number types into float64.
func clone(value any) any {
	switch value := value.(type) {
	case Object:
		copied := make(Object, len(value))
		for key, item := range value {
			copied[key] = clone(item)
		}
		return copied
	case []any:
		copied := slices.Clone(value)
		for i, item := range copied {
			copied[i] = clone(item)
		}
		return copied
	case int:
		return float64(value)
	case int64:
		return float64(value)
	case uint64:
		return float64(value)
	}
	return value
}
