package balancer

import (
	"math"
	"strconv"
)

// minSlots is the least number of slots used, as in Kong.
const minSlots = 1000

// consistentHashing sends equal keys to the same address. A key falls into one of the slots; each slot belongs to the
// address that wins a weighted draw for it (rendezvous hashing), and the draw of an address depends on nothing but
// itself. So an address that comes takes its share of slots and moves no others, and the slots of one that goes, or
// cannot be used, spread over all the rest.
//
// Kong: kong/runloop/balancer/consistent_hashing.lua, a ketama ring whose points move when weights change
type consistentHashing struct {
	addresses []*address
	seeds     []uint64   // one per address
	slots     []*address // the winners
	turns     *roundRobin
}

func newConsistentHashing(addresses []*address, slots int) *consistentHashing {
	ch := &consistentHashing{
		addresses: addresses,
		seeds:     make([]uint64, len(addresses)),
		slots:     make([]*address, max(slots, minSlots)),
		turns:     newRoundRobin(addresses),
	}
	for i, a := range addresses {
		ch.seeds[i] = hash(a.target.host + " " + a.ip.String() + " " + strconv.Itoa(a.port))
	}
	for s := range ch.slots {
		ch.slots[s] = ch.winner(s, nil)
	}
	return ch
}

func (ch *consistentHashing) pick(t *Tries) *address {
	if !t.keyed {
		return ch.turns.pick(t)
	}
	slot := int(t.key % uint64(len(ch.slots)))
	if a := ch.slots[slot]; a != nil && a.usable(t) {
		return a
	}
	return ch.winner(slot, t)
}

// winner draws for a slot among all addresses, or among those usable for t.
func (ch *consistentHashing) winner(slot int, t *Tries) *address {
	var best *address
	lowest := math.Inf(1)
	seed := mix(uint64(slot) + 1)
	for i, a := range ch.addresses {
		if t != nil && !a.usable(t) {
			continue
		}
		// The draw is exponentially distributed with rate weight: the lowest of several comes from each address as often
		// as its weight says.
		u := (float64(mix(seed^ch.seeds[i])>>11) + 0.5) / (1 << 53)
		if draw := -math.Log(u) / a.weight; draw < lowest {
			best, lowest = a, draw
		}
	}
	return best
}

// hash is FNV-1a, mixed. It is the same in every process, so that instances agree.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of MurmurHash3.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
