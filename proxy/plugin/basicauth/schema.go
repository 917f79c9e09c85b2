package basicauth

import "sidekong/configs/entity"

// Config is the plugin's configuration record. Kong: kong/plugins/basic-auth/schema.lua
func Config() *entity.Record {
	return &entity.Record{
		Fields: []entity.Field{
			{Name: "anonymous", Type: entity.String},
			entity.Flag("hide_credentials", false),
			{Name: "realm", Type: entity.String, Required: true, Default: "service"},
		},
		Plugin: entity.PluginRules{NoConsumer: true},
	}
}
