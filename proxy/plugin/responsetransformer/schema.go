package responsetransformer

import (
	"regexp"
	"strings"

	"sidekong/configs/entity"
)

var pairPattern = regexp.MustCompile(`(?s)^[^:]+:.*$`)

// Config is the plugin's configuration record. Kong: kong/plugins/response-transformer/schema.lua
func Config() *entity.Record {
	pair := entity.Field{Type: entity.String, Patterns: []entity.Pattern{{Re: pairPattern}}}
	newName := pair
	newName.Check = entity.Text(func(pair string) string {
		name, value := cut(pair)
		for _, header := range []string{name, value} {
			if headerName.Check(header) != "" {
				return "'" + header + "' is not a valid header"
			}
		}
		return ""
	})
	types := list("json_types", entity.Field{Type: entity.String, OneOf: entity.Strings("boolean", "number", "string")})
	text := entity.Field{Type: entity.String}
	return &entity.Record{Fields: []entity.Field{
		record("remove", list("json", text), list("headers", text)),
		record("rename", list("json", pair), list("headers", newName)),
		record("replace", list("json", pair), types, list("headers", pair)),
		record("add", list("json", pair), types, list("headers", pair)),
		record("append", list("json", pair), types, list("headers", pair)),
	}}
}

var headerName = entity.HeaderName("")

func record(name string, fields ...entity.Field) entity.Field {
	return entity.Field{Name: name, Type: entity.RecordType, Required: true, Record: &entity.Record{Fields: fields}}
}

func list(name string, element entity.Field) entity.Field {
	return entity.Field{Name: name, Type: entity.Array, Required: true, Default: []any{}, Elements: &element}
}

// cut parts a pair at its first colons. Kong: ^([^:]+):*(.-)$
func cut(pair string) (name, value string) {
	name, value, _ = strings.Cut(pair, ":")
	return name, strings.TrimLeft(value, ":")
}
