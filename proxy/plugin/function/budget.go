package function

import (
	"errors"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Why a script is stopped. A script can't catch these: whatever handler gets hold of one is stopped by it again.
var (
	errTime   = errors.New("script exceeds its time budget")
	errMemory = errors.New("script exceeds its memory budget")
	errExit   = errors.New("script exits") // ended on purpose by kong.response.exit and its like
)

// What the bookkeeping of a run is made of.
const (
	sampleSteps  = 32            // instructions between two looks at the clock, fewer where they prove slow
	sampleTime   = 100_000       // nanoseconds that the instructions between two looks may take
	stepBytes    = 1 << 10       // what an instruction may allocate on average: a table's first key is the dearest
	maxGap       = 3e7           // nanoseconds that count between two looks: more is time that others had the processor
	minCensus    = 4 << 20       // bytes that a script may have allocated before anyone looks again
	churnBudgets = 8             // strings that a run may make in all, as a multiple of its memory budget
	maxGoDepth   = 180           // calls from Go into Lua within each other, as LuaJIT bounds C calls
	workStep     = 1 << 10       // steps of a library function that cost about a microsecond
	sparseBytes  = 6 * slotBytes // per index of a list that grows at once: its earlier forms are left behind
	threadBytes  = 48 << 10      // what a coroutine holds
)

// budget bounds one run of a chunk in time and memory.
//
// Time: the hook below is asked before every instruction, and library functions that loop report their work. The
// clock is the wall clock, but a gap of more than maxGap between two looks counts as maxGap only, and a run that waits
// for the network does not count.
//
// Memory: nothing tells what a Lua value costs as it is made. So each instruction is charged a pessimistic sum, and
// library functions charge what they make; when the sum reaches the budget, a census walks everything that the run can
// reach and the sum is set to what is really there. A script is stopped when the census finds more than the budget, or
// before a single operation would exceed it.
type budget struct {
	time   time.Duration
	memory int64

	steps  uint // instructions and steps of library functions so far
	due    uint // the count at which the next look is due
	seen   uint // the count at the last look
	used   time.Duration
	looked time.Time
	why    error // not nil: the run is over

	sum       int64 // charged since the census, on top of live
	live      int64 // what the last census found
	allowance int64 // the sum at which the next census is due
	churn     int64 // bytes of strings made in all
}

func (b *budget) begin(carried int64) {
	b.steps, b.seen, b.due = 0, 0, sampleSteps
	b.used, b.why, b.churn = 0, nil, 0
	b.sum, b.live, b.allowance = carried, 0, b.memory
	b.looked = time.Now()
}

// pause and resume take the time in between off the account.
func (b *budget) pause()  { b.look() }
func (b *budget) resume() { b.looked = time.Now() }

// look advances the clock and reports whether there is time left.
func (b *budget) look() bool {
	now := time.Now()
	gap := now.Sub(b.looked)
	b.looked = now
	b.used += min(gap, maxGap)
	interval := uint(sampleSteps)
	if taken := b.steps - b.seen; gap > sampleTime || taken < sampleSteps {
		interval = min(max(1, taken*sampleTime/uint(gap+1)), 2*taken+1, sampleSteps)
	}
	b.seen, b.due = b.steps, b.steps+interval
	return b.used < b.time
}

// timed is for what can take long without a look at the clock: all of its time counts.
func (b *budget) timed(during func()) {
	b.look()
	during()
	now := time.Now()
	b.used += now.Sub(b.looked)
	b.looked = now
}

// Done is asked by the interpreter before every instruction: it is the instruction hook. A nil channel lets it go on.
// A run that is over is ended by a panic of the kind that the interpreter raises itself.
func (r *run) Done() <-chan struct{} {
	b := &r.budget
	b.steps++
	if b.steps >= b.due || b.why != nil {
		r.sample()
	}
	return nil
}

func (r *run) sample() {
	b := &r.budget
	if b.why == nil {
		b.sum += int64(b.steps-b.seen) * stepBytes
		switch {
		case !b.look():
			b.why = errTime
		case b.sum > b.allowance && !r.census(0):
			b.why = errMemory
		}
	}
	if b.why != nil {
		panic(stopError(b.why))
	}
}

// stopError is what ends a run. It says that it has a stack trace lest the interpreter makes one, whose cost grows with
// the square of the stack's depth.
func stopError(why error) *lua.ApiError {
	return &lua.ApiError{Type: lua.ApiErrorRun, Object: lua.LString(why.Error()), StackTrace: "-"}
}

// quietPanic raises the value on top of the stack, likewise without a trace.
func quietPanic(L *lua.LState) {
	panic(&lua.ApiError{Type: lua.ApiErrorRun, Object: L.Get(-1), StackTrace: "-"})
}

// Err is the text that a stopped run raises.
func (r *run) Err() error { return r.budget.why }

// Deadline is part of context.Context: there is none, Done looks at the clock.
func (r *run) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value is part of context.Context: there are none.
func (r *run) Value(any) any { return nil }

// stop ends the run from within a library function.
func (r *run) stop(L *lua.LState, why error) {
	if r.budget.why == nil {
		r.budget.why = why
	}
	panic(stopError(r.budget.why))
}

// work accounts for steps that a library function is about to make, or has made.
func (r *run) work(L *lua.LState, steps int) {
	b := &r.budget
	if b.why != nil {
		r.stop(L, b.why)
	}
	b.steps += uint(steps)
	b.seen += uint(steps) // they allocate nothing
	if b.steps >= b.due+workStep && !b.look() {
		r.stop(L, errTime)
	}
}

// charge accounts for bytes that a library function is about to allocate.
func (r *run) charge(L *lua.LState, bytes int) {
	b := &r.budget
	if b.why != nil {
		r.stop(L, b.why)
	}
	b.sum += int64(bytes)
	if b.sum > b.allowance && !r.census(int64(bytes)) {
		r.stop(L, errMemory)
	}
}

// chargeString is charge for a string: it also counts against what a run may make in all.
func (r *run) chargeString(L *lua.LState, bytes int) {
	r.budget.churn += int64(bytes)
	if r.budget.churn > churnBudgets*r.budget.memory {
		r.stop(L, errMemory)
	}
	r.charge(L, bytes)
	r.work(L, bytes/64)
}

// census measures what the run can reach and reports whether more, in bytes, may be added to it.
func (r *run) census(more int64) bool {
	b := &r.budget
	b.timed(func() {
		var ok bool
		if b.live, ok = measure(r.roots(), b.memory, time.Now().Add(b.time-b.used)); !ok {
			b.live = 0 // there was no time: that is found out at the next look
		}
	})
	b.sum = b.live + more
	b.allowance = max(b.memory, b.live+max(b.live/2, minCensus))
	return b.live+more <= b.memory
}
