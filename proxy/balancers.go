package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"sync"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy/balancer"
)

// running is the balancer of one upstream with the goroutine that keeps its names fresh and probes its targets. It
// lives on over a reload that does not change the upstream.
type running struct {
	upstream *entity.Upstream
	targets  []*entity.Target
	shown    *entity.Certificate // to targets by active checks; nil: none of its own
	balancer *balancer.Balancer
	cancel   context.CancelFunc // nil: not started
	done     sync.WaitGroup
}

// balancers gives one for every upstream of a snapshot: that of the current configuration where nothing of it
// changed, else a new one that takes over what the old one knows. Nothing is started yet.
func (g *Gateway) balancers(snapshot *configs.Snapshot, faults *Faults) map[string]*running {
	targets := map[string][]*entity.Target{}
	for _, target := range snapshot.Targets {
		if err := balancer.CheckTarget(target); err != nil {
			faults.add("target", target.ID, target.Target, err)
		}
		targets[target.Upstream.ID] = append(targets[target.Upstream.ID], target)
	}
	current := map[string]*running{} // by id, so that a new name is no new upstream
	if rt := g.current.Load(); rt != nil {
		for _, r := range rt.balancers {
			current[r.upstream.ID] = r
		}
	}
	next := map[string]*running{}
	for _, up := range snapshot.Upstreams {
		old := current[up.ID]
		var shown *entity.Certificate
		pair := g.options.ClientCert
		if up.ClientCertificate != nil {
			shown, _ = snapshot.Certificate(up.ClientCertificate.ID)
			var err error
			if pair, err = keyPair(snapshot, up.ClientCertificate); err != nil {
				faults.add("upstream", up.ID, up.Name, fmt.Errorf("client_certificate: %w", err))
			}
		}
		if old != nil && reflect.DeepEqual(old.upstream, up) && reflect.DeepEqual(old.targets, targets[up.ID]) &&
			reflect.DeepEqual(old.shown, shown) {
			next[up.Name] = old
			continue
		}
		options := balancer.Options{Logger: g.options.Logger, RootCAs: g.options.RootCAs, ClientCertificate: pair}
		b, err := balancer.New(up, targets[up.ID], g.options.Resolver, options)
		if err != nil {
			faults.add("upstream", up.ID, up.Name, err)
			continue
		}
		if old != nil {
			b.Adopt(old.balancer)
		}
		next[up.Name] = &running{upstream: up, targets: targets[up.ID], shown: shown, balancer: b}
	}
	return next
}

// succeed ends the balancers of the old configuration that the new one does not have and starts those that are new.
func succeed(old, next map[string]*running) {
	kept := map[*running]bool{}
	for _, r := range next {
		kept[r] = true
	}
	for _, r := range old {
		if !kept[r] {
			r.stop()
		}
	}
	for _, r := range next {
		r.start()
	}
}

func (r *running) start() {
	if r.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	r.done.Go(func() { _ = r.balancer.Run(ctx) }) // nil: ctx ended
}

func (r *running) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.done.Wait()
}

// UpstreamHealth is how the targets of one upstream do.
type UpstreamHealth struct {
	Upstream *entity.Upstream
	Healthy  bool // as a whole, by its threshold
	Checked  bool // any health check is on
	Targets  []balancer.TargetHealth
}

// Health reports on all upstreams, in no order.
func (g *Gateway) Health() []UpstreamHealth {
	var all []UpstreamHealth
	rt := g.current.Load()
	if rt == nil {
		return nil // closed
	}
	for _, r := range rt.balancers {
		b := r.balancer
		all = append(all, UpstreamHealth{Upstream: r.upstream, Healthy: b.Healthy(), Checked: b.Checked(), Targets: b.Health()})
	}
	return all
}

// SetHealth marks a target of an upstream, or with a valid address that address of it, by hand. It reports whether
// there is such a target with any health check on.
func (g *Gateway) SetHealth(upstreamID, target string, address netip.AddrPort, healthy bool) bool {
	rt := g.current.Load()
	if rt == nil {
		return false // closed
	}
	for _, r := range rt.balancers {
		if r.upstream.ID == upstreamID {
			return r.balancer.SetHealth(target, address, healthy)
		}
	}
	return false
}
