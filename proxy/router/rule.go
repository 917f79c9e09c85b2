package router

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// rule is a route, or the part of it that has paths of one kind.
type rule struct {
	entry    *Entry
	id       string
	priority uint64
	rank     int // position in the router's order; 0 is tried first

	// Conditions: each list that is not empty must have a member that matches; of headers all must.
	methods []string
	snis    []string
	hosts   []hostPattern
	paths   []pathPattern
	headers []headerRule

	capturing bool // some regular expression has groups
}

// splitRoutes is the namespace of the ids that parts of a route get.
var splitRoutes = uuid.MustParse("7f145bf9-0dce-4f91-98eb-debbce4b9f6b")

// newRules gives one rule for each group of a route's paths, or a single one when there are no paths.
//
// Kong: kong/router/compat.lua split_routes_and_services_by_path
func newRules(entry *Entry) ([]*rule, error) {
	route := entry.Route
	if len(route.Methods)+len(route.Hosts)+len(route.Paths)+len(route.Headers)+len(route.SNIs) == 0 {
		return nil, nil
	}
	headers, err := newHeaderRules(route)
	if err != nil {
		return nil, err
	}
	hosts := make([]hostPattern, len(route.Hosts))
	for i, h := range route.Hosts {
		hosts[i] = newHostPattern(h)
	}
	snis := make([]string, len(route.SNIs))
	for i, sni := range route.SNIs {
		snis[i] = sni
		if len(sni) > 1 {
			snis[i] = strings.TrimSuffix(sni, ".")
		}
	}

	groups := groupPaths(route.Paths)
	rules := make([]*rule, len(groups))
	for i, paths := range groups {
		patterns, err := newPathPatterns(paths)
		if err != nil {
			return nil, err
		}
		id := route.ID
		if len(groups) > 1 {
			id = uuid.NewSHA1(splitRoutes, fmt.Appendf(nil, "%s#%d", route.ID, i+1)).String()
		}
		rules[i] = &rule{
			entry: entry, id: id, priority: priority(route, paths),
			methods: route.Methods, snis: snis, hosts: hosts, paths: patterns, headers: headers,
			capturing: anyGroups(patterns, headers),
		}
	}
	return rules, nil
}

func anyGroups(paths []pathPattern, headers []headerRule) bool {
	for _, p := range paths {
		if p.regex != nil && p.regex.hasGroups() {
			return true
		}
	}
	for _, h := range headers {
		for _, v := range h.values {
			if v.regex != nil && v.regex.hasGroups() {
				return true
			}
		}
	}
	return false
}

// query is a request in the form that rules are checked against.
type query struct {
	*Request
	host     string // without port
	hostPort int    // of the Host header, otherwise the listener's
}

func newQuery(req *Request) query {
	q := query{Request: req}
	q.host, q.hostPort = splitHostPort(req.Host)
	if q.hostPort < 0 {
		q.hostPort = req.Port
	}
	return q
}

// match checks all conditions.
func (c *rule) match(q *query) bool {
	if len(c.methods) > 0 && !slices.Contains(c.methods, q.Method) {
		return false
	}
	if len(c.snis) > 0 && q.Scheme == "https" && (q.SNI == "" || !slices.Contains(c.snis, q.SNI)) {
		return false
	}
	return c.matchHost(q) && c.matchPath(q) && c.matchHeaders(q)
}

func (c *rule) matchHost(q *query) bool {
	for i := range c.hosts {
		if c.hosts[i].match(q.host, q.hostPort) {
			return true
		}
	}
	return len(c.hosts) == 0
}

func (c *rule) matchPath(q *query) bool {
	return len(c.paths) == 0 || c.firstPath(q.Path) != nil
}

// firstPath gives the first of the rule's paths that matches, nil if none does.
func (c *rule) firstPath(path string) *pathPattern {
	for i := range c.paths {
		if c.paths[i].match(path) {
			return &c.paths[i]
		}
	}
	return nil
}

// matchedPath is firstPath for a rule that is known to match, which spares the only path a second look.
func (c *rule) matchedPath(path string) *pathPattern {
	if len(c.paths) == 1 {
		return &c.paths[0]
	}
	return c.firstPath(path)
}

func (c *rule) matchHeaders(q *query) bool {
	for i := range c.headers {
		h := &c.headers[i]
		if _, _, ok := h.match(h.name.values(q.Header)); !ok {
			return false
		}
	}
	return true
}
