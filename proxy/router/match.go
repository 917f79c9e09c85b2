package router

import (
	"unicode/utf8"

	"sidekong/configs/entity"
)

// Match is a request's route, and what the match says about the path.
type Match struct {
	Route   *entity.Route
	Service *entity.Service // nil when the route has none

	// Path is the configured path that matched, a regular expression with its leading "~"; "" for a route without
	// paths.
	Path string

	// Matched is the text that Path matched. Of a regular expression it need not be the beginning of the request's
	// path.
	Matched string

	// Captures are what the groups of the path's and the headers' regular expressions caught: by number, "0" for
	// the whole, and by name. A header's groups replace the path's of the same key. Groups that took no part are
	// missing. Nil when nothing but "0" was caught.
	Captures map[string]string

	requestPath string
}

// Match finds the request's route. It allocates for regular expressions with groups, of the route that won alone, and
// to fold header values that are not lower case for regular expressions.
//
// Kong: kong/router/atc.lua select
func (r *Router) Match(req *Request) (m Match, ok bool) {
	if r.usesPath && !utf8.ValidString(req.Path) || r.usesHost && !utf8.ValidString(req.Host) ||
		r.usesSNI && !utf8.ValidString(req.SNI) || !r.headers.readable(req.Header) {
		return Match{}, false
	}
	q := newQuery(req)
	won := r.hosts.find(&q)
	if won == nil {
		return Match{}, false
	}
	m = Match{Route: won.entry.Route, Service: won.entry.Service, requestPath: req.Path}
	var caught map[string]string
	if won.capturing {
		caught = make(map[string]string)
	}
	if path := won.matchedPath(req.Path); path != nil {
		m.Path, m.Matched = path.configured, path.configured
		if path.regex != nil {
			m.Matched = path.regex.capture(req.Path, caught)
		}
	}
	if won.capturing {
		won.captureHeaders(&q, caught)
	}
	if len(caught) > 1 {
		m.Captures = caught
	}
	return m, true
}

// captureHeaders adds what the groups of the headers' regular expressions catch.
func (c *rule) captureHeaders(q *query, caught map[string]string) {
	for i := range c.headers {
		h := &c.headers[i]
		if re, value, _ := h.match(h.name.values(q.Header)); re != nil {
			re.capture(value, caught)
		}
	}
}
