package api

import (
	"math"
	"net/http"

	"sidekong/configs/entity"
)

// schemaRoutes tell and apply the schemas. Kong: kong/api/routes/kong.lua
func (a *api) schemaRoutes(t *table) {
	t.add("/schemas/{name}", http.MethodGet, operation{
		summary: "Schema of a kind of entity", status: http.StatusOK, response: "schema",
		handle: func(c *call) (*answer, error) {
			schema, known := c.Schemas.Of(c.params["name"])
			if !known {
				return nil, refuse(http.StatusNotFound, "No entity named '%s'", c.params["name"])
			}
			return ok(recordJSON(schema.Record())), nil
		},
	})
	plugin := func(c *call) (*entity.Record, error) {
		schema, _ := c.Schemas.Of("plugins")
		variant, known := schema.Variant(c.params["name"])
		if !known {
			return nil, refuse(http.StatusNotFound, "No plugin named '%s'", c.params["name"])
		}
		return variant, nil
	}
	t.add("/schemas/plugins/{name}", http.MethodGet, operation{
		summary: "Schema of a plugin", status: http.StatusOK, response: "schema",
		handle: func(c *call) (*answer, error) {
			variant, err := plugin(c)
			if err != nil {
				return nil, err
			}
			return ok(recordJSON(variant)), nil
		},
	})
	t.add("/plugins/schema/{name}", http.MethodGet, operation{
		summary: "Schema of a plugin's configuration", status: http.StatusOK, response: "free",
		handle: func(c *call) (*answer, error) {
			variant, err := plugin(c)
			if err != nil {
				return nil, err
			}
			return ok(fieldJSON(fieldsIn(variant)("config"))), nil
		},
	})
	for _, kind := range a.Schemas.Kinds() {
		t.add("/schemas/"+kind+"/validate", http.MethodPost, operation{
			summary: "Check one of " + kind + " without storing it", status: http.StatusOK, body: kind, request: kind, response: "message",
			handle: func(c *call) (*answer, error) {
				schema, _ := c.Schemas.Of(kind)
				input, err := c.asStored(kind)
				if err != nil {
					return nil, err
				}
				if _, err := schema.Insert(input); err != nil {
					return nil, err
				}
				return message(http.StatusOK, "schema validation successful"), nil
			},
		})
	}
	t.add("/schemas/{name}/validate", http.MethodPost, operation{
		summary: "Refused: there is no such kind of entity", status: http.StatusNotFound, response: "message",
		handle: func(c *call) (*answer, error) {
			return nil, refuse(http.StatusNotFound, "No entity named '%s'", c.params["name"])
		},
	})
}

// asStored is the body with the secrets of the stored entity in place of their masks, if there is such an entity.
func (c *call) asStored(kind string) (entity.Object, error) {
	id, isText := c.body["id"].(string)
	if col := collectionOf(kind); col == nil || !isText || !isUUID(id) {
		return c.body, nil
	}
	old, err := c.DB.Get(c.ctx, kind, id)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return c.body, nil
	}
	return c.unmasked(kind, c.body, old)
}

// recordJSON is a schema as Kong shows it: fields in their order, each an object with one member.
// Kong: kong/api/api_helpers.lua schema_to_jsonable
func recordJSON(record *entity.Record) entity.Object {
	return entity.Object{"fields": fieldList(record.Fields), "entity_checks": checkList(record.Checks)}
}

func fieldList(fields []entity.Field) []any {
	list := make([]any, len(fields))
	for i := range fields {
		list[i] = entity.Object{fields[i].Name: fieldJSON(&fields[i])}
	}
	return list
}

func checkList(checks []entity.Check) []any {
	list := make([]any, len(checks))
	for i, check := range checks {
		list[i] = entity.Object{check.Name: check.Fields}
	}
	return list
}

// fieldJSON is one field with the rules that can be written down.
func fieldJSON(f *entity.Field) entity.Object {
	out := entity.Object{"type": string(f.Type)}
	set := func(name string, value any, given bool) {
		if given {
			out[name] = value
		}
	}
	switch {
	case f.Type == entity.Any && f.Name == "config":
		out["type"], out["abstract"] = "record", true
	case f.Type == entity.Any:
		out["type"] = "string"
	}
	set("eq", nil, f.Null)
	set("required", true, f.Required)
	set("default", f.Default, f.Default != nil)
	set("auto", true, f.Auto)
	set("unique", true, f.Unique)
	set("uuid", true, f.UUID)
	set("timestamp", true, f.Timestamp)
	set("one_of", append(append([]any{}, f.OneOf...), f.Later...), f.OneOf != nil)
	set("not_one_of", f.NotOneOf, f.NotOneOf != nil)
	set("ne", f.Not, f.Not != nil)
	set("len_min", max(f.MinLen, 0), f.MinLen != 0)
	set("starts_with", f.StartsWith, f.StartsWith != "")
	set("contains", f.Contains, f.Contains != nil)
	set("mutually_exclusive_subsets", f.Exclusive, f.Exclusive != nil)
	set("err", f.Err, f.Err != "")
	set("referenceable", true, f.Referenceable)
	set("encrypted", true, f.Encrypted)
	set("reference", f.Reference, f.Reference != "")
	if f.Between != nil {
		out["between"] = []float64{f.Between.Min, f.Between.Max}
		if math.IsInf(f.Between.Max, 1) {
			delete(out, "between")
			out["gt"] = f.Between.Min
		}
	}
	if f.Len != nil {
		out["len_eq"] = *f.Len
	}
	if f.Elements != nil {
		out["elements"] = fieldJSON(f.Elements)
	}
	if f.Keys != nil {
		out["keys"] = fieldJSON(f.Keys)
	}
	if f.Values != nil {
		out["values"] = fieldJSON(f.Values)
	}
	if f.Record != nil {
		out["fields"] = fieldList(f.Record.Fields)
		set("entity_checks", checkList(f.Record.Checks), len(f.Record.Checks) > 0)
		if len(f.Record.Shorthands) > 0 {
			shorthands := make([]any, len(f.Record.Shorthands))
			for i := range f.Record.Shorthands {
				s := &f.Record.Shorthands[i]
				shorthands[i] = entity.Object{s.Name: fieldJSON(&s.Field)}
			}
			out["shorthand_fields"] = shorthands
		}
	}
	return out
}
