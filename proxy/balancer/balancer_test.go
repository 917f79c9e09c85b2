package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/proxy/dns"
)

// names is a Resolver whose answers can be changed.
type names struct {
	mu    sync.Mutex
	known map[string]dns.Records
	asked map[string]int
	hook  func(ctx context.Context) // before each answer
}

var errNoName = errors.New("dns server error: 3 name error")

func (n *names) set(host string, ttl time.Duration, records ...dns.Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known, n.asked = map[string]dns.Records{}, map[string]int{}
	}
	if len(records) == 0 {
		delete(n.known, host)
		return
	}
	qtype := "A"
	if records[0].Weight > 0 {
		qtype = "SRV"
	}
	n.known[host] = dns.Records{List: records, Type: qtype, TTL: ttl}
}

// count returns how often host was looked up.
func (n *names) count(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[host]
}

func (n *names) Lookup(ctx context.Context, host string) (dns.Records, error) {
	if n.hook != nil {
		n.hook(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asked != nil {
		n.asked[host]++
	}
	if r, ok := n.known[host]; ok {
		return r, ctx.Err()
	}
	return dns.Records{}, errNoName
}

func a(ip string) dns.Record { return dns.Record{IP: netip.MustParseAddr(ip), Shares: 1} }

func srv(ip string, port, weight, shares int) dns.Record {
	return dns.Record{IP: netip.MustParseAddr(ip), Port: port, Weight: weight, Shares: shares, Name: "srv.test"}
}

// upstream is an upstream with no checks.
func upstream(algorithm string) *entity.Upstream {
	return &entity.Upstream{Name: "up", Algorithm: algorithm, HashOn: "none", HashFallback: "none", Slots: 10000}
}

// withChecks has passive checks: 2 HTTP, 3 TCP failures, 1 time-out; 2 successes bring it back.
func withChecks(up *entity.Upstream) *entity.Upstream {
	up.HealthChecks.Passive = entity.PassiveCheck{
		Healthy:   entity.HealthyRule{HTTPStatuses: []int{200, 302}, Successes: 2},
		Unhealthy: entity.UnhealthyRule{HTTPStatuses: []int{500, 503}, HTTPFailures: 2, TCPFailures: 3, Timeouts: 1},
	}
	return up
}

// targets reads "host:port" or "host:port weight", the weight being 100 otherwise.
func targets(specs ...string) []*entity.Target {
	var all []*entity.Target
	for _, s := range specs {
		t := &entity.Target{Weight: 100}
		fmt.Sscan(s, &t.Target, &t.Weight)
		all = append(all, t)
	}
	return all
}

func newBalancer(t testing.TB, up *entity.Upstream, r Resolver, specs ...string) *Balancer {
	t.Helper()
	b, err := New(up, targets(specs...), r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// try picks, reports the outcome and returns where it went, or the error.
func try(t testing.TB, b *Balancer, o Outcome) string {
	t.Helper()
	p, err := b.Pick(t.Context(), nil, new(Tries))
	if err != nil {
		return err.Error()
	}
	b.Report(p, o)
	return where(p)
}

func where(p Pick) string { return netip.AddrPortFrom(p.IP, uint16(p.Port)).String() }

// spread counts where n requests go.
func spread(t testing.TB, b *Balancer, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		got[try(t, b, Outcome{Status: 200})]++
	}
	return got
}

func algorithms() []string {
	return []string{"round-robin", "least-connections", "consistent-hashing", "latency"}
}

func TestNewRefuses(t *testing.T) {
	_, err := New(upstream("dice"), targets("10.0.0.1:80"), &names{}, Options{})
	if want := `unknown algorithm "dice"`; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

// TestCheckTarget: what CheckTarget has something against is never picked nor looked up, and its health says why.
func TestCheckTarget(t *testing.T) {
	tests := []struct{ name, target, want string }{
		{"address", "10.0.0.1:80", ""},
		{"name", "up.test:65535", ""},
		{"no port", "10.0.0.1", "target is not host:port"},
		{"port 0", "10.0.0.1:0", "port is not between 1 and 65535"},
		{"port 0 of a name", "up.test:0", "port is not between 1 and 65535"},
		{"port too large", "10.0.0.1:65536", "port is not between 1 and 65535"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, of := "", targets(tt.target)[0]
			if err := CheckTarget(of); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			if tt.want == "" {
				return
			}
			for _, algorithm := range algorithms() {
				resolver := &names{asked: map[string]int{}, known: map[string]dns.Records{"up.test": {List: []dns.Record{a("10.0.0.9")}}}}
				old := newBalancer(t, upstream(algorithm), resolver, "10.0.0.1:80", tt.target)
				b := newBalancer(t, upstream(algorithm), resolver, "10.0.0.1:80", tt.target)
				b.Adopt(old)
				if diff := cmp.Diff(map[string]int{"10.0.0.1:80": 20}, spread(t, b, 20)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", algorithm, diff)
				}
				health := b.Health()[1]
				if health.Health != DNSError || health.DNS != tt.want || len(health.Addresses) > 0 {
					t.Errorf("%s: got health %+v, want %s, %s", algorithm, health, DNSError, tt.want)
				}
				if len(resolver.asked) > 0 {
					t.Errorf("%s: looked up %v, want nothing", algorithm, resolver.asked)
				}
			}
		})
	}
}

func TestNobodyToPick(t *testing.T) {
	for _, algorithm := range algorithms() {
		for name, specs := range map[string][]string{
			"no targets": nil, "weight 0": {"10.0.0.1:80 0"}, "name does not resolve": {"gone.test:80"},
		} {
			t.Run(algorithm+", "+name, func(t *testing.T) {
				b := newBalancer(t, upstream(algorithm), &names{}, specs...)
				if _, err := b.Pick(t.Context(), nil, new(Tries)); !errors.Is(err, ErrNoHealthyTarget) {
					t.Errorf("got error %v, want %v", err, ErrNoHealthyTarget)
				}
			})
		}
	}
	if got, want := ErrNoHealthyTarget.Error(), "failure to get a peer from the ring-balancer"; got != want {
		t.Errorf("got %q, want Kong's %q", got, want)
	}
}

func TestWeightZeroIsOut(t *testing.T) {
	for _, algorithm := range algorithms() {
		b := newBalancer(t, upstream(algorithm), &names{}, "10.0.0.1:80", "10.0.0.2:80 0")
		if diff := cmp.Diff(map[string]int{"10.0.0.1:80": 50}, spread(t, b, 50)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", algorithm, diff)
		}
	}
}

func TestRetriesGoElsewhere(t *testing.T) {
	for _, algorithm := range algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			b := newBalancer(t, upstream(algorithm), &names{}, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
			for range 50 {
				var tries Tries
				seen := map[string]int{}
				for range 3 {
					p, err := b.Pick(t.Context(), nil, &tries)
					if err != nil {
						t.Fatal(err)
					}
					seen[where(p)]++
					b.Report(p, Outcome{Failure: Broken})
				}
				if len(seen) != 3 {
					t.Fatalf("three tries went to %v, want three addresses", seen)
				}
				if _, err := b.Pick(t.Context(), nil, &tries); err != nil {
					t.Fatalf("a fourth try: %v, want an address again", err)
				}
			}
		})
	}
}

func TestManyTries(t *testing.T) {
	b := newBalancer(t, upstream("round-robin"), &names{}, "10.0.0.1:80", "10.0.0.2:80")
	var tries Tries
	for i := range 100 {
		p, err := b.Pick(t.Context(), nil, &tries)
		if err != nil {
			t.Fatalf("try %d: %v", i, err)
		}
		b.Report(p, Outcome{Failure: Broken})
	}
}

func TestHostname(t *testing.T) {
	r := &names{}
	r.set("a.test", time.Minute, a("10.0.0.1"))
	r.set("svc.test", time.Minute, srv("10.0.0.2", 8080, 1, 1))
	tests := []struct {
		name, target string
		change       func(up *entity.Upstream)
		want         string
	}{
		{"address", "10.0.0.9:80", func(*entity.Upstream) {}, "10.0.0.9:80 as 10.0.0.9"},
		{"IPv6 address", "[fd00::1]:80", func(*entity.Upstream) {}, "[fd00::1]:80 as [fd00::1]"},
		{"name", "a.test:80", func(*entity.Upstream) {}, "10.0.0.1:80 as a.test"},
		{"SRV", "svc.test:80", func(*entity.Upstream) {}, "10.0.0.2:8080 as svc.test"},
		{"SRV by its name", "svc.test:80", func(up *entity.Upstream) { up.UseSRVName = true }, "10.0.0.2:8080 as srv.test"},
		{"A with use_srv_name", "a.test:80", func(up *entity.Upstream) { up.UseSRVName = true }, "10.0.0.1:80 as a.test"},
		{"host_header", "a.test:80", func(up *entity.Upstream) { up.HostHeader = "given.test" }, "10.0.0.1:80 as given.test"},
		{"host_header for an address", "10.0.0.9:80", func(up *entity.Upstream) { up.HostHeader = "given.test" }, "10.0.0.9:80 as given.test"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := upstream("round-robin")
			tt.change(up)
			p, err := newBalancer(t, up, r, tt.target).Pick(t.Context(), nil, new(Tries))
			if err != nil {
				t.Fatal(err)
			}
			if got := where(p) + " as " + p.Hostname; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if p.Target.Target != tt.target {
				t.Errorf("got target %s, want %s", p.Target.Target, tt.target)
			}
		})
	}
}

func TestNamesSpreadOverTheirAddresses(t *testing.T) {
	r := &names{}
	r.set("a.test", time.Minute, a("10.0.0.1"), a("10.0.0.2"), a("10.0.0.2"))
	r.set("svc.test", time.Minute, srv("10.0.1.1", 8001, 300, 2), srv("10.0.1.2", 8001, 300, 2), srv("10.0.1.3", 8002, 50, 1))
	b := newBalancer(t, upstream("round-robin"), r, "a.test:80", "svc.test:80", "[fd00::1]:81 50")
	want := map[string]int{
		"10.0.0.1:80": 100, "10.0.0.2:80": 100, "10.0.1.1:8001": 150, "10.0.1.2:8001": 150, "10.0.1.3:8002": 50, "[fd00::1]:81": 50,
	}
	if diff := cmp.Diff(want, spread(t, b, 600)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNamesFollowDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &names{}
		r.set("a.test", 10*time.Second, a("10.0.0.1"))
		up := withChecks(upstream("round-robin"))
		b := newBalancer(t, up, r, "a.test:80")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		synctest.Wait()

		check := func(when, want string) {
			t.Helper()
			if got := try(t, b, Outcome{Status: 200}); got != want {
				t.Errorf("%s: got %s, want %s", when, got, want)
			}
		}
		check("at first", "10.0.0.1:80")
		try(t, b, Outcome{Failure: TimedOut})
		check("after a time-out", ErrNoHealthyTarget.Error())

		r.set("a.test", 10*time.Second, a("10.0.0.2"), a("10.0.0.1"))
		time.Sleep(9 * time.Second)
		check("within the TTL", ErrNoHealthyTarget.Error())
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		for range 4 {
			check("a new address beside an ill one", "10.0.0.2:80")
		}
		r.set("a.test", 0)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		check("name gone", ErrNoHealthyTarget.Error())
		if got := b.Health()[0]; got.Health != DNSError || got.DNS != errNoName.Error() {
			t.Errorf("got %s by %s, want %s by %s", got.Health, got.DNS, DNSError, errNoName)
		}
		r.set("a.test", 0, a("10.0.0.3"))
		time.Sleep(retryName)
		synctest.Wait()
		check("name back", "10.0.0.3:80")

		before := r.count("a.test")
		time.Sleep(time.Minute)
		if n := r.count("a.test") - before; n < 55 || n > 65 {
			t.Errorf("TTL 0: got %d look-ups in a minute, want one a second", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestNamesFollowDNSWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &names{}
		r.set("a.test", 10*time.Second, a("10.0.0.1"))
		b := newBalancer(t, upstream("round-robin"), r, "a.test:80")
		try(t, b, Outcome{Status: 200})
		r.set("a.test", 10*time.Second, a("10.0.0.2"))
		time.Sleep(10*time.Second + grace)
		if got, want := try(t, b, Outcome{Status: 200}), "10.0.0.2:80"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// A client that leaves during the first look-up must not leave a target without addresses behind.
func TestFirstLookupOutlivesItsClient(t *testing.T) {
	r := &names{hook: func(ctx context.Context) {
		if ctx.Value(hurried{}) != nil {
			<-ctx.Done()
		}
	}}
	r.set("a.test", time.Minute, a("10.0.0.1"))
	b := newBalancer(t, upstream("round-robin"), r, "a.test:80")
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), hurried{}, true), 10*time.Millisecond)
	defer cancel()
	if _, err := b.Pick(ctx, nil, new(Tries)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
	if got, want := try(t, b, Outcome{Status: 200}), "10.0.0.1:80"; got != want {
		t.Errorf("the next client: got %s, want %s", got, want)
	}
}

type hurried struct{}

func TestAdopt(t *testing.T) {
	r := &names{}
	r.set("a.test", time.Minute, a("10.0.1.1"))
	specs := []string{"10.0.0.1:80", "10.0.0.2:80", "a.test:80"}
	old := newBalancer(t, withChecks(upstream("least-connections")), r, specs...)
	var held []Pick
	for range 3 {
		p, err := old.Pick(t.Context(), nil, new(Tries))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, p)
	}
	old.SetHealth("10.0.0.2:80", netip.AddrPort{}, false)
	r.set("a.test", 0) // from now on the name fails: the addresses must come from old

	b := newBalancer(t, withChecks(upstream("least-connections")), r, "10.0.0.1:80 50", "10.0.0.2:80", "a.test:80", "10.0.0.3:80")
	b.Adopt(old)
	states := func() map[string]string {
		got := map[string]string{}
		for _, h := range b.Health() {
			got[h.Target.Target] = h.Health
		}
		return got
	}
	want := map[string]string{"10.0.0.1:80": Healthy, "10.0.0.2:80": Unhealthy, "a.test:80": Healthy, "10.0.0.3:80": Healthy}
	if diff := cmp.Diff(want, states()); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if got, want := try(t, b, Outcome{Status: 200}), "10.0.0.3:80"; got != want {
		t.Errorf("least connections: got %s, want %s, the only one without any", got, want)
	}
	for _, p := range held {
		old.Report(p, Outcome{Failure: TimedOut})
	}
	want = map[string]string{"10.0.0.1:80": Unhealthy, "10.0.0.2:80": Unhealthy, "a.test:80": Unhealthy, "10.0.0.3:80": Healthy}
	if diff := cmp.Diff(want, states()); diff != "" {
		t.Errorf("after the old one's requests ended (-want +got):\n%s", diff)
	}
	for _, a := range b.view.Load().addresses {
		if n := a.inflight.Load(); n != 0 {
			t.Errorf("%s: got %d requests under way, want 0", a.addrPort(), n)
		}
	}

	unchecked := newBalancer(t, upstream("round-robin"), r, specs...)
	unchecked.Adopt(b)
	if got := len(spread(t, unchecked, 30)); got != 3 {
		t.Errorf("checks turned off: got %d addresses in use, want 3", got)
	}
}

func TestConcurrentUse(t *testing.T) {
	r := &names{}
	r.set("a.test", time.Minute, a("10.0.1.1"), a("10.0.1.2"))
	for _, algorithm := range algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			up := withChecks(upstream(algorithm))
			up.HashOn = "header"
			up.HashOnHeader = "X-Key"
			b := newBalancer(t, up, r, "10.0.0.1:80", "10.0.0.2:80", "a.test:80")
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { b.Run(ctx) })
			for i := range 4 {
				wg.Go(func() {
					req := &Request{HTTP: httptest.NewRequest("GET", "/", nil)}
					for j := range 300 {
						req.HTTP.Header.Set("X-Key", fmt.Sprint(i, j))
						p, err := b.Pick(ctx, req, new(Tries))
						if err != nil {
							b.SetHealth("a.test:80", netip.AddrPort{}, true)
							continue
						}
						b.Report(p, Outcome{Status: 200 + 300*(j%2), Latency: time.Millisecond})
						b.Health()
					}
				})
			}
			wg.Go(func() {
				for i := range 20 {
					r.set("a.test", 0, a("10.0.1.1"), a(fmt.Sprintf("10.0.1.%d", i+2)))
					b.mu.Lock()
					b.targets[2].due = 0
					b.mu.Unlock()
					b.refresh(ctx)
				}
				newBalancer(t, up, r, "10.0.0.1:80", "a.test:80").Adopt(b)
			})
			time.Sleep(50 * time.Millisecond)
			cancel()
			wg.Wait()
		})
	}
}

func logger(w *strings.Builder) *slog.Logger {
	drop := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: drop}))
}

func BenchmarkPick(b *testing.B) {
	var specs []string
	for i := range 100 {
		specs = append(specs, fmt.Sprintf("10.0.0.%d:80 %d", i, 1+i%3))
	}
	for _, algorithm := range algorithms() {
		b.Run(algorithm, func(b *testing.B) {
			up := withChecks(upstream(algorithm))
			up.HashOn, up.HashOnHeader = "header", "X-Key"
			balancer := newBalancer(b, up, &names{}, specs...)
			balancer.SetHealth("10.0.0.7:80", netip.AddrPort{}, false)
			for _, a := range balancer.view.Load().addresses {
				a.inflight.Add(1) // none is idle, which would be found at once
			}
			req := &Request{HTTP: httptest.NewRequest("GET", "/", nil)}
			req.HTTP.Header.Set("X-Key", "somebody")
			ctx := b.Context()
			tries := new(Tries)
			b.ReportAllocs()
			for b.Loop() {
				*tries = Tries{}
				p, err := balancer.Pick(ctx, req, tries)
				if err != nil {
					b.Fatal(err)
				}
				balancer.Report(p, Outcome{Status: 200, Latency: time.Millisecond})
			}
		})
	}
}
