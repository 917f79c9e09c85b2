package proxy

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sidekong/configs/entity"
)

// LatencyBounds are the upper bounds of the latency histograms, in seconds. Kong: kong/plugins/prometheus/exporter.lua
var LatencyBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.08, 0.1, 0.25, 0.4, 0.7, 1, 2, 5, 10, 30, 60}

// Stats is what the gateway counted since it was made.
type Stats struct {
	Active   int64 // requests under way
	Total    uint64
	Requests []RequestCount
	Kong     Histogram // time that the gateway itself took before it sent a request upstream
	Upstream Histogram // time from there to the head of the answer
	Request  Histogram // time from the first byte to the last
}

// RequestCount is the number of requests of one service and route that ended with one status. Service and Route are
// names, or ids where there is no name; both empty where no route matched.
type RequestCount struct {
	Service, Route string
	Status         int
	Count          uint64
}

// Histogram counts durations; Buckets[i] holds those up to LatencyBounds[i], not cumulated, the last one the rest.
type Histogram struct {
	Buckets []uint64
	Sum     float64 // seconds
}

type histogram struct {
	buckets [16]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	seconds := d.Seconds()
	i := 0
	for i < len(LatencyBounds) && seconds > LatencyBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) read() Histogram {
	out := Histogram{Buckets: make([]uint64, len(h.buckets)), Sum: time.Duration(h.sum.Load()).Seconds()}
	for i := range h.buckets {
		out.Buckets[i] = h.buckets[i].Load()
	}
	return out
}

// counters are the requests of one route by status, 1xx to 5xx, in blocks that are made when they are needed.
type counters struct {
	service, route string
	blocks         [6]atomic.Pointer[[100]atomic.Uint64]
}

func (c *counters) add(status int) {
	class := min(max(status/100, 0), len(c.blocks)-1)
	block := c.blocks[class].Load()
	if block == nil {
		c.blocks[class].CompareAndSwap(nil, new([100]atomic.Uint64))
		block = c.blocks[class].Load()
	}
	block[status%100].Add(1)
}

// stats outlive the runtimes, so that counters never go backwards over a reload.
type stats struct {
	active                  atomic.Int64
	kong, upstream, request histogram
	unmatched               counters
	mu                      sync.Mutex
	routes                  map[[2]string]*counters
}

// of gives the counters of a route.
func (s *stats) of(service *entity.Service, route *entity.Route) *counters {
	key := [2]string{"", cmp.Or(route.Name, route.ID)}
	if service != nil {
		key[0] = cmp.Or(service.Name, service.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.routes[key]
	if c == nil {
		if s.routes == nil {
			s.routes = map[[2]string]*counters{}
		}
		c = &counters{service: key[0], route: key[1]}
		s.routes[key] = c
	}
	return c
}

// count takes a finished request in.
func (s *stats) count(x *exchange, ended time.Time) {
	c := &s.unmatched
	if x.place != nil {
		c = x.place.counters
	}
	c.add(x.status)
	s.active.Add(-1)
	s.request.observe(ended.Sub(x.arrived))
	if x.left.IsZero() {
		return
	}
	s.kong.observe(x.left.Sub(x.arrived))
	if x.upstreamStatus != 0 {
		s.upstream.observe(x.answered.Sub(x.left))
	}
}

// Begun is how many requests have begun so far.
func (g *Gateway) Begun() uint64 {
	n := uint64(g.stats.active.Load())
	for i := range g.stats.request.buckets {
		n += g.stats.request.buckets[i].Load()
	}
	return n
}

// Stats reads the counters.
func (g *Gateway) Stats() Stats {
	s := &g.stats
	out := Stats{Active: s.active.Load(), Kong: s.kong.read(), Upstream: s.upstream.read(), Request: s.request.read()}
	out.add(&s.unmatched)
	s.mu.Lock()
	for _, c := range s.routes {
		out.add(c)
	}
	s.mu.Unlock()
	slices.SortFunc(out.Requests, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Route, b.Route), cmp.Compare(a.Status, b.Status))
	})
	return out
}

func (out *Stats) add(c *counters) {
	for class := range c.blocks {
		block := c.blocks[class].Load()
		if block == nil {
			continue
		}
		for i := range block {
			if n := block[i].Load(); n > 0 {
				out.Requests = append(out.Requests, RequestCount{Service: c.service, Route: c.route, Status: class*100 + i, Count: n})
				out.Total += n
			}
		}
	}
}
