// Package dns finds the addresses of upstream servers: A, AAAA, SRV and CNAME records from the configured nameservers,
// a hosts file and a cache in front of them.
//
// It does what Kong's DNS client does: record types are tried in a configured order, with the type that answered last
// time first; records live as long as their TTL says and may be served stale while one query renews them; failures are
// remembered for a short while.
package dns

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Config says where and how to look names up. DefaultConfig gives Kong's values.
type Config struct {
	// Nameservers are asked in turn, "address:port" or "address" (port 53). Empty: those of ResolvConf.
	Nameservers []string

	// ResolvConf gives the nameservers where none are set, and always search domains, ndots, timeout and attempts.
	// "" means /etc/resolv.conf. A missing file means the nameserver on this host and no search domains.
	ResolvConf string

	// HostsFile is asked before any nameserver and read again when it changes. "" means /etc/hosts.
	// A missing file is an empty one.
	HostsFile string

	// Order lists the record types to try: LAST (the type that answered this name last), SRV, A, AAAA, CNAME, in
	// any case. Empty: that order.
	Order []string

	ValidTTL    time.Duration // 0: the TTL of the records, else in place of it
	StaleTTL    time.Duration // how long past its TTL a record is served while it is being renewed; 0: not at all
	NotFoundTTL time.Duration // how long "no such name" and "no such record" are remembered
	ErrorTTL    time.Duration // how long any other failure is remembered

	CacheSize int           // names remembered; 0: 10000
	Timeout   time.Duration // of one question to one nameserver; 0: ResolvConf's
	Attempts  int           // rounds over the nameservers; 0: ResolvConf's
}

// DefaultConfig returns Kong's defaults.
//
// Kong: kong/templates/kong_defaults.lua dns_*
func DefaultConfig() Config {
	return Config{StaleTTL: time.Hour, NotFoundTTL: 30 * time.Second, ErrorTTL: time.Second, CacheSize: defaultCacheSize}
}

const (
	defaultCacheSize = 10000
	maxDepth         = 8   // SRV targets and queried CNAMEs followed for one name
	maxChain         = 16  // names in one chain of CNAME records
	maxRecords       = 256 // records kept of one answer, addresses given for one name
	maxFlights       = 64  // names being asked for at once
	maxTTL           = 7 * 24 * time.Hour
)

// Address is where to connect to.
type Address struct {
	IP   netip.Addr
	Port int
}

// Record is one address of a name, with what an SRV record said of it.
type Record struct {
	IP     netip.Addr
	Port   int    // 0 unless an SRV record gave one
	Weight int    // 0 unless an SRV record gave one; an SRV weight of 0 is reported as 1
	Shares int    // how many addresses of the same SRV target share Weight; 1 or more
	Name   string // the SRV record's target without its last dot, "" otherwise
}

// Records are all addresses that a name has now.
type Records struct {
	List []Record
	Type string        // SRV, A, AAAA; what the health report shows
	TTL  time.Duration // until it is worth asking again; 0 when the records may not be kept or are stale
}

// Resolver looks names up. It is safe for concurrent use.
type Resolver struct {
	servers  []string
	preferV6 bool // hosts file: AAAA stands before A
	useLast  bool
	order    []uint16
	attempts int
	timeout  time.Duration
	names    func(host string) []string // the search list applied to a name, all fully qualified

	validTTL, staleTTL, notFoundTTL, errorTTL time.Duration

	hosts     hostsFile
	cache     cache
	preferred atomic.Int32 // index of the server that answered last

	// exchange asks the nameservers one question; a field so that the cache can be tested without sockets.
	exchange func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error)

	slots chan struct{} // one for each name being asked for

	base   time.Time
	ctx    context.Context // of queries; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // queries in flight
}

// New makes a Resolver. It reads the hosts file and resolv.conf but sends nothing.
func New(c Config) (*Resolver, error) {
	r := &Resolver{
		validTTL:    max(c.ValidTTL, 0),
		staleTTL:    max(c.StaleTTL, 0),
		notFoundTTL: max(c.NotFoundTTL, 0),
		errorTTL:    max(c.ErrorTTL, 0),
		slots:       make(chan struct{}, maxFlights),
		base:        time.Now(),
	}
	if err := r.setOrder(c.Order); err != nil {
		return nil, err
	}
	if err := r.setServers(c); err != nil {
		return nil, err
	}
	if c.CacheSize < 0 || c.CacheSize > math.MaxInt32 {
		return nil, fmt.Errorf("cache size %d is out of range", c.CacheSize)
	}
	if c.CacheSize == 0 {
		c.CacheSize = defaultCacheSize
	}
	r.cache.init(c.CacheSize)
	r.hosts.init(c.HostsFile)
	r.exchange = r.askServers
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

func (r *Resolver) setOrder(order []string) error {
	if len(order) == 0 {
		order = []string{"LAST", "SRV", "A", "AAAA", "CNAME"}
	}
	for _, name := range order {
		switch t := strings.ToUpper(strings.TrimSpace(name)); t {
		case "LAST":
			r.useLast = true
		case "SRV", "A", "AAAA", "CNAME":
			qtype := dns.StringToType[t]
			r.preferV6 = r.preferV6 || qtype == dns.TypeAAAA && !slices.Contains(r.order, dns.TypeA)
			r.order = append(r.order, qtype)
		default:
			return fmt.Errorf("unknown record type %q in the dns order, expected LAST, SRV, A, AAAA or CNAME", name)
		}
	}
	if len(r.order) == 0 {
		return fmt.Errorf("the dns order names no record type, expected SRV, A, AAAA or CNAME beside LAST")
	}
	return nil
}

// Close stops the queries in flight and waits for them. What is cached is answered still, all else fails.
func (r *Resolver) Close() {
	r.cache.close()
	r.cancel()
	r.wg.Wait()
}

// Resolve gives one address for host and port to connect to now. Successive calls go round a name's addresses, SRV
// records in proportion to their weight; an SRV record's port replaces port. IP literals (IPv6 also in brackets) and
// names in the hosts file need no query. The error is a *Error or ctx's.
//
// Kong: kong/resty/dns/client.lua execute_toip
func (r *Resolver) Resolve(ctx context.Context, host string, port int) (Address, error) {
	for range maxDepth {
		now := r.now()
		ip, ok, err := r.local(host, now)
		if err != nil {
			return Address{}, err
		}
		if ok {
			return Address{IP: ip, Port: port}, nil
		}
		e, err := r.lookup(ctx, strings.ToLower(host), now)
		if err != nil {
			return Address{}, err
		}
		rec := e.pick()
		if rec.ip.IsValid() {
			return Address{IP: rec.ip, Port: port}, nil
		}
		host = rec.target
		if rec.port != 0 {
			port = rec.port
		}
	}
	return Address{}, errorFor(host, errRecursion)
}

// Lookup gives all addresses of host. The targets of SRV records are looked up too; those that fail are left out as
// long as one remains. The error is a *Error or ctx's.
func (r *Resolver) Lookup(ctx context.Context, host string) (Records, error) {
	budget := 2 * maxRecords
	return r.lookupAll(ctx, host, maxDepth, &budget)
}

// lookupAll is Lookup below depth-limited SRV records. budget bounds the names visited altogether, as SRV records that
// point at each other would multiply.
func (r *Resolver) lookupAll(ctx context.Context, host string, depth int, budget *int) (Records, error) {
	if *budget--; depth == 0 || *budget < 0 {
		return Records{}, errorFor(host, errRecursion)
	}
	now := r.now()
	ip, ok, err := r.local(host, now)
	if err != nil {
		return Records{}, err
	}
	if ok {
		qtype := "A"
		if ip.Is6() {
			qtype = "AAAA"
		}
		return Records{List: []Record{{IP: ip, Shares: 1}}, Type: qtype, TTL: hostsInterval}, nil
	}
	e, err := r.lookup(ctx, strings.ToLower(host), now)
	if err != nil {
		return Records{}, err
	}
	all := Records{Type: dns.TypeToString[e.qtype], TTL: max(e.expires-r.now(), 0)}
	if e.shares == nil {
		for i := range e.records {
			all.List = append(all.List, Record{IP: e.records[i].ip, Shares: 1})
		}
		return all, nil
	}
	for i := range e.records {
		r.prefetch(e.records[i].target) // together, not one after the other
	}
	for i := range e.records {
		rec := &e.records[i]
		below, lookupErr := r.lookupAll(ctx, rec.target, depth-1, budget)
		if lookupErr != nil {
			err = lookupErr
			continue
		}
		all.TTL = min(all.TTL, below.TTL)
		for _, b := range below.List {
			b.Weight, b.Shares, b.Name = rec.weight, len(below.List), strings.TrimSuffix(rec.target, ".")
			if b.Port == 0 {
				b.Port = rec.port
			}
			all.List = append(all.List, b)
		}
	}
	if len(all.List) == 0 {
		return Records{}, err
	}
	all.List = all.List[:min(len(all.List), maxRecords)]
	return all, nil
}

// local answers what needs no query: IP literals and names in the hosts file.
func (r *Resolver) local(host string, now time.Duration) (netip.Addr, bool, error) {
	host = strings.TrimSuffix(host, ".")
	switch literalKind(host) {
	case 4:
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return netip.Addr{}, false, errorFor(host, errBadIPv4)
		}
		return ip, true, nil
	case 6:
		ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
		if err != nil {
			return netip.Addr{}, false, errorFor(host, errBadIPv6)
		}
		return ip.Unmap(), true, nil
	}
	found, ok := r.hosts.lookup(host, now)
	if !ok {
		return netip.Addr{}, false, nil
	}
	return found.choose(r.preferV6), true, nil
}

// literalKind tells IPv4 (4), IPv6 (6) and names (0) apart by their characters alone.
//
// Kong: kong/resty/dns/utils.lua hostnameType
func literalKind(host string) int {
	digits := host != ""
	for i := range len(host) {
		switch c := host[i]; {
		case c == ':':
			return 6
		case c != '.' && (c < '0' || c > '9'):
			digits = false
		}
	}
	if digits {
		return 4
	}
	return 0
}

func (r *Resolver) now() time.Duration { return time.Since(r.base) }
