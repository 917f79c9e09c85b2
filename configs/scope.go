package configs

import "sidekong/configs/entity"

// Scope says which requests a plugin instance applies to: those of a consumer, a route and a service, "" being any.
type Scope struct {
	Consumer string // ids
	Route    string
	Service  string
}

// ScopeOf is the scope of a plugin instance.
func ScopeOf(p *entity.Plugin) Scope {
	id := func(ref *entity.Ref) string {
		if ref == nil {
			return ""
		}
		return ref.ID
	}
	return Scope{Consumer: id(p.Consumer), Route: id(p.Route), Service: id(p.Service)}
}

// Rank orders scopes: 0 is the most specific, 7 the global one. Of several instances of one plugin that apply to a
// request, the one with the lowest rank runs.
//
// Kong: kong/runloop/plugins_iterator.lua load_configuration_through_combos
func (s Scope) Rank() int {
	consumer, route, service := s.Consumer != "", s.Route != "", s.Service != ""
	switch {
	case consumer && route && service:
		return 0
	case consumer && route:
		return 1
	case consumer && service:
		return 2
	case route && service:
		return 3
	case consumer:
		return 4
	case route:
		return 5
	case service:
		return 6
	}
	return 7
}

// Covers says whether a request with this route, service and consumer is in the scope.
func (s Scope) Covers(request Scope) bool {
	return (s.Consumer == "" || s.Consumer == request.Consumer) &&
		(s.Route == "" || s.Route == request.Route) &&
		(s.Service == "" || s.Service == request.Service)
}
