package balancer

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// decayTime is how fast old latencies are forgotten.
const decayTime = 10 * time.Second

// latency picks the better of two addresses drawn at random: the one whose requests lately took less time, counted
// once for each request under way there and divided by its weight (peak EWMA, as in Finagle). Two draws avoid the herd
// that runs to the one best address.
//
// Kong: kong/runloop/balancer/latency.lua
type latency struct {
	addresses []*address
	now       func() time.Duration
	draw      func(n int) int // from 0 to n-1
}

// newLatency lets addresses that have not been measured begin with the mean of the others.
func newLatency(addresses []*address, now time.Duration) *latency {
	l := &latency{addresses: addresses, draw: rand.IntN}
	sum, n := 0.0, 0
	for _, a := range addresses {
		if v, ok := a.latency.value(now); ok {
			sum, n = sum+v, n+1
		}
	}
	if n > 0 {
		for _, a := range addresses {
			a.latency.begin(sum/float64(n), now)
		}
	}
	base := time.Now().Add(-now)
	l.now = func() time.Duration { return time.Since(base) }
	return l
}

func (l *latency) pick(t *Tries) *address {
	n := len(l.addresses)
	switch n {
	case 0:
		return nil
	case 1:
		if l.addresses[0].usable(t) {
			return l.addresses[0]
		}
		return nil
	}
	i, j := l.draw(n), l.draw(n-1)
	if j >= i {
		j++
	}
	x, y := l.addresses[i], l.addresses[j]
	switch xOK, yOK := x.usable(t), y.usable(t); {
	case xOK && yOK:
		now := l.now()
		if y.cost(now) < x.cost(now) {
			return y
		}
		return x
	case xOK:
		return x
	case yOK:
		return y
	}
	for k := range n {
		if a := l.addresses[(i+k)%n]; a.usable(t) {
			return a
		}
	}
	return nil
}

// cost is what one more request would wait for. A microsecond more makes the requests under way count where nothing has
// been measured.
func (a *address) cost(now time.Duration) float64 {
	seconds, _ := a.latency.value(now)
	return (seconds + 1e-6) * float64(a.inflight.Load()+1) / a.weight
}

// ewma is a mean of latencies that weighs each by its age. A latency above the mean replaces it at once. Reading takes no
// lock; that the two parts of the value may then stem from neighbouring measurements does no harm.
type ewma struct {
	mu      sync.Mutex    // of writers
	seconds atomic.Uint64 // bits of a float64
	at      atomic.Int64  // when, since the balancer's base; 0: never
}

// observe adds a measurement. A failed try may be quick because it failed, so it never lowers the mean.
func (e *ewma) observe(d, now time.Duration, answered bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	mean, known := e.value(now)
	switch s := d.Seconds(); {
	case s >= mean || !known:
		mean = s
	case answered:
		w := e.decay(now)
		mean += s * (1 - w) // which has faded by w already
	default:
		return
	}
	e.set(mean, now)
}

// begin sets the mean of what has not been measured.
func (e *ewma) begin(seconds float64, now time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at.Load() == 0 {
		e.set(seconds, now)
	}
}

func (e *ewma) set(seconds float64, now time.Duration) {
	e.seconds.Store(math.Float64bits(seconds))
	e.at.Store(int64(max(now, 1)))
}

// value returns the mean in seconds, fading while nothing is measured, so that a slow address is tried again.
func (e *ewma) value(now time.Duration) (seconds float64, known bool) {
	return math.Float64frombits(e.seconds.Load()) * e.decay(now), e.at.Load() != 0
}

// decay is what is left of the mean: 1 at its measurement, 1/e after decayTime.
func (e *ewma) decay(now time.Duration) float64 {
	x := float64(max(int64(now)-e.at.Load(), 0)) / float64(decayTime)
	if x < 1e-3 {
		return 1 - x // exp(-x) to six digits, at a fraction of its cost
	}
	return math.Exp(-x)
}
