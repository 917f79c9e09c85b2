package main

import (
	"context"
	"log/slog"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memoryWatch keeps the program within a limit of memory: near it, what requests tell is given up, never a request.
//
// Go's collector works harder as the limit comes near, which is enough for garbage. What is in use cannot be collected:
// when that is above press of the limit new requests go untraced, until it is below relax of it again.
type memoryWatch struct {
	limit    int64         // bytes of Go's memory; 0: none
	shed     func(on bool) // gives up telemetry, or takes it up again
	logger   *slog.Logger
	shedding bool
}

const (
	press = 0.70
	relax = 0.60

	// memoryInterval is how often the watch looks. In between a request's telemetry is bounded by tracing's limits.
	memoryInterval = 100 * time.Millisecond
)

// memory is what the program takes, in bytes.
type memory struct {
	live  int64 // in use after the newest collection, stacks included
	total int64 // from the operating system
}

// memoryLimit is the limit that counts: the setting, else GOMEMLIMIT, else 0, which is none.
func memoryLimit(setting int64) int64 {
	if setting > 0 {
		return setting
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// storeSize is what of the limit the page's traces may take. They lie beside Go's heap.
func storeSize(setting, limit int64) int64 {
	if limit > 0 {
		return min(setting, limit/4)
	}
	return setting
}

func (w *memoryWatch) run(ctx context.Context) {
	if w.limit <= 0 {
		return
	}
	debug.SetMemoryLimit(w.limit)
	used := readMemory()
	ticker := time.NewTicker(memoryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look(used())
		}
	}
}

func (w *memoryWatch) look(used memory) {
	share := float64(used.live) / float64(w.limit)
	switch {
	case !w.shedding && (share > press || used.total > w.limit):
		w.shedding = true
		w.logger.Warn("memory is short: requests go untraced", "live", used.live, "total", used.total, "limit", w.limit)
	case w.shedding && share < relax && used.total <= w.limit:
		w.shedding = false
		w.logger.Warn("requests are traced again", "live", used.live, "total", used.total, "limit", w.limit)
	default:
		return
	}
	w.shed(w.shedding)
}

// readMemory asks the runtime. It costs microseconds and stops nothing.
func readMemory() func() memory {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	return func() memory {
		metrics.Read(samples)
		value := func(i int) int64 { return int64(samples[i].Value.Uint64()) }
		return memory{live: value(0) + value(1), total: value(2) - value(3)}
	}
}
