package main

import (
	"sync/atomic"
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	p := &pacer{serving: new(atomic.Bool)}
	at := time.Now()
	due := func(after time.Duration) bool {
		at = at.Add(after)
		return p.due(at)
	}
	for name, step := range map[string]time.Duration{"first": time.Hour, "second": time.Hour} {
		if due(step) {
			t.Errorf("%s: a rest at the beginning", name)
		}
		if due(workTime - 1) {
			t.Errorf("%s: a rest before it is time", name)
		}
		if !due(1) {
			t.Errorf("%s: no rest in time", name)
		}
		at = at.Add(3 * restTime) // timers are late
		p.rested(at)
		if due(workTime-1) || !due(1) {
			t.Errorf("%s: the rest took part of the time to work", name)
		}
	}
}

// TestPacerWhileNobodyWaits: a program that starts does not rest.
func TestPacerWhileNobodyWaits(t *testing.T) {
	p := &pacer{serving: new(atomic.Bool)}
	work := func() (rests int) {
		for until := time.Now().Add(20 * workTime); time.Now().Before(until); {
			began := time.Now()
			p.pause()
			if time.Since(began) >= restTime {
				rests++
			}
		}
		return rests
	}
	if p.pause(); p.seen != (time.Time{}) {
		t.Error("it counts before it serves")
	}
	p.serving.Store(true)
	if work() == 0 {
		t.Error("it never rests")
	}
}
