package declarative

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sidekong/configs/entity"
)

// check has the schema look at an item and gives the whole entity, or nil with faults. served is false for a plugin
// that does not run.
func (b *builder) check(it *item) (checked entity.Object, served bool) {
	schema, _ := b.schemas.Of(it.kind.name)
	var config *entity.Record // of a plugin that runs
	served = true
	if name, ok := it.object["name"].(string); ok && it.kind.name == "plugins" {
		config, served = schema.Variant(name)
		served = served && it.group == nil
		if !served {
			schema = b.schemas.AnyPlugin()
		}
	}
	checked, err := schema.Insert(it.object)
	var violation *entity.Error
	switch {
	case err == nil && served:
		return checked, b.finish(it, checked)
	case err == nil:
		b.notRun(it, checked)
		return checked, false
	case errors.As(err, &violation):
		b.violations(it, whole(it.kind, schema, config), violation.Fields)
	}
	if len(b.faults) == 0 { // whatever was refused, it is a fault
		b.fault(it.at, it.path, "%v", err)
	}
	return nil, false
}

// finish settles what the schema leaves open about credentials. served is false for one that cannot be used.
func (b *builder) finish(it *item, checked entity.Object) (served bool) {
	switch it.kind.name {
	case "basicauth_credentials":
		if !it.file.transform {
			checked["password"] = it.object["password"] // hashed when it was written
		}
	case "keyauth_credentials":
		if checked["key"] == nil {
			b.warn(it.at, "key-auth credential without a key: not served by Sidekong; Kong would make up a new key, which nobody knows, at every load")
			return false
		}
	}
	return true
}

// whole is the schema of an entity as it may stand in a file: with what may be nested in it, and for a plugin with its
// own config.
func whole(k *kind, schema *entity.Schema, config *entity.Record) *entity.Field {
	record := *schema.Record()
	record.Fields = slices.Clone(record.Fields)
	for child := range k.children {
		record.Fields = append(record.Fields, entity.Field{Name: child})
	}
	if config != nil {
		record.Fields = slices.Concat(config.Fields, record.Fields)
	}
	return &entity.Field{Record: &record}
}

// notRun warns of a plugin that would do something in Kong.
func (b *builder) notRun(it *item, checked entity.Object) {
	name, _ := checked["name"].(string)
	if it.group != nil { // without it the plugin would seem to be global
		checked["consumer_group"] = it.group.plain()
	}
	switch {
	case checked["enabled"] == false:
	case it.group != nil:
		b.warn(it.at, "plugin %s (consumer group): not run by Sidekong; %s", name, withoutPlugin(name))
	default:
		b.warn(it.at, "plugin %s (%s): not run by Sidekong; %s", name, b.scope(it), withoutPlugin(name))
	}
}

// scope says in words what a plugin applies to.
func (b *builder) scope(it *item) string {
	var parts []string
	for _, name := range []string{"consumer", "route", "service"} {
		ref, _ := it.object[name].(entity.Object)
		id, ok := ref["id"].(string)
		if !ok {
			continue
		}
		k := kindByName[it.kind.refs[name]]
		if target := b.byID[k][id]; target != nil {
			if key, ok := target.object[k.key].(string); ok {
				id = key
			}
		}
		parts = append(parts, name+" "+id)
	}
	if len(parts) == 0 {
		return "global"
	}
	return strings.Join(parts, ", ")
}

// violations reports a schema's complaints, each at the value that it is about.
func (b *builder) violations(it *item, whole *entity.Field, complaints entity.Object) {
	for _, name := range slices.Sorted(maps.Keys(complaints)) {
		v := it.own
		if _, ok := v.field(name); !ok {
			switch config := v.get("config"); {
			case it.kind.name == "plugins" && config != nil && hasField(config, name):
				// Kong reports a deprecated name in a config without the path to it.
				b.violation(member(it.path, "config"), config, config.at, fieldSchema(whole, "config"), entity.Object{name: complaints[name]})
				continue
			case it.kind.name == "services" && slices.Contains([]string{"protocol", "host", "port", "path"}, name) && hasField(v, "url"):
				// url stands for these four.
				b.fault(v.get("url").at, member(it.path, name), "%v; url is protocol://host[:port][/path]", complaints[name])
				continue
			}
		}
		b.violation(it.path, v, it.at, whole, entity.Object{name: complaints[name]})
	}
}

// violation walks a complaint together with the value that it mirrors and the schema of that value, either of which
// may be missing. at is the place for what has none of its own.
func (b *builder) violation(path string, v *value, at Position, schema *entity.Field, complaint any) {
	switch complaint := complaint.(type) {
	case nil:
	case entity.Object:
		for _, name := range slices.Sorted(maps.Keys(complaint)) {
			c := complaint[name]
			if name == "@entity" {
				b.violation(path, v, at, schema, c)
				continue
			}
			f, present := v.orEmpty().field(name)
			switch {
			case present && c == entity.UnknownField:
				b.fault(f.at, member(path, name), "%s%s", c, allowed(name, schema))
			case present:
				b.violation(member(path, name), f.val, f.val.at, fieldSchema(schema, name), c)
			default:
				b.violation(member(path, name), nil, at, fieldSchema(schema, name), c)
			}
		}
	case []any:
		for i, c := range complaint {
			if v != nil && v.shape == listShape && i < len(v.items) {
				b.violation(index(path, i), v.items[i], v.items[i].at, elements(schema), c)
			} else {
				b.violation(path, nil, at, nil, c)
			}
		}
	default:
		text := fmt.Sprint(complaint)
		if v != nil && v.shape == mapShape && schema != nil && schema.Values != nil && text == "expected a string" {
			// Of a map Kong names neither key nor value.
			for _, f := range v.fields {
				if _, ok := f.val.text(); !ok {
					path, v, at = member(path, f.name), f.val, f.val.at
					break
				}
			}
		}
		b.fault(at, path, "%s%s", text, typeHint(text, v))
	}
}

// fieldSchema is the schema of a record's field or of a map's values.
func fieldSchema(schema *entity.Field, name string) *entity.Field {
	switch {
	case schema == nil:
	case schema.Record != nil:
		for i := range schema.Record.Fields {
			if schema.Record.Fields[i].Name == name {
				return &schema.Record.Fields[i]
			}
		}
	case schema.Values != nil:
		return schema.Values
	}
	return nil
}

// allowed says what could stand in the place of a name that the schema does not know.
func allowed(name string, schema *entity.Field) string {
	if schema == nil || schema.Record == nil {
		return ""
	}
	var names []string
	for _, f := range schema.Record.Fields {
		names = append(names, f.Name)
	}
	for _, s := range schema.Record.Shorthands {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return "; " + choice(name, slices.Compact(names))
}

func elements(schema *entity.Field) *entity.Field {
	if schema == nil {
		return nil
	}
	return schema.Elements
}

// quoteHint explains a bare word or number that YAML does not read as text.
func quoteHint(v *value) string {
	if v == nil || !v.bare {
		return ""
	}
	switch v.scalar.(type) {
	case bool, float64:
		return "; YAML reads this as " + v.describe() + " unless it is in quotes"
	}
	return ""
}

// typeHint adds to a complaint about a type what the quotes have to do with it.
func typeHint(complaint string, v *value) string {
	if complaint == "expected a string" {
		return quoteHint(v)
	}
	text, ok := v.text()
	if !ok || v.bare {
		return ""
	}
	_, isNumber := resolveScalar(text).(float64)
	_, isBool := resolveScalar(text).(bool)
	if isNumber && (complaint == "expected an integer" || complaint == "expected a number") || isBool && complaint == "expected a boolean" {
		return "; leave the quotes out"
	}
	return ""
}
