package entity

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
)

// Decode turns a checked entity into its struct: *Service, *Route and so on, or the struct of a plugin's configuration.
// Fields are found by their json tags, those without by their names in lower case. Null and missing fields leave the zero value. Fractions of the timestamps are
// dropped.
//
// It does what a way through the text of encoding/json would come to; a configuration of thousands of routes takes a
// small part of the time so.
func Decode(obj Object, into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("decode entity: into %T, which is no pointer to a struct", into)
	}
	if err := decodeObject(target.Elem(), obj); err != nil {
		return fmt.Errorf("decode entity: %w", err)
	}
	return nil
}

// fieldPlan is where a field of an entity goes in a struct.
type fieldPlan struct {
	name  string
	index []int
}

var plans sync.Map // of []fieldPlan by reflect.Type

func planOf(t reflect.Type) []fieldPlan {
	if plan, ok := plans.Load(t); ok {
		return plan.([]fieldPlan)
	}
	var plan []fieldPlan
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		if f.IsExported() && !f.Anonymous && name != "-" {
			plan = append(plan, fieldPlan{name, f.Index})
		}
	}
	plans.Store(t, plan)
	return plan
}

func decodeStruct(to reflect.Value, obj Object) error {
	for _, f := range planOf(to.Type()) {
		value := obj[f.name]
		if value == nil {
			continue
		}
		if at, ok := value.(float64); ok && (f.name == "created_at" || f.name == "updated_at") {
			value = math.Floor(at)
		}
		if err := decodeValue(to.FieldByIndex(f.index), value); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// decodeValue sets to. value is not nil.
func decodeValue(to reflect.Value, value any) error {
	switch to.Kind() {
	case reflect.Pointer:
		pointed := reflect.New(to.Type().Elem())
		to.Set(pointed)
		return decodeValue(pointed.Elem(), value)
	case reflect.Interface:
		to.Set(reflect.ValueOf(clone(value)))
		return nil
	}
	switch value := value.(type) {
	case string:
		if to.Kind() == reflect.String {
			to.SetString(value)
			return nil
		}
	case bool:
		if to.Kind() == reflect.Bool {
			to.SetBool(value)
			return nil
		}
	case float64:
		return decodeNumber(to, value)
	case int:
		return decodeNumber(to, float64(value))
	case []any:
		return decodeList(to, value)
	case Object:
		return decodeObject(to, value)
	}
	return mismatch(to, value)
}

func decodeNumber(to reflect.Value, number float64) error {
	switch {
	case to.CanFloat():
		to.SetFloat(number)
		return nil
	case to.CanInt():
		if whole := int64(number); float64(whole) == number && !to.OverflowInt(whole) {
			to.SetInt(whole)
			return nil
		}
	case to.CanUint():
		if whole := uint64(number); number >= 0 && float64(whole) == number && !to.OverflowUint(whole) {
			to.SetUint(whole)
			return nil
		}
	}
	return mismatch(to, number)
}

func decodeList(to reflect.Value, list []any) error {
	if texts, ok := to.Addr().Interface().(*[]string); ok { // nearly every list
		*texts = make([]string, len(list))
		for i, item := range list {
			text, ok := item.(string)
			if !ok && item != nil {
				return fmt.Errorf("%d: %w", i, mismatch(to.Index(i), item))
			}
			(*texts)[i] = text
		}
		return nil
	}
	if to.Kind() != reflect.Slice {
		return mismatch(to, list)
	}
	made := reflect.MakeSlice(to.Type(), len(list), len(list))
	for i, item := range list {
		if item == nil {
			continue
		}
		if err := decodeValue(made.Index(i), item); err != nil {
			return fmt.Errorf("%d: %w", i, err)
		}
	}
	to.Set(made)
	return nil
}

func decodeObject(to reflect.Value, obj Object) error {
	switch to.Kind() {
	case reflect.Struct:
		return decodeStruct(to, obj)
	case reflect.Map:
		if into, ok := to.Addr().Interface().(*Object); ok {
			*into = clone(obj).(Object)
			return nil
		}
		made := reflect.MakeMapWithSize(to.Type(), len(obj))
		element := reflect.New(to.Type().Elem()).Elem()
		for key, item := range obj {
			element.SetZero()
			if item != nil {
				if err := decodeValue(element, item); err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
			}
			made.SetMapIndex(reflect.ValueOf(key).Convert(to.Type().Key()), element)
		}
		to.Set(made)
		return nil
	}
	return mismatch(to, obj)
}

// mismatch does not show the value: it may be a secret.
func mismatch(to reflect.Value, value any) error {
	return fmt.Errorf("%T does not go into %s", value, to.Type())
}
