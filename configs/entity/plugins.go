package entity

import "slices"

// Kong: kong/db/schema/entities/plugins.lua
func pluginsSchema(plugins map[string]*Record) *Schema {
	variants := make(map[string]*Record, len(plugins))
	for name, config := range plugins {
		variants[name] = pluginVariant(config)
	}
	return &Schema{
		kind:      "plugins",
		variantBy: "name",
		variants:  variants,
		unknown:   "plugin '%s' not enabled; add it to the 'plugins' configuration property",
		record: &Record{Fields: []Field{
			idField,
			{Name: "name", Type: String, Required: true},
			nameField("instance_name"),
			createdAtField,
			updatedAtField,
			referenceField("route", "routes"),
			referenceField("service", "services"),
			referenceField("consumer", "consumers"),
			{Name: "config", Type: Any},
			protocolsField(Protocols),
			Flag("enabled", true),
			tagsField,
		}},
		prepare: preparePlugin,
	}
}

func pluginVariant(config *Record) *Record {
	protocols := config.Plugin.Protocols
	if protocols == nil {
		protocols = HTTPProtocols
	}
	field := Field{Name: "config", Type: RecordType, Required: true, Record: config}
	if check := config.Plugin.Config; check != nil {
		field.Check = func(value any) string {
			object, _ := asObject(value)
			return check(object)
		}
	}
	variant := &Record{
		Fields: []Field{protocolsField(protocols), field},
		Checks: config.Plugin.Checks,
	}
	if config.Plugin.NoConsumer {
		consumer := referenceField("consumer", "consumers")
		consumer.Null = true
		variant.Fields = append(variant.Fields, consumer)
	}
	return variant
}

func protocolsField(allowed []string) Field {
	return Field{
		Name: "protocols", Type: Set, Required: true, Default: Strings(HTTPProtocols...),
		Elements: &Field{Type: String, OneOf: Strings(allowed...)},
	}
}

// preparePlugin wants the protocols that were given to have one in common with the plugin's route, or with a route of
// its service. Kong: kong/db/dao/plugins.lua check_protocols_match
func preparePlugin(s *scope, data Object) *Error {
	protocols, ok := data["protocols"].([]any)
	if !ok || s.schemas.lookup == nil {
		return nil
	}
	common := func(route Object) bool {
		others, _ := route["protocols"].([]any)
		return slices.ContainsFunc(protocols, func(p any) bool { return contains(others, p) })
	}
	if ref, ok := data["route"].(Object); ok {
		id, _ := ref["id"].(string)
		if route, found := s.schemas.lookup.Find("routes", "id", id); found && !common(route) {
			return violation(Object{"protocols": "must match the associated route's protocols"})
		}
	} else if ref, ok := data["service"].(Object); ok {
		id, _ := ref["id"].(string)
		routes := s.schemas.lookup.Referring("routes", "service", id)
		if len(routes) > 0 && !slices.ContainsFunc(routes, common) {
			return violation(Object{
				"protocols": "must match the protocols of at least one route pointing to this Plugin's service",
			})
		}
	}
	return nil
}
