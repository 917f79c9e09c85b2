package function

import "sidekong/configs/entity"

// Phases in which chunks of Lua can run, by their names in the configuration.
var phases = []string{"certificate", "rewrite", "access", "header_filter", "body_filter", "log"}

// Config is the configuration record of pre-function and post-function. Kong: kong/plugins/pre-function/_schema.lua
func Config() *entity.Record {
	record := &entity.Record{Plugin: entity.PluginRules{NoConsumer: true, Protocols: entity.Protocols}}
	var paths []string
	for _, phase := range phases {
		record.Fields = append(record.Fields, entity.Field{
			Name: phase, Type: entity.Array, Required: true, Default: []any{},
			Elements: &entity.Field{Type: entity.String, Check: entity.Text(checkChunk)},
		})
		paths = append(paths, "config."+phase)
	}
	record.Plugin.Checks = []entity.Check{entity.AtLeastOneOf(paths...)}
	return record
}

func checkChunk(chunk string) string {
	if err := entity.CompileLua(chunk); err != nil {
		return "error parsing function: " + err.Error()
	}
	return ""
}
