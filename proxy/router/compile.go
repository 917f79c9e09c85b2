package router

import (
	"cmp"
	"slices"

	"sidekong/configs/entity"
)

// Compile builds a router. Routes of services that are not enabled and routes for streams are left out, and so are
// routes that ask for nothing at all, which Kong's engine refuses. Routes with an expression that cannot be compiled are
// left out too and returned, each with the field and the construct that is at fault; nil: there are none. pause is called
// for every route and again for every rule: it may take a rest, in which requests are served.
//
// Kong: kong/router/init.lua, kong/router/compat.lua, kong/runloop/handler.lua build_router
func Compile(entries []Entry, pause func()) (r *Router, faulty map[*entity.Route]error) {
	if pause == nil {
		pause = func() {}
	}
	r = &Router{}
	var rules []*rule
	for i := range entries {
		pause()
		entry := entries[i]
		if isStream(entry.Route) || entry.Service != nil && !entry.Service.Enabled {
			continue
		}
		of, err := newRules(&entry)
		if err != nil {
			if faulty == nil {
				faulty = map[*entity.Route]error{}
			}
			faulty[entry.Route] = err
		}
		rules = append(rules, of...)
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
	r.hosts = newHostIndex(rules, pause)
	return r, faulty
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
