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
)

func (c counter) String() string {
	return [...]string{
		"not counted",
		"counted by the processor (`perf stat`), user and kernel together",
		"counted by `valgrind --tool=cachegrind` in user mode only, on one thread",
	}[c]
}

// findCounter picks the best way that this machine has.
func findCounter(ctx context.Context) counter {
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
	if b.counter == perf {
		return b.perfStat(ctx, p, program)
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
	at, err := b.site(ctx, p.name, false)
	if err != nil {
		return 0, err
	}
	proc, err := b.open(ctx, p, program, at, nil)
	if err != nil {
		return 0, err
	}
	defer proc.stop()
	if _, err := (load{connections: countConnections, requests: 2000}).run(ctx, at.address()); err != nil {
		return 0, err
	}
	pids := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(family(proc.cmd.Process.Pid))), ","), "[]")
	count := exec.CommandContext(ctx, "perf", "stat", "-x", ",", "-e", perfEvents, "-p", pids, "--", "sleep", "600")
	var out strings.Builder
	count.Stderr = &out
	if err := count.Start(); err != nil {
		return 0, err
	}
	time.Sleep(500 * time.Millisecond) // perf attaches
	_, err = load{connections: countConnections, requests: b.plan.requests}.run(ctx, at.address())
	time.Sleep(time.Second) // the last spans leave
	_ = count.Process.Signal(interrupt)
	_ = count.Wait()
	if err != nil {
		return 0, err
	}
	total, err := parsePerf(out.String())
	return total / float64(b.plan.requests), err
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
