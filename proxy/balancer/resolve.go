package balancer

import (
	"context"
	"slices"
	"sync"
	"time"

	"sidekong/proxy/dns"
)

const (
	minRefresh = time.Second     // a name is looked up at most this often, whatever its TTL
	retryName  = 5 * time.Second // after a failure
	grace      = 2 * time.Second // how late Run may be before Pick looks names up itself
	lookups    = 16              // names looked up at once
)

// freshen sees to it that names have been looked up: at the first Pick, and where Run does not.
func (b *Balancer) freshen(ctx context.Context) error {
	if !b.resolved.Load() {
		return b.refresh(ctx)
	}
	due := time.Duration(b.due.Load())
	if due == never || b.now() < due+grace {
		return nil
	}
	select {
	case b.lookup <- struct{}{}:
		defer func() { <-b.lookup }()
		b.update(ctx)
	default: // somebody does
	}
	return nil
}

// refresh looks up the names that are due. The error is ctx's.
func (b *Balancer) refresh(ctx context.Context) error {
	select {
	case b.lookup <- struct{}{}:
		defer func() { <-b.lookup }()
	case <-ctx.Done():
		return ctx.Err()
	}
	b.update(ctx)
	if !b.resolved.Load() {
		return ctx.Err()
	}
	return nil
}

// update is refresh by whoever holds lookup.
//
// Kong: kong/runloop/balancer/targets.lua queryDns, update_dns_result
func (b *Balancer) update(ctx context.Context) {
	pending := b.pending()
	if len(pending) == 0 {
		return
	}
	type result struct {
		records dns.Records
		err     error
	}
	results := make([]result, len(pending))
	slots := make(chan struct{}, lookups)
	var wg sync.WaitGroup
	for i, t := range pending {
		slots <- struct{}{}
		wg.Go(func() {
			results[i].records, results[i].err = b.resolver.Lookup(ctx, t.host)
			<-slots
		})
	}
	wg.Wait()

	b.mu.Lock()
	defer b.mu.Unlock()
	changed := false
	for i, t := range pending {
		if r := results[i]; r.err == nil || ctx.Err() == nil {
			changed = b.apply(t, r.records, r.err) || changed
		}
	}
	if changed {
		b.rebuild()
		return
	}
	due := never
	for _, t := range b.targets {
		due = min(due, t.due)
	}
	b.due.Store(int64(due))
}

// pending are the targets whose names are due.
func (b *Balancer) pending() []*target {
	b.mu.Lock()
	defer b.mu.Unlock()
	var due []*target
	for _, t := range b.targets {
		if b.now() >= t.due {
			due = append(due, t)
		}
	}
	return due
}

// apply gives t what a look-up found and reports whether that changes anything. A failure takes t's addresses away:
// the resolver has by then served stale ones for as long as it may.
func (b *Balancer) apply(t *target, found dns.Records, err error) bool {
	first := t.records == nil && t.err == nil
	if err != nil {
		if t.err == nil {
			b.log.Warn("target name does not resolve", "upstream", b.upstream.Name, "target", t.entity.Target, "error", err)
		}
		had := t.records != nil
		t.records, t.source, t.err, t.due = nil, "", err, b.now()+retryName
		t.addresses = nil
		return had || first
	}
	if t.err != nil {
		b.log.Info("target name resolves again", "upstream", b.upstream.Name, "target", t.entity.Target)
	}
	same := t.records != nil && sameRecords(t.records, found.List)
	t.err, t.source, t.due = nil, found.Type, b.now()+max(found.TTL, minRefresh)
	if same {
		return false
	}
	t.records = found.List
	t.build(b.upstream, t.addresses)
	return true
}

// sameRecords compares without regard to order, which servers shuffle.
func sameRecords(a, b []dns.Record) bool {
	if len(a) != len(b) {
		return false
	}
	for _, r := range a {
		if !slices.Contains(b, r) {
			return false
		}
	}
	return true
}

// keepNamesFresh looks names up as they fall due, until ctx ends.
func (b *Balancer) keepNamesFresh(ctx context.Context) {
	for ctx.Err() == nil {
		due := time.Duration(b.due.Load())
		if due == never {
			return
		}
		timer := time.NewTimer(due - b.now())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			_ = b.refresh(ctx) // it fails with ctx alone, which is looked at next
		}
	}
}
