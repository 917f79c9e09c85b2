package traces

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// The overview counts in two steps of time: fine ones for the last hour, coarse ones for longer.
const (
	fineStep    = 10 * time.Second
	finePoints  = 360
	coarseStep  = 5 * time.Minute
	coarseCount = 73
	// maxSeries bounds the pairs of service and route that are told apart; requests of further ones count as "other".
	maxSeries = 64
	other     = "other"
)

// Durations are counted in buckets: four to each doubling, the first ends at 65.5 µs.
const (
	buckets   = 88
	firstBits = 16 // the first bucket holds what is shorter than 1<<firstBits nanoseconds
)

func bucket(d time.Duration) int {
	if d < 1<<firstBits {
		return 0
	}
	width := bits.Len64(uint64(d)) // of 1<<firstBits: firstBits + 1
	quarter := int(d>>(width-3)) & 3
	return min(1+4*(width-1-firstBits)+quarter, buckets-1)
}

// bucketBegin is the shortest duration of a bucket, in milliseconds.
func bucketBegin(i int) float64 {
	if i == 0 {
		return 0
	}
	doubling, quarter := (i-1)/4, (i-1)%4
	return math.Ldexp(1+float64(quarter)/4, firstBits+doubling) / 1e6
}

// cell is the requests of one series in one step of time.
type cell struct {
	step     int64 // since 1970; 0: never used
	requests uint32
	errors   uint32
	counts   [buckets]uint32
}

// tally is what cells add up to.
type tally struct {
	requests uint64
	errors   uint64
	counts   [buckets]uint64
}

func (t *tally) add(c *cell) {
	t.requests += uint64(c.requests)
	t.errors += uint64(c.errors)
	for i, n := range c.counts {
		t.counts[i] += uint64(n)
	}
}

// quantile is the time that a share of the requests did not exceed, in milliseconds, placed within its bucket.
func (t *tally) quantile(share float64) float64 {
	if t.requests == 0 {
		return 0
	}
	rank := share * float64(t.requests)
	below := 0.0
	for i, n := range t.counts {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		begin, end := bucketBegin(i), bucketBegin(i+1)
		return begin + (end-begin)*(rank-below)/float64(n)
	}
	return 0
}

// scale is the cells of one series at one step of time, made when they are needed.
type scale struct {
	step  time.Duration
	cells []*cell // by number of the step, modulo their count
}

func (s *scale) count(at time.Time, d time.Duration, failed bool) {
	step := at.UnixNano() / int64(s.step)
	slot := &s.cells[step%int64(len(s.cells))]
	switch c := *slot; {
	case c == nil:
		*slot = &cell{step: step}
	case c.step < step:
		*c = cell{step: step}
	case c.step > step:
		return // it ended so late that its time is not shown any more
	}
	c := *slot
	c.requests++
	c.counts[bucket(d)]++
	if failed {
		c.errors++
	}
}

type seriesKey struct{ service, route string }

type series struct {
	seriesKey
	fine, coarse scale
}

// overview counts requests. The zero overview is ready.
type overview struct {
	mu     sync.Mutex
	all    map[seriesKey]*series
	recent [4]*series // counted last, the first of them last of all
}

// find gives the series of a service and route. The same few come again and again.
func (o *overview) find(service, route string) *series {
	for i, one := range o.recent {
		if one != nil && one.route == route && one.service == service {
			if i > 0 {
				o.recent[0], o.recent[i] = one, o.recent[0]
			}
			return one
		}
	}
	key := seriesKey{service, route}
	one := o.all[key]
	if one == nil && len(o.all) >= maxSeries-1 {
		key = seriesKey{other, other}
		one = o.all[key]
	}
	if one == nil {
		if o.all == nil {
			o.all = map[seriesKey]*series{}
		}
		one = &series{
			seriesKey: key,
			fine:      scale{fineStep, make([]*cell, finePoints)},
			coarse:    scale{coarseStep, make([]*cell, coarseCount)},
		}
		o.all[key] = one
	}
	copy(o.recent[1:], o.recent[:])
	o.recent[0] = one
	return one
}

// Count counts a request that ended at a time: names of its service and route, "" where it has none.
func (s *Store) Count(service, route string, at time.Time, took time.Duration, failed bool) {
	o := &s.overview
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.find(service, route)
	one.fine.count(at, took, failed)
	one.coarse.count(at, took, failed)
}

// Overview tells how requests went in the window before now. The step between points follows from the window.
func (s *Store) Overview(now time.Time, window time.Duration) Overview {
	o := &s.overview
	pick := func(one *series) *scale { return &one.fine }
	step, stored := fineStep, finePoints
	if window > fineStep*finePoints {
		pick = func(one *series) *scale { return &one.coarse }
		step, stored = coarseStep, coarseCount
	}
	points := min(max(int(window/step), 1), stored)
	last := now.UnixNano() / int64(step)
	firstStep := last - int64(points) + 1

	total := newSum("", "", points)
	routes, services := map[seriesKey]*sum{}, map[seriesKey]*sum{}
	o.mu.Lock()
	for key, one := range o.all {
		targets := []*sum{
			total, sumOf(routes, key, key.route, key.service, points),
			sumOf(services, seriesKey{service: key.service}, key.service, "", points),
		}
		for _, c := range pick(one).cells {
			if c == nil || c.step < firstStep || c.step > last {
				continue
			}
			for _, target := range targets {
				target.whole.add(c)
				at := &target.cells[c.step-firstStep]
				if *at == nil {
					*at = &tally{}
				}
				(*at).add(c)
			}
		}
	}
	o.mu.Unlock()
	return Overview{
		Start: milliseconds(uint64(firstStep * int64(step))), Step: float64(step / time.Millisecond),
		Total: total.series(), Routes: ranked(routes), Services: ranked(services),
	}
}

// sum adds up cells.
type sum struct {
	name, service string
	whole         tally
	cells         []*tally
}

func newSum(name, service string, points int) *sum {
	return &sum{name: name, service: service, cells: make([]*tally, points)}
}

func sumOf(all map[seriesKey]*sum, key seriesKey, name, service string, points int) *sum {
	if all[key] == nil {
		all[key] = newSum(name, service, points)
	}
	return all[key]
}

func (s *sum) series() Series {
	n := len(s.cells)
	out := Series{
		Name: s.name, Service: s.service, Requests: s.whole.requests, Errors: s.whole.errors,
		P50: s.whole.quantile(0.5), P95: s.whole.quantile(0.95), P99: s.whole.quantile(0.99),
		Points: Points{
			Requests: make([]uint64, n), Errors: make([]uint64, n),
			P50: make([]float64, n), P95: make([]float64, n), P99: make([]float64, n),
		},
	}
	for i, c := range s.cells {
		if c == nil {
			continue
		}
		p := &out.Points
		p.Requests[i], p.Errors[i] = c.requests, c.errors
		p.P50[i], p.P95[i], p.P99[i] = c.quantile(0.5), c.quantile(0.95), c.quantile(0.99)
	}
	return out
}

// ranked lists those with requests, the busiest first.
func ranked(all map[seriesKey]*sum) []Series {
	out := []Series{}
	for _, s := range all {
		if s.whole.requests > 0 {
			out = append(out, s.series())
		}
	}
	slices.SortFunc(out, func(a, b Series) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name))
	})
	return out
}
