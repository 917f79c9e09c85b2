package balancer

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"sidekong/configs/entity"
)

// The states of a target and of its addresses, as the Admin API and the metrics call them.
const (
	Healthy         = "HEALTHY"
	Unhealthy       = "UNHEALTHY"
	DNSError        = "DNS_ERROR"        // the target's name has no addresses
	HealthchecksOff = "HEALTHCHECKS_OFF" // no check is on, or the target has no weight
)

// Change is an address that became healthy or unhealthy.
type Change struct {
	Upstream, Target string // as configured
	Address          netip.AddrPort
	Healthy          bool
	By               string // passive, active or admin
}

// checksOn reports whether any check can make a target unhealthy.
//
// Kong: kong/runloop/balancer/healthcheckers.lua is_upstream_using_healthcheck
func checksOn(h *entity.HealthChecks) bool {
	p := h.Passive.Unhealthy
	return h.Active.Healthy.Interval > 0 || h.Active.Unhealthy.Interval > 0 ||
		p.TCPFailures > 0 || p.Timeouts > 0 || p.HTTPFailures > 0
}

// counter is what one result of a try or of a probe counts as.
type counter uint8

const (
	ignored counter = iota
	success
	httpFailure
	tcpFailure
	timeout
	counters
)

var counterNames = [counters]string{success: "success", httpFailure: "http failure", tcpFailure: "tcp failure", timeout: "timeout"}

// checks are the rules of one kind of check, passive or active.
type checks struct {
	statuses [1000]counter // what an answer with this status counts as
	limits   [counters]int // how many make the change; 0 turns a counter off
}

func newChecks(h entity.HealthyRule, u entity.UnhealthyRule) checks {
	c := checks{limits: [counters]int{
		success: h.Successes, httpFailure: u.HTTPFailures, tcpFailure: u.TCPFailures, timeout: u.Timeouts,
	}}
	for _, s := range u.HTTPStatuses {
		if s > 0 && s < len(c.statuses) {
			c.statuses[s] = httpFailure
		}
	}
	for _, s := range h.HTTPStatuses {
		if s > 0 && s < len(c.statuses) {
			c.statuses[s] = success
		}
	}
	c.statuses[0] = httpFailure // an answer that is no HTTP
	return c
}

// status says what an answer counts as.
//
// Kong: lua-resty-healthcheck checker:report_http_status
func (c *checks) status(code int) counter {
	if code < 0 || code >= len(c.statuses) {
		return ignored
	}
	return c.statuses[code]
}

// state is where an address stands between health and illness.
type state int32

const (
	wholly state = iota // healthy, nothing counted against it
	mostly              // healthy, with failures counted
	barely              // unhealthy, with successes counted
	gone                // unhealthy
)

// health counts results. Successes in a row wipe out failures, and the other way round; failures of different kinds do
// not.
//
// Kong: lua-resty-healthcheck incr_counter
type health struct {
	state  atomic.Int32 // written under mu
	mu     sync.Mutex
	counts [counters]int
}

// count adds one result and reports whether the address changed between healthy and unhealthy by it.
func (h *health) count(c counter, limit int) (changed bool) {
	if limit == 0 || c == ignored {
		return false
	}
	full := gone
	if c == success {
		full = wholly
	}
	if state(h.state.Load()) == full {
		return false // no need to lock where there is nothing to learn, which is nearly always
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	was := state(h.state.Load())
	if was == full {
		return false
	}
	h.counts[c] = min(h.counts[c]+1, limit)
	if c == success {
		h.counts[httpFailure], h.counts[tcpFailure], h.counts[timeout] = 0, 0, 0
	} else {
		h.counts[success] = 0
	}
	is := was
	switch {
	case h.counts[c] >= limit:
		is = full
	case was == wholly:
		is = mostly
	case was == gone:
		is = barely
	}
	h.state.Store(int32(is))
	return (was <= mostly) != (is <= mostly)
}

// force sets the state and forgets the counts.
func (h *health) force(healthy bool) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was, is := state(h.state.Load()), gone
	if healthy {
		is = wholly
	}
	h.counts = [counters]int{}
	h.state.Store(int32(is))
	return (was <= mostly) != (is <= mostly)
}

// count adds a result to an address and tells of the change that it makes, if any.
func (b *Balancer) count(a *address, c counter, rules *checks, by string) {
	if a.health.count(c, rules.limits[c]) {
		b.settle(a, by, counterNames[c])
	}
}

// settle carries a change of a's health to where Pick sees it, and reports it.
func (b *Balancer) settle(a *address, by, because string) {
	b.changes.Lock()
	defer b.changes.Unlock()
	healthy := state(a.health.state.Load()) <= mostly
	if !a.down.CompareAndSwap(healthy, !healthy) {
		return // it changed back meanwhile
	}

	args := []any{"upstream", b.upstream.Name, "target", a.target.entity.Target, "address", a.addrPort(), "by", by, "after", because}
	if healthy {
		b.log.Info("target is healthy", args...)
	} else {
		b.log.Warn("target is unhealthy", args...)
	}
	if sick := !b.Healthy(); sick != b.sick {
		b.sick = sick
		if sick {
			b.log.Warn("upstream is unhealthy", "upstream", b.upstream.Name)
		} else {
			b.log.Info("upstream is healthy", "upstream", b.upstream.Name)
		}
	}
	if b.options.OnChange != nil {
		b.options.OnChange(Change{
			Upstream: b.upstream.Name, Target: a.target.entity.Target,
			Address: netip.AddrPortFrom(a.ip, uint16(a.port)), Healthy: healthy, By: by,
		})
	}
}

// SetHealth marks a target's address healthy or unhealthy by hand; the zero address stands for all of them. target is
// as configured. It reports whether there is such an address and any check is on, without which there is no health.
//
// Kong: kong/runloop/balancer/init.lua post_health
func (b *Balancer) SetHealth(target string, address netip.AddrPort, healthy bool) bool {
	if !b.checked {
		return false
	}
	found := false
	for _, a := range b.addressesOf(target) {
		if address.IsValid() && address != netip.AddrPortFrom(a.ip, uint16(a.port)) {
			continue
		}
		found = true
		if a.health.force(healthy) {
			b.settle(a, "admin", "request")
		}
	}
	return found
}

func (b *Balancer) addressesOf(target string) []*address {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.targets {
		if t.entity.Target == target {
			return t.addresses
		}
	}
	return nil
}

// Healthy reports whether the upstream as a whole can take requests: its healthy weight is more than threshold percent.
//
// Kong: kong/runloop/balancer/balancers.lua updateStatus
func (b *Balancer) Healthy() bool {
	return b.view.Load().healthy(b.upstream.HealthChecks.Threshold)
}

func (v *view) healthy(threshold float64) bool {
	total, up := 0.0, 0.0
	for _, a := range v.addresses {
		total += a.weight
		if !a.down.Load() {
			up += a.weight
		}
	}
	return total > 0 && up/total*100 > threshold
}

// Checked reports whether any health check is on; without one every state is HEALTHCHECKS_OFF.
func (b *Balancer) Checked() bool { return b.checked }

// TargetHealth is how a target does.
type TargetHealth struct {
	Target    *entity.Target
	Health    string // Healthy where any address is
	DNS       string // the record type its name resolved by, or the error
	Weight    Weight
	Addresses []AddressHealth
}

// Weight is a target's weight over all its addresses.
type Weight struct {
	Total       float64 `json:"total"`
	Available   float64 `json:"available"`
	Unavailable float64 `json:"unavailable"`
}

// AddressHealth is how one address does.
type AddressHealth struct {
	IP     string  `json:"ip"`
	Port   int     `json:"port"`
	Weight float64 `json:"weight"`
	Health string  `json:"health"`
}

// Health reports on all targets, in the order in which they were given.
//
// Kong: kong/runloop/balancer/healthcheckers.lua get_upstream_health; kong/api/routes/upstreams.lua
func (b *Balancer) Health() []TargetHealth {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]TargetHealth, 0, len(b.targets))
	for _, t := range b.targets {
		h := TargetHealth{Target: t.entity, Health: HealthchecksOff, DNS: t.source, Addresses: []AddressHealth{}}
		switch {
		case t.err != nil:
			h.DNS = t.err.Error()
		case t.literal() && t.ip.Is4():
			h.DNS = "A"
		case t.literal():
			h.DNS = "AAAA"
		}
		for _, a := range t.addresses {
			ah := AddressHealth{IP: bracketed(a.ip), Port: a.port, Weight: a.weight, Health: HealthchecksOff}
			down := a.down.Load()
			h.Weight.Total += a.weight
			if down {
				h.Weight.Unavailable += a.weight
			}
			if b.checked && t.entity.Weight > 0 {
				ah.Health = Healthy
				if down {
					ah.Health = Unhealthy
				}
				if h.Health != Healthy {
					h.Health = ah.Health
				}
			}
			h.Addresses = append(h.Addresses, ah)
		}
		h.Weight.Available = h.Weight.Total - h.Weight.Unavailable
		if len(t.addresses) == 0 && (t.err != nil || t.records != nil) {
			h.Health = DNSError
		}
		all = append(all, h)
	}
	return all
}

// Run looks names up as they fall due and makes the active checks, until ctx ends. It returns nil.
func (b *Balancer) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { b.keepNamesFresh(ctx); return nil })
	b.probeForever(ctx, &g)
	return g.Wait()
}
