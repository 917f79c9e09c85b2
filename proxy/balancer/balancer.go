// Package balancer spreads requests over the targets of an upstream and keeps those that are ill out of it.
//
// A Balancer belongs to one upstream as one configuration describes it. It resolves the targets' names, picks an
// address for each try, learns from what became of the try (passive checks) and probes the targets itself (active
// checks).
package balancer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/dns"
)

// ErrNoHealthyTarget says that no address can be used now; the answer is 503 with this text.
//
// Kong: kong/runloop/balancer/init.lua execute
var ErrNoHealthyTarget = errors.New("failure to get a peer from the ring-balancer")

// Resolver finds the addresses of targets given by name; a *dns.Resolver does.
type Resolver interface {
	Lookup(ctx context.Context, host string) (dns.Records, error)
}

// Options are what an upstream's entity does not say. The zero value is usable.
type Options struct {
	Logger            *slog.Logger     // of changes of health and of names; nil: none
	OnChange          func(Change)     // called at each change of health by whoever caused it; must not call SetHealth
	ClientCertificate *tls.Certificate // shown by active checks over TLS
	RootCAs           *x509.CertPool   // what active checks verify with; nil: the system's
}

// Balancer picks addresses for one upstream. It is safe for concurrent use.
type Balancer struct {
	upstream *entity.Upstream
	resolver Resolver
	options  Options
	log      *slog.Logger
	base     time.Time

	hashing         bool
	checked         bool // any health check is on
	passive, active checks

	view     atomic.Pointer[view]
	due      atomic.Int64 // when a name is to be looked up again, a time.Duration since base
	resolved atomic.Bool  // every name has been looked up once

	lookup chan struct{} // held while names are looked up; a channel so that waiting for it ends with a context

	mu      sync.Mutex // guards what targets hold; never held while waiting
	targets []*target

	changes sync.Mutex // one change of health is reported at a time
	sick    bool       // the upstream as a whole, as last reported
}

// view is what Pick looks at: the addresses of this moment. It is replaced, never changed.
type view struct {
	addresses []*address // those with a weight
	algorithm algorithm
}

// algorithm chooses among the addresses it was made for. pick returns nil where none is usable for t.
type algorithm interface {
	pick(t *Tries) *address
}

const never = time.Duration(1<<63 - 1)

// New makes the balancer of up. It starts nothing and sends nothing: names are looked up by the first Pick or by Run.
// Targets that CheckTarget has something against are never picked.
func New(up *entity.Upstream, targets []*entity.Target, r Resolver, o Options) (*Balancer, error) {
	b := &Balancer{
		upstream: up, resolver: r, options: o, log: o.Logger, base: time.Now(),
		checked: checksOn(&up.HealthChecks),
		passive: newChecks(up.HealthChecks.Passive.Healthy, up.HealthChecks.Passive.Unhealthy),
		active:  newChecks(up.HealthChecks.Active.Healthy, up.HealthChecks.Active.Unhealthy),
		hashing: up.Algorithm == "consistent-hashing",
		lookup:  make(chan struct{}, 1),
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if !knownAlgorithm(up.Algorithm) {
		return nil, fmt.Errorf("unknown algorithm %q", up.Algorithm)
	}
	for _, e := range targets {
		b.targets = append(b.targets, newTarget(up, e))
	}
	b.rebuild()
	return b, nil
}

// Adopt takes over what old knows: the addresses of names, health, connections and latencies. It is called before b
// picks; old goes on serving the requests that it began, and what it learns from them reaches b. Old's Run should have
// ended before that of b begins.
//
// Kong: kong/runloop/balancer/balancers.lua create_balancer, CLEAR_HEALTH_STATUS_DELAY
func (b *Balancer) Adopt(old *Balancer) {
	old.mu.Lock()
	known := make(map[string]target, len(old.targets))
	for _, t := range old.targets {
		known[t.entity.Target] = *t
	}
	old.mu.Unlock()

	b.mu.Lock()
	defer b.mu.Unlock()
	b.base = old.base // times in what is taken over are since then
	for _, t := range b.targets {
		was, ok := known[t.entity.Target]
		if !ok {
			continue
		}
		if !t.literal() && was.records != nil {
			t.records, t.source, t.due = was.records, was.source, was.due
		}
		if b.checked != old.checked {
			was.addresses = nil // health of another kind, or of none
		}
		t.build(b.upstream, was.addresses)
	}
	b.rebuild()
	b.sick = b.checked && !b.Healthy()
}

// rebuild makes the view anew. The caller holds mu, or is alone.
func (b *Balancer) rebuild() {
	v := &view{}
	due, resolved := never, true
	for _, t := range b.targets {
		due = min(due, t.due)
		resolved = resolved && (t.literal() || t.records != nil || t.err != nil)
		if t.entity.Weight > 0 {
			v.addresses = append(v.addresses, t.addresses...)
		}
	}
	v.algorithm = newAlgorithm(b.upstream, v.addresses, b.now())
	b.view.Store(v)
	b.due.Store(int64(due))
	b.resolved.Store(resolved)
}

func knownAlgorithm(name string) bool {
	switch name {
	case "round-robin", "least-connections", "consistent-hashing", "latency":
		return true
	}
	return false
}

func newAlgorithm(up *entity.Upstream, addresses []*address, now time.Duration) algorithm {
	switch up.Algorithm {
	case "least-connections":
		return newLeastConnections(addresses)
	case "consistent-hashing":
		return newConsistentHashing(addresses, up.Slots)
	case "latency":
		return newLatency(addresses, now)
	}
	return newRoundRobin(addresses)
}

// Pick is the address chosen for one try. Each Pick is followed by one Report.
type Pick struct {
	IP   netip.Addr
	Port int

	// Hostname is for the Host header and the TLS server name: the upstream's host_header, else the name of the target
	// (or of its SRV record where use_srv_name says so), else its address. It has no port.
	Hostname string

	Target *entity.Target

	address *address
}

// Text is IP as text.
func (p *Pick) Text() string { return p.address.text }

// Endpoint is IP and port, for dialing.
func (p *Pick) Endpoint() string { return p.address.endpoint }

// Authority is Hostname with the port.
func (p *Pick) Authority() string { return p.address.authority }

// Domain is the name, or address, of the target as it is configured, without its port.
func (p *Pick) Domain() string { return p.address.target.host }

// Hashing reports whether Pick looks at the request.
func (b *Balancer) Hashing() bool { return b.hashing }

// Pick chooses the address for the next try of the request that t stands for: another than those already tried where
// there is one. req is looked at by consistent hashing alone and may be nil otherwise. The error is ErrNoHealthyTarget
// or ctx's. ctx bounds the look-up of names, which only the first request has to wait for.
func (b *Balancer) Pick(ctx context.Context, req *Request, t *Tries) (Pick, error) {
	if err := b.freshen(ctx); err != nil {
		return Pick{}, err
	}
	v := b.view.Load()
	if limit := b.upstream.HealthChecks.Threshold; limit > 0 && !v.healthy(limit) {
		return Pick{}, ErrNoHealthyTarget
	}
	if b.hashing && !t.looked {
		t.look(b.upstream, req)
	}
	a := v.algorithm.pick(t)
	if a == nil && t.n > 0 {
		t.n = 0 // all have been tried: begin again
		a = v.algorithm.pick(t)
	}
	if a == nil {
		return Pick{}, ErrNoHealthyTarget
	}
	t.add(a)
	a.inflight.Add(1)
	return Pick{IP: a.ip, Port: a.port, Hostname: a.hostname, Target: a.target.entity, address: a}, nil
}

// Failure says how a try ended without an answer.
type Failure uint8

// The ways a try can fail.
const (
	Answered Failure = iota // it did not: there was an answer
	Broken                  // no connection, or one that broke
	TimedOut
	Abandoned // by the client: says nothing of the target
)

// Outcome is what became of a try.
type Outcome struct {
	Failure Failure
	Status  int           // of the answer; 0: it was no HTTP
	Latency time.Duration // connecting, sending and reading the answer; 0: not measured
}

// Report ends the try that p was picked for. A 504 counts as a time-out.
//
// Kong: kong/runloop/handler.lua balancer.after, log.after
func (b *Balancer) Report(p Pick, o Outcome) {
	a := p.address
	if a == nil {
		return
	}
	a.inflight.Add(-1)
	if o.Latency > 0 && o.Failure != Abandoned && b.upstream.Algorithm == "latency" {
		a.latency.observe(o.Latency, b.now(), o.Failure == Answered)
	}
	if !b.checked {
		return
	}
	c := b.passive.status(o.Status)
	switch {
	case o.Failure == Abandoned:
		return
	case o.Failure == Broken:
		c = tcpFailure
	case o.Failure == TimedOut || o.Status == 504:
		c = timeout
	}
	b.count(a, c, &b.passive, "passive")
}

func (b *Balancer) now() time.Duration { return time.Since(b.base) }
