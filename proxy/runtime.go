package proxy

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy/http1"
	"sidekong/proxy/plugin"
	"sidekong/proxy/router"
)

// runtime is a compiled snapshot. It is read-only but for the count of its users; when the last has gone, it closes.
type runtime struct {
	router     *router.Router
	plan       *plugin.Plan
	global     *plugin.Chain // for requests without a route
	rewrites   bool
	places     map[*entity.Route]*place
	transports map[identity]*http.Transport
	users      atomic.Int64
	closed     atomic.Bool
	onClose    func(error)
}

// place is what a route leads to.
type place struct {
	chain    *plugin.Chain
	upstream *upstream // nil: the route has no service
	counters *counters
}

// upstream is a service, ready to be sent to.
type upstream struct {
	service              *entity.Service
	scheme               string // http or https
	version              string // of HTTP, for Via
	retries              int
	connect, write, read time.Duration
	transport            doer
}

// doer sends one request. http1.Transport is one; trip times and time-outs are as it says.
type doer interface {
	Do(req *http.Request, trip *http1.Trip) (*http.Response, error)
}

// compile makes the runtime of a snapshot. Nothing of it is in use before Apply swaps it in.
func (g *Gateway) compile(snapshot *configs.Snapshot) (*runtime, error) {
	rt := &runtime{
		places:     map[*entity.Route]*place{},
		transports: map[identity]*http.Transport{},
		onClose: func(err error) {
			g.options.Logger.Error("close configuration", "error", err)
		},
	}
	rt.users.Store(1) // the gateway's own
	entries := make([]router.Entry, 0, len(snapshot.ActiveRoutes))
	for _, route := range snapshot.ActiveRoutes {
		entry := router.Entry{Route: route}
		if route.Service != nil {
			entry.Service, _ = snapshot.Service(route.Service.ID)
		}
		entries = append(entries, entry)
	}
	var err error
	if rt.router, err = router.Compile(entries); err != nil {
		return nil, err
	}
	upstreams := map[*entity.Service]*upstream{}
	for _, service := range snapshot.Services {
		if upstreams[service], err = g.upstream(rt, service); err != nil {
			return nil, fmt.Errorf("service %s: %w", service.ID, err)
		}
	}
	// Plugins come last: what they open has to be closed where something fails.
	if rt.plan, err = plugin.NewPlan(g.options.Registry, snapshot.ActivePlugins); err != nil {
		return nil, err
	}
	rt.global = rt.plan.Chain(nil, nil)
	rt.rewrites = rt.global.Rewrites()
	for _, entry := range entries {
		rt.places[entry.Route] = &place{
			chain:    rt.plan.Chain(entry.Route, entry.Service),
			upstream: upstreams[entry.Service],
			counters: g.stats.of(entry.Service, entry.Route),
		}
	}
	return rt, nil
}

func (rt *runtime) release() {
	if rt.users.Add(-1) > 0 || !rt.closed.CompareAndSwap(false, true) {
		return
	}
	if err := rt.plan.Close(); err != nil {
		rt.onClose(err)
	}
	for _, transport := range rt.transports {
		transport.CloseIdleConnections()
	}
}

// upstream prepares a service.
func (g *Gateway) upstream(rt *runtime, service *entity.Service) (*upstream, error) {
	up := &upstream{
		service: service,
		version: "1.1",
		retries: service.Retries,
		connect: time.Duration(service.ConnectTimeout) * time.Millisecond,
		write:   time.Duration(service.WriteTimeout) * time.Millisecond,
		read:    time.Duration(service.ReadTimeout) * time.Millisecond,
	}
	switch service.Protocol {
	case "http", "ws":
		up.scheme, up.transport = "http", g.plain
		return up, nil
	case "https", "wss":
		up.scheme = "https"
	case "grpc":
		up.scheme, up.version = "http", "2"
	case "grpcs":
		up.scheme, up.version = "https", "2"
	default: // stream protocols: no route of ours leads there
		return nil, nil
	}
	var err error
	up.transport, err = g.encrypted(rt, service, up)
	return up, err
}

// identity is what must be equal for two requests to share connections through net/http's Transport.
type identity struct {
	scheme, serverName, clientCert, authorities string
	http2, verify                               bool
	connect, read                               time.Duration
}

// encrypted gives the transport for everything that is not plain HTTP/1.1.
func (g *Gateway) encrypted(rt *runtime, service *entity.Service, up *upstream) (doer, error) {
	id := identity{
		scheme: up.scheme, serverName: service.Host, http2: up.version == "2",
		verify:  service.TLSVerify != nil && *service.TLSVerify,
		connect: up.connect, read: up.read,
	}
	if rt.transports[id] == nil {
		rt.transports[id] = g.newTransport(id)
	}
	return &stock{transport: rt.transports[id]}, nil
}

// newTransport makes a net/http Transport. Kong verifies an upstream's certificate only where tls_verify says so.
func (g *Gateway) newTransport(id identity) *http.Transport {
	keepalive := g.options.Keepalive
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: id.connect}).DialContext,
		TLSHandshakeTimeout:    id.connect,
		ResponseHeaderTimeout:  id.read,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    keepalive.PoolSize,
		DisableKeepAlives:      keepalive.PoolSize == 0,
		IdleConnTimeout:        keepalive.IdleTimeout,
		MaxResponseHeaderBytes: http1.DefaultMaxResponseHeaderBytes,
		TLSClientConfig: &tls.Config{
			ServerName:         id.serverName,
			RootCAs:            g.options.RootCAs,
			InsecureSkipVerify: !id.verify,
			MinVersion:         tls.VersionTLS12,
		},
		Protocols: new(http.Protocols),
	}
	if g.options.ClientCert != nil {
		t.TLSClientConfig.Certificates = []tls.Certificate{*g.options.ClientCert}
	}
	switch {
	case id.http2 && id.scheme == "http":
		t.Protocols.SetUnencryptedHTTP2(true)
	case id.http2:
		t.Protocols.SetHTTP2(true)
	default:
		t.Protocols.SetHTTP1(true)
	}
	return t
}
