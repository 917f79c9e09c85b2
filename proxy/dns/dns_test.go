package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"
)

// resolve returns "address:port" or the error's text.
func resolve(t testing.TB, r *Resolver, host string, port int) string {
	t.Helper()
	a, err := r.Resolve(t.Context(), host, port)
	if err != nil {
		return err.Error()
	}
	return netip.AddrPortFrom(a.IP, uint16(a.Port)).String()
}

func TestResolve(t *testing.T) {
	s := startNameserver(t,
		"a.test. 60 IN A 10.0.0.1",
		"six.test. 60 IN AAAA fd00::6",
		"both.test. 60 IN A 10.0.0.2", "both.test. 60 IN AAAA fd00::2",
		"alias.test. 60 IN CNAME middle.test.", "middle.test. 60 IN CNAME a.test.",
		"loop1.test. 60 IN CNAME loop2.test.", "loop2.test. 60 IN CNAME loop1.test.",
		"self.test. 60 IN CNAME self.test.",
		"text.test. 60 IN TXT nothing",
		"svc.test. 60 IN SRV 1 5 8080 a.test.",
		"svc0.test. 60 IN SRV 1 5 0 a.test.",
		"svcip.test. 60 IN SRV 1 5 8081 10.9.8.7.",
		"svcalias.test. 60 IN CNAME svc.test.",
		"pod.test. 60 IN SRV 1 5 80 pod.test.", "pod.test. 60 IN A 10.0.0.9",
		"ring1.test. 60 IN SRV 1 1 1 ring2.test.", "ring2.test. 60 IN SRV 1 1 1 ring1.test.",
		"none.test. 60 IN SRV 0 0 0 .",
		"mapped.test. 60 IN AAAA ::ffff:10.0.0.3",
	)
	c := testConfig(s)
	c.HostsFile = writeFile(t, "hosts", "10.1.1.1 filed.test Shouted.test\nfd00::1:1 filed.test filed6.test\n")
	r := newResolver(t, c)

	tests := []struct{ name, host, want string }{
		{"IPv4 literal", "192.0.2.1", "192.0.2.1:80"},
		{"IPv6 literal", "2001:db8::1", "[2001:db8::1]:80"},
		{"IPv6 literal in brackets", "[2001:db8::1]", "[2001:db8::1]:80"},
		{"bad IPv4", "300.1.2.3", "dns client error: 102 invalid name, bad IPv4"},
		{"bad IPv6", "fd00::zz", "dns client error: 103 invalid name, bad IPv6"},
		{"A", "a.test", "10.0.0.1:80"},
		{"A in capitals", "A.TEST", "10.0.0.1:80"},
		{"A with last dot", "a.test.", "10.0.0.1:80"},
		{"AAAA", "six.test", "[fd00::6]:80"},
		{"A before AAAA", "both.test", "10.0.0.2:80"},
		{"CNAME chain", "alias.test", "10.0.0.1:80"},
		{"CNAME loop", "loop1.test", "recursion detected"},
		{"CNAME to itself", "self.test", "recursion detected"},
		{"SRV gives the port", "svc.test", "10.0.0.1:8080"},
		{"SRV with port 0 keeps ours", "svc0.test", "10.0.0.1:80"},
		{"SRV target that is an address", "svcip.test", "10.9.8.7:8081"},
		{"CNAME to SRV", "svcalias.test", "10.0.0.1:8080"},
		{"SRV to itself falls back to A", "pod.test", "10.0.0.9:80"},
		{"SRV ring", "ring1.test", "recursion detected"},
		{"SRV that says no service", "none.test", "dns client error: 101 empty record received"},
		{"IPv4 mapped into AAAA", "mapped.test", "10.0.0.3:80"},
		{"no such name", "missing.test", "dns server error: 3 name error"},
		{"no such record", "text.test", "dns client error: 101 empty record received"},
		{"hosts file, first family of the order", "filed.test", "10.1.1.1:80"},
		{"hosts file, IPv6 only", "filed6.test", "[fd00::1:1]:80"},
		{"hosts file, any case", "SHOUTED.TEST", "10.1.1.1:80"},
		{"localhost is built in", "localhost", "127.0.0.1:80"},
		{"empty name", "", "dns client error: invalid name"},
		{"empty label", "a..test", "dns client error: invalid name"},
		{"label too long", strings.Repeat("x", 64) + ".test", "dns client error: invalid name"},
		{"name too long", strings.Repeat("x23456789.", 26) + "test", "dns client error: invalid name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, pass := range []string{"first", "cached"} {
				if got := resolve(t, r, tt.host, 80); got != tt.want {
					t.Errorf("%s: got %s, want %s", pass, got, tt.want)
				}
			}
		})
	}
}

func TestErrorKinds(t *testing.T) {
	s := startNameserver(t)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	tests := []struct {
		name, host string
		servers    []string
		rcode      int
		kind       error
		text       string
	}{
		{"not found", "missing.test", []string{s.addr}, dns.RcodeNameError, ErrNotFound, "dns server error: 3 name error"},
		{"server failure", "broken.test", []string{s.addr}, dns.RcodeServerFailure, ErrServer, "dns server error: 2 server failure"},
		{"refused", "broken.test", []string{s.addr}, dns.RcodeRefused, ErrServer, "dns server error: 5 refused"},
		{"not implemented", "broken.test", []string{s.addr}, dns.RcodeNotImplemented, ErrServer, "dns server error: 4 not implemented"},
		{"format error", "broken.test", []string{s.addr}, dns.RcodeFormatError, ErrServer, "dns server error: 1 format error"},
		{"a code without a name", "broken.test", []string{s.addr}, dns.RcodeNotAuth, ErrServer, "dns server error: 9 unknown"},
		{"time-out", "slow.test", []string{silent.LocalAddr().String()}, 0, ErrTimeout, "failed to receive reply from UDP server " + silent.LocalAddr().String() + ": timeout"},
		{"bad name", "10.0.0", []string{s.addr}, 0, ErrName, "dns client error: 102 invalid name, bad IPv4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.handle(func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(q, tt.rcode)) })
			c := testConfig()
			c.Nameservers, c.Timeout = tt.servers, 50*time.Millisecond
			_, err := newResolver(t, c).Resolve(t.Context(), tt.host, 80)
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, tt.kind) {
				t.Fatalf("got error %v of kind %v, want %v", err, errors.Unwrap(err), tt.kind)
			}
			if e.Name != tt.host || e.Text != tt.text {
				t.Errorf("got %q for %q, want %q for %q", e.Text, e.Name, tt.text, tt.host)
			}
		})
	}
}

func TestOrderAndLast(t *testing.T) {
	zone := []string{"six.test. 0 IN AAAA fd00::6", "alias.test. 0 IN CNAME six.test."}
	tests := []struct {
		name, host    string
		order         []string
		first, second []string
	}{
		{
			"default order, the last success first", "six.test", nil,
			[]string{"six.test. SRV", "six.test. A", "six.test. AAAA"},
			[]string{"six.test. AAAA"},
		},
		{
			"without LAST", "six.test",
			[]string{"a", "aaaa"},
			[]string{"six.test. A", "six.test. AAAA"},
			[]string{"six.test. A", "six.test. AAAA"},
		},
		{
			"CNAME alone", "alias.test",
			[]string{"CNAME", "AAAA"},
			[]string{"alias.test. CNAME", "six.test. CNAME", "six.test. AAAA"},
			[]string{"alias.test. CNAME", "six.test. CNAME", "six.test. AAAA"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := startNameserver(t, zone...)
			c := testConfig(s)
			c.Order, c.StaleTTL = tt.order, 0
			r := newResolver(t, c)
			resolve(t, r, tt.host, 80)
			if diff := cmp.Diff(tt.first, s.questions()); diff != "" {
				t.Errorf("first questions (-want +got):\n%s", diff)
			}
			// TTL 0 without stale answers leaves nothing in the cache but the order of types needs an entry.
			r.cache.shard(tt.host).entries[tt.host] = &entry{qtype: dns.TypeAAAA}
			resolve(t, r, tt.host, 80)
			if diff := cmp.Diff(tt.second, s.questions()); diff != "" {
				t.Errorf("second questions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name string
		c    Config
		want string
	}{
		{"unknown type", Config{Order: []string{"A", "MX"}}, `unknown record type "MX" in the dns order, expected LAST, SRV, A, AAAA or CNAME`},
		{"LAST alone", Config{Order: []string{"LAST"}}, "the dns order names no record type, expected SRV, A, AAAA or CNAME beside LAST"},
		{"nameserver by name", Config{Nameservers: []string{"ns.test"}}, `nameserver "ns.test" is neither an IP address nor address:port`},
		{"cache size", Config{CacheSize: -1}, "cache size -1 is out of range"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.c)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestServersFromResolvConf(t *testing.T) {
	text := "# written by hand\nnameserver 10.0.0.53\nnameserver fd00::53\nnameserver not-an-address\n" +
		"search one.test . two.test\noptions ndots:2 timeout:3 attempts:4\n"
	r := newResolver(t, Config{ResolvConf: writeFile(t, "resolv.conf", text)})
	if diff := cmp.Diff([]string{"10.0.0.53:53", "[fd00::53]:53"}, r.servers); diff != "" {
		t.Errorf("servers (-want +got):\n%s", diff)
	}
	if r.timeout != 3*time.Second || r.attempts != 4 {
		t.Errorf("got timeout %v, attempts %d, want 3s, 4", r.timeout, r.attempts)
	}
	names := map[string][]string{
		"db":         {"db.one.test.", "db.two.test.", "db."},
		"db.prod":    {"db.prod.one.test.", "db.prod.two.test.", "db.prod."},
		"a.db.prod":  {"a.db.prod.", "a.db.prod.one.test.", "a.db.prod.two.test."},
		"db.":        {"db."},
		"a.db.prod.": {"a.db.prod."},
	}
	for host, want := range names {
		if diff := cmp.Diff(want, r.names(host)); diff != "" {
			t.Errorf("names for %s (-want +got):\n%s", host, diff)
		}
	}

	r = newResolver(t, Config{ResolvConf: t.TempDir() + "/missing"})
	if diff := cmp.Diff([]string{"127.0.0.1:53", "[::1]:53"}, r.servers); diff != "" {
		t.Errorf("servers without resolv.conf (-want +got):\n%s", diff)
	}
	r = newResolver(t, Config{ResolvConf: os.DevNull, Nameservers: []string{"10.0.0.1", "[fd00::1]", "10.0.0.2:5353", "[fd00::2]:5353"}})
	if diff := cmp.Diff([]string{"10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:5353", "[fd00::2]:5353"}, r.servers); diff != "" {
		t.Errorf("servers given (-want +got):\n%s", diff)
	}
}

func TestSearchDomains(t *testing.T) {
	s := startNameserver(t, "db.two.test. 60 IN A 10.0.0.1")
	c := testConfig(s)
	c.ResolvConf = writeFile(t, "resolv.conf", "search one.test two.test\n")
	c.Order = []string{"A"}
	r := newResolver(t, c)
	if got, want := resolve(t, r, "db", 80), "10.0.0.1:80"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if diff := cmp.Diff([]string{"db.one.test. A", "db.two.test. A"}, s.questions()); diff != "" {
		t.Errorf("questions (-want +got):\n%s", diff)
	}
}

func TestAddressesTakeTurns(t *testing.T) {
	s := startNameserver(t, "a.test. 60 IN A 10.0.0.1", "a.test. 60 IN A 10.0.0.2", "a.test. 60 IN A 10.0.0.3")
	r := newResolver(t, testConfig(s))
	got := map[string]int{}
	for range 30 {
		got[resolve(t, r, "a.test", 80)]++
	}
	if diff := cmp.Diff(map[string]int{"10.0.0.1:80": 10, "10.0.0.2:80": 10, "10.0.0.3:80": 10}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSRVWeights(t *testing.T) {
	s := startNameserver(t,
		"svc.test. 60 IN SRV 1 70 8001 one.test.", "svc.test. 60 IN SRV 1 20 8002 two.test.",
		"svc.test. 60 IN SRV 1 10 8003 two.test.", "svc.test. 60 IN SRV 2 100 8004 one.test.",
		"one.test. 60 IN A 10.0.0.1", "two.test. 60 IN A 10.0.0.2",
		"zero.test. 60 IN SRV 1 0 1 one.test.", "zero.test. 60 IN SRV 1 0 2 two.test.",
	)
	r := newResolver(t, testConfig(s))
	got := map[string]int{}
	const n = 1000
	for range n {
		got[resolve(t, r, "svc.test", 80)]++
	}
	want := map[string]int{"10.0.0.1:8001": 700, "10.0.0.2:8002": 200, "10.0.0.2:8003": 100}
	for addr, count := range got {
		if d := count - want[addr]; d < -10 || d > 10 {
			t.Errorf("%s: got %d of %d, want %d ± 10", addr, count, n, want[addr])
		}
	}
	if len(got) != len(want) {
		t.Errorf("got addresses %v, want %v", got, want)
	}
	got = map[string]int{}
	for range 100 {
		got[resolve(t, r, "zero.test", 80)]++
	}
	if a, b := got["10.0.0.1:1"], got["10.0.0.2:2"]; a < 40 || b < 40 {
		t.Errorf("weights of 0: got %d and %d, want about 50 each", a, b)
	}
}

func TestLookup(t *testing.T) {
	s := startNameserver(t,
		"a.test. 60 IN A 10.0.0.1", "a.test. 30 IN A 10.0.0.2",
		"svc.test. 60 IN SRV 1 7 8001 a.test.", "svc.test. 60 IN SRV 1 0 0 B.test.", "svc.test. 60 IN SRV 1 1 1 gone.test.",
		"b.test. 20 IN AAAA fd00::1",
		"dead.test. 60 IN SRV 1 1 1 gone.test.",
	)
	r := newResolver(t, testConfig(s))
	tests := []struct {
		host, want string
		records    []Record
		qtype      string
		ttl        time.Duration
	}{
		{"192.0.2.1", "", []Record{{IP: netip.MustParseAddr("192.0.2.1"), Shares: 1}}, "A", hostsInterval},
		{"a.test", "", []Record{{IP: netip.MustParseAddr("10.0.0.1"), Shares: 1}, {IP: netip.MustParseAddr("10.0.0.2"), Shares: 1}}, "A", 30 * time.Second},
		{"svc.test", "", []Record{
			{IP: netip.MustParseAddr("10.0.0.1"), Port: 8001, Weight: 7, Shares: 2, Name: "a.test"},
			{IP: netip.MustParseAddr("10.0.0.2"), Port: 8001, Weight: 7, Shares: 2, Name: "a.test"},
			{IP: netip.MustParseAddr("fd00::1"), Weight: 1, Shares: 1, Name: "b.test"},
		}, "SRV", 20 * time.Second},
		{"dead.test", "dns server error: 3 name error", nil, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			got, err := r.Lookup(t.Context(), tt.host)
			if err != nil && err.Error() != tt.want || err == nil && tt.want != "" {
				t.Fatalf("got error %v, want %q", err, tt.want)
			}
			if diff := cmp.Diff(tt.records, got.List, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.Type != tt.qtype || got.TTL > tt.ttl || got.TTL < tt.ttl-time.Second {
				t.Errorf("got type %q, TTL %v, want %q, %v", got.Type, got.TTL, tt.qtype, tt.ttl)
			}
		})
	}
}

// SRV records that all point at each other must not multiply.
func TestLookupIsBounded(t *testing.T) {
	var zone []string
	for i := range 40 {
		for j := range 40 {
			zone = append(zone, fmt.Sprintf("n%d.test. 60 IN SRV 1 1 1 n%d.test.", i, j))
		}
	}
	r := newResolver(t, testConfig(startNameserver(t, zone...)))
	begin := time.Now()
	_, err := r.Lookup(t.Context(), "n0.test")
	if !errors.Is(err, ErrServer) {
		t.Errorf("got error %v, want %v", err, ErrServer)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestTTLExpires(t *testing.T) {
	s := startNameserver(t, "a.test. 1 IN A 10.0.0.1")
	c := testConfig(s)
	c.Order, c.StaleTTL = []string{"A"}, 0
	r := newResolver(t, c)
	for range 3 {
		if got, want := resolve(t, r, "a.test", 80), "10.0.0.1:80"; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	if got := len(s.questions()); got != 1 {
		t.Errorf("got %d questions within the TTL, want 1", got)
	}
	s.set(t, "a.test. 1 IN A 10.0.0.2")
	time.Sleep(1100 * time.Millisecond)
	if got, want := resolve(t, r, "a.test", 80), "10.0.0.2:80"; got != want {
		t.Errorf("past the TTL: got %s, want %s", got, want)
	}
}

func TestFailureAndRecoveryWithStaleAnswers(t *testing.T) {
	s := startNameserver(t, "a.test. 60 IN A 10.0.0.1")
	c := testConfig(s)
	c.ValidTTL, c.ErrorTTL = 20*time.Millisecond, 10*time.Millisecond
	r := newResolver(t, c)
	if got, want := resolve(t, r, "a.test", 80), "10.0.0.1:80"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	s.handle(func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)) })
	for range 20 {
		time.Sleep(10 * time.Millisecond)
		if got, want := resolve(t, r, "a.test", 80), "10.0.0.1:80"; got != want {
			t.Fatalf("while the server fails: got %s, want the stale %s", got, want)
		}
	}
	s.set(t, "a.test. 60 IN A 10.0.0.2")
	s.handle(nil)
	eventually(t, "the new address", func() bool { return resolve(t, r, "a.test", 80) == "10.0.0.2:80" })

	s.set(t)
	eventually(t, "a removed name to be gone", func() bool { return resolve(t, r, "a.test", 80) == "dns server error: 3 name error" })
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

func TestNegativeAnswersAreCached(t *testing.T) {
	s := startNameserver(t)
	c := testConfig(s)
	c.Order, c.NotFoundTTL, c.ErrorTTL = []string{"A"}, 500*time.Millisecond, 500*time.Millisecond
	for _, rcode := range []int{dns.RcodeNameError, dns.RcodeServerFailure} {
		t.Run(dns.RcodeToString[rcode], func(t *testing.T) {
			s.handle(func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(q, rcode)) })
			r := newResolver(t, c)
			s.questions()
			for range 10 {
				resolve(t, r, "missing.test", 80)
			}
			if got := len(s.questions()); got != 1 {
				t.Errorf("got %d questions, want 1", got)
			}
			time.Sleep(550 * time.Millisecond)
			resolve(t, r, "missing.test", 80)
			if got := len(s.questions()); got != 1 {
				t.Errorf("after the negative TTL: got %d questions, want 1", got)
			}
		})
	}
}

func TestTruncatedAnswerComesOverTCP(t *testing.T) {
	var zone []string
	for i := range 100 {
		zone = append(zone, fmt.Sprintf("big.test. 60 IN A 10.0.1.%d", i))
	}
	s := startNameserver(t, zone...)
	var tcp atomic.Int32
	s.handle(func(w dns.ResponseWriter, q *dns.Msg) {
		s.mu.Lock()
		m := s.answer(q, q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype])
		s.mu.Unlock()
		if w.LocalAddr().Network() == "tcp" {
			tcp.Add(1)
		} else {
			m.Truncate(dns.MinMsgSize)
		}
		w.WriteMsg(m)
	})
	r := newResolver(t, testConfig(s))
	got, err := r.Lookup(t.Context(), "big.test")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.List) != 100 || tcp.Load() != 1 {
		t.Errorf("got %d addresses and %d questions over TCP, want 100 and 1", len(got.List), tcp.Load())
	}
}

// raw answers each datagram with those that reply makes of it.
func raw(t *testing.T, reply func(q *dns.Msg) [][]byte) *nameserver {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			for _, p := range reply(q) {
				pc.WriteTo(p, from)
			}
		}
	}()
	return &nameserver{addr: pc.LocalAddr().String()}
}

func TestForgedAnswersArePassedOver(t *testing.T) {
	good := func(q *dns.Msg, addr string) *dns.Msg {
		m := new(dns.Msg).SetReply(q)
		rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN A " + addr)
		m.Answer = []dns.RR{rr}
		return m
	}
	pack := func(m *dns.Msg) []byte { b, _ := m.Pack(); return b }
	forged := map[string]func(q *dns.Msg) []byte{
		"wrong id":        func(q *dns.Msg) []byte { m := good(q, "6.6.6.6"); m.Id++; return pack(m) },
		"wrong question":  func(q *dns.Msg) []byte { m := good(q, "6.6.6.6"); m.Question[0].Name = "bank.test."; return pack(m) },
		"wrong type":      func(q *dns.Msg) []byte { m := good(q, "6.6.6.6"); m.Question[0].Qtype = dns.TypeMX; return pack(m) },
		"no question":     func(q *dns.Msg) []byte { m := good(q, "6.6.6.6"); m.Question = nil; return pack(m) },
		"a query":         func(q *dns.Msg) []byte { m := good(q, "6.6.6.6"); m.Response = false; return pack(m) },
		"other operation": func(q *dns.Msg) []byte { m := good(q, "6.6.6.6"); m.Opcode = dns.OpcodeUpdate; return pack(m) },
		"nothing":         func(*dns.Msg) []byte { return nil },
		"garbage":         func(*dns.Msg) []byte { return []byte(strings.Repeat("garbage", 100)) },
		"cut off":         func(q *dns.Msg) []byte { b := pack(good(q, "6.6.6.6")); return b[:len(b)-3] },
		"huge":            func(q *dns.Msg) []byte { return append(pack(good(q, "6.6.6.6")), make([]byte, 60000)...) },
		"cut in a record": func(q *dns.Msg) []byte {
			b := pack(good(q, "6.6.6.6"))
			binary.BigEndian.PutUint16(b[6:], 65535)
			return b[:len(b)-2]
		},
		"pointer to itself": func(q *dns.Msg) []byte {
			b := pack(new(dns.Msg).SetReply(q))
			return append(b[:12], 0xc0, 0x0c, 0, 1, 0, 1)
		},
	}
	for name, forge := range forged {
		t.Run(name, func(t *testing.T) {
			s := raw(t, func(q *dns.Msg) [][]byte { return [][]byte{forge(q), pack(good(q, "10.0.0.1"))} })
			c := testConfig(s)
			c.Order = []string{"A"}
			if got, want := resolve(t, newResolver(t, c), "a.test", 80), "10.0.0.1:80"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// Records that an answer carries beside what was asked are not believed.
func TestForeignRecordsAreIgnored(t *testing.T) {
	s := startNameserver(t)
	s.handle(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for _, line := range []string{"other.test. 60 IN A 6.6.6.6", "a.test. 60 CH A 6.6.6.6", "a.test. 60 IN A 10.0.0.1"} {
			rr, err := dns.NewRR(line)
			if err == nil {
				m.Answer = append(m.Answer, rr)
			}
		}
		w.WriteMsg(m)
	})
	c := testConfig(s)
	c.Order = []string{"A"}
	r := newResolver(t, c)
	for range 4 {
		if got, want := resolve(t, r, "a.test", 80), "10.0.0.1:80"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	got, err := r.Lookup(t.Context(), "a.test")
	if err != nil || len(got.List) != 1 {
		t.Errorf("got %v, %v, want one record", got, err)
	}
}

func TestLongChainsEnd(t *testing.T) {
	s := startNameserver(t)
	next := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		rr, _ := dns.NewRR(fmt.Sprintf("%s 60 IN CNAME x%s", q.Question[0].Name, q.Question[0].Name))
		m.Answer = []dns.RR{rr}
		w.WriteMsg(m)
	}
	inOneMessage := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		for i := range 1000 {
			target := fmt.Sprintf("c%d.test.", i)
			rr, _ := dns.NewRR(fmt.Sprintf("%s 60 IN CNAME %s", name, target))
			m.Answer = append(m.Answer, rr)
			name = target
		}
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(dns.MinMsgSize)
		}
		w.WriteMsg(m)
	}
	for name, h := range map[string]dns.HandlerFunc{"one alias per message": next, "all in one message": inOneMessage} {
		t.Run(name, func(t *testing.T) {
			s.handle(h)
			s.questions()
			if got, want := resolve(t, newResolver(t, testConfig(s)), "a.test", 80), "recursion detected"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if n := len(s.questions()); n > 300 {
				t.Errorf("got %d questions for one name", n)
			}
		})
	}
}

// In one message up to maxChain names are followed; between messages a loop shows at its first repetition.
func TestChainLength(t *testing.T) {
	chain := func(n int) []string {
		var zone []string
		for i := range n {
			zone = append(zone, fmt.Sprintf("c%d.test. 60 IN CNAME c%d.test.", i, i+1))
		}
		return append(zone, fmt.Sprintf("c%d.test. 60 IN A 10.0.0.1", n))
	}
	for n, want := range map[int]string{maxChain - 1: "10.0.0.1:80", maxChain: "recursion detected"} {
		s := startNameserver(t, chain(n)...)
		c := testConfig(s)
		c.Order = []string{"A"}
		if got := resolve(t, newResolver(t, c), "c0.test", 80); got != want {
			t.Errorf("%d aliases: got %s, want %s", n, got, want)
		}
	}
	s := startNameserver(t)
	s.handle(func(w dns.ResponseWriter, q *dns.Msg) {
		target := map[string]string{"a.test.": "b.test.", "b.test.": "a.test."}[q.Question[0].Name]
		rr, err := dns.NewRR(q.Question[0].Name + " 60 IN CNAME " + target)
		if err != nil {
			t.Error(err)
		}
		m := new(dns.Msg).SetReply(q)
		m.Answer = []dns.RR{rr}
		w.WriteMsg(m)
	})
	c := testConfig(s)
	c.Order = []string{"A"}
	if got, want := resolve(t, newResolver(t, c), "a.test", 80), "recursion detected"; got != want {
		t.Errorf("loop: got %s, want %s", got, want)
	}
	if diff := cmp.Diff([]string{"a.test. A", "b.test. A"}, s.questions()); diff != "" {
		t.Errorf("questions (-want +got):\n%s", diff)
	}
}

// A server that is silent on SRV must not make us take the A record: the SRV record might have given another port.
func TestSilenceIsNotNo(t *testing.T) {
	s := startNameserver(t, "a.test. 60 IN A 10.0.0.1")
	s.handle(func(w dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Qtype == dns.TypeSRV {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		w.WriteMsg(s.answer(q, q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]))
	})
	c := testConfig(s)
	c.Timeout = 50 * time.Millisecond
	if _, err := newResolver(t, c).Resolve(t.Context(), "a.test", 80); !errors.Is(err, ErrTimeout) {
		t.Errorf("got error %v, want %v", err, ErrTimeout)
	}
}

func TestServersTakeOver(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	failing := startNameserver(t)
	failing.handle(func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)) })
	good := startNameserver(t, "a.test. 60 IN A 10.0.0.1", "b.test. 60 IN A 10.0.0.2")

	c := testConfig()
	c.Nameservers = []string{silent.LocalAddr().String(), failing.addr, good.addr}
	c.Timeout, c.Order = 500*time.Millisecond, []string{"A"}
	r := newResolver(t, c)
	if got, want := resolve(t, r, "a.test", 80), "10.0.0.1:80"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	begin := time.Now()
	if got, want := resolve(t, r, "b.test", 80), "10.0.0.2:80"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if took := time.Since(begin); took > 450*time.Millisecond {
		t.Errorf("took %v: the server that answered last was not asked first", took)
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	s := startNameserver(t, "a.test. 60 IN A 10.0.0.1")
	s.handle(func(w dns.ResponseWriter, q *dns.Msg) {
		if q.IsEdns0() != nil {
			w.WriteMsg(new(dns.Msg).SetRcodeFormatError(q).SetRcode(q, dns.RcodeFormatError))
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		w.WriteMsg(s.answer(q, q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]))
	})
	if got, want := resolve(t, newResolver(t, testConfig(s)), "a.test", 80), "10.0.0.1:80"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOneQueryInFlight(t *testing.T) {
	s := startNameserver(t, "a.test. 60 IN A 10.0.0.1")
	release := make(chan struct{})
	s.handle(func(w dns.ResponseWriter, q *dns.Msg) {
		<-release
		s.mu.Lock()
		defer s.mu.Unlock()
		w.WriteMsg(s.answer(q, q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]))
	})
	c := testConfig(s)
	c.Order, c.Timeout = []string{"A"}, 10*time.Second
	r := newResolver(t, c)
	got := make(chan string, 100)
	for range cap(got) {
		go func() { got <- resolve(t, r, "a.test", 80) }()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := r.Resolve(ctx, "a.test", 80); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that gives up: got error %v, want %v", err, context.DeadlineExceeded)
	}
	close(release)
	for range cap(got) {
		if g, want := <-got, "10.0.0.1:80"; g != want {
			t.Errorf("got %s, want %s", g, want)
		}
	}
	if n := len(s.questions()); n != 1 {
		t.Errorf("got %d questions, want 1", n)
	}
}

func TestAddressChangesUnderLoad(t *testing.T) {
	s := startNameserver(t, "a.test. 0 IN A 10.0.0.1")
	r := newResolver(t, testConfig(s))
	var failed, total atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				total.Add(1)
				if _, err := r.Resolve(t.Context(), "a.test", 80); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	for i := 2; i <= 10; i++ {
		time.Sleep(20 * time.Millisecond)
		s.set(t, fmt.Sprintf("a.test. 0 IN A 10.0.0.%d", i))
	}
	eventually(t, "the last address", func() bool { return resolve(t, r, "a.test", 80) == "10.0.0.10:80" })
	close(stop)
	wg.Wait()
	if failed.Load() != 0 {
		t.Errorf("got %d failures in %d lookups, want none", failed.Load(), total.Load())
	}
}

func TestClose(t *testing.T) {
	s := startNameserver(t, "a.test. 60 IN A 10.0.0.1")
	r, err := New(testConfig(s))
	if err != nil {
		t.Fatal(err)
	}
	resolve(t, r, "a.test", 80)
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	s.handle(func(dns.ResponseWriter, *dns.Msg) { close(asked); <-release })
	waiting := make(chan error)
	go func() {
		_, err := r.Resolve(context.Background(), "b.test", 80)
		waiting <- err
	}()
	<-asked
	r.Close()
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("a query in flight: got error %v, want %v", err, ErrClosed)
	}
	if _, err := r.Resolve(t.Context(), "c.test", 80); !errors.Is(err, ErrClosed) {
		t.Errorf("a new query: got error %v, want %v", err, ErrClosed)
	}
	if got, want := resolve(t, r, "a.test", 80), "10.0.0.1:80"; got != want {
		t.Errorf("a cached name: got %s, want %s", got, want)
	}
}

func TestHitsDoNotAllocate(t *testing.T) {
	s := startNameserver(t, "a.test. 600 IN A 10.0.0.1", "svc.test. 600 IN SRV 1 5 8080 a.test.")
	r := newResolver(t, testConfig(s))
	for _, host := range []string{"192.0.2.1", "2001:db8::1", "localhost", "a.test", "svc.test", "missing.test"} {
		resolve(t, r, host, 80)
		if n := testing.AllocsPerRun(100, func() { r.Resolve(context.Background(), host, 80) }); n != 0 {
			t.Errorf("%s: got %v allocations, want 0", host, n)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	s := startNameserver(b, "a.test. 600 IN A 10.0.0.1", "a.test. 600 IN A 10.0.0.2", "svc.test. 600 IN SRV 1 5 8080 a.test.")
	r := newResolver(b, testConfig(s))
	for _, host := range []string{"192.0.2.1", "localhost", "a.test", "svc.test"} {
		b.Run(host, func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := r.Resolve(ctx, host, 80); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
