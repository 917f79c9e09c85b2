package filelog

import (
	"regexp"

	"sidekong/configs/entity"
)

// Kong's pattern is [^*&%%\`]+, in which the backslash stands for itself.
var fileName = regexp.MustCompile("^[^*&%\\\\`]+$")

// Config is the plugin's configuration record. Kong: kong/plugins/file-log/schema.lua
func Config() *entity.Record {
	return &entity.Record{
		Fields: []entity.Field{
			{
				Name: "path", Type: entity.String, Required: true,
				Patterns: []entity.Pattern{{Re: fileName}}, Err: "not a valid filename",
			},
			entity.Flag("reopen", false),
			entity.LuaCode("custom_fields_by_lua"),
		},
		Plugin: entity.PluginRules{Protocols: entity.Protocols},
	}
}
