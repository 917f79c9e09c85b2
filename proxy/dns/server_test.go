package dns

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nameserver is a DNS server on loopback, UDP and TCP on one port, whose records can be changed while it runs.
type nameserver struct {
	addr string

	mu      sync.Mutex
	records map[string][]dns.RR // by "name. TYPE"
	exists  map[string]bool     // names that have records of any type
	asked   []string            // "name. TYPE" in the order of arrival
	handler dns.HandlerFunc     // in place of the records, if set
}

func startNameserver(t testing.TB, zone ...string) *nameserver {
	t.Helper()
	s := &nameserver{}
	s.set(t, zone...)
	var pc net.PacketConn
	var ln net.Listener
	for range 20 { // the TCP port of the same number may be taken
		var err error
		if pc, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if ln, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			break
		}
		pc.Close()
	}
	if ln == nil {
		t.Fatal("no port free for both UDP and TCP")
	}
	s.addr = pc.LocalAddr().String()
	for _, srv := range []*dns.Server{{PacketConn: pc, Handler: s}, {Listener: ln, Handler: s}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go srv.ActivateAndServe()
		<-started
		t.Cleanup(func() { srv.Shutdown() })
	}
	return s
}

// set replaces the records, each in zone file form: "name. TTL IN TYPE data".
func (s *nameserver) set(t testing.TB, zone ...string) {
	t.Helper()
	records, exists := map[string][]dns.RR{}, map[string]bool{}
	for _, line := range zone {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("bad record %q: %v", line, err)
		}
		h := rr.Header()
		key := h.Name + " " + dns.TypeToString[h.Rrtype]
		records[key] = append(records[key], rr)
		exists[h.Name] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.exists = records, exists
}

func (s *nameserver) handle(h dns.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

func (s *nameserver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	name, qtype := strings.ToLower(q.Question[0].Name), dns.TypeToString[q.Question[0].Qtype]
	s.mu.Lock()
	s.asked = append(s.asked, name+" "+qtype)
	handler := s.handler
	m := s.answer(q, name, qtype)
	s.mu.Unlock()
	if handler != nil {
		handler(w, q)
		return
	}
	w.WriteMsg(m)
}

// answer builds what a recursive server says: CNAME records followed as far as they are known.
func (s *nameserver) answer(q *dns.Msg, name, qtype string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	if !s.exists[name] {
		m.Rcode = dns.RcodeNameError
		return m
	}
	for range 20 {
		if rrs := s.records[name+" "+qtype]; len(rrs) > 0 {
			m.Answer = append(m.Answer, rrs...)
			break
		}
		cnames := s.records[name+" CNAME"]
		if len(cnames) == 0 {
			break
		}
		m.Answer = append(m.Answer, cnames[0])
		name = cnames[0].(*dns.CNAME).Target
	}
	return m
}

// questions returns what was asked since the last call.
func (s *nameserver) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// testConfig asks servers and nobody else.
func testConfig(servers ...*nameserver) Config {
	c := DefaultConfig()
	c.ResolvConf, c.HostsFile = os.DevNull, os.DevNull
	c.Timeout, c.Attempts = time.Second, 1
	for _, s := range servers {
		c.Nameservers = append(c.Nameservers, s.addr)
	}
	return c
}

func newResolver(t testing.TB, c Config) *Resolver {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
