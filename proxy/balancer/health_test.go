package balancer

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sidekong/configs/entity"
)

func TestPassiveChecks(t *testing.T) {
	ok, found, teapot := Outcome{Status: 200}, Outcome{Status: 302}, Outcome{Status: 418}
	bad, gateway := Outcome{Status: 500}, Outcome{Status: 504}
	broken, late, left := Outcome{Failure: Broken}, Outcome{Failure: TimedOut}, Outcome{Failure: Abandoned}
	tests := []struct {
		name     string
		outcomes []Outcome
		want     string
	}{
		{"nothing", nil, Healthy},
		{"one HTTP failure of two", []Outcome{bad}, Healthy},
		{"HTTP failures", []Outcome{bad, bad}, Unhealthy},
		{"a success wipes failures out", []Outcome{bad, ok, bad}, Healthy},
		{"a status in neither list does not", []Outcome{bad, teapot, bad}, Unhealthy},
		{"TCP failures", []Outcome{broken, broken, broken}, Unhealthy},
		{"kinds of failure are counted apart", []Outcome{broken, bad, broken}, Healthy},
		{"and do not wipe each other out", []Outcome{broken, broken, bad, broken}, Unhealthy},
		{"time-out", []Outcome{late}, Unhealthy},
		{"504 is a time-out", []Outcome{gateway}, Unhealthy},
		{"the client's leaving is neither", []Outcome{bad, left, left, left}, Healthy},
		{"one success of two brings nothing back", []Outcome{late, ok}, Unhealthy},
		{"successes bring it back", []Outcome{late, ok, found}, Healthy},
		{"only successes in a row", []Outcome{late, ok, bad, ok}, Unhealthy},
		{"failures count anew after that", []Outcome{late, ok, ok, bad}, Healthy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBalancer(t, withChecks(upstream("round-robin")), &names{}, "10.0.0.1:80", "10.0.0.2:80 0")
			p, err := b.Pick(t.Context(), nil, new(Tries))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range tt.outcomes {
				p.address.inflight.Add(1)
				b.Report(p, o)
			}
			if got := b.Health()[0].Health; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := b.Health()[1].Health; got != HealthchecksOff {
				t.Errorf("the one without weight: got %s, want %s", got, HealthchecksOff)
			}
		})
	}
}

// A limit of 0 turns a counter off: without successes failures add up for ever, as in Kong.
func TestPassiveLimitsOfZero(t *testing.T) {
	up := withChecks(upstream("round-robin"))
	up.HealthChecks.Passive.Healthy.Successes = 0
	up.HealthChecks.Passive.Unhealthy.Timeouts = 0
	b := newBalancer(t, up, &names{}, "10.0.0.1:80")
	for _, o := range []Outcome{{Status: 500}, {Failure: TimedOut}, {Status: 200}, {Status: 504}} {
		try(t, b, o)
	}
	if got, want := b.Health()[0].Health, Healthy; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	try(t, b, Outcome{Status: 500})
	if got, want := b.Health()[0].Health, Unhealthy; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestChecksOff(t *testing.T) {
	up := upstream("round-robin")
	up.HealthChecks.Passive.Unhealthy.HTTPStatuses = []int{500}
	b := newBalancer(t, up, &names{}, "10.0.0.1:80")
	for range 300 {
		if got, want := try(t, b, Outcome{Status: 500}), "10.0.0.1:80"; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	if got := b.Health()[0].Health; got != HealthchecksOff || b.Checked() {
		t.Errorf("got %s, checked %v, want %s, false", got, b.Checked(), HealthchecksOff)
	}
	if b.SetHealth("10.0.0.1:80", netip.AddrPort{}, false) {
		t.Error("health was set though no check is on")
	}
}

func TestThreshold(t *testing.T) {
	up := withChecks(upstream("round-robin"))
	up.HealthChecks.Threshold = 50
	b := newBalancer(t, up, &names{}, "10.0.0.1:80 60", "10.0.0.2:80 20", "10.0.0.3:80 20")
	steps := []struct {
		target  string
		healthy bool
		want    bool
	}{
		{"10.0.0.2:80", false, true},  // 80 % left
		{"10.0.0.3:80", false, true},  // 60 %
		{"10.0.0.2:80", true, true},   // 80 %
		{"10.0.0.1:80", false, false}, // 20 %
		{"10.0.0.3:80", true, false},  // 40 %
		{"10.0.0.1:80", true, true},
	}
	for i, s := range steps {
		b.SetHealth(s.target, netip.AddrPort{}, s.healthy)
		_, err := b.Pick(t.Context(), nil, new(Tries))
		if got := err == nil; got != s.want || b.Healthy() != s.want {
			t.Errorf("step %d: picks %v, healthy %v, want %v", i, got, b.Healthy(), s.want)
		}
	}
}

// Exactly threshold percent is not enough.
func TestThresholdIsExclusive(t *testing.T) {
	up := withChecks(upstream("round-robin"))
	up.HealthChecks.Threshold = 50
	b := newBalancer(t, up, &names{}, "10.0.0.1:80", "10.0.0.2:80")
	b.SetHealth("10.0.0.1:80", netip.AddrPort{}, false)
	if b.Healthy() {
		t.Error("50 percent of the weight is healthy, which the threshold of 50 should not accept")
	}
}

func TestChangesAreToldOnce(t *testing.T) {
	var text strings.Builder
	var changes []Change
	up := withChecks(upstream("round-robin"))
	b, err := New(up, targets("10.0.0.1:80"), &names{}, Options{Logger: logger(&text), OnChange: func(c Change) { changes = append(changes, c) }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Pick(t.Context(), nil, new(Tries))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Outcome{{Status: 500}, {Status: 500}, {Status: 500}, {Failure: Broken}, {Status: 200}, {Status: 200}, {Status: 200}} {
		p.address.inflight.Add(1)
		b.Report(p, o)
	}
	b.SetHealth("10.0.0.1:80", netip.AddrPort{}, true)
	b.SetHealth("10.0.0.1:80", netip.AddrPort{}, false)
	b.SetHealth("10.0.0.1:80", netip.AddrPort{}, false)

	at := netip.MustParseAddrPort("10.0.0.1:80")
	want := []Change{
		{"up", "10.0.0.1:80", at, false, "passive"},
		{"up", "10.0.0.1:80", at, true, "passive"},
		{"up", "10.0.0.1:80", at, false, "admin"},
	}
	if diff := cmp.Diff(want, changes, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	wantLog := `level=WARN msg="target is unhealthy" upstream=up target=10.0.0.1:80 address=10.0.0.1:80 by=passive after="http failure"
level=WARN msg="upstream is unhealthy" upstream=up
level=INFO msg="target is healthy" upstream=up target=10.0.0.1:80 address=10.0.0.1:80 by=passive after=success
level=INFO msg="upstream is healthy" upstream=up
level=WARN msg="target is unhealthy" upstream=up target=10.0.0.1:80 address=10.0.0.1:80 by=admin after=request
level=WARN msg="upstream is unhealthy" upstream=up
`
	if diff := cmp.Diff(wantLog, text.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestSetHealth(t *testing.T) {
	r := &names{}
	r.set("a.test", time.Minute, a("10.0.0.1"), a("10.0.0.2"))
	b := newBalancer(t, withChecks(upstream("round-robin")), r, "a.test:80", "10.0.0.3:80")
	try(t, b, Outcome{Status: 200})
	one := netip.MustParseAddrPort("10.0.0.2:80")
	tests := []struct {
		name    string
		target  string
		address netip.AddrPort
		healthy bool
		found   bool
		want    int // addresses in use
	}{
		{"one address", "a.test:80", one, false, true, 2},
		{"all addresses", "a.test:80", netip.AddrPort{}, false, true, 1},
		{"back", "a.test:80", netip.AddrPort{}, true, true, 3},
		{"unknown target", "b.test:80", netip.AddrPort{}, false, false, 3},
		{"unknown address", "a.test:80", netip.MustParseAddrPort("10.9.9.9:80"), false, false, 3},
	}
	for _, tt := range tests {
		if got := b.SetHealth(tt.target, tt.address, tt.healthy); got != tt.found {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.found)
		}
		if got := len(spread(t, b, 30)); got != tt.want {
			t.Errorf("%s: got %d addresses in use, want %d", tt.name, got, tt.want)
		}
	}
}

func TestSetHealthForgetsCounts(t *testing.T) {
	b := newBalancer(t, withChecks(upstream("round-robin")), &names{}, "10.0.0.1:80")
	try(t, b, Outcome{Status: 500})
	b.SetHealth("10.0.0.1:80", netip.AddrPort{}, true)
	try(t, b, Outcome{Status: 500})
	if got, want := b.Health()[0].Health, Healthy; got != want {
		t.Errorf("one failure before and one after: got %s, want %s", got, want)
	}
}

func TestHealthReport(t *testing.T) {
	r := &names{}
	r.set("a.test", time.Minute, a("10.0.0.1"), a("10.0.0.2"))
	r.set("svc.test", time.Minute, srv("10.0.1.1", 8001, 5, 2), srv("fd00::1", 8001, 5, 2))
	specs := []string{"a.test:80 30", "svc.test:80", "gone.test:80", "10.0.0.3:80 0"}
	b := newBalancer(t, withChecks(upstream("round-robin")), r, specs...)
	if got := b.Health()[0]; got.Health != HealthchecksOff || len(got.Addresses) != 0 {
		t.Errorf("before the first look-up: got %s with %v, want %s with nothing", got.Health, got.Addresses, HealthchecksOff)
	}
	try(t, b, Outcome{Status: 200})
	b.SetHealth("a.test:80", netip.MustParseAddrPort("10.0.0.2:80"), false)
	want := []TargetHealth{
		{Health: Healthy, DNS: "A", Weight: Weight{60, 30, 30}, Addresses: []AddressHealth{{"10.0.0.1", 80, 30, Healthy}, {"10.0.0.2", 80, 30, Unhealthy}}},
		{Health: Healthy, DNS: "SRV", Weight: Weight{5, 5, 0}, Addresses: []AddressHealth{{"10.0.1.1", 8001, 2.5, Healthy}, {"[fd00::1]", 8001, 2.5, Healthy}}},
		{Health: DNSError, DNS: "dns server error: 3 name error", Addresses: []AddressHealth{}},
		{Health: HealthchecksOff, DNS: "A", Addresses: []AddressHealth{{"10.0.0.3", 80, 0, HealthchecksOff}}},
	}
	if diff := cmp.Diff(want, b.Health(), cmpopts.IgnoreFields(TargetHealth{}, "Target")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestChecksOn(t *testing.T) {
	tests := []struct {
		name string
		h    entity.HealthChecks
		want bool
	}{
		{"none", entity.HealthChecks{}, false},
		{"successes alone make nothing ill", entity.HealthChecks{Passive: entity.PassiveCheck{Healthy: entity.HealthyRule{Successes: 1}}}, false},
		{"active, healthy", entity.HealthChecks{Active: entity.ActiveCheck{Healthy: entity.HealthyRule{Interval: 1}}}, true},
		{"active, unhealthy", entity.HealthChecks{Active: entity.ActiveCheck{Unhealthy: entity.UnhealthyRule{Interval: 1}}}, true},
		{"passive, http", entity.HealthChecks{Passive: entity.PassiveCheck{Unhealthy: entity.UnhealthyRule{HTTPFailures: 1}}}, true},
		{"passive, tcp", entity.HealthChecks{Passive: entity.PassiveCheck{Unhealthy: entity.UnhealthyRule{TCPFailures: 1}}}, true},
		{"passive, time-outs", entity.HealthChecks{Passive: entity.PassiveCheck{Unhealthy: entity.UnhealthyRule{Timeouts: 1}}}, true},
	}
	for _, tt := range tests {
		if got := checksOn(&tt.h); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
