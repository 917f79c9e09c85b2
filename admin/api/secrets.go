package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sidekong/configs/entity"
)

// Mask stands for a secret in answers. Sent back in a change it means: as it was.
const Mask = "********"

// mask hides the secrets of an entity unless the request may see them.
func (c *call) mask(kind string, object entity.Object) entity.Object {
	if c.shows || object == nil {
		return object
	}
	return HideSecrets(c.Schemas, kind, object)
}

// HideSecrets is an entity with Mask in place of what its schema says is secret. object is not changed.
func HideSecrets(schemas *entity.Schemas, kind string, object entity.Object) entity.Object {
	schema, known := schemas.Of(kind)
	if !known {
		return object
	}
	shown := hideObject(fieldsOf(schema, object), object)
	if config, given := shown["config"]; given && kind == "plugins" {
		if _, known := schema.Variant(fmt.Sprint(object["name"])); !known {
			// Nobody knows which of its fields are secret.
			shown["config"] = hideAll(config)
		}
	}
	return shown
}

// hideAll hides every text.
func hideAll(value any) any {
	switch value := value.(type) {
	case string:
		return Mask
	case []any:
		shown := make([]any, len(value))
		for i := range value {
			shown[i] = hideAll(value[i])
		}
		return shown
	case entity.Object:
		shown := make(entity.Object, len(value))
		for name := range value {
			shown[name] = hideAll(value[name])
		}
		return shown
	}
	return value
}

func (c *call) masked(kind string, objects []entity.Object) []entity.Object {
	shown := make([]entity.Object, len(objects)) // never nil: an empty list is []
	for i, object := range objects {
		shown[i] = c.mask(kind, object)
	}
	return shown
}

// fields finds a field by its name, nil if there is none.
type fields func(name string) *entity.Field

// fieldsOf are an entity's fields, those of its variant before the others.
func fieldsOf(schema *entity.Schema, object entity.Object) fields {
	name, _ := object["name"].(string)
	variant, _ := schema.Variant(name)
	return func(name string) *entity.Field {
		if variant != nil {
			if f := fieldsIn(variant)(name); f != nil {
				return f
			}
		}
		return fieldsIn(schema.Record())(name)
	}
}

func fieldsIn(record *entity.Record) fields {
	return func(name string) *entity.Field {
		for i := range record.Fields {
			if record.Fields[i].Name == name {
				return &record.Fields[i]
			}
		}
		return nil
	}
}

func hideObject(of fields, object entity.Object) entity.Object {
	shown := make(entity.Object, len(object))
	for name, value := range object {
		shown[name] = hide(of(name), value)
	}
	return shown
}

func hide(f *entity.Field, value any) any {
	if f == nil {
		return value
	}
	switch value := value.(type) {
	case string:
		if f.Encrypted && !isReference(value) {
			return Mask
		}
	case []any:
		shown := slices.Clone(value)
		for i := range shown {
			shown[i] = hide(f.Elements, shown[i])
		}
		return shown
	case entity.Object:
		switch {
		case f.Record != nil:
			return hideObject(fieldsIn(f.Record), value)
		case f.Values != nil:
			return hideObject(func(string) *entity.Field { return f.Values }, value)
		}
	}
	return value
}

// A vault reference names a secret and is none. Kong: kong/pdk/vault.lua is_reference
func isReference(text string) bool {
	return strings.HasPrefix(text, "{vault://") && strings.HasSuffix(text, "}")
}

// refuseMasks wants no masks in a new entity: there is nothing that they could stand for.
func (c *call) refuseMasks(kind string, input entity.Object) error {
	_, err := c.unmasked(kind, input, nil)
	return err
}

// unmasked puts the secrets of what is replaced where the input has their masks.
func (c *call) unmasked(kind string, input, old entity.Object) (entity.Object, error) {
	if kind == "basicauth_credentials" {
		old = nil // a digest is no password
	}
	return c.restore(kind, input, old, false)
}

// withoutMasks is unmasked for an input that is merged into old: what it leaves out stays as it is.
func (c *call) withoutMasks(kind string, input, old entity.Object) (entity.Object, error) {
	return c.restore(kind, input, old, true)
}

func (c *call) restore(kind string, input, old entity.Object, merging bool) (entity.Object, error) {
	schema, known := c.Schemas.Of(kind)
	if !known {
		return input, nil
	}
	named := input
	if input["name"] == nil {
		named = old
	}
	return restoreObject(fieldsOf(schema, named), input, old, merging)
}

func restoreObject(of fields, input, old entity.Object, merging bool) (entity.Object, error) {
	restored := maps.Clone(input)
	for name, value := range input {
		f := of(name)
		if f == nil {
			continue
		}
		before, there := old[name]
		switch value := value.(type) {
		case string:
			if !f.Encrypted || value != Mask {
				continue
			}
			switch {
			case !there:
				return nil, violation(name, "is a mask; send the value itself")
			case merging:
				delete(restored, name)
			default:
				restored[name] = before
			}
		case entity.Object:
			nested, _ := before.(entity.Object)
			var err error
			switch {
			case f.Record != nil:
				restored[name], err = restoreObject(fieldsIn(f.Record), value, nested, merging)
			case f.Values != nil: // maps are replaced as a whole
				restored[name], err = restoreObject(func(string) *entity.Field { return f.Values }, value, nested, false)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return restored, nil
}
