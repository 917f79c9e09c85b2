package entity

// Kong: kong/db/schema/entities/services.lua
func servicesSchema() *Schema {
	onlyTLS := BeNot("https", "tls")
	nonzeroTimeout := func(name string) Field {
		return Field{Name: name, Type: Integer, Between: between(1, 1<<31-2), Default: 60000}
	}
	return &Schema{kind: "services", record: &Record{
		Fields: []Field{
			idField,
			createdAtField,
			updatedAtField,
			nameField("name"),
			{Name: "retries", Type: Integer, Default: 5, Between: between(0, 32767)},
			{Name: "protocol", Type: String, Required: true, Default: "http", OneOf: Strings(Protocols...)},
			{Name: "host", Type: String, Required: true, Check: Text(checkHost)},
			required(withDefault(portField("port"), 80)),
			pathField("path"),
			nonzeroTimeout("connect_timeout"),
			nonzeroTimeout("write_timeout"),
			nonzeroTimeout("read_timeout"),
			tagsField,
			referenceField("client_certificate", "certificates"),
			{Name: "tls_verify", Type: Boolean},
			{Name: "tls_verify_depth", Type: Integer, Between: between(0, 64)},
			{Name: "ca_certificates", Type: Array, Elements: &Field{Type: String, UUID: true}},
			Flag("enabled", true),
		},
		Checks: []Check{
			Conditional("protocol", Be("tcp", "tls", "udp", "grpc", "grpcs"), "path", BeNull, ""),
			Conditional("protocol", onlyTLS, "client_certificate", BeNull, ""),
			Conditional("protocol", onlyTLS, "tls_verify", BeNull, ""),
			Conditional("protocol", onlyTLS, "tls_verify_depth", BeNull, ""),
			Conditional("protocol", onlyTLS, "ca_certificates", BeNull, ""),
		},
		Shorthands: []Shorthand{
			{Field: Field{Name: "url", Type: String}, Expand: expandServiceURL},
		},
	}}
}
