package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const interrupt = syscall.SIGINT

// bench is what all measurements share: the two ends, a folder, and how to count.
type bench struct {
	plan          plan
	folder        string
	backend, sink *helper
	counter       counter
}

func newBench(ctx context.Context, p plan) (b *bench, err error) {
	b = &bench{plan: p, counter: findCounter(ctx)}
	if p.requests == 0 {
		b.counter = none
	}
	if b.folder, err = os.MkdirTemp("", "bench"); err != nil {
		return nil, err
	}
	if b.backend, err = startHelper(ctx, "backend"); err != nil {
		return nil, err
	}
	b.sink, err = startHelper(ctx, "sink")
	return b, err
}

func (b *bench) close() {
	for _, h := range []*helper{b.backend, b.sink} {
		if h != nil {
			h.stop()
		}
	}
	_ = os.RemoveAll(b.folder)
}

func (b *bench) site(ctx context.Context, name string, single bool) (site, error) {
	s := site{backend: b.backend.address, sink: b.sink.address, single: single}
	s.folder = filepath.Join(b.folder, strings.ReplaceAll(name, " ", "-")+"-site")
	if err := os.MkdirAll(s.folder, 0o700); err != nil {
		return s, err
	}
	var err error
	s.port, err = freePort(ctx)
	return s, err
}

// open starts a peer, behind the words of a wrapper if there are any, and waits until it listens.
func (b *bench) open(ctx context.Context, p peer, program string, at site, wrapper []string) (*process, error) {
	c, err := p.command(program, at)
	if err != nil {
		return nil, err
	}
	if wrapper != nil {
		c.args = append(slices.Clone(wrapper), c.args...)
		c.env = append(c.env, "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1")
	}
	proc, err := start(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := proc.await(ctx, at.address()); err != nil {
		proc.stop()
		return nil, err
	}
	return proc, nil
}

// row is what was measured of one peer: the best of its rounds for times and rates, the sum for spans.
type row struct {
	peer                   peer
	err                    error // why it was left out
	perSecond              float64
	cpu                    time.Duration // per request
	instructions           float64       // per request
	median1, tail1         time.Duration // latency at one connection: p50 and p99
	medianRate, tailRate   time.Duration // at the fixed rate
	peak                   int64         // bytes
	wide                   int64         // bytes with 1,000 connections
	requests, spans, bytes int64
}

// round gives a peer its turn.
func (b *bench) round(ctx context.Context, r *row, program string) error {
	at, err := b.site(ctx, r.peer.name, false)
	if err != nil {
		return err
	}
	before, err := b.sink.counts(ctx)
	if err != nil {
		return err
	}
	proc, err := b.open(ctx, r.peer, program, at, nil)
	if err != nil {
		return err
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			proc.stop()
		}
	}
	defer stop()

	warm, err := load{connections: 64, requests: 2000}.run(ctx, at.address())
	if err != nil {
		return err
	}
	idle, err := proc.usage()
	if err != nil {
		return err
	}
	full, err := load{connections: 64, duration: b.plan.duration}.run(ctx, at.address())
	if err != nil {
		return err
	}
	used, err := proc.usage()
	if err != nil {
		return err
	}
	one, err := load{connections: 1, requests: 1000}.run(ctx, at.address())
	if err != nil {
		return err
	}
	steady, err := load{connections: 64, duration: b.plan.duration, rate: b.plan.rate}.run(ctx, at.address())
	if err != nil {
		return err
	}
	end, err := proc.usage()
	if err != nil {
		return err
	}
	stop()
	after, err := b.sink.counts(ctx)
	if err != nil {
		return err
	}

	r.perSecond = max(r.perSecond, full.perSecond())
	least(&r.cpu, (used.cpu-idle.cpu)/time.Duration(full.requests))
	least(&r.median1, one.quantile(0.5))
	least(&r.tail1, one.quantile(0.99))
	least(&r.medianRate, steady.quantile(0.5))
	least(&r.tailRate, steady.quantile(0.99))
	r.peak = max(r.peak, end.peak)
	if r.wide == 0 {
		if r.wide, err = b.wide(ctx, r.peer, program); err != nil {
			return err
		}
	}
	r.requests += 1 + int64(warm.requests+full.requests+one.requests+steady.requests)
	r.spans += after.Spans - before.Spans
	r.bytes += after.Bytes - before.Bytes
	return nil
}

// wide is the most memory that a fresh peer takes while it serves 1,000 connections, ten requests each.
func (b *bench) wide(ctx context.Context, p peer, program string) (int64, error) {
	at, err := b.site(ctx, p.name+" wide", false)
	if err != nil {
		return 0, err
	}
	proc, err := b.open(ctx, p, program, at, nil)
	if err != nil {
		return 0, err
	}
	defer proc.stop()
	if _, err := (load{connections: 1000, requests: 10_000}).run(ctx, at.address()); err != nil {
		return 0, err
	}
	used, err := proc.usage()
	return used.peak, err
}

// least keeps the smaller of two times, 0 being none.
func least(kept *time.Duration, d time.Duration) {
	if *kept == 0 || d < *kept {
		*kept = d
	}
}

// chosen are the rows of the peers that are to be measured.
func (p plan) chosen(all ...peer) []*row {
	var rows []*row
	for _, peer := range all {
		if p.only == "" || slices.Contains(strings.Split(p.only, ","), peer.name) {
			rows = append(rows, &row{peer: peer})
		}
	}
	return rows
}

// programs finds or builds what the rows need.
func (b *bench) programs(ctx context.Context, rows []*row) map[*row]string {
	found := map[*row]string{}
	for _, r := range rows {
		found[r], r.err = r.peer.program(ctx, cmp.Or(b.plan.programs, b.folder))
	}
	return found
}

// measurePeers measures all peers in turn, round after round, and prints one table.
func measurePeers(ctx context.Context, p plan, out io.Writer) error {
	b, err := newBench(ctx, p)
	if err != nil {
		return err
	}
	defer b.close()
	rows := p.chosen(peers()...)
	programs := b.programs(ctx, rows)
	for i := range p.rounds {
		for _, r := range rows {
			if r.err == nil {
				fmt.Fprintf(os.Stderr, "round %d: %s\n", i+1, r.peer.name)
				r.err = b.round(ctx, r, programs[r])
			}
		}
	}
	b.countAll(ctx, rows, programs)
	writePeers(out, b, rows)
	return ctx.Err()
}

// countAll counts the instructions of each row.
func (b *bench) countAll(ctx context.Context, rows []*row, programs map[*row]string) {
	if b.counter == none {
		return
	}
	for _, r := range rows {
		if r.err == nil {
			fmt.Fprintf(os.Stderr, "instructions: %s\n", r.peer.name)
			r.instructions, r.err = b.instructions(ctx, r.peer, programs[r])
		}
	}
}

// measureLadder counts the instructions of ours with more and more to do.
func measureLadder(ctx context.Context, p plan, out io.Writer) error {
	b, err := newBench(ctx, p)
	if err != nil {
		return err
	}
	defer b.close()
	if b.counter == none {
		return errors.New("neither perf's counters nor valgrind is here to count instructions: bench vm does without")
	}
	rows := p.chosen(steps()...)
	programs := b.programs(ctx, rows)
	b.countAll(ctx, rows, programs)
	writeLadder(out, b, rows)
	return errors.Join(ctx.Err(), failures(rows))
}

func failures(rows []*row) error {
	var errs []error
	for _, r := range rows {
		if r.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.peer.name, r.err))
		}
	}
	return errors.Join(errs...)
}

// machine says what it was measured on.
func machine() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	model := "unknown processor"
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	var kernel unix.Utsname
	_ = unix.Uname(&kernel)
	return fmt.Sprintf("%d × %s, %s %s", strings.Count(string(text), "processor\t"), model,
		unix.ByteSliceToString(kernel.Sysname[:]), unix.ByteSliceToString(kernel.Release[:]))
}
