package proxy

import (
	"context"
	"net"

	"sidekong/proxy/balancer"
)

// SetLocalPort makes a connection look as if it came in on another port. It is for a server's ConnContext, after the
// gateway's.
func SetLocalPort(ctx context.Context, port int) { ctx.Value(connKey{}).(*peer).local = port }

// DialUpstreams makes all connections to upstreams through dial. It is called after Apply and before any request.
func (g *Gateway) DialUpstreams(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	g.plain.Dial = dial
	for _, s := range g.current.Load().encrypted {
		s.dial = dial
	}
}

// Active gives the number of requests under way.
func (g *Gateway) Active() int64 { return g.stats.active.Load() }

// Balancer gives the balancer of an upstream.
func (g *Gateway) Balancer(upstream string) *balancer.Balancer {
	return g.current.Load().balancers[upstream].balancer
}
