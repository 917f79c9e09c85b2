package entity

import (
	"fmt"
	"maps"
	"slices"
)

// Schemas are the schemas of all entities, with the configuration records of the plugins. They are read-only and safe
// for use by several goroutines.
type Schemas struct {
	byKind map[string]*Schema
	lookup Lookup
}

// Schema is one kind of entity: its fields and rules.
type Schema struct {
	kind    string
	record  *Record
	schemas *Schemas

	// Some kinds have variants: a field's value (or the first of its values that is known) picks fields that take the
	// place of the record's and checks that are run besides. Kong calls them subschemas.
	variantBy  string
	variants   map[string]*Record
	anyVariant *Record // for values that variants lacks; nil refuses them
	unknown    string  // the text for a refused value, with %s

	// prepare looks at the input before anything else is done, as Kong's kong/db/dao/<kind>.lua does; it may change data.
	prepare func(s *scope, data Object) *Error
	// transform changes what is stored. input is the entity as given.
	transform func(data, input Object)

	plain bool // there are no shorthands, and no transform
}

// NewSchemas builds the schemas. plugins has the configuration record of each plugin by its name; a plugin that is not
// in it is refused.
func NewSchemas(plugins map[string]*Record) *Schemas {
	schemas := &Schemas{byKind: map[string]*Schema{}}
	for _, schema := range []*Schema{
		servicesSchema(), routesSchema(), upstreamsSchema(), targetsSchema(), pluginsSchema(plugins),
		consumersSchema(), keyAuthSchema(), basicAuthSchema(),
		certificatesSchema(), caCertificatesSchema(), snisSchema(), tagsSchema(),
	} {
		schema.schemas = schemas
		schema.plain = schema.transform == nil && !abbreviates(schema.record)
		for _, variant := range schema.variants {
			schema.plain = schema.plain && !abbreviates(variant)
		}
		schemas.byKind[schema.kind] = schema
	}
	return schemas
}

// abbreviates reports whether there are shorthands in a record.
func abbreviates(rec *Record) bool {
	return rec != nil && (len(rec.Shorthands) > 0 || slices.ContainsFunc(rec.Fields, abbreviated))
}

func abbreviated(f Field) bool {
	return abbreviates(f.Record) || f.Elements != nil && abbreviated(*f.Elements) || f.Values != nil && abbreviated(*f.Values)
}

// With returns the same schemas with a view of the stored entities: references by name are then resolved, and rules
// that span entities are checked. Whether an id exists and a unique value is free remains the store's to say.
func (s *Schemas) With(lookup Lookup) *Schemas {
	bound := &Schemas{byKind: make(map[string]*Schema, len(s.byKind)), lookup: lookup}
	for kind, schema := range s.byKind {
		own := *schema
		own.schemas = bound
		bound.byKind[kind] = &own
	}
	return bound
}

// Of returns the schema of a kind, which is Kong's plural name of it, such as "services".
func (s *Schemas) Of(kind string) (*Schema, bool) {
	schema, ok := s.byKind[kind]
	return schema, ok
}

// AnyPlugin returns a schema of plugins that takes every plugin: the configuration of those that are not known is
// passed on unchecked, everything else about them is checked.
func (s *Schemas) AnyPlugin() *Schema {
	schema := *s.byKind["plugins"]
	schema.anyVariant = &Record{Fields: []Field{{Name: "config", Type: Any}}}
	return &schema
}

// Kind is Kong's plural name of the entity.
func (s *Schema) Kind() string { return s.kind }

// Fields are the entity's fields in Kong's order. They belong to the schema and must not be changed.
func (s *Schema) Fields() []Field { return s.record.Fields }

// Record is the entity's record type, with its shorthands and checks. It must not be changed.
func (s *Schema) Record() *Record { return s.record }

// Variant returns the fields that replace those of the same name, and further checks, when the field that picks
// variants (a plugin's name, a route's protocol) has that value.
func (s *Schema) Variant(value string) (*Record, bool) {
	variant, ok := s.variants[value]
	return variant, ok
}

// Insert fills in the defaults and checks an entity. The error is an *Error. An id, timestamps and a key-auth key are
// checked and kept if given, and left missing otherwise: the caller generates them. in is not changed.
// Kong: kong/db/dao/init.lua check_insert
func (s *Schema) Insert(in Object) (Object, error) {
	scope := &scope{schemas: s.schemas, id: in["id"]}
	input := make(Object, max(len(in), len(s.record.Fields)))
	for name, value := range in {
		input[name] = clone(value)
	}
	if id, given := input["id"]; given && id == nil {
		return nil, &Error{
			Code: CodePrimaryKey, Name: "primary key violation",
			Message: `primary key violation on key '{id="userdata: NULL"}'`, Fields: Object{"id": nil},
		}
	}
	if input["created_at"] == nil {
		delete(input, "created_at")
	}
	if err := s.begin(scope, input); err != nil {
		return nil, err
	}
	data := input
	if !s.plain {
		data = clone(input).(Object)
	}
	if errs := fill(s.record, s.variant(data), data, inserting); errs != nil {
		return nil, violation(errs)
	}
	return s.finish(scope, data, input)
}

// Update lays changes over a stored entity and checks the whole: records merge, null clears, everything else is
// replaced. The id stays what it was. The rest is as for Insert. Neither argument is changed. Kong: kong/db/dao/init.lua check_update
func (s *Schema) Update(old, in Object) (Object, error) {
	scope := &scope{schemas: s.schemas, updating: true, id: old["id"]}
	old = clone(old).(Object)
	input := clone(in).(Object)
	if _, given := input[s.variantBy]; !given && s.kind == "plugins" {
		input["name"] = old["name"] // Kong: kong/api/routes/plugins.lua
	}
	if err := s.begin(scope, input); err != nil {
		return nil, err
	}
	changes := clone(input).(Object)
	if errs := fill(s.record, s.variant(changes), changes, updating); errs != nil {
		return nil, violation(errs)
	}
	data, err := s.finish(scope, merge(s.record, s.variant(old), changes, old), input)
	if err != nil {
		return nil, err
	}
	data["id"] = old["id"]
	return data, nil
}

// Complete fills in the defaults that a stored entity lacks, since a program that knew fewer fields wrote it. Nothing is
// checked. data is changed.
func (s *Schema) Complete(data Object) { _ = fill(s.record, s.variant(data), data, inserting) }

func (s *Schema) begin(scope *scope, input Object) *Error {
	// Kong never looks at it: it always sets the time itself.
	if at, ok := input["updated_at"].(float64); !ok || at <= 0 || s.record.field("updated_at") == nil {
		delete(input, "updated_at")
	}
	if s.prepare == nil {
		return nil
	}
	return s.prepare(scope, input)
}

// finish checks the whole entity and brings it into the form in which it is stored.
func (s *Schema) finish(scope *scope, data, input Object) (Object, error) {
	if err := s.resolve(scope, data); err != nil {
		return nil, err
	}
	if errs := s.validate(scope, data, true); len(errs) > 0 {
		return nil, violation(errs)
	}
	if s.transform != nil {
		s.transform(data, input)
	}
	for i := range s.record.Fields {
		f := &s.record.Fields[i]
		if ref, ok := data[f.Name].(Object); ok && f.Type == Foreign {
			data[f.Name] = Object{"id": ref["id"]}
		}
	}
	// What an update put inside a list has no defaults yet, and Kong expands shorthands a second time.
	if s.plain && !scope.updating {
		return data, nil
	}
	if errs := fill(s.record, s.variant(data), data, inserting); errs != nil {
		return nil, violation(errs)
	}
	return data, nil
}

// validate checks data with the variant that it picks. Kong: kong/db/schema/init.lua Schema:validate
func (s *Schema) validate(scope *scope, data Object, full bool) Object {
	if s.variantBy == "" {
		return scope.validate(s.record, nil, data, full)
	}
	key := data[s.variantBy]
	if key == nil {
		return Object{s.variantBy: errRequired}
	}
	variant := s.variant(data)
	if variant == nil {
		return Object{s.variantBy: fmt.Sprintf(s.unknown, firstText(key))}
	}
	return scope.validate(s.record, variant, data, full)
}

// variant picks the variant of an entity, nil if there is none. Kong: kong/db/schema/init.lua get_subschema
func (s *Schema) variant(data Object) *Record {
	switch key := data[s.variantBy].(type) {
	case string:
		if variant := s.variants[key]; variant != nil {
			return variant
		}
		return s.anyVariant
	case []any:
		for _, item := range key {
			name, _ := item.(string)
			if variant := s.variants[name]; variant != nil {
				return variant
			}
		}
	}
	return nil
}

// firstText is a value, or the first of a list, as Lua prints it.
func firstText(value any) string {
	if object, ok := value.(Object); ok && len(object) == 0 {
		return "nil"
	}
	if list, ok := value.([]any); ok {
		if len(list) == 0 {
			return "nil"
		}
		value = list[0]
	}
	return fmt.Sprint(value)
}

// resolve turns references by name into ids. Kong: kong/db/dao/init.lua resolve_foreign
func (s *Schema) resolve(scope *scope, data Object) *Error {
	if s.schemas.lookup == nil {
		return nil
	}
	missing, kinds := Object{}, map[string]string{}
	for i := range s.record.Fields {
		f := &s.record.Fields[i]
		ref, ok := data[f.Name].(Object)
		if !ok || f.Type != Foreign {
			continue
		}
		if id, ok := ref["id"].(string); ok && isUUID(id) {
			continue
		}
		found, tried := s.find(scope, f.Reference, ref)
		if found != nil {
			data[f.Name] = Object{"id": found["id"]}
		} else if len(tried) > 0 {
			missing[f.Name], kinds[f.Name] = tried, f.Reference
		}
	}
	if len(missing) > 0 {
		return unresolved(missing, kinds)
	}
	return nil
}

// find looks for an entity by its unique fields and returns those that were tried.
func (s *Schema) find(scope *scope, kind string, ref Object) (found, tried Object) {
	tried = Object{}
	schema, ok := s.schemas.Of(kind)
	if !ok {
		return nil, tried
	}
	for i := range schema.record.Fields {
		f := &schema.record.Fields[i]
		text, isText := ref[f.Name].(string)
		if !f.Unique || !isText || validateField(scope, f, text) != nil {
			continue
		}
		if found, ok := s.schemas.lookup.Find(kind, f.Name, text); ok {
			return found, tried
		}
		tried[f.Name] = text
	}
	return nil, tried
}

// Kinds lists the kinds of entities that there are schemas of.
func (s *Schemas) Kinds() []string { return slices.Sorted(maps.Keys(s.byKind)) }
