package correlationid

import "sidekong/configs/entity"

// Config is the plugin's configuration record. Kong: kong/plugins/correlation-id/schema.lua
func Config() *entity.Record {
	return &entity.Record{Fields: []entity.Field{
		{Name: "header_name", Type: entity.String, Default: "Kong-Request-ID"},
		{
			Name: "generator", Type: entity.String, Required: true, Default: "uuid#counter",
			OneOf: entity.Strings("uuid", "uuid#counter", "tracker"),
		},
		entity.Flag("echo_downstream", false),
	}}
}
