package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"sidekong/configs/entity"
)

// openAPI writes the API as an OpenAPI 3.1 document: paths from the routes, schemas from those of the entities.
func (a *api) openAPI() (document, error) {
	schemas := entity.Object{}
	for _, kind := range a.Schemas.Kinds() {
		schema, _ := a.Schemas.Of(kind)
		schemas[kind] = a.entitySchema(schema)
		schemas[kind+"_input"] = input(schema, schemas[kind].(entity.Object))
		schemas[kind+"_page"] = pageOf(reference(kind))
	}
	for name, shape := range shapes() {
		schemas[name] = shape
	}
	plugins, _ := a.Schemas.Of("plugins")
	for _, p := range a.Plugins {
		if variant, known := plugins.Variant(p.Name); known {
			schemas["plugin_"+p.Name] = a.fieldSchema(fieldsIn(variant)("config"))
		}
	}
	paths := entity.Object{}
	for _, r := range a.routes.routes {
		methods := entity.Object{}
		for method, o := range r.operations {
			methods[strings.ToLower(method)] = r.operationObject(method, o)
		}
		if parameters := r.pathParameters(); len(parameters) > 0 {
			methods["parameters"] = parameters
		}
		paths[r.pattern] = methods
	}
	doc := entity.Object{
		"openapi": "3.1.0",
		"info": entity.Object{
			"title": "Sidekong Admin API", "version": "3.9",
			"description": "Kong Gateway's Admin API for what Sidekong serves. Trailing slashes make no difference; bodies " +
				"may be JSON, forms or multipart forms.",
		},
		"paths": paths,
		"components": entity.Object{
			"schemas": schemas,
			"securitySchemes": entity.Object{
				"bearer": entity.Object{"type": "http", "scheme": "bearer"},
				"token":  entity.Object{"type": "apiKey", "in": "header", "name": "Kong-Admin-Token"},
			},
		},
	}
	if a.Token != "" {
		doc["security"] = []any{entity.Object{"bearer": []any{}}, entity.Object{"token": []any{}}}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write OpenAPI document: %w", err)
	}
	return text, nil
}

func reference(schema string) entity.Object {
	return entity.Object{"$ref": "#/components/schemas/" + schema}
}

func ofType(name string) entity.Object { return entity.Object{"type": name} }

func orNull(name string) entity.Object { return entity.Object{"type": []string{name, "null"}} }

func (r *route) pathParameters() []any {
	var list []any
	for _, segment := range r.segments {
		if name, ok := parameter(segment); ok {
			list = append(list, entity.Object{
				"name": name, "in": "path", "required": true, "schema": ofType("string"),
			})
		}
	}
	return list
}

func (r *route) operationObject(method string, o operation) entity.Object {
	out := entity.Object{"summary": o.summary, "operationId": r.operationID(method)}
	success := entity.Object{"description": http.StatusText(o.status)}
	if o.response != "" {
		success["content"] = entity.Object{"application/json": entity.Object{"schema": reference(o.response)}}
	}
	fault := func(text, shape string) entity.Object {
		return entity.Object{
			"description": text,
			"content":     entity.Object{"application/json": entity.Object{"schema": reference(shape)}},
		}
	}
	out["responses"] = entity.Object{
		strconv.Itoa(o.status): success,
		"default":              fault("Refused or failed", "error"),
	}
	if o.request != "" {
		name := o.request
		if name == o.body {
			name += "_input"
		}
		schema := entity.Object{"schema": reference(name)}
		content := entity.Object{"application/json": schema}
		if o.request == "config" {
			content["application/yaml"] = entity.Object{"schema": ofType("string")}
		}
		content["application/x-www-form-urlencoded"], content["multipart/form-data"] = schema, schema
		out["requestBody"] = entity.Object{"content": content}
	}
	if len(o.query) > 0 {
		var list []any
		for _, name := range o.query {
			list = append(list, entity.Object{"name": name, "in": "query", "schema": ofType("string")})
		}
		out["parameters"] = list
	}
	return out
}

// operationID is the method with the path's words: getServicesByServicesRoutes.
func (r *route) operationID(method string) string {
	var id strings.Builder
	id.WriteString(strings.ToLower(method))
	capital := func(text string) {
		for word := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == '-' || c == '_' || c == '.' }) {
			id.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	for _, segment := range r.segments {
		if name, ok := parameter(segment); ok {
			id.WriteString("By")
			segment = name
		}
		capital(segment)
	}
	if r.pattern == "/" {
		id.WriteString("Node")
	}
	return id.String()
}

// shapes are the bodies that are no entities.
func shapes() map[string]entity.Object {
	object := func(required []string, properties entity.Object) entity.Object {
		return entity.Object{"type": "object", "required": required, "properties": properties}
	}
	list := func(items entity.Object) entity.Object { return entity.Object{"type": "array", "items": items} }
	text := ofType("string")
	target := object([]string{"id", "target", "health"}, entity.Object{
		"id": text, "target": text, "health": entity.Object{
			"type": "string", "enum": []string{"HEALTHY", "UNHEALTHY", "HEALTHCHECKS_OFF", "DNS_ERROR"},
		},
	})
	health := pageOf(target)
	health["properties"].(entity.Object)["data"] = entity.Object{} // a list, or with balancer_health one object
	return map[string]entity.Object{
		"free":    ofType("object"),
		"message": object([]string{"message"}, entity.Object{"message": text}),
		"error": object([]string{"message"}, entity.Object{
			"message": text, "code": ofType("integer"), "name": text, "fields": ofType("object"), "options": ofType("object"),
			"flattened_errors": list(ofType("object")),
		}),
		"schema": object([]string{"fields", "entity_checks"}, entity.Object{
			"fields": list(ofType("object")), "entity_checks": list(ofType("object")),
		}),
		"config":          object([]string{"config"}, entity.Object{"config": text}),
		"endpoints":       object([]string{"data"}, entity.Object{"data": list(text)}),
		"enabled_plugins": object([]string{"enabled_plugins"}, entity.Object{"enabled_plugins": list(text)}),
		"health_page":     health,
		"tags_page": pageOf(object([]string{"entity_name", "entity_id", "tag"}, entity.Object{
			"entity_name": text, "entity_id": text, "tag": text,
		})),
	}
}

// pageOf is a list in pages.
func pageOf(items entity.Object) entity.Object {
	return entity.Object{
		"type": "object", "required": []string{"data", "next"},
		"properties": entity.Object{
			"data": entity.Object{"type": "array", "items": items}, "next": orNull("string"), "offset": ofType("string"),
		},
	}
}

func (a *api) entitySchema(schema *entity.Schema) entity.Object {
	out := a.recordSchema(schema.Record())
	if schema.Kind() == "plugins" {
		properties := out["properties"].(entity.Object)
		var kinds []any
		for _, p := range a.Plugins {
			if _, known := schema.Variant(p.Name); known {
				kinds = append(kinds, reference("plugin_"+p.Name))
			}
		}
		properties["config"] = entity.Object{"type": "object"}
		if kinds != nil {
			properties["config"] = entity.Object{"anyOf": kinds}
		}
	}
	if schema.Kind() == "routes" { // what one protocol has, another must not
		delete(out, "required")
	}
	return out
}

func (a *api) recordSchema(record *entity.Record) entity.Object {
	properties, required := entity.Object{}, []string{}
	for i := range record.Fields {
		f := &record.Fields[i]
		properties[f.Name] = a.fieldSchema(f)
		if f.Required && f.Default == nil && f.Type != entity.RecordType {
			required = append(required, f.Name)
		}
	}
	for i := range record.Shorthands {
		s := &record.Shorthands[i]
		if _, taken := properties[s.Name]; !taken {
			properties[s.Name] = a.shorthandSchema(s)
		}
	}
	out := entity.Object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// shorthandSchema is a field that is taken and never given back.
func (a *api) shorthandSchema(s *entity.Shorthand) entity.Object {
	out := a.fieldSchema(&s.Field)
	out["writeOnly"] = true
	if s.Deprecated {
		out["deprecated"] = true
	}
	return out
}

// input is an entity's schema for what is sent: nothing is required of it, since shorthands, the path or what is
// stored already may bring it.
func input(schema *entity.Schema, whole entity.Object) entity.Object {
	out := maps.Clone(whole)
	delete(out, "required")
	out["description"] = "One of " + schema.Kind() + " as it is sent"
	return out
}

// fieldSchema is a field as JSON Schema. Rules that go beyond one value are left to the server.
func (a *api) fieldSchema(f *entity.Field) entity.Object {
	out := entity.Object{}
	kind := ""
	switch f.Type {
	case entity.String:
		kind = "string"
		if f.UUID {
			out["format"] = "uuid"
		}
		if f.MinLen > 0 {
			out["minLength"] = f.MinLen
		}
	case entity.Integer, entity.Number, entity.Boolean:
		kind = string(f.Type)
	case entity.Array, entity.Set:
		kind = "array"
		out["items"] = a.fieldSchema(required(f.Elements))
	case entity.Map:
		kind = "object"
		out["additionalProperties"] = a.fieldSchema(required(f.Values))
	case entity.RecordType:
		kind = "object"
		maps.Copy(out, a.recordSchema(f.Record))
	case entity.Foreign:
		kind = "object"
		out["properties"] = entity.Object{"id": entity.Object{"type": "string", "format": "uuid"}}
	}
	switch {
	case kind == "":
	case f.Required:
		out["type"] = kind
	default:
		out["type"] = []string{kind, "null"}
	}
	if f.Between != nil {
		out["minimum"], out["maximum"] = f.Between.Min, f.Between.Max
	}
	if f.OneOf != nil {
		values := append(append([]any{}, f.OneOf...), f.Later...)
		if !f.Required {
			values = append(values, nil)
		}
		out["enum"] = values
	}
	if f.Default != nil {
		out["default"] = f.Default
	}
	return out
}

// required is a field that may not be null.
func required(f *entity.Field) *entity.Field {
	copied := *f
	copied.Required = true
	return &copied
}
