// Package proxy carries one request from its arrival to the last byte of its answer.
//
// A Gateway is an http.Handler. It holds a runtime, compiled from a configs.Snapshot, and swaps it whole when the
// configuration changes; a request keeps the runtime that it began with. ServeHTTP makes an exchange, which holds all
// state of one request, and calls its phases in the order they run.
//
// The package knows neither a header format nor an export protocol: as in Kong, both live in the opentelemetry plugin.
package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sidekong/configs"
	"sidekong/proxy/http1"
)

// Gateway serves a configuration. It is safe for use by several goroutines.
type Gateway struct {
	options   Options
	applying  sync.Mutex // held while one configuration takes the place of another
	current   atomic.Pointer[runtime]
	draining  atomic.Bool
	stats     stats
	via11     string // what it adds to Via where HTTP/1.1 was spoken
	exchanges sync.Pool
	plain     *http1.Transport // to upstreams that speak plain HTTP/1.1; its connections outlive a reload
}

// New makes a gateway that answers 404 to everything until Apply gives it a configuration.
func New(options Options) (*Gateway, error) {
	if options.Pause == nil {
		options.Pause = func() {}
	}
	g := &Gateway{options: options, plain: plainTransport(options.Keepalive), via11: "1.1 " + ServerToken}
	g.exchanges.New = func() any { return newExchange(g) }
	if err := g.Apply(&configs.Snapshot{}); err != nil {
		return nil, err
	}
	return g, nil
}

// Apply compiles a snapshot and serves it from the next request on. Where it fails, the old one goes on serving; the
// error has the Faults of entities that cannot be served, unless Options.Isolate keeps them from being an error.
// Requests under way end with the configuration that they began with; then that one is closed.
func (g *Gateway) Apply(snapshot *configs.Snapshot) error {
	g.applying.Lock()
	defer g.applying.Unlock()
	next, err := g.compile(snapshot)
	if err != nil {
		return err
	}
	old := g.current.Swap(next)
	if old == nil {
		g.logFaults(nil, next.faults)
		succeed(nil, next.balancers)
		return nil
	}
	g.logFaults(old.faults, next.faults)
	succeed(old.balancers, next.balancers)
	old.release()
	return nil
}

func plainTransport(keepalive Keepalive) *http1.Transport {
	t := &http1.Transport{
		MaxIdlePerHost:     keepalive.PoolSize,
		IdleTimeout:        keepalive.IdleTimeout,
		MaxRequestsPerConn: keepalive.MaxRequests,
	}
	if keepalive.PoolSize == 0 {
		t.MaxIdlePerHost = -1
	}
	return t
}

// Drain makes every answer from now on tell its client that the connection ends with it.
func (g *Gateway) Drain() { g.draining.Store(true) }

// Close lets go of the configuration. No request may come in any more.
func (g *Gateway) Close() {
	g.applying.Lock()
	defer g.applying.Unlock()
	if old := g.current.Swap(nil); old != nil {
		succeed(old.balancers, nil)
		old.release()
	}
	g.plain.CloseIdleConnections()
}

// acquire gives the runtime that serves now, and keeps it from being closed until it is released.
func (g *Gateway) acquire() *runtime {
	for {
		rt := g.current.Load()
		rt.users.Add(1)
		if rt == g.current.Load() {
			return rt
		}
		rt.release()
	}
}

// ServeHTTP carries one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := g.begin(w, r)
	defer x.finish()
	if !x.admit() || !x.rewrite() || !x.route() || !x.access() {
		return
	}
	x.forward()
}

// connKey is where a connection's peer is kept in the context of its requests.
type connKey struct{}

// peer is what does not change from one request of a connection to the next.
type peer struct {
	addr    netip.AddrPort // who is connected
	text    string         // its address
	local   int            // port of the listener
	trusted bool
	proxied proxied // what a PROXY header said; nil: no listener for such
}

// proxied is a connection that began with a PROXY header. Its own addresses are those of the connection itself.
type proxied interface {
	// ProxiedAddr is the client that a trusted peer names. It may wait for the header.
	ProxiedAddr() (netip.AddrPort, bool)
}

// proxyProtocol is the Options.RealIPHeader that stands for the PROXY header. nginx: real_ip_header
const proxyProtocol = "Proxy_protocol"

// ConnContext is for http.Server.ConnContext: what is the same for all requests of a connection is worked out once.
func (g *Gateway) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	p := g.newPeer(addrPort(conn.RemoteAddr()), int(addrPort(conn.LocalAddr()).Port()))
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	p.proxied, _ = conn.(proxied)
	return context.WithValue(ctx, connKey{}, p)
}

func (g *Gateway) peerOf(r *http.Request) *peer {
	if p, ok := r.Context().Value(connKey{}).(*peer); ok {
		return p
	}
	// Only a server that does not use ConnContext comes here.
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	port := 0
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		port = int(addrPort(local).Port())
	}
	return g.newPeer(netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()), port)
}

func (g *Gateway) newPeer(remote netip.AddrPort, local int) *peer {
	addr := remote.Addr()
	return &peer{addr: remote, text: addr.String(), local: local, trusted: contains(g.options.TrustedIPs, addr)}
}

func addrPort(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// begin takes an exchange for a request that has just arrived.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request) *exchange {
	g.stats.active.Add(1)
	x := g.exchanges.Get().(*exchange)
	x.start(w, r, g.acquire(), time.Now())
	return x
}
