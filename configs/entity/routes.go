package entity

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The schema of routes is that of router_flavor traditional_compatible.
//
// Kong: kong/db/schema/entities/routes.lua, routes_subschemas.lua
func routesSchema() *Schema {
	http, grpc, stream := httpRoutes(), grpcRoutes(), streamRoutes()
	return &Schema{
		kind:      "routes",
		variantBy: "protocols",
		variants: map[string]*Record{
			"http": http, "https": http,
			"grpc": grpc, "grpcs": grpc,
			"tcp": stream, "tls": stream, "udp": stream, "tls_passthrough": stream,
		},
		unknown: "unknown type: %s",
		record: &Record{
			Fields: []Field{
				idField,
				createdAtField,
				updatedAtField,
				nameField("name"),
				{
					Name: "protocols", Type: Set, Required: true, Default: Strings("http", "https"), MinLen: 1,
					Elements:  &Field{Type: String, OneOf: Strings(Protocols...)},
					Exclusive: [][]string{{"http", "https"}, {"tcp", "tls", "udp"}, {"tls_passthrough"}, {"grpc", "grpcs"}},
				},
				{
					Name: "https_redirect_status_code", Type: Integer, Required: true, Default: 426,
					OneOf: []any{426, 301, 302, 307, 308},
				},
				Flag("strip_path", true),
				Flag("preserve_host", false),
				Flag("request_buffering", true),
				Flag("response_buffering", true),
				tagsField,
				referenceField("service", "services"),
				{Name: "snis", Type: Set, Elements: &Field{Type: String, Check: Text(checkWildcardHost)}},
				addressesField("sources"),
				addressesField("destinations"),
				{Name: "methods", Type: Set, Elements: &Field{
					Type: String, Patterns: []Pattern{{Re: regexp.MustCompile(`^[A-Z]+$`)}},
				}},
				{Name: "hosts", Type: Array, Elements: &Field{
					Type: String, Patterns: hostPatterns, Check: Text(checkRouteHost),
				}},
				{Name: "paths", Type: Array, Elements: &Field{
					Type: String, Patterns: routePathPatterns, Check: Text(checkRoutePath),
				}},
				headersField(Pattern{
					Re: regexp.MustCompile(`^(?i:host)$`), Refuse: true,
					Err: "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
				}),
				{Name: "regex_priority", Type: Integer, Default: 0},
				{Name: "path_handling", Type: String, Default: "v0", OneOf: Strings("v0", "v1")},
			},
			Checks: []Check{
				Conditional("protocols", HaveOnly(BeNot("grpcs", "https", "tls", "tls_passthrough")), "snis", BeEmpty,
					"'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'"),
				Custom([]string{
					"id", "protocols", "snis", "sources", "destinations", "methods", "hosts", "paths", "headers", "regex_priority",
				}, checkExpression),
			},
		},
	}
}

func addressesField(name string) Field {
	return Field{Name: name, Type: Set, Elements: &Field{Type: RecordType, Record: &Record{
		Fields: []Field{{Name: "ip", Type: String, Check: Text(checkCIDR)}, portField("port")},
		Checks: []Check{AtLeastOneOf("ip", "port")},
	}}}
}

var hostPatterns = []Pattern{
	{Re: regexp.MustCompile(`^[^*]*\*?[^*]*$`), Err: "invalid wildcard: must have at most one wildcard"},
	{
		Re:  regexp.MustCompile(`^\*\.|\.\*$|^[^*]*$`),
		Err: "invalid wildcard: must be placed at leftmost or rightmost label",
	},
}

var routePathPatterns = []Pattern{
	noEmptySegments,
	{Re: regexp.MustCompile(`^~?/`), Err: "should start with: / (fixed path) or ~/ (regex path)"},
}

// without refuses fields, which keep their names and types.
func without(protocols string, names ...string) []Field {
	fields := make([]Field, len(names))
	for i, name := range names {
		fields[i] = Field{
			Name: name, Type: Any, Null: true, Err: "cannot set '" + name + "' when 'protocols' is " + protocols,
		}
	}
	return fields
}

func httpRoutes() *Record {
	return &Record{
		Fields: without("'http' or 'https'", "sources", "destinations"),
		Checks: []Check{ConditionalAtLeastOneOf("protocols",
			Alternative{
				Contain("https"),
				[]string{"methods", "hosts", "headers", "paths", "snis"},
				"must set one of %s when 'protocols' is 'https'",
			},
			Alternative{
				Contain("http"),
				[]string{"methods", "hosts", "headers", "paths"},
				"must set one of %s when 'protocols' is 'http'",
			},
		)},
	}
}

func grpcRoutes() *Record {
	return &Record{
		Fields: append(without("'grpc' or 'grpcs'", "methods", "sources", "destinations"), Field{
			Name: "strip_path", Type: Boolean, Required: true, Default: false, Not: true,
			Err: "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'",
		}),
		Checks: []Check{ConditionalAtLeastOneOf("protocols",
			Alternative{
				Contain("grpcs"),
				[]string{"hosts", "headers", "paths", "snis"},
				"must set one of %s when 'protocols' is 'grpcs'",
			},
			Alternative{
				Contain("grpc"),
				[]string{"hosts", "headers", "paths"},
				"must set one of %s when 'protocols' is 'grpc'",
			},
		)},
	}
}

func streamRoutes() *Record {
	return &Record{
		Fields: without("'tcp', 'tls', 'tls_passthrough' or 'udp'", "methods", "hosts", "paths", "headers"),
		Checks: []Check{
			ConditionalAtLeastOneOf("protocols", Alternative{
				HaveOnly(Be("tcp", "tls", "udp")),
				[]string{"sources", "destinations", "snis"},
				"must set one of %s when 'protocols' is 'tcp', 'tls' or 'udp'",
			}),
			ConditionalAtLeastOneOf("protocols", Alternative{
				HaveOnly(Be("tls_passthrough")),
				[]string{"snis"},
				"must set snis when 'protocols' is 'tls_passthrough'",
			}),
		},
	}
}

// Kong: kong/db/schema/typedefs.lua validate_path_with_regexes
func checkRoutePath(path string) string {
	if text, escapes := checkPath(path); escapes {
		return text
	}
	if pattern, ok := strings.CutPrefix(path, "~"); ok {
		if fault := regexFault(pattern); fault.everywhere {
			return "invalid regex: '" + pattern + "' (" + fault.text + ")"
		}
		return ""
	}
	if normal := normalPath(path); normal != path {
		return "non-normalized path, consider use '" + normal + "' instead"
	}
	return ""
}

// checkExpression checks what Kong's router would make of a route: its regular expressions must be those that the
// router can take. Kong: kong/db/schema/entities/routes.lua validate_route
func checkExpression(route Object) string {
	const failed = "Router Expression failed validation: "
	paths, _ := route["paths"].([]any)
	for _, item := range paths {
		path, _ := item.(string)
		if pattern, ok := strings.CutPrefix(path, "~"); ok {
			if fault := regexFault(pattern); fault.text != "" {
				return failed + "path regex '" + pattern + "': " + fault.text
			}
		}
	}
	headers, _ := route["headers"].(Object)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		values, _ := headers[name].([]any)
		if len(values) == 0 {
			return failed + "header '" + name + "' has no values"
		}
		for _, item := range values {
			value, _ := item.(string)
			pattern, ok := strings.CutPrefix(value, "~*")
			if !ok {
				continue
			}
			// The router lower-cases the pattern along with the value.
			if fault := regexFault(strings.ToLower(pattern)); fault.text != "" {
				return failed + "header regex '" + pattern + "': " + fault.text
			}
		}
	}
	return ""
}
