package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// pacer has work that takes long take rests, in which requests are served: a configuration of thousands of routes takes
// a processor for a hundred milliseconds to read and to compile, and the machine may have no other.
type pacer struct {
	serving *atomic.Bool // before that nobody waits

	mu    sync.Mutex
	began time.Time // the work without a rest
	seen  time.Time // the newest call
}

const (
	// workTime is how long the work goes on before a rest of restTime, which timers make one to two milliseconds. A request
	// that finds every processor taken waits no longer than that.
	workTime = time.Millisecond
	restTime = 500 * time.Microsecond

	// newWork is the time between two calls from which on the second belongs to other work.
	newWork = 20 * time.Millisecond
)

// pause is called again and again in the course of the work.
func (p *pacer) pause() {
	if !p.serving.Load() || !p.due(time.Now()) {
		return
	}
	time.Sleep(restTime)
	p.rested(time.Now())
}

// due reports whether it is time for a rest.
func (p *pacer) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.seen
	p.seen = now
	if now.Sub(before) > newWork {
		p.began = now
		return false
	}
	return now.Sub(p.began) >= workTime
}

func (p *pacer) rested(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.seen = now, now
}
