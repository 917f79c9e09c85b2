package entity

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Fields that occur in many entities and plugins. Kong: kong/db/schema/typedefs.lua
var (
	idField        = Field{Name: "id", Type: String, UUID: true, Auto: true}
	createdAtField = Field{Name: "created_at", Type: Integer, Timestamp: true, Auto: true}
	updatedAtField = Field{Name: "updated_at", Type: Integer, Timestamp: true, Auto: true}
	tagsField      = Field{Name: "tags", Type: Set, Elements: &Field{Type: String, Check: Text(checkTag)}}
)

// Protocols are all that services and routes may name; HTTPProtocols those of Kong's http subsystem.
var (
	Protocols     = []string{"grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"}
	HTTPProtocols = []string{"grpc", "grpcs", "http", "https"}
)

// HeaderName is a field that names an HTTP header.
func HeaderName(name string) Field {
	return Field{Name: name, Type: String, Check: Text(checkHeaderName)}
}

// URL is a field with a URL that has a scheme and a host.
func URL(name string) Field {
	return Field{Name: name, Type: String, Check: Text(checkURL)}
}

// Timeout is a field in milliseconds, 0 to 2^31-2.
func Timeout(name string, milliseconds int) Field {
	return Field{Name: name, Type: Integer, Between: between(0, 1<<31-2), Default: milliseconds}
}

// Flag is a boolean field that must not be null.
func Flag(name string, value bool) Field {
	return Field{Name: name, Type: Boolean, Required: true, Default: value}
}

// LuaCode is a map of names to Lua chunks, each of which must compile.
func LuaCode(name string) Field {
	return Field{
		Name: name, Type: Map,
		Keys: &Field{Type: String},
		Values: &Field{Type: String, Check: Text(func(chunk string) string {
			if err := CompileLua(chunk); err != nil {
				return "Error parsing function: " + err.Error()
			}
			return ""
		})},
	}
}

// Queue is the record of a plugin's queue. Where the configuration has none, defaults hold; where it has one, missing
// fields get the defaults below. Kong: kong/tools/queue_schema.lua
func Queue(defaults Object) Field {
	field := Field{Name: "queue", Type: RecordType, Required: true, Record: &Record{Fields: []Field{
		{Name: "max_batch_size", Type: Integer, Default: 1, Between: between(1, 1000000)},
		{Name: "max_coalescing_delay", Type: Number, Default: 1, Between: between(0, 3600)},
		{Name: "max_entries", Type: Integer, Default: 10000, Between: between(1, 1000000)},
		{Name: "max_bytes", Type: Integer},
		{Name: "max_retry_time", Type: Number, Default: 60},
		{Name: "initial_retry_delay", Type: Number, Default: 0.01, Between: between(0.001, 1000000)},
		{Name: "max_retry_delay", Type: Number, Default: 60, Between: between(0.001, 1000000)},
		{Name: "concurrency_limit", Type: Integer, Default: 1, OneOf: []any{-1, 1}},
	}}}
	if defaults != nil {
		field.Default = defaults
	}
	return field
}

var (
	headerNamePattern = regexp.MustCompile(`^[a-zA-Z0-9\-_]+$`)
	utf8NamePattern   = regexp.MustCompile(`^[0-9A-Za-z.\-_~\x{80}-\x{10FFFF}]+$`)
	tagPattern        = regexp.MustCompile(`^[ !-+\-.0-~\x{80}-\x{10FFFF}]+$`)
)

// Kong: kong/tools/http.lua validate_header_name
func checkHeaderName(name string) string {
	if headerNamePattern.MatchString(name) {
		return ""
	}
	return "bad header name '" + name + "', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
}

// Kong: kong/tools/http.lua validate_http_token
func checkCookieName(name string) string {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/?={}[]`, c) >= 0 {
			return "contains one or more invalid characters. ASCII control characters (0-31;127), space, tab and the " +
				`characters ()<>@,;:\"/?={}[] are not allowed.`
		}
	}
	return ""
}

func checkUTF8(text string) string {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Sprintf("invalid utf-8 character sequence detected at position %d", i+1)
		}
		i += size
	}
	return ""
}

// Kong: kong/db/schema/typedefs.lua validate_utf8_name
func checkUTF8Name(name string) string {
	if text := checkUTF8(name); text != "" {
		return text
	}
	if !utf8NamePattern.MatchString(name) {
		return "invalid value '" + name + "': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
	}
	return ""
}

// Kong: kong/db/schema/typedefs.lua validate_tag
func checkTag(tag string) string {
	if text := checkUTF8(tag); text != "" {
		return text
	}
	if !tagPattern.MatchString(tag) {
		return "invalid tag '" + tag + "': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
	}
	return ""
}

func nameField(name string) Field {
	return Field{Name: name, Type: String, Unique: true, Check: Text(checkUTF8Name)}
}

func pathField(name string) Field {
	return Field{
		Name: name, Type: String, StartsWith: "/", Patterns: []Pattern{noEmptySegments},
		Check: Text(func(path string) string {
			text, _ := checkPath(path)
			return text
		}),
	}
}

var noEmptySegments = Pattern{Re: regexp.MustCompile(`//`), Refuse: true, Err: "must not have empty segments"}

// headersField maps header names, of which the given ones are refused, to lists of values.
func headersField(refuse ...Pattern) Field {
	keys := HeaderName("")
	keys.Patterns = refuse
	return Field{
		Name: "headers", Type: Map,
		Keys: &keys, Values: &Field{Type: Array, Elements: &Field{Type: String}},
	}
}

func wildcardHostField(name string) Field {
	return Field{Name: name, Type: String, Check: Text(checkWildcardHost)}
}

func portField(name string) Field {
	return Field{Name: name, Type: Integer, Between: between(0, 65535)}
}

func referenceField(name, kind string) Field {
	return Field{Name: name, Type: Foreign, Reference: kind}
}

func required(f Field) Field {
	f.Required = true
	return f
}

func withDefault(f Field, value any) Field {
	f.Default = value
	return f
}
