package database

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// signal wakes all who wait for the next one. Its zero value is ready.
type signal struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait gives a channel that the next send closes.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

func (s *signal) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}

const (
	watchedPoll = 5 * time.Second        // while something tells of changes
	outagePoll  = 500 * time.Millisecond // while the database is away
)

// Watch compares versions. What it hears of changes only tells it when to look, so nothing is lost where nothing is
// heard: then it looks often.
func (d *sqlDB) Watch(ctx context.Context, changed func() error, reachable func(error)) error {
	var hears atomic.Bool
	var heard signal
	var listening sync.WaitGroup
	defer listening.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.listen != nil {
		listening.Go(func() {
			d.listen(ctx, func(works bool) {
				hears.Store(works)
				heard.send()
			})
		})
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	seen, away, hinted := int64(-1), false, true
	for {
		told, own := heard.wait(), d.changed.wait() // before looking, so that what comes meanwhile is seen
		version, err := d.version(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !away:
			away = true
			reachable(err)
		case err == nil && away:
			away = false
			reachable(nil)
		}
		again := false
		if err == nil && version != seen {
			if !hinted {
				hears.Store(false) // nobody told
			}
			if again = changed() != nil; !again {
				seen = version
			}
		}
		interval := d.poll
		switch {
		case away, again:
			interval = outagePoll
		case hears.Load():
			interval = watchedPoll
		}
		timer.Reset(interval)
		hinted = true
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-told:
		case <-own:
		case <-timer.C:
			hinted = false
		}
	}
}
