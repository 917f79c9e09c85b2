package main

import (
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	p, requests, at := &pacer{}, uint64(0), time.Now()
	due := func(after time.Duration) bool {
		at = at.Add(after)
		return p.due(at)
	}
	for range 3 {
		if due(workTime) {
			t.Error("a rest before anybody is served")
		}
	}
	p.serve(func() uint64 { return requests })
	for _, step := range []string{"first", "second"} {
		requests++
		if due(time.Hour) {
			t.Errorf("%s: a rest at the beginning", step)
		}
		if due(workTime - 1) {
			t.Errorf("%s: a rest before it is time", step)
		}
		if !due(1) {
			t.Errorf("%s: no rest in time", step)
		}
		at = at.Add(3 * restTime) // timers are late
		p.rested(at)
		if due(workTime-1) || !due(1) {
			t.Errorf("%s: the rest took part of the time to work", step)
		}
	}
	rests := 0
	for range 2 * idleTime / workTime {
		if due(workTime) {
			rests++
			p.rested(at)
		}
	}
	if want := int(idleTime / workTime); rests < want-10 || rests > want {
		t.Errorf("%d rests after the last request, want %d", rests, want)
	}
	if requests++; !due(workTime) {
		t.Error("no rest when requests come again")
	}
}

// TestPacerRests: the rests are real.
func TestPacerRests(t *testing.T) {
	p, requests := &pacer{}, uint64(0)
	p.serve(func() uint64 { requests++; return requests })
	rests := 0
	for until := time.Now().Add(20 * workTime); time.Now().Before(until); {
		began := time.Now()
		p.pause()
		if time.Since(began) >= restTime {
			rests++
		}
	}
	if rests == 0 {
		t.Error("none")
	}
}
