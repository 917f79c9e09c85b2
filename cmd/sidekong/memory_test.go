package main

import (
	"log/slog"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is in use decides, with a gap between giving up and taking up, so that it does not flap.
func TestMemoryWatch(t *testing.T) {
	steps := []struct {
		used memory
		want []bool // what shed was told so far
	}{
		{memory{live: 50, total: 99}, nil},
		{memory{live: 70, total: 100}, nil},
		{memory{live: 71, total: 100}, []bool{true}},
		{memory{live: 90, total: 120}, []bool{true}},
		{memory{live: 65, total: 90}, []bool{true}},
		{memory{live: 59, total: 101}, []bool{true}},
		{memory{live: 59, total: 90}, []bool{true, false}},
		{memory{live: 10, total: 101}, []bool{true, false, true}},
	}
	var told []bool
	w := memoryWatch{limit: 100, logger: slog.New(slog.DiscardHandler), shed: func(on bool) { told = append(told, on) }}
	for i, step := range steps {
		w.look(step.used)
		if diff := cmp.Diff(step.want, told); diff != "" {
			t.Errorf("step %d: told (-want +got):\n%s", i, diff)
		}
	}
}

func TestReadMemory(t *testing.T) {
	read := readMemory()
	ballast := make([]byte, 64<<20)
	runtime.GC()
	with := read()
	runtime.KeepAlive(ballast)
	runtime.GC()
	without := read()
	if with.live-without.live < 60<<20 {
		t.Errorf("live with 64 MiB: %d, without: %d", with.live, without.live)
	}
	if with.total < with.live {
		t.Errorf("total %d is less than live %d", with.total, with.live)
	}
}
