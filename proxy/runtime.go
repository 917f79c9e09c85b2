package proxy

import (
	"crypto/tls"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/router"
)

// runtime is a compiled snapshot. It is read-only but for the count of its users; when the last has gone, it closes.
type runtime struct {
	router    *router.Router
	plan      *plugin.Plan
	directory plugin.Directory
	global    *plugin.Chain // for requests without a route
	rewrites  bool
	lingers   bool // the log phase may take long
	sizes     bool // somebody looks at how many bytes a request and its answer have
	places    map[*entity.Route]*place
	snapshot  *configs.Snapshot
	opened    sync.Mutex // guards encrypted and detours once requests come
	encrypted []*stock   // what has connections of its own to close
	detours   map[detour]*upstream
	balancers map[string]*running // by the upstream's name
	forward   *place              // where everything goes; nil: where its route leads
	// certificates are what TLS listeners show, by the name of the SNI; none: what is stored cannot be shown.
	certificates map[string][]*tls.Certificate
	secrets      *plugin.Secrets // what is not recorded
	faults       Faults          // what cannot be served
	users        atomic.Int64
	closed       atomic.Bool
	onClose      func(error)
}

// place is what a route leads to.
type place struct {
	chain    *plugin.Chain
	upstream *upstream // nil: the route has no service
	counters *counters
}

// compile makes the runtime of a snapshot. Nothing of it is in use before Apply swaps it in. What cannot be served is
// made so that it fails by itself, and is one of the faults; whether these keep the rest from being served is decided
// here alone.
func (g *Gateway) compile(snapshot *configs.Snapshot) (*runtime, error) {
	rt := &runtime{
		snapshot: snapshot,
		places:   map[*entity.Route]*place{},
		onClose: func(err error) {
			g.options.Logger.Error("close configuration", "error", err)
		},
	}
	rt.users.Store(1) // the gateway's own
	entries := make([]router.Entry, 0, len(snapshot.ActiveRoutes))
	for _, route := range snapshot.ActiveRoutes {
		entry := router.Entry{Route: route}
		if route.Service != nil {
			entry.Service, _ = snapshot.Service(route.Service.ID)
		}
		entries = append(entries, entry)
	}
	var leftOut map[*entity.Route]error
	rt.router, leftOut = router.Compile(entries, g.options.Pause)
	entries = slices.DeleteFunc(entries, func(entry router.Entry) bool {
		err := leftOut[entry.Route]
		if err != nil {
			rt.faults.add("route", entry.Route.ID, entry.Route.Name, err)
		}
		return err != nil
	})
	rt.balancers = g.balancers(snapshot, &rt.faults)
	rt.certificates = certificates(snapshot, &rt.faults)
	upstreams := map[*entity.Service]*upstream{}
	for _, service := range snapshot.Services {
		up, err := g.upstream(rt, snapshot, service)
		if err != nil {
			rt.faults.add("service", service.ID, service.Name, err)
		}
		upstreams[service] = up
	}
	var forward *upstream
	if service := g.options.Forward; service != nil {
		var err error
		if forward, err = g.upstream(rt, snapshot, service); err != nil {
			return nil, err
		}
	}
	rt.directory = g.directory(snapshot)
	env := plugin.Env{
		Logger: g.options.Logger, Directory: rt.directory,
		HasUpstream: func(name string) bool { _, ok := snapshot.UpstreamNamed(name); return ok },
		Plugins:     snapshot.ActivePlugins, RedactedQuery: g.options.RedactedQuery,
	}
	rt.secrets = plugin.NewSecrets(env)
	var broken map[*entity.Plugin]error
	rt.plan, broken = plugin.NewPlan(g.options.Registry, snapshot.ActivePlugins, env)
	for _, p := range snapshot.ActivePlugins {
		if err := broken[p]; err != nil {
			rt.faults.add("plugin", p.ID, p.Name, err)
		}
	}
	if len(rt.faults) > 0 && !g.options.Isolate {
		return nil, errors.Join(rt.faults, rt.plan.Close())
	}
	rt.global = rt.plan.Chain(nil, nil)
	rt.rewrites = rt.global.Rewrites()
	rt.lingers = rt.plan.Lingers()
	rt.sizes = rt.plan.Sizes() || g.options.Observer != nil
	if forward != nil {
		rt.forward = &place{chain: rt.global, upstream: forward, counters: &g.stats.unmatched}
	}
	for _, entry := range entries {
		g.options.Pause()
		p := &place{
			chain:    rt.plan.Chain(entry.Route, entry.Service),
			upstream: upstreams[entry.Service],
			counters: g.stats.of(entry.Service, entry.Route),
		}
		if forward != nil {
			p.upstream = forward
		}
		rt.places[entry.Route] = p
	}
	return rt, nil
}

func (rt *runtime) release() {
	if rt.users.Add(-1) > 0 || !rt.closed.CompareAndSwap(false, true) {
		return
	}
	if err := rt.plan.Close(); err != nil {
		rt.onClose(err)
	}
	for _, s := range rt.encrypted {
		s.closeIdle()
	}
}

// PluginsOf are the plugins that run for a route, a service and a consumer of these ids, in the order in which they
// run; "" is none.
func (g *Gateway) PluginsOf(route, service, consumer string) []*entity.Plugin {
	rt := g.acquire()
	defer rt.release()
	chain := rt.global
	for r, p := range rt.places {
		if r.ID == route {
			chain = p.chain
		}
	}
	return chain.Plugins(consumer)
}
