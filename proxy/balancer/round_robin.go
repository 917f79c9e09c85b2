package balancer

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
)

// maxWheel bounds the wheel; weights whose sum is larger are rounded to it.
const maxWheel = 8192

// roundRobin gives each address as many places on a wheel as its weight says, spread evenly, and goes round it. An
// address that cannot be used loses its places, so the others keep their proportions.
//
// Kong: kong/runloop/balancer/round_robin.lua, which shuffles its wheel
type roundRobin struct {
	wheel []*address
	next  atomic.Uint64
}

func newRoundRobin(addresses []*address) *roundRobin {
	rr := &roundRobin{wheel: wheel(addresses)}
	if n := len(rr.wheel); n > 0 {
		rr.next.Store(rand.Uint64N(uint64(n))) // instances that start together should not agree
	}
	return rr
}

func (rr *roundRobin) pick(t *Tries) *address {
	n := uint64(len(rr.wheel))
	for range n {
		if a := rr.wheel[rr.next.Add(1)%n]; a.usable(t) {
			return a
		}
	}
	return nil
}

// wheel puts address i, of w places in all, at (k + p)/w for k from 0 to w-1. The phases p follow the golden ratio so
// that addresses of equal weight do not fall on one point.
func wheel(addresses []*address) []*address {
	type place struct {
		at float64
		a  *address
	}
	var places []place
	for i, n := range portions(addresses) {
		_, phase := math.Modf(0.5 + float64(i)*math.Phi)
		for k := range n {
			places = append(places, place{(float64(k) + phase) / float64(n), addresses[i]})
		}
	}
	slices.SortStableFunc(places, func(x, y place) int { return cmp.Compare(x.at, y.at) })
	wheel := make([]*address, len(places))
	for i, p := range places {
		wheel[i] = p.a
	}
	return wheel
}

// portions returns the smallest whole numbers in the proportion of the weights, at least 1 each and about maxWheel in
// all at most.
func portions(addresses []*address) []int {
	const fine = 5040 // SRV weights shared by up to 10 addresses are whole multiples of 1/fine
	units := make([]int, len(addresses))
	divisor, total := 0, 0
	for i, a := range addresses {
		units[i] = max(int(math.Round(a.weight*fine)), 1)
		divisor = gcd(divisor, units[i])
	}
	for i := range units {
		units[i] /= divisor
		total += units[i]
	}
	if total > maxWheel {
		for i := range units {
			units[i] = max(int(math.Round(float64(units[i])*maxWheel/float64(total))), 1)
		}
	}
	return units
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
