package entity

// defaultTargetPort is the port of a target that names none.
const defaultTargetPort = 8000

// Kong: kong/db/schema/entities/targets.lua
func targetsSchema() *Schema {
	millisecond := func(f Field) Field {
		f.Type = Number
		return f
	}
	return &Schema{
		kind: "targets",
		record: &Record{Fields: []Field{
			idField,
			millisecond(createdAtField),
			millisecond(updatedAtField),
			required(referenceField("upstream", "upstreams")),
			{Name: "target", Type: String, Required: true, Check: Text(func(target string) string {
				if _, text := parseHost(target); text != "" {
					return "Invalid target ('" + target + "'); not a valid hostname or ip address"
				}
				return ""
			})},
			{Name: "weight", Type: Integer, Default: 100, Between: between(0, 65535)},
			tagsField,
		}},
		prepare: prepareTarget,
	}
}

// prepareTarget brings the target into the form host:port. An update that breaks the form is refused by the schema.
// Kong: kong/db/dao/targets.lua format_target
func prepareTarget(s *scope, data Object) *Error {
	target, ok := data["target"].(string)
	if !ok {
		return nil
	}
	parsed, text := parseHost(target)
	switch {
	case text == "":
		data["target"] = parsed.withPort(defaultTargetPort)
	case !s.updating:
		return violation(Object{"target": "Invalid target; not a valid hostname or ip address"})
	}
	return nil
}
