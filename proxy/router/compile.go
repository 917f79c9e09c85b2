package router

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"sidekong/configs/entity"
)

// Compile builds a router. Routes of services that are not enabled and routes for streams are left out, and so are
// routes that ask for nothing at all, which Kong's engine refuses. An error tells of every expression that cannot be
// compiled: the route, the field and the construct.
//
// Kong: kong/router/init.lua, kong/router/compat.lua, kong/runloop/handler.lua build_router
func Compile(entries []Entry) (*Router, error) {
	r := &Router{}
	var rules []*rule
	var errs []error
	for i := range entries {
		entry := entries[i]
		if isStream(entry.Route) || entry.Service != nil && !entry.Service.Enabled {
			continue
		}
		of, err := newRules(&entry)
		if err != nil {
			errs = append(errs, fmt.Errorf("compile route %s: %w", label(entry.Route), err))
		}
		rules = append(rules, of...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	slices.SortFunc(rules, func(a, b *rule) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(b.id, a.id))
	})
	for i, rule := range rules {
		rule.rank = i
		r.usesHost = r.usesHost || len(rule.hosts) > 0
		r.usesPath = r.usesPath || len(rule.paths) > 0
		r.usesSNI = r.usesSNI || len(rule.snis) > 0
		for _, h := range rule.headers {
			r.headers.add(h.name)
		}
	}
	r.hosts = newHostIndex(rules)
	return r, nil
}

// isStream reports whether a route is for connections rather than HTTP requests.
func isStream(route *entity.Route) bool {
	if len(route.Protocols) == 0 {
		return false
	}
	switch route.Protocols[0] {
	case "tcp", "udp", "tls", "tls_passthrough":
		return true
	}
	return false
}

func label(route *entity.Route) string {
	if route.Name != "" {
		return route.Name
	}
	return route.ID
}
