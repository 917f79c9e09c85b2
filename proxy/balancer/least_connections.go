package balancer

import "sync/atomic"

// leastConnections picks the address with the fewest requests under way for its weight. One request more is assumed
// on each, so that among idle addresses the heaviest comes first; equals take turns.
//
// Kong: kong/runloop/balancer/least_connections.lua
type leastConnections struct {
	entries []connected
	next    atomic.Uint64
}

// connected keeps at hand what pick looks at.
type connected struct {
	weight float64
	*vitals
	address *address
}

func newLeastConnections(addresses []*address) *leastConnections {
	lc := &leastConnections{entries: make([]connected, len(addresses))}
	for i, a := range addresses {
		lc.entries[i] = connected{a.weight, a.vitals, a}
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
	var load, weight float64
	first := int(lc.next.Add(1) % uint64(n))
	for _, part := range [2][]connected{lc.entries[first:], lc.entries[:first]} {
		for i := range part {
			e := &part[i]
			l := float64(e.inflight.Load() + 1)
			if best != nil && l*weight >= load*e.weight || !e.address.usable(t) {
				continue
			}
			best, load, weight = e.address, l, e.weight
		}
	}
	return best
}
