package requesttransformer

import (
	"fmt"
	"regexp"
	"strings"

	"sidekong/configs/entity"
)

var (
	methodPattern = regexp.MustCompile(`^[A-Z]+$`)
	pairPattern   = regexp.MustCompile(`(?s)^[^:]+:.*$`)
)

// Config is the plugin's configuration record. Kong: kong/plugins/request-transformer/schema.lua
func Config() *entity.Record {
	replace := record("replace", values(), headerValues())
	replace.Record.Fields = append(replace.Record.Fields, entity.Field{Name: "uri", Type: entity.String, Check: entity.Text(checkTemplate)})
	return &entity.Record{
		Fields: []entity.Field{
			{Name: "http_method", Type: entity.String, Patterns: []entity.Pattern{{Re: methodPattern}}},
			record("remove", entity.Field{Type: entity.String}, entity.Field{
				Type: entity.String, Check: entity.Text(func(pair string) string {
					name, _ := cut(pair)
					return checkHeader(name)
				}),
			}),
			record("rename", values(), entity.Field{
				Type: entity.String, Patterns: []entity.Pattern{{Re: pairPattern}},
				Check: entity.Text(func(pair string) string {
					name, value := cut(pair)
					if text := checkHeader(name); text != "" {
						return text
					}
					return checkHeader(value)
				}),
			}),
			replace,
			record("add", values(), headerValues()),
			record("append", values(), headerValues()),
		},
		Plugin: entity.PluginRules{Protocols: entity.Protocols},
	}
}

func record(name string, parameter, header entity.Field) entity.Field {
	list := func(name string, element entity.Field) entity.Field {
		return entity.Field{Name: name, Type: entity.Array, Required: true, Default: []any{}, Elements: &element}
	}
	return entity.Field{Name: name, Type: entity.RecordType, Required: true, Record: &entity.Record{Fields: []entity.Field{
		list("body", parameter), list("headers", header), list("querystring", parameter),
	}}}
}

// values are pairs of a parameter and what it becomes.
func values() entity.Field {
	return entity.Field{Type: entity.String, Check: entity.Text(func(pair string) string {
		name, value := cut(pair)
		if name == "" || value == "" {
			return "key '" + name + "' has no value"
		}
		return checkTemplate(value)
	})}
}

// headerValues are pairs of a header and what it becomes.
func headerValues() entity.Field {
	return entity.Field{
		Type: entity.String, Patterns: []entity.Pattern{{Re: pairPattern}},
		Check: entity.Text(func(pair string) string {
			name, value := cut(pair)
			if text := checkHeader(name); text != "" {
				return text
			}
			return checkTemplate(value)
		}),
	}
}

var headerName = entity.HeaderName("")

func checkHeader(name string) string {
	if headerName.Check(name) != "" {
		return "'" + name + "' is not a valid header"
	}
	return ""
}

// checkTemplate refuses what Kong would run as Lua.
func checkTemplate(text string) string {
	if _, err := parseTemplate(text); err != nil {
		return fmt.Sprintf("value '%s' is not in supported format, error:%v", text, err)
	}
	return ""
}

// cut parts a pair at its first colons. Kong: ^([^:]+):*(.-)$
func cut(pair string) (name, value string) {
	name, value, _ = strings.Cut(pair, ":")
	return name, strings.TrimLeft(value, ":")
}
