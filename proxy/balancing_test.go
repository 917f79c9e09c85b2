package proxy_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekong/internal/upstream"
	"sidekong/proxy"
	"sidekong/proxy/balancer"
)

// pool is a configuration whose service is the upstream "pool"; more are lines of the upstream, targets are
// "host:port" or "host:port weight".
func pool(more string, targets ...string) string {
	var b strings.Builder
	b.WriteString("upstreams:\n- name: pool\n" + more + "  targets:\n")
	for _, target := range targets {
		address, weight, found := strings.Cut(target, " ")
		if !found {
			weight = "100"
		}
		fmt.Fprintf(&b, "  - {target: '%s', weight: %s}\n", address, weight)
	}
	return b.String() + "services:\n- name: backend\n  host: pool\n  routes:\n  - {name: all, strip_path: false, paths: ['~/(?<group>[^/]*)', /]}\n" + global
}

// numbered starts n upstreams that answer with their number.
func numbered(t testing.TB, n int) (ups []*upstream.Upstream, addresses []string) {
	t.Helper()
	for i := range n {
		up := upstream.Start(t, upstream.Answer(fmt.Sprint(i)))
		ups, addresses = append(ups, up), append(addresses, up.Address())
	}
	return ups, addresses
}

// TestAlgorithms: each spreads the gateway's requests in its own way.
func TestAlgorithms(t *testing.T) {
	t.Run("round-robin", func(t *testing.T) {
		_, at := numbered(t, 2)
		e := start(t, setup{config: pool("", at[0]+" 10", at[1]+" 30")})
		var got string
		for range 8 {
			got += e.get("/").body
		}
		if n := strings.Count(got, "1"); len(got) != 8 || n != 6 || strings.Contains(got, "1111") {
			t.Errorf("targets %s, want 0 twice and 1 six times, mixed", got)
		}
	})
	t.Run("least-connections", func(t *testing.T) {
		ups, at := numbered(t, 2)
		release := make(chan struct{})
		e := start(t, setup{config: pool("  algorithm: least-connections\n", at...)})
		for i, up := range ups {
			up.Behave(func(conn net.Conn, r *upstream.Request) bool {
				if r.Target == "/slow" {
					<-release
				}
				return upstream.Answer(fmt.Sprint(i))(conn, r)
			})
		}
		slow := make(chan string, 1)
		go func() { slow <- e.get("/slow").body }()
		eventually(t, "the slow request is there", func() bool { return len(ups[0].Requests())+len(ups[1].Requests()) == 1 })
		var got string
		for range 4 {
			got += e.get("/").body
			eventually(t, "the quick request is over", func() bool { return e.gateway.Active() == 1 })
		}
		close(release)
		busy := <-slow
		if strings.Contains(got, busy) || len(got) != 4 {
			t.Errorf("targets %s while %s was busy", got, busy)
		}
	})
	t.Run("consistent-hashing", func(t *testing.T) {
		_, at := numbered(t, 4)
		for on, request := range map[string]func(key string) (target, header string){
			"header\n  hash_on_header: X-Key":           func(key string) (string, string) { return "/", "X-Key: " + key },
			"query_arg\n  hash_on_query_arg: key":       func(key string) (string, string) { return "/?key=" + key, "" },
			"path":                                      func(key string) (string, string) { return "/" + key, "" },
			"uri_capture\n  hash_on_uri_capture: group": func(key string) (string, string) { return "/" + key + "/more", "" },
			"consumer\n  hash_fallback: header\n  hash_fallback_header: X-Key": func(key string) (string, string) { return "/", "X-Key: " + key },
		} {
			e := start(t, setup{config: pool("  algorithm: consistent-hashing\n  hash_on: "+on+"\n", at...)})
			used := map[string]bool{}
			const most = 300 // where keys go depends on the targets' ports; that so many leave one out does not happen
			for i := 0; i < 24 || len(used) < 4 && i < most; i++ {
				target, header := request(fmt.Sprint("key", i))
				if header == "" {
					header = "X-Other: " + target
				}
				first := e.get(target, header).body
				used[first] = true
				for range 2 {
					if again := e.get(target, header).body; again != first {
						t.Errorf("hash_on %s, key %d: went to %s, then to %s", on, i, first, again)
					}
				}
			}
			if len(used) != 4 {
				t.Errorf("hash_on %s: %d keys go to %d targets", on, most, len(used))
			}
		}
	})
	t.Run("latency", func(t *testing.T) {
		ups, at := numbered(t, 2)
		ups[0].Behave(upstream.Slow(40*time.Millisecond, upstream.Answer("0")))
		e := start(t, setup{config: pool("  algorithm: latency\n", at...)})
		var got string
		for range 20 {
			got += e.get("/").body
		}
		if slow := strings.Count(got, "0"); slow > 5 {
			t.Errorf("the slow target got %d of 20 requests: %s", slow, got)
		}
	})
}

// TestHashCookie: a client without the cookie gets one, and goes where it leads from then on.
func TestHashCookie(t *testing.T) {
	_, at := numbered(t, 4)
	e := start(t, setup{config: pool("  algorithm: consistent-hashing\n  hash_on: cookie\n  hash_on_cookie: where\n  hash_on_cookie_path: /x\n", at...)})
	used := map[string]bool{}
	for range 16 {
		first := e.get("/")
		cookies := first.Cookies()
		if len(cookies) != 1 || cookies[0].Name != "where" || cookies[0].Path != "/x" || !cookies[0].HttpOnly || len(cookies[0].Value) != 36 {
			t.Fatalf("Set-Cookie %q", first.Header["Set-Cookie"])
		}
		used[first.body] = true
		for range 2 {
			again := e.get("/", "Cookie: where="+cookies[0].Value)
			if again.body != first.body || again.Header["Set-Cookie"] != nil {
				t.Errorf("first %s, then %s with Set-Cookie %q", first.body, again.body, again.Header["Set-Cookie"])
			}
		}
	}
	if len(used) < 3 {
		t.Errorf("16 clients went to %d targets", len(used))
	}
}

// named is a resolver that knows the given names by a hosts file.
func named(t *testing.T, names ...string) func(*proxy.Options) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte("127.0.0.1 "+strings.Join(names, " ")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(o *proxy.Options) { o.Resolver = resolver(t, file) }
}

// TestHostOfTarget: the upstream sees the target's name, host_header or the client's Host, and the spans say the same.
func TestHostOfTarget(t *testing.T) {
	up := upstream.Start(t, nil)
	_, port, _ := net.SplitHostPort(up.Address())
	for _, c := range []struct{ name, more, preserve, target, host, peer string }{
		{"name", "", "false", "one.test:" + port, "one.test:" + port, "one.test"},
		{"address", "", "false", up.Address(), up.Address(), "127.0.0.1"},
		{"host_header", "  host_header: api.example.com\n", "false", "one.test:" + port, "api.example.com:" + port, "api.example.com"},
		{"preserve_host", "  host_header: api.example.com\n", "true", "one.test:" + port, "client.test", "api.example.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := strings.Replace(pool(c.more, c.target), "name: all,", "name: all, preserve_host: "+c.preserve+",", 1)
			e := start(t, setup{config: config, options: named(t, "one.test")})
			if got := e.get("/", "Host: client.test"); got.StatusCode != 200 {
				t.Fatalf("status %d %s", got.StatusCode, got.body)
			}
			if got := received(t, up).Header.Get("Host"); got != c.host {
				t.Errorf("Host %q, want %q", got, c.host)
			}
			all := e.spans()
			host, _, _ := net.SplitHostPort(c.target)
			dns := all.named(t, "kong.dns")
			if dns.Attribute("dns.record.domain") != host || dns.Attribute("dns.record.ip") != "127.0.0.1" || fmt.Sprint(dns.Attribute("dns.record.port")) != port {
				t.Errorf("kong.dns %v", dns.Attributes)
			}
			try := all.named(t, "kong.balancer")
			if try.Attribute("net.peer.name") != c.peer || try.Attribute("net.peer.ip") != "127.0.0.1" || fmt.Sprint(try.Attribute("net.peer.port")) != port {
				t.Errorf("kong.balancer %v", try.Attributes)
			}
		})
	}
}

// TestRetryElsewhere: a failed try is followed by one to another target; each has its span, and names itself.
func TestRetryElsewhere(t *testing.T) {
	ups, at := numbered(t, 3)
	ups[0].Stop()
	ups[1].Behave(upstream.Reset(""))
	e := start(t, setup{config: pool("", at...)})
	for range 3 {
		if got := e.do(e.request("PUT", "/", strings.NewReader("body"))); got.StatusCode != 200 || got.body != "2" {
			t.Fatalf("status %d, %q", got.StatusCode, got.body)
		}
	}
	seen := map[string]string{} // span id → port
	for i, up := range ups {
		for _, r := range up.Requests() {
			if r.Body != "body" {
				t.Errorf("target %d got the body %q", i, r.Body)
			}
			seen[strings.Split(r.Header.Get("Traceparent"), "-")[2]] = up.Address()
		}
	}
	all := e.spans()
	tries := all.all("kong.balancer")
	if len(tries) < 6 || len(all.all("kong.dns")) != len(tries) {
		t.Fatalf("spans %s", all.names())
	}
	for _, root := range all.all("kong") {
		ports := map[any]bool{}
		for _, try := range tries {
			if !bytes.Equal(try.ParentSpanId, root.SpanId) {
				continue
			}
			port := try.Attribute("net.peer.port")
			if ports[port] {
				t.Errorf("port %v was tried twice", port)
			}
			ports[port] = true
			if n := try.Attribute("try_count"); n != int64(len(ports)) {
				t.Errorf("try_count %v, want %d", n, len(ports))
			}
			answered := fmt.Sprint("127.0.0.1:", port) == at[2]
			if failed(try) == answered {
				t.Errorf("try to port %v: status %v", port, try.Status)
			}
			if to, ok := seen[hexID(try.SpanId)]; ok != (fmt.Sprint("127.0.0.1:", port) != at[0]) || ok && to != fmt.Sprint("127.0.0.1:", port) {
				t.Errorf("the try to port %v was named to %q", port, to)
			}
		}
	}
}

const passive = "  healthchecks:\n    passive:\n      unhealthy: {http_statuses: [500], http_failures: 2, tcp_failures: 1}\n      healthy: {http_statuses: [200], successes: 1}\n"

// states gives each target's health as Gateway.Health has it, by address.
func states(g *proxy.Gateway) map[string]string {
	all := map[string]string{}
	for _, up := range g.Health() {
		for _, target := range up.Targets {
			all[target.Target.Target] = target.Health
		}
	}
	return all
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// TestPassiveChecks: a target that fails gets nothing more, and where all have failed the answer is Kong's 503.
func TestPassiveChecks(t *testing.T) {
	ups, at := numbered(t, 2)
	ups[0].Behave(upstream.Status(500, "bad"))
	var log lines
	e := start(t, setup{config: pool(passive, at...), options: func(o *proxy.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}})
	for range 20 {
		e.get("/")
		e.idle()
	}
	if n := len(ups[0].Requests()); n != 2 {
		t.Errorf("the failing target got %d requests, want 2", n)
	}
	if got := states(e.gateway); got[at[0]] != balancer.Unhealthy || got[at[1]] != balancer.Healthy {
		t.Errorf("health %v", got)
	}
	if n := log.count("target is unhealthy"); n != 1 {
		t.Errorf("the change was logged %d times", n)
	}
	ups[1].Stop()                                 // refusing to connect is enough once
	if got := e.get("/"); got.StatusCode != 503 { // after the one try that failed there is nowhere to go
		t.Errorf("status %d %s", got.StatusCode, got.body)
	}
	got := e.get("/", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	want := fmt.Sprintf("{\n  \"message\":\"failure to get a peer from the ring-balancer\",\n  \"request_id\":%q\n}", got.Header.Get("X-Kong-Request-Id"))
	if got.StatusCode != 503 || got.body != want {
		t.Errorf("got %d %s, want 503 %s", got.StatusCode, got.body, want)
	}
	if up := e.gateway.Health()[0]; up.Healthy || !up.Checked {
		t.Errorf("upstream as a whole: %+v", up)
	}
	var last spans
	for _, span := range e.spans() {
		if hexID(span.TraceId) == "4bf92f3577b34da6a3ce929d0e0e4736" {
			last = append(last, span)
		}
	}
	if root := last.named(t, "kong"); !failed(root) || root.Attribute("http.status_code") != int64(503) {
		t.Errorf("root %v", root)
	}
	if span := last.named(t, "kong.dns"); !failed(span) || len(span.Events) != 1 {
		t.Errorf("kong.dns %v", span)
	}
	if n := len(last.all("kong.balancer")); n != 0 {
		t.Errorf("%d tries without a target", n)
	}
}

const active = "  healthchecks:\n    active:\n      http_path: /probe\n      timeout: 0.5\n      healthy: {interval: 0.05, successes: 1}\n      unhealthy: {interval: 0.05, http_failures: 1, tcp_failures: 1}\n"

// probes counts the probes that a target got.
func probes(up *upstream.Upstream) (n int) {
	for _, r := range up.Requests() {
		if r.Target == "/probe" {
			n++
		}
	}
	return n
}

// TestActiveChecks: probes find the ill and the recovered, leave no spans, and end with their upstream.
func TestActiveChecks(t *testing.T) {
	ups, at := numbered(t, 2)
	e := start(t, setup{config: pool(active, at...)})
	health := func(of int, want string) func() bool {
		return func() bool { return states(e.gateway)[at[of]] == want }
	}
	eventually(t, "both are probed", func() bool { return probes(ups[0]) > 1 && probes(ups[1]) > 1 })
	ups[0].Behave(upstream.Status(503, "ill"))
	eventually(t, "the ill target is found", health(0, balancer.Unhealthy))
	for range 6 {
		if got := e.get("/"); got.body != "1" {
			t.Errorf("status %d from %s", got.StatusCode, got.body)
		}
	}
	ups[0].Behave(upstream.Answer("0"))
	eventually(t, "the target recovers", health(0, balancer.Healthy))
	used := e.get("/").body + e.get("/").body
	if used != "01" && used != "10" {
		t.Errorf("requests went to %s", used)
	}
	e.apply(service(ups[1].URL()))
	before := probes(ups[0]) + probes(ups[1])
	time.Sleep(200 * time.Millisecond)
	if after := probes(ups[0]) + probes(ups[1]); after > before+2 { // those that were on their way
		t.Errorf("%d probes after their upstream went", after-before)
	}
	if n := len(e.spans().all("kong")); n != 8 {
		t.Errorf("%d traces of 8 requests", n)
	}
}

// TestSlowProbesDelayNobody: checks that hang are no matter to requests, nor to a reload.
func TestSlowProbesDelayNobody(t *testing.T) {
	up := upstream.Start(t, func(conn net.Conn, r *upstream.Request) bool {
		if r.Target == "/probe" {
			return upstream.Hang("")(conn, r)
		}
		return upstream.Answer("ok")(conn, r)
	})
	config := strings.Replace(pool(active, up.Address()), "timeout: 0.5", "timeout: 30", 1)
	e := start(t, setup{config: config})
	eventually(t, "a probe hangs", func() bool { return probes(up) > 0 })
	begun := time.Now()
	if got := e.get("/"); got.StatusCode != 200 {
		t.Errorf("status %d", got.StatusCode)
	}
	e.apply("")
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("a request and a reload took %v", took)
	}
}

// TestHealthOverReload: what is known of targets stays where they stay, and goes with them.
func TestHealthOverReload(t *testing.T) {
	ups, at := numbered(t, 2)
	ups[0].Behave(upstream.Status(500, "bad"))
	e := start(t, setup{config: pool(passive, at...)})
	for range 6 {
		e.get("/")
		e.idle()
	}
	ill := func(when string, want string) {
		t.Helper()
		if got := states(e.gateway); got[at[0]] != want || got[at[1]] != balancer.Healthy {
			t.Errorf("%s: %v, want %s", when, got, want)
		}
	}
	ill("at first", balancer.Unhealthy)
	before := e.gateway.Balancer("pool")
	e.apply(pool(passive, at...) + "consumers:\n- username: unrelated\n")
	ill("after an unrelated change", balancer.Unhealthy)
	if e.gateway.Balancer("pool") != before {
		t.Error("an unrelated change made a new balancer")
	}
	e.apply(pool("  tags: [changed]\n"+passive, at...))
	ill("after a change of the upstream that leaves the target", balancer.Unhealthy)
	if e.gateway.Balancer("pool") == before {
		t.Error("a change of the upstream kept the balancer")
	}
	e.apply(pool(passive, at[1]))
	e.apply(pool(passive, at...))
	ill("after the target went and came back", balancer.Healthy)
}

// TestReloadUnderLoad: configurations that replace each other cost no request.
func TestReloadUnderLoad(t *testing.T) {
	_, at := numbered(t, 3)
	e := start(t, setup{config: pool(active, at...), instrumentations: "request"})
	stop, failures := make(chan struct{}), make(chan string, 100)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := e.get("/"); got.StatusCode != 200 {
					failures <- fmt.Sprint(got.StatusCode, got.body)
					return
				}
			}
		})
	}
	for i := range 20 {
		e.apply(pool(active, at[i%3], at[(i+1)%3]))
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	clients.Wait()
	close(failures)
	for failure := range failures {
		t.Error(failure)
	}
}

// TestBalancersLeaveNothing: what upstreams started ends with them.
func TestBalancersLeaveNothing(t *testing.T) {
	_, at := numbered(t, 2)
	_, port, _ := net.SplitHostPort(at[0])
	e := start(t, setup{options: func(o *proxy.Options) {
		named(t, "one.test", "two.test")(o)
		o.Keepalive = proxy.Keepalive{} // a kept connection is the backend's goroutine
	}})
	if got := e.get("/"); got.StatusCode != 404 {
		t.Fatalf("status %d", got.StatusCode)
	}
	time.Sleep(50 * time.Millisecond)
	before := runtime.NumGoroutine()
	for round := range 3 {
		e.apply(strings.Replace(pool(active, at[0], at[1], "one.test:"+port, "two.test:"+port), global, "", 1))
		for range 8 {
			if got := e.get("/"); got.StatusCode != 200 {
				t.Fatalf("round %d: status %d %s", round, got.StatusCode, got.body)
			}
		}
		time.Sleep(120 * time.Millisecond) // probes run
		e.apply("")
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
	e.apply(pool(active, at...))
	e.server.Close()
	e.gateway.Close()
	if got := e.gateway.Health(); got != nil {
		t.Errorf("a closed gateway tells of %v", got)
	}
}

// TestUpstreamWithoutTargets is Kong's 503 as well.
func TestUpstreamWithoutTargets(t *testing.T) {
	e := start(t, setup{config: pool("", "127.0.0.1:1 0")})
	got := e.get("/")
	if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, "failure to get a peer from the ring-balancer") {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	if names := strings.Fields(e.spans().names()); slices.Contains(names, "kong.balancer") || !slices.Contains(names, "kong.dns") {
		t.Errorf("spans %v", names)
	}
}
