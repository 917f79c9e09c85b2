package balancer

import "sync/atomic"

// leastConnections picks the address with the fewest requests under way for its weight. One request more is assumed
// on each, so that among idle addresses the heaviest comes first; equals take turns.
//
// Kong: kong/runloop/balancer/least_connections.lua
type leastConnections struct {
	addresses []*address
	next      atomic.Uint64
}

func newLeastConnections(addresses []*address) *leastConnections {
	return &leastConnections{addresses: addresses}
}

// pick looks at all addresses without a lock: two requests at one moment may choose the same, which the next evens out.
func (lc *leastConnections) pick(t *Tries) *address {
	n := len(lc.addresses)
	if n == 0 {
		return nil
	}
	var best *address
	var load, weight float64
	first := int(lc.next.Add(1) % uint64(n))
	for _, part := range [2][]*address{lc.addresses[first:], lc.addresses[:first]} {
		for _, a := range part {
			l := float64(a.inflight.Load() + 1)
			if best != nil && l*weight >= load*a.weight || !a.usable(t) {
				continue
			}
			best, load, weight = a, l, a.weight
		}
	}
	return best
}
