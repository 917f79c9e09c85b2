package proxy

import (
	"net/url"
	"strings"
)

// redacted stands in the place of a value that must not be recorded.
const redacted = "REDACTED"

// redactor knows the query parameters whose values are secrets.
type redactor map[string]struct{}

func newRedactor(names []string) redactor {
	r := make(redactor, len(names))
	for _, name := range names {
		r[strings.ToLower(name)] = struct{}{}
	}
	return r
}

// target gives a request target as it may be recorded: the values of secret parameters are replaced, the rest stays
// byte for byte. A target in absolute form loses its user information.
func (r redactor) target(target string) string {
	if len(target) > 0 && target[0] != '/' {
		if scheme, rest, ok := strings.Cut(target, "://"); ok {
			authority, path, _ := strings.Cut(rest, "/")
			if at := strings.LastIndexByte(authority, '@'); at >= 0 {
				target = scheme + "://" + authority[at+1:] + "/" + path
			}
		}
	}
	mark := strings.IndexByte(target, '?')
	if mark < 0 {
		return target
	}
	query := target[mark+1:]
	var out strings.Builder
	kept := 0 // query up to here is in out
	for at := 0; at < len(query); {
		end := at + strings.IndexAny(query[at:], "&;")
		if end < at {
			end = len(query)
		}
		if eq := strings.IndexByte(query[at:end], '='); eq >= 0 && r.secret(query[at:at+eq]) {
			out.WriteString(query[kept : at+eq+1])
			out.WriteString(redacted)
			kept = end
		}
		at = end + 1
	}
	if kept == 0 {
		return target
	}
	return target[:mark+1] + out.String() + query[kept:]
}

// secret reports whether a parameter's name, as it stands in the query, means a secret.
func (r redactor) secret(name string) bool {
	if strings.ContainsAny(name, "%+") {
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
	}
	_, ok := r[strings.ToLower(strings.TrimSpace(name))]
	return ok
}
