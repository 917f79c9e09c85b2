package declarative_test

import (
	"sidekong/configs/entity"
)

// schemas has two plugins: one like opentelemetry in shape, and one without a configuration.
func schemas() *entity.Schemas {
	field := func(name string, t entity.Type) entity.Field { return entity.Field{Name: name, Type: t} }
	text := field("", entity.String)
	endpoint := field("traces_endpoint", entity.String)
	endpoint.Check = entity.Text(func(s string) string {
		if len(s) < 4 || s[:4] != "http" {
			return "missing host in url"
		}
		return ""
	})
	timeout := field("connect_timeout", entity.Integer)
	timeout.Default = 1000.0
	format := field("default_format", entity.String)
	format.Required = true
	format.OneOf = entity.Strings("w3c", "b3", "jaeger")
	extract := field("extract", entity.Array)
	extract.Elements = &entity.Field{Type: entity.String, OneOf: entity.Strings("w3c", "b3", "jaeger")}
	propagation := field("propagation", entity.RecordType)
	propagation.Record = &entity.Record{Fields: []entity.Field{extract, format}}
	propagation.Default = entity.Object{"default_format": "w3c"}
	headers := field("headers", entity.Map)
	headers.Keys, headers.Values = &text, &text
	attributes := field("resource_attributes", entity.Map)
	attributes.Keys, attributes.Values = &text, &text
	rate := field("sampling_rate", entity.Number)
	rate.Between = &entity.Range{Min: 0, Max: 1}
	short := field("endpoint", entity.String)
	short.Check = endpoint.Check
	return entity.NewSchemas(map[string]*entity.Record{
		"opentelemetry": {
			Fields: []entity.Field{endpoint, timeout, propagation, headers, attributes, rate},
			Shorthands: []entity.Shorthand{{
				Field:      short,
				Deprecated: true,
				Expand:     func(v any) entity.Object { return entity.Object{"traces_endpoint": v} },
			}},
		},
		"empty": {},
	})
}
