package balancer

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
)

func TestRoundRobinProportions(t *testing.T) {
	tests := []struct {
		name  string
		specs []string
		n     int
		want  map[string]int
	}{
		{"one", []string{"10.0.0.1:80"}, 7, map[string]int{"10.0.0.1:80": 7}},
		{"equal", []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}, 3, map[string]int{"10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1}},
		{"5 to 1 to 1", []string{"10.0.0.1:80 50", "10.0.0.2:80 10", "10.0.0.3:80 10"}, 7, map[string]int{"10.0.0.1:80": 5, "10.0.0.2:80": 1, "10.0.0.3:80": 1}},
		{"coprime", []string{"10.0.0.1:80 7", "10.0.0.2:80 3"}, 20, map[string]int{"10.0.0.1:80": 14, "10.0.0.2:80": 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBalancer(t, upstream("round-robin"), &names{}, tt.specs...)
			for round := range 5 {
				if diff := cmp.Diff(tt.want, spread(t, b, tt.n)); diff != "" {
					t.Errorf("round %d (-want +got):\n%s", round, diff)
				}
			}
		})
	}
}

// Smooth: in any stretch of the sequence each address has had its share, give or take one at each end.
func TestRoundRobinIsSmooth(t *testing.T) {
	weights := []int{50, 20, 20, 10, 7}
	var specs []string
	total := 0
	for i, w := range weights {
		specs = append(specs, fmt.Sprintf("10.0.0.%d:80 %d", i, w))
		total += w
	}
	b := newBalancer(t, upstream("round-robin"), &names{}, specs...)
	counts := map[string]int{}
	for n := 1; n <= 3*total; n++ {
		counts[try(t, b, Outcome{Status: 200})]++
		for i, w := range weights {
			got, want := counts[fmt.Sprintf("10.0.0.%d:80", i)], float64(n*w)/float64(total)
			if math.Abs(float64(got)-want) > 2 {
				t.Fatalf("after %d picks address %d had %d, want %.1f ± 2", n, i, got, want)
			}
		}
	}
}

func TestRoundRobinKeepsProportionsWithoutTheIll(t *testing.T) {
	b := newBalancer(t, withChecks(upstream("round-robin")), &names{}, "10.0.0.1:80 40", "10.0.0.2:80 20", "10.0.0.3:80 40")
	b.SetHealth("10.0.0.3:80", netip.AddrPort{}, false)
	if diff := cmp.Diff(map[string]int{"10.0.0.1:80": 20, "10.0.0.2:80": 10}, spread(t, b, 30)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWheelIsBounded(t *testing.T) {
	var specs []string
	for i := range 50 {
		specs = append(specs, fmt.Sprintf("10.0.0.%d:80 %d", i, 65535-i))
	}
	specs = append(specs, "10.0.1.0:80 1")
	b := newBalancer(t, upstream("round-robin"), &names{}, specs...)
	wheel := b.view.Load().algorithm.(*roundRobin).wheel
	if len(wheel) > maxWheel+len(specs) {
		t.Errorf("got %d places, want about %d", len(wheel), maxWheel)
	}
	for want, specs := range map[int][]string{2: {"10.0.0.1:80 65535", "10.0.0.2:80 65535"}, 5: {"10.0.0.1:80 200", "10.0.0.2:80 300"}} {
		even := newBalancer(t, upstream("round-robin"), &names{}, specs...)
		if got := len(even.view.Load().algorithm.(*roundRobin).wheel); got != want {
			t.Errorf("%v: got %d places, want %d", specs, got, want)
		}
	}
	places := map[*address]int{}
	for _, a := range wheel {
		places[a]++
	}
	for a, n := range places {
		if want := math.Max(a.weight*maxWheel/(50*65535), 1); math.Abs(float64(n)-want) > 2 {
			t.Errorf("weight %v: got %d places, want %.0f", a.weight, n, want)
		}
	}
}

func TestLeastConnections(t *testing.T) {
	b := newBalancer(t, upstream("least-connections"), &names{}, "10.0.0.1:80 20", "10.0.0.2:80 10", "10.0.0.3:80 10")
	held := map[string][]Pick{}
	pick := func() string {
		p, err := b.Pick(t.Context(), nil, new(Tries))
		if err != nil {
			t.Fatal(err)
		}
		held[where(p)] = append(held[where(p)], p)
		return where(p)
	}
	if got, want := pick(), "10.0.0.1:80"; got != want {
		t.Errorf("all idle: got %s, want the heaviest %s", got, want)
	}
	for range 39 {
		pick()
	}
	for addr, want := range map[string]int{"10.0.0.1:80": 20, "10.0.0.2:80": 10, "10.0.0.3:80": 10} {
		if got := len(held[addr]); got < want-1 || got > want+1 {
			t.Errorf("%s holds %d of 40, want %d", addr, got, want)
		}
	}
	for _, p := range held["10.0.0.3:80"] {
		b.Report(p, Outcome{Status: 200})
	}
	for range 5 {
		if got, want := pick(), "10.0.0.3:80"; got != want {
			t.Errorf("after its requests ended: got %s, want %s", got, want)
		}
	}
}

func TestLeastConnectionsIdleTakeTurns(t *testing.T) {
	b := newBalancer(t, upstream("least-connections"), &names{}, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	if diff := cmp.Diff(map[string]int{"10.0.0.1:80": 10, "10.0.0.2:80": 10, "10.0.0.3:80": 10}, spread(t, b, 30)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// owners maps each of n keys to where it goes.
func owners(t *testing.T, b *Balancer, n int) map[int]string {
	t.Helper()
	got := map[int]string{}
	for i := range n {
		tries := &Tries{looked: true, keyed: true, key: hash(fmt.Sprint("key", i))}
		p, err := b.Pick(t.Context(), nil, tries)
		if err != nil {
			t.Fatal(err)
		}
		b.Report(p, Outcome{Status: 200})
		got[i] = where(p)
	}
	return got
}

func TestConsistentHashingMovesLittle(t *testing.T) {
	const keys = 20000
	var specs []string
	for i := range 10 {
		specs = append(specs, fmt.Sprintf("10.0.0.%d:80 %d", i, 100+10*(i%3)))
	}
	up := withChecks(upstream("consistent-hashing"))
	before := owners(t, newBalancer(t, up, &names{}, specs...), keys)

	const comer = "10.0.1.1:80"
	with := newBalancer(t, up, &names{}, append([]string{comer}, specs...)...)
	moved := 0
	for k, now := range owners(t, with, keys) {
		if now == before[k] {
			continue
		}
		moved++
		if now != comer {
			t.Fatalf("key %d moved from %s to %s, neither of them new", k, before[k], now)
		}
	}
	if share := float64(moved) / keys; share > 1.0/10 || share < 0.5/10 {
		t.Errorf("a target came: %.3f of the keys moved, want about 1/11", share)
	}

	without := newBalancer(t, up, &names{}, specs[1:]...)
	ill := newBalancer(t, up, &names{}, specs...)
	ill.SetHealth("10.0.0.0:80", netip.AddrPort{}, false)
	illOwners := owners(t, ill, keys)
	for k, now := range owners(t, without, keys) {
		if before[k] != "10.0.0.0:80" && now != before[k] {
			t.Fatalf("a target went: key %d moved from %s to %s", k, before[k], now)
		}
		if illOwners[k] != now {
			t.Fatalf("key %d: goes to %s while its target is ill, to %s when it is gone", k, illOwners[k], now)
		}
	}
}

func TestConsistentHashingProportions(t *testing.T) {
	up := upstream("consistent-hashing")
	b := newBalancer(t, up, &names{}, "10.0.0.1:80 100", "10.0.0.2:80 200", "10.0.0.3:80 700")
	const keys = 20000
	counts := map[string]int{}
	for _, addr := range owners(t, b, keys) {
		counts[addr]++
	}
	for addr, want := range map[string]float64{"10.0.0.1:80": 0.1, "10.0.0.2:80": 0.2, "10.0.0.3:80": 0.7} {
		if got := float64(counts[addr]) / keys; math.Abs(got-want) > 0.02 {
			t.Errorf("%s: got %.3f of the keys, want %.1f ± 0.02", addr, got, want)
		}
	}
}

// The same key goes to the same place in every process, so the mapping is part of what we promise.
func TestConsistentHashingIsStable(t *testing.T) {
	b := newBalancer(t, upstream("consistent-hashing"), &names{}, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	got := owners(t, b, 8)
	want := map[int]string{
		0: "10.0.0.2:80", 1: "10.0.0.1:80", 2: "10.0.0.1:80", 3: "10.0.0.2:80",
		4: "10.0.0.1:80", 5: "10.0.0.3:80", 6: "10.0.0.2:80", 7: "10.0.0.1:80",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHashInput(t *testing.T) {
	req := func(change func(*Request)) *Request {
		h := httptest.NewRequest("GET", "/a?arg=2&other=x&arg=1&bare&enc=%41", nil)
		h.Header.Add("X-Key", "one")
		h.Header.Add("X-Key", "two")
		h.AddCookie(&http.Cookie{Name: "sid", Value: "biscuit"})
		r := &Request{
			HTTP: h, ClientIP: netip.MustParseAddr("192.0.2.1"), Consumer: "anna", Path: "/a",
			Capture: func(g string) (string, bool) { return "captured", g == "id" },
		}
		if change != nil {
			change(r)
		}
		return r
	}
	anonymous := func(r *Request) { r.Consumer = "" }
	tests := []struct {
		name   string
		up     entity.Upstream
		change func(*Request)
		want   string // "" for no key
	}{
		{"none", entity.Upstream{HashOn: "none"}, nil, ""},
		{"consumer", entity.Upstream{HashOn: "consumer"}, nil, "anna"},
		{"no consumer", entity.Upstream{HashOn: "consumer", HashFallback: "none"}, anonymous, ""},
		{"no consumer, so address", entity.Upstream{HashOn: "consumer", HashFallback: "ip"}, anonymous, "192.0.2.1"},
		{"address", entity.Upstream{HashOn: "ip"}, nil, "192.0.2.1"},
		{"header lines joined", entity.Upstream{HashOn: "header", HashOnHeader: "x-key"}, nil, "one, two"},
		{"Host", entity.Upstream{HashOn: "header", HashOnHeader: "Host"}, nil, "example.com"},
		{"no header, so another", entity.Upstream{HashOn: "header", HashOnHeader: "X-No", HashFallback: "header", HashFallbackHeader: "X-Key"}, nil, "one, two"},
		{"cookie", entity.Upstream{HashOn: "cookie", HashOnCookie: "sid"}, nil, "biscuit"},
		{"path", entity.Upstream{HashOn: "path"}, nil, "/a"},
		{"query arguments sorted", entity.Upstream{HashOn: "query_arg", HashOnQueryArg: "arg"}, nil, "1,2"},
		{"query argument without value", entity.Upstream{HashOn: "query_arg", HashOnQueryArg: "bare"}, nil, "true"},
		{"query argument decoded", entity.Upstream{HashOn: "query_arg", HashOnQueryArg: "enc"}, nil, "A"},
		{"no argument, so another", entity.Upstream{HashOn: "query_arg", HashOnQueryArg: "no", HashFallback: "query_arg", HashFallbackQueryArg: "other"}, nil, "x"},
		{"capture", entity.Upstream{HashOn: "uri_capture", HashOnURICapture: "id"}, nil, "captured"},
		{"no capture, so path", entity.Upstream{HashOn: "uri_capture", HashOnURICapture: "no", HashFallback: "path"}, nil, "/a"},
		{"no captures, so another", entity.Upstream{HashOn: "uri_capture", HashOnURICapture: "no", HashFallback: "uri_capture", HashFallbackURICapture: "id"}, nil, "captured"},
		{"route without expression", entity.Upstream{HashOn: "uri_capture", HashOnURICapture: "id", HashFallback: "ip"}, func(r *Request) { r.Capture = nil }, "192.0.2.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var tries Tries
			tries.look(&tt.up, req(tt.change))
			if tries.keyed != (tt.want != "") || tries.keyed && tries.key != hash(tt.want) {
				t.Errorf("got key %x (%v), want that of %q", tries.key, tries.keyed, tt.want)
			}
			if tries.Cookie != nil {
				t.Errorf("got cookie %v, want none", tries.Cookie)
			}
		})
	}
}

func TestHashCookieIsMade(t *testing.T) {
	up := upstream("consistent-hashing")
	up.HashOn, up.HashOnCookie, up.HashOnCookiePath = "cookie", "sid", "/shop"
	b := newBalancer(t, up, &names{}, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	var tries Tries
	req := &Request{HTTP: httptest.NewRequest("GET", "/", nil)}
	first, err := b.Pick(t.Context(), req, &tries)
	if err != nil {
		t.Fatal(err)
	}
	cookie := tries.Cookie
	if cookie == nil || cookie.Name != "sid" || cookie.Path != "/shop" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || len(cookie.Value) != 36 {
		t.Fatalf("got cookie %v, want sid=UUID; Path=/shop; HttpOnly; SameSite=Lax", cookie)
	}
	if _, err := b.Pick(t.Context(), req, &tries); err != nil || tries.Cookie != cookie {
		t.Errorf("a second try: got %v, %v, want the same cookie", tries.Cookie, err)
	}
	req.HTTP.AddCookie(cookie)
	var again Tries
	second, err := b.Pick(t.Context(), req, &again)
	if err != nil || where(second) != where(first) || again.Cookie != nil {
		t.Errorf("with the cookie: got %s, %v, new cookie %v, want %s and none", where(second), err, again.Cookie, where(first))
	}
	up.HashOnCookiePath = ""
	if got := newCookie(up).Path; got != "/" {
		t.Errorf("got path %q, want /", got)
	}
}

// Requests that hash to nothing take turns.
func TestConsistentHashingWithoutKey(t *testing.T) {
	up := upstream("consistent-hashing")
	up.HashOn, up.HashOnHeader = "header", "X-Key"
	b := newBalancer(t, up, &names{}, "10.0.0.1:80", "10.0.0.2:80")
	got := map[string]int{}
	for range 20 {
		p, err := b.Pick(t.Context(), &Request{HTTP: httptest.NewRequest("GET", "/", nil)}, new(Tries))
		if err != nil {
			t.Fatal(err)
		}
		got[where(p)]++
	}
	if diff := cmp.Diff(map[string]int{"10.0.0.1:80": 10, "10.0.0.2:80": 10}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestQueryValueIsBounded(t *testing.T) {
	query := ""
	for range 1000 {
		query += "x=1&"
	}
	if got, ok := queryValue(query+"late=1", "late"); ok {
		t.Errorf("got %q from beyond the first hundred arguments", got)
	}
}

func TestLatencyPrefersTheFast(t *testing.T) {
	b := newBalancer(t, upstream("latency"), &names{}, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	slow := map[string]time.Duration{"10.0.0.1:80": 100 * time.Millisecond, "10.0.0.2:80": 10 * time.Millisecond, "10.0.0.3:80": 10 * time.Millisecond}
	got := map[string]int{}
	for range 300 {
		p, err := b.Pick(t.Context(), nil, new(Tries))
		if err != nil {
			t.Fatal(err)
		}
		got[where(p)]++
		b.Report(p, Outcome{Status: 200, Latency: slow[where(p)]})
	}
	if got["10.0.0.1:80"] > 10 {
		t.Errorf("the slow target had %d of 300 requests: %v", got["10.0.0.1:80"], got)
	}
}

// Everything drawn equal, requests under way count, and so does weight.
func TestLatencyCost(t *testing.T) {
	b := newBalancer(t, upstream("latency"), &names{}, "10.0.0.1:80 100", "10.0.0.2:80 50")
	l := b.view.Load().algorithm.(*latency)
	for _, a := range l.addresses {
		a.latency.observe(10*time.Millisecond, b.now(), true)
	}
	l.draw = func(int) int { return 0 } // both are looked at in any case
	counts := map[string]int{}
	for range 30 {
		p, err := b.Pick(t.Context(), nil, new(Tries))
		if err != nil {
			t.Fatal(err)
		}
		counts[where(p)]++
	}
	if diff := cmp.Diff(map[string]int{"10.0.0.1:80": 20, "10.0.0.2:80": 10}, counts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEWMA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var e ewma
		check := func(what string, want float64) {
			t.Helper()
			if got, _ := e.value(time.Since(begin)); math.Abs(got-want) > 1e-6 {
				t.Errorf("%s: got %.6f s, want %.6f s", what, got, want)
			}
		}
		observe := func(ms int, answered bool) {
			e.observe(time.Duration(ms)*time.Millisecond, time.Since(begin), answered)
		}
		observe(100, true)
		check("the first", 0.1)
		observe(400, true)
		check("a peak counts at once", 0.4)
		time.Sleep(decayTime)
		check("it fades", 0.4/math.E)
		observe(50, true)
		check("a lower one is weighed by age", 0.4/math.E+0.05*(1-1/math.E))
		observe(1, false)
		check("a quick failure is no praise", 0.4/math.E+0.05*(1-1/math.E))
		observe(900, false)
		check("a slow failure counts", 0.9)
	})
}

func TestLatencyOfNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newBalancer(t, upstream("latency"), &names{}, "10.0.0.1:80", "10.0.0.2:80")
		time.Sleep(time.Minute)
		for _, a := range old.view.Load().addresses {
			a.latency.observe(80*time.Millisecond, old.now(), true)
		}
		b := newBalancer(t, upstream("latency"), &names{}, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
		b.Adopt(old)
		check := func(when string, want float64) {
			t.Helper()
			for _, a := range b.view.Load().addresses {
				if got, known := a.latency.value(b.now()); !known || math.Abs(got-want) > 1e-6 {
					t.Errorf("%s: %s has %.3f s, want %.3f s", when, a.addrPort(), got, want)
				}
			}
		}
		check("a newcomer begins with the mean of the others", 0.08)
		time.Sleep(decayTime)
		check("all fade alike", 0.08/math.E)
	})
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, algorithm := range algorithms() {
		up := withChecks(upstream(algorithm))
		up.HashOn, up.HashOnHeader = "header", "X-Key"
		b := newBalancer(t, up, &names{}, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
		req := &Request{HTTP: httptest.NewRequest("GET", "/", nil)}
		req.HTTP.Header.Set("X-Key", "somebody")
		tries := new(Tries)
		n := testing.AllocsPerRun(100, func() {
			*tries = Tries{}
			p, _ := b.Pick(t.Context(), req, tries)
			b.Report(p, Outcome{Status: 200, Latency: time.Millisecond})
		})
		if n != 0 {
			t.Errorf("%s: got %v allocations, want 0", algorithm, n)
		}
	}
}
