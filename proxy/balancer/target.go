package balancer

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/dns"
)

// target is one entity.Target with the addresses it has now.
type target struct {
	entity *entity.Target
	host   string     // without brackets
	ip     netip.Addr // valid where the target is an address
	port   int

	records []dns.Record  // nil before the first look-up and after a failed one
	source  string        // the record type
	err     error         // of the last look-up, or of the target as it is configured
	due     time.Duration // when to look it up again

	addresses []*address
}

// address is one place to connect to. What it is never changes; how it does is in *vitals, which outlives it when
// names are looked up again and configurations are loaded anew.
type address struct {
	target   *target
	ip       netip.Addr
	port     int
	hostname string
	weight   float64
	*vitals

	// What a try writes of it, so that picking makes no text.
	text      string // of ip
	endpoint  string // ip and port
	authority string // hostname and port
}

// vitals are how an address does.
type vitals struct {
	down     atomic.Bool // kept out by the checks
	inflight atomic.Int64
	latency  ewma
	health   health
}

// newTarget makes a target. One that cannot be connected to is never due to be looked up and has no addresses.
func newTarget(up *entity.Upstream, e *entity.Target) *target {
	t := &target{entity: e}
	if t.host, t.port, t.err = splitTarget(e.Target); t.err != nil {
		t.due = never
		return t
	}
	if ip, err := netip.ParseAddr(t.host); err == nil {
		t.ip, t.due = ip.Unmap(), never
		t.build(up, nil)
	}
	return t
}

// CheckTarget says why nothing can be sent to a target, whatever its name resolves to; nil: something can.
func CheckTarget(e *entity.Target) error {
	_, _, err := splitTarget(e.Target)
	return err
}

var (
	errNotHostPort = errors.New("target is not host:port")
	errPort        = errors.New("port is not between 1 and 65535")
)

func splitTarget(text string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, errNotHostPort
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return host, 0, errPort
	}
	return host, int(n), nil
}

func bracketed(ip netip.Addr) string {
	if ip.Is6() {
		return "[" + ip.String() + "]"
	}
	return ip.String()
}

func (t *target) literal() bool { return t.ip.IsValid() }

// build makes the addresses from the records. Those that were there before, in known, keep their vitals.
//
// Kong: kong/runloop/balancer/balancers.lua addAddress, setHostHeader
func (t *target) build(up *entity.Upstream, known []*address) {
	vital := make(map[netip.AddrPort]*vitals, len(known))
	for _, a := range known {
		vital[netip.AddrPortFrom(a.ip, uint16(a.port))] = a.vitals
	}
	records := t.records
	if t.literal() {
		records = []dns.Record{{IP: t.ip, Shares: 1}}
	}
	t.addresses = nil
	seen := make(map[netip.AddrPort]bool, len(records))
	for _, rec := range records {
		a := &address{target: t, ip: rec.IP, port: t.port, hostname: t.host, weight: float64(t.entity.Weight)}
		if rec.Port != 0 {
			a.port = rec.Port
		}
		if rec.Weight != 0 {
			a.weight = float64(rec.Weight) / float64(max(rec.Shares, 1))
		}
		if up.UseSRVName && rec.Name != "" {
			a.hostname = rec.Name
		}
		if t.literal() {
			a.hostname = bracketed(t.ip)
		}
		if up.HostHeader != "" {
			a.hostname = up.HostHeader
		}
		key := netip.AddrPortFrom(a.ip, uint16(a.port))
		if seen[key] {
			continue
		}
		seen[key] = true
		port := strconv.Itoa(a.port)
		a.text, a.authority = a.ip.String(), a.hostname+":"+port
		a.endpoint = net.JoinHostPort(a.text, port)
		if a.vitals = vital[key]; a.vitals == nil {
			a.vitals = new(vitals)
		}
		t.addresses = append(t.addresses, a)
	}
}

// usable reports whether a may be picked for t now.
func (a *address) usable(t *Tries) bool {
	return !a.down.Load() && (t.n == 0 || !t.has(a))
}

// addrPort is a for logs.
func (a *address) addrPort() string { return a.endpoint }

// name is the name of a's target for the Host header of active checks and for reports.
func (t *target) name() string {
	if t.literal() {
		return bracketed(t.ip)
	}
	return strings.TrimSuffix(t.host, ".")
}
