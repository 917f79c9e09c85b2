package keyauth

import "sidekong/configs/entity"

// Config is the plugin's configuration record. Kong: kong/plugins/key-auth/schema.lua
func Config() *entity.Record {
	name := entity.HeaderName("")
	return &entity.Record{
		Fields: []entity.Field{
			{
				Name: "key_names", Type: entity.Array, Required: true, Default: entity.Strings("apikey"),
				Elements: &name,
			},
			entity.Flag("hide_credentials", false),
			{Name: "anonymous", Type: entity.String},
			entity.Flag("key_in_header", true),
			entity.Flag("key_in_query", true),
			entity.Flag("key_in_body", false),
			entity.Flag("run_on_preflight", true),
			{Name: "realm", Type: entity.String},
		},
		Plugin: entity.PluginRules{NoConsumer: true},
	}
}
