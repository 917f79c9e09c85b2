package plugin

import (
	"net/url"
	"strings"
)

// Secrets knows which values of a request must not be recorded, by the names of headers and query parameters. It is
// read-only.
type Secrets struct {
	parameters map[string]struct{} // lower case
	headers    map[string]struct{} // lower case, those that secretWords do not find
}

// NewSecrets takes the gateway's redacted query parameters, and the names under which key-auth looks for keys.
func NewSecrets(env Env) *Secrets {
	s := &Secrets{parameters: map[string]struct{}{}, headers: map[string]struct{}{}}
	add := func(name string) {
		name = strings.ToLower(name)
		s.parameters[name], s.headers[name] = struct{}{}, struct{}{}
		s.headers[strings.ReplaceAll(name, "_", "-")] = struct{}{}
	}
	for _, name := range env.RedactedQuery {
		add(name)
	}
	for _, p := range env.Plugins {
		names, _ := p.Config["key_names"].([]any)
		for _, value := range names {
			if name, ok := value.(string); ok && p.Name == "key-auth" {
				add(name)
			}
		}
	}
	return s
}

// secretWords are parts of names of headers that carry secrets.
var secretWords = []string{
	"authorization", "authentication", "x-auth", "cookie", "token", "secret", "password", "passwd", "credential", "apikey",
	"api-key", "access-key", "session", "signature", "jwt",
}

// Header reports whether a header's value is a secret; name is in lower case.
func (s *Secrets) Header(name string) bool {
	if _, ok := s.headers[name]; ok {
		return true
	}
	if strings.HasPrefix(name, "access-control-") {
		return false
	}
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// Parameter reports whether a query parameter's value is a secret; name is as it stands in the query.
func (s *Secrets) Parameter(name string) bool {
	if strings.ContainsAny(name, "%+") {
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
	}
	_, ok := s.parameters[strings.ToLower(strings.TrimSpace(name))]
	return ok
}

// Query gives a query with the values of secret parameters replaced by Redacted, the rest byte for byte.
func (s *Secrets) Query(query string) string {
	var out strings.Builder
	kept := 0 // query up to here is in out
	for at := 0; at < len(query); {
		end := at + strings.IndexAny(query[at:], "&;")
		if end < at {
			end = len(query)
		}
		if eq := strings.IndexByte(query[at:end], '='); eq >= 0 && s.Parameter(query[at:at+eq]) {
			out.WriteString(query[kept : at+eq+1])
			out.WriteString(Redacted)
			kept = end
		}
		at = end + 1
	}
	if kept == 0 {
		return query
	}
	return out.String() + query[kept:]
}

// URI is Query for a request target. One in absolute form loses its user information.
func (s *Secrets) URI(uri string) string {
	if len(uri) > 0 && uri[0] != '/' {
		if scheme, rest, ok := strings.Cut(uri, "://"); ok {
			authority, path, _ := strings.Cut(rest, "/")
			if at := strings.LastIndexByte(authority, '@'); at >= 0 {
				uri = scheme + "://" + authority[at+1:] + "/" + path
			}
		}
	}
	path, query, found := strings.Cut(uri, "?")
	if !found {
		return uri
	}
	return path + "?" + s.Query(query)
}
