package tracing

// Shed makes requests from now on go untraced, or ends that: what was begun goes on. It is for a program that runs out
// of memory, which gives up what it observes before it gives up a request.
func (t *Tracer) Shed(on bool) { t.shedding.Store(on) }

// Shedding reports whether requests go untraced.
func (t *Tracer) Shedding() bool { return t.shedding.Load() }

// ShedTotal is the number of requests that went untraced for want of memory.
func (t *Tracer) ShedTotal() uint64 { return t.shed.Load() }
