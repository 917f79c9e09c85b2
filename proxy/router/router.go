// Package router decides which route serves a request, as Kong's traditional_compatible router does.
//
// Compile turns routes into rules with one static order: the rule with the highest priority number wins, and among
// equals the one with the highest id. Match finds the first rule in that order whose conditions all hold. It does not
// walk the list: an index over hosts and path prefixes names the few rules that can match, and each of them is then
// checked in full, so the index decides about speed alone and never about the answer.
//
// The package also does what surrounds routing in Kong: Refuse is what nginx turns away before it, Normalize gives the
// path that is matched on, and a Match knows the path and the Host header to send upstream.
package router

import (
	"net/http"

	"sidekong/configs/entity"
)

// Entry is a route with its service. A nil Service means that the route has none.
type Entry struct {
	Route   *entity.Route
	Service *entity.Service
}

// Request is what matching looks at.
type Request struct {
	Method string
	Scheme string      // http or https: how the request arrived here
	Host   string      // the Host header as sent, "" when there was none
	Target string      // the request target in origin form (see OriginForm), otherwise as sent
	Path   string      // the normalised path (see Normalize)
	Header http.Header // without Host; keys in canonical form
	SNI    string      // "" when there was none
	Port   int         // of the listener
	HTTP2  bool
}

// Router is a compiled set of routes. It is read-only: any number of goroutines may use it at once.
type Router struct {
	hosts   hostIndex
	headers headerSet // every header that some rule looks at

	// Kong hands its engine only the fields that some rule uses, and a field that is not valid UTF-8 then makes
	// the whole look-up fail.
	usesHost, usesPath, usesSNI bool
}

// Len gives the number of rules. A route with paths of several kinds makes several rules.
func (r *Router) Len() int { return r.hosts.size }
