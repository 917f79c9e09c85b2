package proxy

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/router"
)

// Explanation is what would become of a request.
type Explanation struct {
	Refused  string            `json:"refused,omitempty"` // the answer that it would get without being forwarded
	Route    *entity.Route     `json:"route,omitempty"`   // nil: none matches
	Service  *entity.Service   `json:"service,omitempty"`
	Path     string            `json:"path,omitempty"` // of the route, that matched
	Captures map[string]string `json:"captures,omitempty"`
	// Others are routes that were not chosen, the likeliest first, each with the reason; at most 10.
	Others []NotChosen `json:"others,omitempty"`

	UpstreamURL  string   `json:"upstream_url,omitempty"` // with the name that would be resolved, or the upstream's
	UpstreamHost string   `json:"upstream_host,omitempty"`
	Targets      []string `json:"targets,omitempty"` // where the name is that of an upstream: target and health

	Plugins  []AppliedPlugin `json:"plugins"`
	TraceIn  [][2]string     `json:"trace_in,omitempty"`
	TraceOut [][2]string     `json:"trace_out,omitempty"`
	Sampling string          `json:"sampling,omitempty"`

	// Faults are those of what the request needs, and those of routes: it may be one of these that was meant.
	Faults Faults `json:"faults,omitempty"`
}

// NotChosen is a route that did not win.
type NotChosen struct {
	Route string `json:"route"` // its name, else its id
	Why   string `json:"why"`
}

// AppliedPlugin is a plugin that would run.
type AppliedPlugin struct {
	Name  string `json:"name"`
	ID    string `json:"id"`
	Scope string `json:"scope"` // global, or the kinds that it is for, as "route" or "route, consumer"
}

// Explain says what would become of a request, without sending it. Of the plugins only those that can tell without
// doing anything are asked (plugin.Explainer). consumer is the id of who would be found to ask; "": nobody. The request's
// header is changed.
func (g *Gateway) Explain(r *http.Request, consumer string) Explanation {
	rt := g.acquire()
	defer rt.release()
	x := newExchange(g)
	x.start(discardWriter{}, r, rt, time.Now())
	defer x.trace.Release()
	notes := &plugin.Notes{}
	x.ctx.Notes = notes
	e := Explanation{Plugins: []AppliedPlugin{}}
	if status := router.Refuse(r.Method, r.RequestURI, r.Host, r.ProtoAtLeast(1, 1)); status != 0 {
		e.Refused = fmt.Sprintf("%d: not a request that can be served", status)
		return e
	}
	var ok bool
	if x.path, _, _, ok = router.Normalize(x.target); !ok {
		e.Refused = "400: not a request that can be served"
		return e
	}
	request := x.routed()
	match, ok := rt.router.Match(&request)
	chain := rt.global
	switch {
	case ok:
		x.match, x.place = match, rt.places[match.Route]
		x.ctx.Route, x.ctx.Service = match.Route, match.Service
		e.Route, e.Service, e.Path, e.Captures = match.Route, match.Service, match.Path, match.Captures
		chain = x.place.chain
		if answer, has := match.Answer(&request, x.forwardedProto(), x.forwardedHost()); has && rt.forward == nil {
			e.Refused = fmt.Sprintf("%d %s", answer.Status, answer.Message)
		}
	case rt.forward != nil:
		x.place = rt.forward
		chain = x.place.chain
	default:
		e.Refused = "404 " + msgNoRoute
	}
	e.Others = notChosen(rt, &request, match.Route)
	for _, p := range chain.Plugins(consumer) {
		e.Plugins = append(e.Plugins, AppliedPlugin{Name: p.Name, ID: p.ID, Scope: scopeName(p)})
	}
	if x.place != nil && e.Refused == "" {
		x.explainUpstream(&e)
	}
	x.reserve()
	chain.Explain(&x.ctx)
	e.TraceIn, e.TraceOut, e.Sampling = notes.TraceIn, notes.TraceOut, notes.Sampling
	e.Faults = x.faultsMet(chain.Plugins(consumer))
	return e
}

// faultsMet are the faults that have to do with the request.
func (x *exchange) faultsMet(plugins []*entity.Plugin) Faults {
	needed := map[string]bool{}
	for _, p := range plugins {
		needed[p.ID] = true
	}
	if x.place != nil && x.place.upstream != nil {
		service := x.place.upstream.service
		needed[service.ID] = true
		if r := x.rt.balancers[service.Host]; r != nil {
			needed[r.upstream.ID] = true
			for _, t := range r.targets {
				needed[t.ID] = true
			}
		}
	}
	var met Faults
	for _, f := range x.rt.faults {
		if f.Type == "route" || needed[f.ID] {
			met = append(met, f)
		}
	}
	return met
}

func scopeName(p *entity.Plugin) string {
	s := configs.ScopeOf(p)
	var kinds []string
	for _, k := range []struct{ name, id string }{{"route", s.Route}, {"service", s.Service}, {"consumer", s.Consumer}} {
		if k.id != "" {
			kinds = append(kinds, k.name)
		}
	}
	if kinds == nil {
		return "global"
	}
	return strings.Join(kinds, ", ")
}

func (x *exchange) explainUpstream(e *Explanation) {
	up := x.place.upstream
	if up == nil {
		e.Refused = "503 " + msgNoService
		return
	}
	path, host := x.target, x.r.Host
	if x.rt.forward == nil {
		path, host = x.match.UpstreamPath(), x.match.UpstreamHost(x.r.Host)
		if mark := strings.IndexByte(x.target, '?'); mark >= 0 {
			path += x.target[mark:]
		}
	}
	e.UpstreamURL = fmt.Sprintf("%s://%s:%d%s", up.scheme, up.service.Host, up.service.Port, path)
	e.UpstreamHost = host
	if up.balancer != nil {
		for _, t := range up.balancer.Health() {
			e.Targets = append(e.Targets, fmt.Sprintf("%s weight %d %s", t.Target.Target, t.Target.Weight, t.Health))
		}
	}
}

// maxOthers bounds the routes that an explanation names, and looks at when many are configured.
const maxOthers = 10

// notChosen says of other routes why they were not chosen: which of their conditions the request does not meet.
func notChosen(rt *runtime, request *router.Request, chosen *entity.Route) []NotChosen {
	type candidate struct {
		NotChosen
		unmet int
	}
	var all []candidate
	for route := range rt.places {
		if route == chosen {
			continue
		}
		unmet := unmetConditions(route, request)
		why := "it matches too, but the chosen one comes first (more or more specific conditions, regex_priority, age)"
		if len(unmet) > 0 {
			why = "the request does not meet its " + strings.Join(unmet, ", ")
		}
		name := route.Name
		if name == "" {
			name = route.ID
		}
		all = append(all, candidate{NotChosen{name, why}, len(unmet)})
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.unmet != b.unmet {
			return a.unmet - b.unmet
		}
		return strings.Compare(a.Route, b.Route)
	})
	var others []NotChosen
	for _, c := range all[:min(len(all), maxOthers)] {
		others = append(others, c.NotChosen)
	}
	return others
}

// unmetConditions are the names of a route's fields that keep it from matching.
func unmetConditions(route *entity.Route, request *router.Request) []string {
	conditions := []struct {
		name string
		only func(r *entity.Route)
	}{
		{"protocols", func(*entity.Route) {}},
		{"methods", func(r *entity.Route) { r.Methods = route.Methods }},
		{"hosts", func(r *entity.Route) { r.Hosts = route.Hosts }},
		{"paths", func(r *entity.Route) { r.Paths = route.Paths }},
		{"headers", func(r *entity.Route) { r.Headers = route.Headers }},
		{"snis", func(r *entity.Route) { r.SNIs = route.SNIs }},
	}
	var unmet []string
	for _, c := range conditions {
		// A route with one condition alone, beside a path that everything has.
		alone := &entity.Route{Meta: route.Meta, Protocols: route.Protocols, Paths: []string{"/"}, PathHandling: route.PathHandling}
		c.only(alone)
		compiled, _ := router.Compile([]router.Entry{{Route: alone}}, nil) // what it could not, it could not with the others
		if _, ok := compiled.Match(request); !ok {
			unmet = append(unmet, c.name)
		}
	}
	return unmet
}

// routed is the request as the router sees it.
func (x *exchange) routed() router.Request {
	request := router.Request{
		Method: cmp.Or(x.ctx.Outgoing.Method, x.r.Method), Scheme: x.ctx.Scheme, Host: x.r.Host, Target: x.target, Path: x.path, Header: x.r.Header,
		Port: x.peer.local, HTTP2: x.r.ProtoMajor == 2,
	}
	if x.r.TLS != nil {
		request.SNI = x.r.TLS.ServerName
	}
	return request
}

// discardWriter takes the answer of a request that is only explained.
type discardWriter struct{}

func (discardWriter) Header() http.Header         { return http.Header{} }
func (discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (discardWriter) WriteHeader(int)             {}
