package main

import (
	"sync"
	"time"
)

// pacer has work that takes long take rests while requests are served: a configuration of thousands of routes takes a
// processor for a hundred milliseconds to read and to compile, and the machine may have no other. The zero pacer takes
// no rests.
type pacer struct {
	begun func() uint64 // how many requests have begun so far; nil: nobody is served yet

	mu       sync.Mutex
	since    time.Time // the work without a rest
	seen     time.Time // the newest call
	requests uint64    // that had begun then, or the last time that it was looked at
	served   time.Time // when that number was last seen to have grown
}

const (
	// workTime is how long the work goes on before a rest of restTime, which timers make one to two milliseconds. A request
	// that finds every processor taken waits no longer than that.
	workTime = time.Millisecond
	restTime = 500 * time.Microsecond

	// newWork is the time between two calls from which on the second belongs to other work.
	newWork = 20 * time.Millisecond

	// idleTime without a new request is the time after which nobody is thought to wait.
	idleTime = 500 * time.Millisecond
)

// pause is called again and again in the course of the work.
func (p *pacer) pause() {
	if !p.due(time.Now()) {
		return
	}
	time.Sleep(restTime)
	p.rested(time.Now())
}

// due reports whether it is time for a rest.
func (p *pacer) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun == nil {
		return false
	}
	before := p.seen
	p.seen = now
	if now.Sub(before) > newWork {
		p.since = now
		p.look(now)
		return false
	}
	if now.Sub(p.since) < workTime {
		return false
	}
	p.since = now
	p.look(now)
	return now.Sub(p.served) < idleTime
}

// look finds out whether requests come.
func (p *pacer) look(now time.Time) {
	if n := p.begun(); n != p.requests {
		p.requests, p.served = n, now
	}
}

func (p *pacer) rested(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since, p.seen = now, now
}

// serve tells the pacer how many requests have begun, from when they are served on.
func (p *pacer) serve(begun func() uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = begun
}
