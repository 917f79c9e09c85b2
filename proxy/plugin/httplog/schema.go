package httplog

import (
	"regexp"
	"strings"

	"sidekong/configs/entity"
)

// Config is the plugin's configuration record. Kong: kong/plugins/http-log/schema.lua
func Config() *entity.Record {
	endpoint := entity.URL("http_endpoint")
	endpoint.Required, endpoint.Referenceable, endpoint.Encrypted = true, true, true

	header := entity.HeaderName("")
	header.Patterns = []entity.Pattern{
		refuse("Host"),
		refuse("Content-Length"),
		refuse("Content-Type"),
	}
	return &entity.Record{
		Fields: []entity.Field{
			endpoint,
			{Name: "method", Type: entity.String, Default: "POST", OneOf: entity.Strings("POST", "PUT", "PATCH")},
			{
				Name: "content_type", Type: entity.String, Default: "application/json",
				OneOf: entity.Strings("application/json", "application/json; charset=utf-8"),
			},
			{Name: "timeout", Type: entity.Number, Default: 10000},
			{Name: "keepalive", Type: entity.Number, Default: 60000},
			{Name: "retry_count", Type: entity.Integer},
			{Name: "queue_size", Type: entity.Integer},
			{Name: "flush_timeout", Type: entity.Number},
			{
				Name: "headers", Type: entity.Map, Keys: &header,
				Values: &entity.Field{Type: entity.String, Referenceable: true, Encrypted: true},
			},
			entity.Queue(nil),
			entity.LuaCode("custom_fields_by_lua"),
		},
		Plugin: entity.PluginRules{Protocols: entity.Protocols, Config: credentialsOnce},
	}
}

func refuse(name string) entity.Pattern {
	return entity.Pattern{
		Re: regexp.MustCompile("(?i)^" + name + "$"), Refuse: true, Err: "cannot contain '" + name + "' header",
	}
}

// credentialsOnce refuses an Authorization header beside a user in the URL.
func credentialsOnce(config entity.Object) string {
	endpoint, _ := config["http_endpoint"].(string)
	headers, _ := config["headers"].(entity.Object)
	for name := range headers {
		if strings.EqualFold(name, "authorization") && entity.URLHasUserinfo(endpoint) {
			return "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed"
		}
	}
	return ""
}
