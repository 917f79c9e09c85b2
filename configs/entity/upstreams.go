package entity

import "unicode/utf8"

// Kong: kong/db/schema/entities/upstreams.lua
func upstreamsSchema() *Schema {
	hashOn := func(name string) Field {
		return Field{
			Name: name, Type: String, Default: "none",
			OneOf: Strings("none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"),
		}
	}
	text := func(name string) Field { return Field{Name: name, Type: String} }
	needs := func(hash, value, field string) Check { return Conditional(hash, Be(value), field, BeSet, "") }
	fallback := func(value string, allowed ...string) Check {
		return Conditional("hash_on", Be(value), "hash_fallback", Be(allowed...), "")
	}
	return &Schema{kind: "upstreams", record: &Record{
		Fields: []Field{
			idField,
			createdAtField,
			{Name: "name", Type: String, Required: true, Unique: true, Check: Text(checkUpstreamName)},
			updatedAtField,
			{
				Name: "algorithm", Type: String, Default: "round-robin",
				OneOf: Strings("consistent-hashing", "least-connections", "round-robin", "latency"),
			},
			hashOn("hash_on"),
			hashOn("hash_fallback"),
			HeaderName("hash_on_header"),
			HeaderName("hash_fallback_header"),
			{Name: "hash_on_cookie", Type: String, Check: Text(checkCookieName)},
			withDefault(pathField("hash_on_cookie_path"), "/"),
			text("hash_on_query_arg"),
			text("hash_fallback_query_arg"),
			text("hash_on_uri_capture"),
			text("hash_fallback_uri_capture"),
			{Name: "slots", Type: Integer, Default: 10000, Between: between(10, 1<<16)},
			healthchecksField(),
			tagsField,
			{Name: "host_header", Type: String, Check: Text(checkHostPort)},
			referenceField("client_certificate", "certificates"),
			{Name: "use_srv_name", Type: Boolean, Default: false},
		},
		Checks: []Check{
			needs("hash_on", "header", "hash_on_header"),
			needs("hash_fallback", "header", "hash_fallback_header"),
			needs("hash_on", "cookie", "hash_on_cookie"),
			needs("hash_fallback", "cookie", "hash_on_cookie"),
			fallback("none", "none"),
			fallback("cookie", "none"),
			fallback("consumer", "none", "ip", "header", "cookie", "path", "query_arg", "uri_capture"),
			fallback("ip", "none", "consumer", "header", "cookie", "path", "query_arg", "uri_capture"),
			fallback("path", "none", "consumer", "header", "cookie", "query_arg", "ip", "uri_capture"),
			Distinct("hash_on_header", "hash_fallback_header"),
			needs("hash_on", "query_arg", "hash_on_query_arg"),
			needs("hash_fallback", "query_arg", "hash_fallback_query_arg"),
			Distinct("hash_on_query_arg", "hash_fallback_query_arg"),
			needs("hash_on", "uri_capture", "hash_on_uri_capture"),
			needs("hash_fallback", "uri_capture", "hash_fallback_uri_capture"),
			Distinct("hash_on_uri_capture", "hash_fallback_uri_capture"),
		},
		Shorthands: []Shorthand{
			{Field: Field{Name: "algorithm", Type: String}, Expand: expandAlgorithm},
			{Field: Field{Name: "hash_on", Type: String}, Expand: expandHashOn},
		},
	}}
}

// Algorithms that don't hash reset hash_on.
func expandAlgorithm(value any) Object {
	if value == "least-connections" || value == "latency" {
		return Object{"algorithm": value, "hash_on": nil}
	}
	return Object{"algorithm": value}
}

// Hashing implies its algorithm, and no hashing round-robin.
func expandHashOn(value any) Object {
	switch value {
	case nil:
		return Object{"hash_on": "none"}
	case "none":
		return Object{"hash_on": value, "algorithm": "round-robin"}
	}
	return Object{"hash_on": value, "algorithm": "consistent-hashing"}
}

func checkUpstreamName(name string) string {
	shown := "Invalid name"
	if utf8.ValidString(name) {
		shown = "Invalid name ('" + name + "')"
	}
	parsed, text := parseHost(name)
	switch {
	case text != "":
		return shown + "; must be a valid hostname"
	case parsed.kind != hostName:
		return shown + "; no ip addresses allowed"
	case parsed.port >= 0:
		return shown + "; no port allowed"
	}
	return ""
}

func healthchecksField() Field {
	checkType := Field{
		Name: "type", Type: String, Default: "http", OneOf: Strings("tcp", "http", "https", "grpc", "grpcs"),
	}
	seconds := func(name string, value any) Field {
		return Field{Name: name, Type: Number, Default: value, Between: between(0, 65535)}
	}
	count := func(name string) Field {
		return Field{Name: name, Type: Integer, Default: 0, Between: between(0, 255)}
	}
	statuses := func(codes ...any) Field {
		return Field{
			Name: "http_statuses", Type: Array, Default: codes,
			Elements: &Field{Type: Integer, Between: between(100, 999)},
		}
	}
	record := func(name string, fields ...Field) Field {
		return Field{Name: name, Type: RecordType, Required: true, Record: &Record{Fields: fields}}
	}
	return record("healthchecks",
		record("active",
			checkType,
			seconds("timeout", 1),
			Field{Name: "concurrency", Type: Integer, Default: 10, Between: between(1, 1<<31)},
			withDefault(pathField("http_path"), "/"),
			Field{Name: "https_sni", Type: String, Check: Text(checkSNI)},
			Flag("https_verify_certificate", true),
			headersField(),
			record("healthy", seconds("interval", 0), statuses(200, 302), count("successes")),
			record("unhealthy",
				seconds("interval", 0), statuses(429, 404, 500, 501, 502, 503, 504, 505),
				count("tcp_failures"), count("timeouts"), count("http_failures")),
		),
		record("passive",
			checkType,
			record("healthy",
				statuses(200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308),
				count("successes")),
			record("unhealthy",
				statuses(429, 500, 503), count("tcp_failures"), count("timeouts"), count("http_failures")),
		),
		Field{Name: "threshold", Type: Number, Default: 0, Between: between(0, 100)},
	)
}
