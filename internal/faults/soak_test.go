package faults

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var soak = flag.Duration("soak", 6*time.Second, "how long TestSoak runs")

// TestSoak: whatever the receiver does and for however long, nothing grows: memory, goroutines, descriptors. make soak
// runs it for ten minutes; the short form shows that each fault leaves nothing behind.
func TestSoak(t *testing.T) {
	faults := rows()[:len(rows())-1] // the last one takes its own time
	rotation := min(10*time.Second, *soak/4)
	r, env := start(t, false)
	p := newProgram(t, kongYAML(backend(t), r.URL(), inMemory), env...)
	p.start()
	p.warm(t)
	before := p.resources()
	l := newLoad(p.proxy)
	var samples []sample
	began := time.Now()
	for i := 0; time.Since(began) < *soak; i++ {
		row := faults[i%len(faults)]
		if row.secure {
			continue
		}
		var loading sync.WaitGroup
		loading.Go(func() { l.run(400, rotation*3/4) })
		row.begin(r)
		loading.Wait()
		if row.end != nil {
			row.end(r)
		}
		r.Behave(nil)
		p.eventually(row.name+": all delivered", 30*time.Second, func() bool {
			a := p.account()
			if !a.exact() {
				t.Fatalf("%s: not exact: %+v", row.name, a)
			}
			return a.Queued == 0
		})
		// The receiver is this process: what it got may go.
		r.Forget()
		l.client.CloseIdleConnections()
		p.returned(t, row.name, before)
		samples = append(samples, sample{time.Since(began), p.resident(), p.resources()})
	}
	l.noneFailed(t)
	p.stop()

	// What the first third brings up to its working size is not growth.
	samples = samples[len(samples)/3:]
	first, last := samples[0], samples[len(samples)-1]
	slope := perMinute(samples)
	t.Logf("%d requests, %d faults: memory %d to %d KiB, %+.0f KiB a minute, goroutines %d to %d, descriptors %d to %d", l.answered(),
		len(samples), first.memory>>10, last.memory>>10, slope/1024, first.goroutines, last.goroutines, first.descriptors, last.descriptors)
	if last.at-first.at > 2*time.Minute && slope > 1<<20 {
		t.Errorf("memory grows by %.0f KiB a minute", slope/1024)
	}
}

// sample is what the program held at a time after the beginning.
type sample struct {
	at     time.Duration
	memory int64
	resources
}

// perMinute is the slope of memory by least squares, in bytes a minute.
func perMinute(samples []sample) float64 {
	var n, sumT, sumM, sumTT, sumTM float64
	for _, s := range samples {
		at, m := s.at.Minutes(), float64(s.memory)
		n, sumT, sumM, sumTT, sumTM = n+1, sumT+at, sumM+m, sumTT+at*at, sumTM+at*m
	}
	if d := n*sumTT - sumT*sumT; d > 0 {
		return (n*sumTM - sumT*sumM) / d
	}
	return 0
}

// resident is what the program has in memory now, in bytes.
func (p *program) resident() int64 {
	statm, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/statm")
	if err != nil {
		p.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
