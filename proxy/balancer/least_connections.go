package balancer

import (
	"math"
	"sync/atomic"
)

// leastConnections picks the address with the fewest requests under way for its weight. One request more is assumed
// on each, so that among idle addresses the heaviest comes first; equals take turns.
//
// Kong: kong/runloop/balancer/least_connections.lua
type leastConnections struct {
	entries []connected
	least   float64 // the load of the heaviest address when idle
	next    atomic.Uint64
}

// connected keeps at hand what pick looks at.
type connected struct {
	share float64 // what one request adds to the load: 1/weight
	*vitals
	address *address
}

func newLeastConnections(addresses []*address) *leastConnections {
	lc := &leastConnections{entries: make([]connected, len(addresses)), least: math.Inf(1)}
	for i, a := range addresses {
		lc.entries[i] = connected{1 / a.weight, a.vitals, a}
		lc.least = min(lc.least, 1/a.weight)
	}
	return lc
}

// pick looks at all addresses without a lock: two requests at one moment may choose the same, which the next evens out.
func (lc *leastConnections) pick(t *Tries) *address {
	n := len(lc.entries)
	if n == 0 {
		return nil
	}
	var best *address
	lowest := math.Inf(1)
	first := int(lc.next.Add(1) % uint64(n))
	for _, part := range [2][]connected{lc.entries[first:], lc.entries[:first]} {
		for i := range part {
			e := &part[i]
			load := float64(e.inflight.Load()+1) * e.share
			if load >= lowest || !e.address.usable(t) {
				continue
			}
			if load <= lc.least {
				return e.address // there is none better
			}
			best, lowest = e.address, load
		}
	}
	return best
}
