package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// counter is a way to count the instructions of a process.
type counter int

const (
	none       counter = iota
	perf               // the processor's own counters: user and kernel
	cachegrind         // valgrind's simulation: user alone
	clock              // the clock of a virtual machine: user and kernel
)

func (c counter) String() string {
	return [...]string{
		"not counted",
		"counted by the processor (`perf stat`), user and kernel together",
		"counted by `valgrind --tool=cachegrind` in user mode only, on one thread",
		"counted by a virtual machine of one processor, user and kernel together",
	}[c]
}

// findCounter picks the best way that this machine has.
func findCounter(ctx context.Context) counter {
	if inVM() {
		return clock
	}
	out, err := exec.CommandContext(ctx, "perf", "stat", "-x", ",", "-e", perfEvents, "--", "true").CombinedOutput()
	if err == nil {
		if _, err := parsePerf(string(out)); err == nil {
			return perf
		}
	}
	if _, err := exec.LookPath("valgrind"); err == nil {
		return cachegrind
	}
	return none
}

const perfEvents = "instructions:u,instructions:k"

// parsePerf adds up the counts of perf stat -x ,.
func parsePerf(out string) (total float64, err error) {
	n := 0
	for line := range strings.Lines(out) {
		fields := strings.Split(line, ",")
		if len(fields) < 3 || !strings.HasPrefix(fields[2], "instructions") {
			continue
		}
		count, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return 0, fmt.Errorf("perf: %s", strings.TrimSpace(line)) // <not supported>
		}
		total += count
		n++
	}
	if n == 0 {
		return 0, errors.New("perf: no counts")
	}
	return total, nil
}

// countConnections is how many connections the counted requests come over.
const countConnections = 8

// instructions counts per request, as the difference of two loads so that start and end of the program cancel out.
func (b *bench) instructions(ctx context.Context, p peer, program string) (float64, error) {
	switch b.counter {
	case perf:
		return b.perfStat(ctx, p, program)
	case clock:
		return b.clock(ctx, p, program)
	}
	base := b.plan.requests / 3 // by then the heap has its size
	less, err := b.cachegrind(ctx, p, program, base)
	if err != nil {
		return 0, err
	}
	more, err := b.cachegrind(ctx, p, program, base+b.plan.requests)
	return (more - less) / float64(b.plan.requests), err
}

// perfStat counts while a load runs.
func (b *bench) perfStat(ctx context.Context, p peer, program string) (float64, error) {
	var count *exec.Cmd
	var out strings.Builder
	err := b.counted(ctx, p, program, func(proc *process) error {
		pids := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(family(proc.cmd.Process.Pid))), ","), "[]")
		count = exec.CommandContext(ctx, "perf", "stat", "-x", ",", "-e", perfEvents, "-p", pids, "--", "sleep", "600")
		count.Stderr = &out
		err := count.Start()
		time.Sleep(500 * time.Millisecond) // perf attaches
		return err
	}, func(*process) error {
		_ = count.Process.Signal(interrupt)
		_ = count.Wait()
		return nil
	})
	if err != nil {
		return 0, err
	}
	total, err := parsePerf(out.String())
	return total / float64(b.plan.requests), err
}

// clock counts while a load runs, by the time that it takes in a virtual machine.
func (b *bench) clock(ctx context.Context, p peer, program string) (float64, error) {
	var before, after time.Duration
	err := b.counted(ctx, p, program, func(proc *process) (err error) {
		before, err = proc.ran()
		return err
	}, func(proc *process) (err error) {
		after, err = proc.ran()
		return err
	})
	return float64(after-before) / float64(b.plan.requests), err
}

// counted runs the load that is counted, between begin and end.
func (b *bench) counted(ctx context.Context, p peer, program string, begin, end func(*process) error) error {
	at, err := b.site(ctx, p.name, false)
	if err != nil {
		return err
	}
	proc, err := b.open(ctx, p, program, at, nil)
	if err != nil {
		return err
	}
	defer proc.stop()
	warm := load{connections: countConnections, requests: max(2000, b.plan.requests/3)} // by then the heap has its size
	if _, err := warm.run(ctx, at.address()); err != nil {
		return err
	}
	if err := begin(proc); err != nil {
		return err
	}
	_, err = load{connections: countConnections, requests: b.plan.requests}.run(ctx, at.address())
	time.Sleep(time.Second) // the last spans leave
	return errors.Join(err, end(proc))
}

var refs = regexp.MustCompile(`I\s+refs:\s+([0-9,]+)`)

// cachegrind counts the instructions of a whole run with n requests.
func (b *bench) cachegrind(ctx context.Context, p peer, program string, n int) (float64, error) {
	at, err := b.site(ctx, p.name, true)
	if err != nil {
		return 0, err
	}
	proc, err := b.open(ctx, p, program, at, []string{
		"valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=" + at.folder + "/cachegrind.out",
	})
	if err != nil {
		return 0, err
	}
	_, err = load{connections: countConnections, requests: n}.run(ctx, at.address())
	proc.stop()
	if err != nil {
		return 0, err
	}
	found := refs.FindStringSubmatch(proc.output.String())
	if found == nil {
		return 0, fmt.Errorf("cachegrind: no count in %q", tail(proc.output.String()))
	}
	return strconv.ParseFloat(strings.ReplaceAll(found[1], ",", ""), 64)
}
