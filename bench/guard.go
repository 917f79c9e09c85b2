package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// limit is the most that something may cost.
type limit struct {
	kind, name string // allocations or instructions; of what
	most       float64
}

// readLimits reads lines of kind, name (which may have spaces) and number; # begins a remark.
func readLimits(r io.Reader) (limits []limit, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 3 || fields[0] != "allocations" && fields[0] != "instructions" {
			return nil, fmt.Errorf("read limit %q: want allocations or instructions, a name and a number", line)
		}
		last := len(fields) - 1
		l := limit{kind: fields[0], name: strings.Join(fields[1:last], " ")}
		if l.most, err = strconv.ParseFloat(fields[last], 64); err != nil {
			return nil, fmt.Errorf("read limit %q: %w", line, err)
		}
		limits = append(limits, l)
	}
	return limits, lines.Err()
}

// guard measures what has a limit, and fails where one is exceeded.
func guard(ctx context.Context, p plan, out io.Writer) error {
	file, err := os.Open(p.limits)
	if err != nil {
		return err
	}
	defer file.Close()
	limits, err := readLimits(file)
	if err != nil {
		return err
	}
	measured, err := allocations(ctx)
	if err != nil {
		return err
	}
	if err := ratios(ctx, p, limits, measured, out); err != nil {
		return err
	}
	return compare(limits, measured, out)
}

// compare prints each limit beside what was measured; what was not measured passes.
func compare(limits []limit, measured map[limit]float64, out io.Writer) error {
	var errs []error
	for _, l := range limits {
		got, ok := measured[limit{kind: l.kind, name: l.name}]
		if !ok {
			fmt.Fprintf(out, "%-12s %-17s not measured, limit %g\n", l.kind, l.name, l.most)
			continue
		}
		fmt.Fprintf(out, "%-12s %-17s %.4g, limit %g\n", l.kind, l.name, got, l.most)
		if got > l.most {
			errs = append(errs, fmt.Errorf("%s of %s: %.4g is more than %g", l.kind, l.name, got, l.most))
		}
	}
	return errors.Join(errs...)
}

var benchmarkLine = regexp.MustCompile(`(?m)^BenchmarkRequest/(\w+?)(?:-\d+)?\s.*\s(\d+) allocs/op`)

// allocations runs the benchmark of a request.
func allocations(ctx context.Context) (map[limit]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkRequest$", "-benchtime", "3000x", "./proxy")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run benchmark: %w: %s", err, tail(string(out)))
	}
	measured := map[limit]float64{}
	for _, match := range benchmarkLine.FindAllStringSubmatch(string(out), -1) {
		if measured[limit{kind: "allocations", name: match[1]}], err = strconv.ParseFloat(match[2], 64); err != nil {
			return nil, err
		}
	}
	if len(measured) == 0 {
		return nil, fmt.Errorf("run benchmark: no allocations in %s", tail(string(out)))
	}
	return measured, nil
}

// ratios counts the instructions of the steps that have a limit.
func ratios(ctx context.Context, p plan, limits []limit, measured map[limit]float64, out io.Writer) error {
	names := bare.name
	for _, l := range limits {
		if l.kind == "instructions" {
			names += "," + l.name
		}
	}
	p.only = names
	b, err := newBench(ctx, p)
	if err != nil {
		return err
	}
	defer b.close()
	if b.counter == none {
		fmt.Fprintln(out, "instructions: LEFT OUT, neither perf's counters nor valgrind is here")
		return nil
	}
	rows := p.chosen(steps()...)
	b.countAll(ctx, rows, b.programs(ctx, rows))
	if err := failures(rows); err != nil {
		return err
	}
	base := yardstick(rows)
	for _, r := range rows {
		measured[limit{kind: "instructions", name: r.peer.name}] = r.instructions / base.instructions
	}
	return nil
}
