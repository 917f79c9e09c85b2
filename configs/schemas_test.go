package configs_test

import "sidekong/configs/entity"

// schemas knows the opentelemetry plugin as far as the sample needs it, and a plugin without a configuration.
func schemas() *entity.Schemas {
	text := &entity.Field{Type: entity.String}
	endpoint := entity.Field{Name: "endpoint", Type: entity.String}
	return entity.NewSchemas(map[string]*entity.Record{
		"opentelemetry": {
			Fields: []entity.Field{
				{Name: "traces_endpoint", Type: entity.String},
				{Name: "headers", Type: entity.Map, Keys: text, Values: text},
				{Name: "resource_attributes", Type: entity.Map, Keys: text, Values: text},
			},
			Shorthands: []entity.Shorthand{{
				Field: endpoint, Deprecated: true,
				Expand: func(v any) entity.Object { return entity.Object{"traces_endpoint": v} },
			}},
		},
		"empty": {},
	})
}
