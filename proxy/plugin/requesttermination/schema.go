package requesttermination

import "sidekong/configs/entity"

// Config is the plugin's configuration record. Kong: kong/plugins/request-termination/schema.lua
func Config() *entity.Record {
	return &entity.Record{
		Fields: []entity.Field{
			{
				Name: "status_code", Type: entity.Integer, Required: true, Default: 503,
				Between: &entity.Range{Min: 100, Max: 599},
			},
			{Name: "message", Type: entity.String},
			{Name: "content_type", Type: entity.String},
			{Name: "body", Type: entity.String},
			entity.Flag("echo", false),
			entity.HeaderName("trigger"),
		},
		Plugin: entity.PluginRules{Config: oneAnswer},
	}
}

// oneAnswer wants either a message, or a body, or an echo.
func oneAnswer(config entity.Object) string {
	set := func(name string) bool {
		text, ok := config[name].(string)
		return ok && text != ""
	}
	switch {
	case set("message") && (set("content_type") || set("body")):
		return "message cannot be used with content_type or body"
	case set("content_type") && !set("body"):
		return "content_type requires a body"
	case config["echo"] == true && (set("content_type") || set("body")):
		return "echo cannot be used with content_type and body"
	}
	return ""
}
