package opentelemetry

import (
	"net/url"
	"strings"
)

// masked stands in the place of a value that must not be recorded.
const masked = "REDACTED"

// mask knows which values are secrets, by the names of headers and query parameters. It is read-only.
type mask struct {
	parameters map[string]bool // lower case
}

func newMask(parameters []string) *mask {
	m := &mask{parameters: make(map[string]bool, len(parameters))}
	for _, name := range parameters {
		m.parameters[strings.ToLower(name)] = true
	}
	return m
}

// secretWords are parts of names of headers that carry secrets.
var secretWords = []string{
	"authorization", "authentication", "x-auth", "cookie", "token", "secret", "password", "passwd", "credential", "apikey", "api-key", "access-key", "session",
	"signature", "jwt",
}

// header reports whether a header's value is a secret; name is in lower case.
func (m *mask) header(name string) bool {
	if m.parameters[name] || m.parameters[strings.ReplaceAll(name, "-", "_")] {
		return true
	}
	if name == ":authority" || strings.HasPrefix(name, "access-control-") {
		return false
	}
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// parameter reports whether a query parameter's value is a secret; name is as it stands in the query.
func (m *mask) parameter(name string) bool {
	if strings.ContainsAny(name, "%+") {
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
	}
	return m.parameters[strings.ToLower(strings.TrimSpace(name))]
}

// query gives a query with the values of secret parameters replaced, the rest byte for byte.
func (m *mask) query(query string) string {
	var out strings.Builder
	kept := 0 // query up to here is in out
	for at := 0; at < len(query); {
		end := at + strings.IndexAny(query[at:], "&;")
		if end < at {
			end = len(query)
		}
		if eq := strings.IndexByte(query[at:end], '='); eq >= 0 && m.parameter(query[at:at+eq]) {
			out.WriteString(query[kept : at+eq+1])
			out.WriteString(masked)
			kept = end
		}
		at = end + 1
	}
	if kept == 0 {
		return query
	}
	return out.String() + query[kept:]
}

// uri is query for a path with its query.
func (m *mask) uri(uri string) string {
	path, query, found := strings.Cut(uri, "?")
	if !found {
		return uri
	}
	return path + "?" + m.query(query)
}
