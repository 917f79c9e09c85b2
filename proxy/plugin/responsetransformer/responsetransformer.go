// Package responsetransformer is Kong's response-transformer plugin: it changes the headers of answers, and the members
// of JSON objects in their bodies. Kong: kong/plugins/response-transformer/
package responsetransformer

import (
	"maps"
	"mime"
	"net/http"
	"strings"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
)

// Name is the plugin's name in a configuration.
const Name = "response-transformer"

const priority = 800

// maxBody bounds the bodies that are held back to be changed, in bytes. A longer one is sent as it is.
const maxBody = 8 << 20

// Define makes the plugin's definition.
func Define() *plugin.Definition {
	return &plugin.Definition{
		Name: Name, Priority: priority, Config: Config(),
		New: func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
			t := &transformer{}
			if err := entity.Decode(p.Config, &t.config); err != nil {
				return nil, err
			}
			t.body = newBodyChanges(&t.config)
			if t.body.empty() {
				return t, nil
			}
			return bodyTransformer{t}, nil
		},
	}
}

type config struct {
	Remove  lists `json:"remove"`
	Rename  lists `json:"rename"`
	Replace lists `json:"replace"`
	Add     lists `json:"add"`
	Append  lists `json:"append"`
}

type lists struct {
	JSON    []string `json:"json"`
	Types   []string `json:"json_types"`
	Headers []string `json:"headers"`
}

// transformer is one configured plugin that changes headers alone.
type transformer struct {
	config config
	body   bodyChanges
}

// FilterHeader changes the headers. Whether one is there is asked of what the answer had before: one that was removed
// can still be renamed or replaced, and is not added. Kong: kong/plugins/response-transformer/header_transformer.lua
func (t *transformer) FilterHeader(ctx *plugin.Context) error {
	c, h := &t.config, ctx.Response.Header
	before := maps.Clone(h)
	for _, entry := range c.Remove.Headers {
		name, _ := cut(entry)
		delete(h, http.CanonicalHeaderKey(name))
	}
	for _, pair := range c.Rename.Headers {
		old, name := headerPair(pair)
		if values := before[old]; values != nil {
			h[http.CanonicalHeaderKey(name)] = values
			if old != http.CanonicalHeaderKey(name) {
				delete(h, old)
			}
		}
	}
	for _, pair := range c.Replace.Headers {
		if name, value := headerPair(pair); before[name] != nil && value != "" {
			h[name] = []string{value}
		}
	}
	for _, pair := range c.Add.Headers {
		if name, value := headerPair(pair); before[name] == nil && value != "" {
			h[name] = []string{value}
		}
	}
	for _, pair := range c.Append.Headers {
		if name, value := headerPair(pair); value != "" {
			h[name] = append(h[name][:len(h[name]):len(h[name])], value)
		}
	}
	return nil
}

func headerPair(pair string) (name, value string) {
	name, value = cut(pair)
	return http.CanonicalHeaderKey(name), value
}

// isJSON tells the content types whose bodies are changed.
// Kong: kong/plugins/response-transformer/header_transformer.lua is_json_body
func isJSON(h http.Header) bool {
	for media := range strings.SplitSeq(h.Get("Content-Type"), ",") {
		if kind, _, err := mime.ParseMediaType(media); err == nil && kind == "application/json" {
			return true
		}
	}
	return false
}
