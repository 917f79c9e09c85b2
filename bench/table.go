package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// writePeers prints the table of all peers, and what was left out.
func writePeers(w io.Writer, b *bench, rows []*row) {
	p := b.plan
	fmt.Fprintf(w, "%s; %s. Instructions: %s.\n", time.Now().Format("2 January 2006"), machine(), b.counter)
	fmt.Fprintf(w, "%d rounds of %v each, best of the rounds, answers of %d bytes; the fixed rate is %d requests/s. × is the ratio to bare.\n\n",
		p.rounds, p.duration, bodySize, p.rate)
	fmt.Fprintln(w, "| peer | requests/s, c=64 | × | CPU µs/request | × | kinstr/request | × | p50, p99 ms, c=1 | p50, p99 ms, fixed rate | peak MiB | peak MiB, c=1000 | spans received / expected | OTLP bytes/request |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	base := yardstick(rows)
	for _, r := range rows {
		if r.err != nil {
			continue
		}
		fmt.Fprintf(w, "| %s | %.0f | %s | %.1f | %s | %s | %s | %s, %s | %s, %s | %d | %d | %d / %d | %d |\n", r.peer.name,
			r.perSecond, ratio(r.perSecond, base.perSecond),
			micros(r.cpu), ratio(micros(r.cpu), micros(base.cpu)),
			kinstr(r.instructions), ratio(r.instructions, base.instructions),
			millis(r.median1), millis(r.tail1), millis(r.medianRate), millis(r.tailRate), r.peak>>20, r.wide>>20,
			r.spans, r.requests*int64(r.peer.spans), r.bytes/max(r.requests, 1))
	}
	writeNotes(w, rows)
}

// writeLadder prints the instructions of each step.
func writeLadder(w io.Writer, b *bench, rows []*row) {
	fmt.Fprintf(w, "%s; %s. Instructions: %s.\n\n", time.Now().Format("2 January 2006"), machine(), b.counter)
	fmt.Fprintln(w, "| step | kinstr/request | × bare |")
	fmt.Fprintln(w, "|---|--:|--:|")
	base := yardstick(rows)
	for _, r := range rows {
		if r.err == nil {
			fmt.Fprintf(w, "| %s | %s | %s |\n", r.peer.name, kinstr(r.instructions), ratio(r.instructions, base.instructions))
		}
	}
	writeNotes(w, rows)
}

func writeNotes(w io.Writer, rows []*row) {
	fmt.Fprintln(w)
	for _, r := range rows {
		if r.err == nil {
			fmt.Fprintf(w, "- %s: %s\n", r.peer.name, r.peer.note)
		} else {
			fmt.Fprintf(w, "- NOT RUN: %s: %s\n", r.peer.name, strings.ReplaceAll(r.err.Error(), "\n", " "))
		}
	}
}

// yardstick is the row of the bare proxy, an empty one where it was not run.
func yardstick(rows []*row) *row {
	for _, r := range rows {
		if r.peer.name == bare.name && r.err == nil {
			return r
		}
	}
	return &row{}
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", a/b)
}

func kinstr(n float64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", n/1000)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", micros(d)/1000) }
