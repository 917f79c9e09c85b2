package dns

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"math/bits"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// entry is what is known of a name: records, or why there are none. Only its counters change.
type entry struct {
	records []record
	qtype   uint16
	shares  []uint64 // SRV: running total of the weights
	err     *Error

	expires time.Duration // since Resolver.base
	stale   time.Duration // until then served though expired

	next  atomic.Uint64 // picks so far
	used  atomic.Int64  // last use, to the second
	retry atomic.Int64  // no renewal before; moved on when one fails
}

// pick returns the record whose turn it is. Addresses take turns one by one. SRV records are drawn along a
// low-discrepancy sequence (multiples of the golden ratio), which keeps each prefix of the draws within a few of the
// exact proportion and needs no lock. The first pick is the server's first record.
func (e *entry) pick() *record {
	n := e.next.Add(1) - 1
	if e.shares == nil {
		return &e.records[n%uint64(len(e.records))]
	}
	point, _ := bits.Mul64(n*0x9E3779B97F4A7C15, e.shares[len(e.shares)-1])
	return &e.records[sort.Search(len(e.shares), func(i int) bool { return e.shares[i] > point })]
}

// cache holds entries and the queries under way, in shards so that names do not wait for each other.
type cache struct {
	seed   maphash.Seed
	shards []shard
	limit  int // entries per shard
}

type shard struct {
	mu      sync.RWMutex
	entries map[string]*entry
	flights map[string]*flight
	closed  bool
	_       [64]byte // keeps the locks of neighbours on lines of their own
}

// flight is a query under way; entry is set when done closes.
type flight struct {
	done  chan struct{}
	entry *entry
}

func (c *cache) init(size int) {
	n := 1
	if size >= 1024 {
		n = 16
	}
	c.seed = maphash.MakeSeed()
	c.limit = max(size/n, 1)
	c.shards = make([]shard, n)
	for i := range c.shards {
		c.shards[i].entries = make(map[string]*entry)
		c.shards[i].flights = make(map[string]*flight)
	}
}

func (c *cache) shard(name string) *shard {
	return &c.shards[maphash.String(c.seed, name)%uint64(len(c.shards))]
}

func (c *cache) close() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
}

// put stores e under name and makes room if need be. The shard is locked.
func (c *cache) put(s *shard, name string, e *entry) {
	if _, known := s.entries[name]; !known && len(s.entries) >= c.limit {
		s.evict()
	}
	s.entries[name] = e
}

// evict drops the entry that was used least recently among a few that map order brings up: near enough to the least
// recently used of all, without a list to lock and reorder at each hit.
func (s *shard) evict() {
	const sample = 8
	victim, oldest, n := "", int64(0), 0
	for name, e := range s.entries {
		if used := e.used.Load(); n == 0 || used < oldest {
			victim, oldest = name, used
		}
		if n++; n == sample {
			break
		}
	}
	delete(s.entries, victim)
}

// lookup returns the entry of a name in lower case, from the cache or by a query. An expired entry that may still be
// served is returned at once and renewed in the background. At most one query per name is under way.
func (r *Resolver) lookup(ctx context.Context, name string, now time.Duration) (*entry, error) {
	s := r.cache.shard(name)
	s.mu.RLock()
	e := s.entries[name]
	s.mu.RUnlock()
	if e != nil {
		if now-time.Duration(e.used.Load()) >= time.Second {
			e.used.Store(int64(now))
		}
		switch {
		case now < e.expires:
			return e.result()
		case now < e.stale:
			if now >= time.Duration(e.retry.Load()) {
				r.start(s, name, e)
			}
			return e.result()
		}
	}
	f := r.start(s, name, e)
	select {
	case <-f.done:
		return f.entry.result()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *entry) result() (*entry, error) {
	if e.err != nil {
		return nil, e.err
	}
	return e, nil
}

// prefetch begins a query for host if one will be needed.
func (r *Resolver) prefetch(host string) {
	if _, ok, err := r.local(host, r.now()); ok || err != nil {
		return
	}
	name := strings.ToLower(host)
	s := r.cache.shard(name)
	s.mu.RLock()
	e := s.entries[name]
	s.mu.RUnlock()
	if e == nil || r.now() >= e.stale {
		r.start(s, name, e)
	}
}

// start returns the query for name that is under way, or begins one. seen is the entry that the caller found wanting.
func (r *Resolver) start(s *shard, name string, seen *entry) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.flights[name]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	known := s.entries[name]
	switch {
	case known != nil && known != seen && r.now() < known.expires:
		f.entry = known // a query ended between the caller's look and ours
		close(f.done)
		return f
	case s.closed:
		f.entry = &entry{err: errorFor(name, errClosed)}
		close(f.done)
		return f
	}
	s.flights[name] = f
	r.wg.Go(func() { r.fly(s, name, known, f) })
	return f
}

// fly runs the query and stores its result in place of known.
func (r *Resolver) fly(s *shard, name string, known *entry, f *flight) {
	r.slots <- struct{}{}
	defer func() { <-r.slots }()

	var last uint16
	if known != nil {
		last = known.qtype
	}
	found, err := r.search(r.ctx, name, last, maxDepth)
	e := r.newEntry(name, found, err, known)

	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, name)
	switch {
	case e == known:
	case e.stale > r.now():
		r.cache.put(s, name, e)
	default:
		delete(s.entries, name)
	}
	f.entry = e
	close(f.done)
}

// newEntry makes the entry that replaces known, or returns known where it stays: a failure does not displace records
// that may still be served, unless the server says that the name is no more.
//
// Kong: kong/resty/dns/client.lua cacheinsert
func (r *Resolver) newEntry(name string, found answer, err error, known *entry) *entry {
	now := r.now()
	if err != nil {
		failure := asError(name, err)
		if known != nil && known.err == nil && now < known.stale && failure.Text != errNameError.Text {
			known.retry.Store(int64(now + r.errorTTL))
			return known
		}
		ttl := r.errorTTL
		if errors.Is(failure, ErrNotFound) || errors.Is(failure, ErrName) {
			ttl = r.notFoundTTL
		}
		if errors.Is(failure, ErrClosed) {
			ttl = 0
		}
		e := &entry{err: failure, expires: now + ttl, stale: now + ttl}
		e.used.Store(int64(now))
		return e
	}
	ttl := found.ttl
	if r.validTTL > 0 {
		ttl = r.validTTL
	}
	e := &entry{records: found.records, qtype: found.qtype, expires: now + ttl, stale: now + ttl + r.staleTTL}
	if known != nil && known.err == nil {
		e.next.Store(known.next.Load())
		if sameSet(known.records, e.records) {
			e.records = known.records // the turns go on where they were, however the server shuffles
		}
	}
	if e.records[0].target != "" {
		e.shares = make([]uint64, len(e.records))
		total := uint64(0)
		for i := range e.records {
			total += uint64(e.records[i].weight)
			e.shares[i] = total
		}
	}
	e.used.Store(int64(now))
	return e
}

func asError(name string, err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Kind: ErrServer, Text: err.Error()}
	}
	return errorFor(name, e)
}

// sameSet reports whether a and b hold the same records in any order.
func sameSet(a, b []record) bool {
	if len(a) != len(b) {
		return false
	}
	return slices.Equal(sorted(a), sorted(b))
}

func sorted(records []record) []record {
	return slices.SortedFunc(slices.Values(records), func(a, b record) int {
		return cmp.Or(a.ip.Compare(b.ip), strings.Compare(a.target, b.target), cmp.Compare(a.port, b.port),
			cmp.Compare(a.weight, b.weight))
	})
}
