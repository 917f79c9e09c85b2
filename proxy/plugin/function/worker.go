package function

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	lua "github.com/yuin/gopher-lua"

	"sidekong/proxy/plugin"
)

// Bounds of a Lua thread.
const (
	callDepth    = 1000
	registrySize = 1 << 10
	registryMax  = 1 << 16
	maxThreads   = 16 // idle threads that a worker keeps
)

// workers are the Lua states of a gateway. As a worker process of Kong's, one runs a single script at a time and
// serves many requests by turns; a request stays with the worker that it began with, because its kong.ctx holds
// values of that worker. Globals and upvalues live as long as the worker and its chunk do.
type workers struct {
	options Options
	all     []*worker
	next    atomic.Uint32
}

func newWorkers(options Options) *workers {
	ws := &workers{options: options}
	for range max(4, 2*runtime.GOMAXPROCS(0)) {
		ws.all = append(ws.all, &worker{shared: ws})
	}
	return ws
}

// acquire locks a worker: the first that is free, else the next in turn.
func (ws *workers) acquire() *worker {
	for _, w := range ws.all {
		if w.mu.TryLock() {
			return w
		}
	}
	w := ws.all[int(ws.next.Add(1))%len(ws.all)]
	w.mu.Lock()
	return w
}

// worker is one Lua state. Everything in it is guarded by mu; a run that waits for the network gives it up meanwhile.
type worker struct {
	mu      sync.Mutex
	shared  *workers
	main    *lua.LState // nil until first used
	threads []*lua.LState
	lib     library
	ready   map[*chunk]*ready
	common  *lua.LTable // the globals of all chunks where scripts are trusted
}

// ready is a chunk in a worker: with its globals, and what its first run returned.
type ready struct {
	chunk   *chunk
	env     *lua.LTable
	body    *lua.LFunction
	kept    *lua.LFunction // what the body returned: from then on it runs in the body's place
	carried int64          // bytes charged to earlier runs and not yet measured
}

// open makes the state.
func (w *worker) open() {
	if w.main != nil {
		return
	}
	w.main = lua.NewState(lua.Options{
		CallStackSize: callDepth, RegistrySize: registrySize, RegistryMaxSize: registryMax, RegistryGrowStep: 1 << 8,
		SkipOpenLibs: true, MinimizeStackMemory: true,
	})
	w.ready = map[*chunk]*ready{}
	w.lib = newLibrary(w)
}

// prepare gives a chunk in this worker.
func (w *worker) prepare(c *chunk) *ready {
	if c := w.ready[c]; c != nil {
		return c
	}
	env := w.environment()
	outer := w.main.NewFunctionFromProto(c.proto)
	outer.Env = env
	w.main.Push(outer)
	w.main.Push(w.lib.concat)
	w.main.Push(w.lib.key)
	w.main.Call(2, 1)
	body := w.main.Get(-1).(*lua.LFunction)
	w.main.SetTop(0)
	p := &ready{chunk: c, env: env, body: body}
	w.ready[c] = p
	return p
}

// forget drops chunks that no configuration uses any more.
func (ws *workers) forget(chunks []*chunk) {
	for _, w := range ws.all {
		w.mu.Lock()
		for _, c := range chunks {
			delete(w.ready, c)
		}
		w.mu.Unlock()
	}
}

func (w *worker) thread() *lua.LState {
	if n := len(w.threads); n > 0 {
		L := w.threads[n-1]
		w.threads = w.threads[:n-1]
		return L
	}
	L, _ := w.main.NewThread()
	return L
}

// request is what scripts keep of one request over its phases.
type request struct {
	worker      *worker
	shared      *lua.LTable            // kong.ctx.shared
	plugins     map[string]*lua.LTable // kong.ctx.plugin, by plugin
	ctx         *lua.LTable            // ngx.ctx
	spans       map[int]*lua.LTable    // by the span's place in the trace
	collected   *collected             // of kong.response.get_raw_body
	swallow     bool                   // the rest of the answer's body is dropped
	replace     []byte                 // the body that an exit in header_filter gave
	replaced    bool
	headerBytes int    // of headers that scripts have set
	loggedBytes int64  // of values for log records, likewise
	printed     []byte // of ngx.print and ngx.say
	says        bool
	status      int  // of ngx.status, before there is an answer
	read        bool // ngx.req.read_body was called
}

// run is one run of a chunk.
type run struct {
	budget
	worker  *worker
	request *request
	host    Host
	phase   phase
	plugin  string
	thread  *lua.LState
	ready   *ready
	env     *lua.LTable
	active  []*lua.LState  // the threads in progress, the running one last
	depth   int            // calls from Go into Lua within each other
	inner   int            // of these, those of the running coroutine
	arg     [2]lua.LValue  // ngx.arg: the piece of body in hand, and whether it is the end
	answer  *plugin.Answer // what the script exited with
	failed  bool           // it asked for the connection to be closed
}

// runOf is the run that a thread belongs to.
func runOf(L *lua.LState) *run { return L.Context().(*run) }

// roots is all that the run can reach.
func (r *run) roots() []lua.LValue {
	roots := []lua.LValue{r.env, r.ready.body}
	if r.ready.kept != nil {
		roots = append(roots, r.ready.kept)
	}
	for _, t := range []*lua.LTable{r.request.shared, r.request.ctx, r.request.plugins[r.plugin]} {
		if t != nil {
			roots = append(roots, t)
		}
	}
	for _, L := range r.active {
		roots = append(roots, L)
	}
	return roots
}

// scriptError is how a run failed.
type scriptError struct {
	value lua.LValue // what was raised
	text  string
}

func (e *scriptError) Error() string { return e.text }

// sandboxFile is where Kong's messages say that an error was raised again.
const sandboxFile = "/usr/local/share/lua/5.1/kong/tools/kong-lua-sandbox.lua"

// execute runs a chunk in the phase in hand. The worker is locked.
func (w *worker) execute(r *run, c *chunk, observe func([]lua.LValue, error)) error {
	r.worker, r.ready = w, w.prepare(c)
	r.env = r.ready.env
	if r.ready.kept != nil {
		_, err := r.call(r.ready.kept)
		return err
	}
	values, err := r.call(r.ready.body)
	if observe != nil && r.why != errExit {
		observe(values, err)
	}
	if err != nil || r.why != nil || len(values) == 0 {
		return err
	}
	if f, ok := values[0].(*lua.LFunction); ok {
		r.ready.kept = f
		_, err = r.call(f)
	}
	return err
}

// call runs a function on a thread of its own.
func (r *run) call(f *lua.LFunction) (values []lua.LValue, err error) {
	w := r.worker
	L := w.thread()
	r.thread, r.active = L, append(r.active[:0], L)
	r.depth, r.inner = 0, 0
	L.SetContext(r)
	outer := w.main.G.CurrentThread
	w.main.G.CurrentThread = L
	r.begin(r.ready.carried)
	L.Push(w.lib.guard)
	L.Push(f)
	raised := L.PCall(1, lua.MultRet, nil)
	w.main.G.CurrentThread = outer
	r.ready.carried = r.sum
	switch {
	case r.why == errExit:
		return nil, nil
	case r.why != nil:
		if r.why == errMemory {
			delete(w.ready, r.ready.chunk) // its globals may be what fills the memory
			if w.common != nil {
				w.common = nil
				clear(w.ready)
			}
		}
		return nil, fmt.Errorf("%s: %w", sandboxFile+":164", r.why)
	case raised != nil:
		return nil, r.failure(raised)
	}
	for i := 1; i <= L.GetTop(); i++ {
		values = append(values, L.Get(i))
	}
	L.SetTop(0)
	L.RemoveContext()
	if len(w.threads) < maxThreads {
		w.threads = append(w.threads, L)
	}
	return values, nil
}

// failure makes an error of what a script raised.
func (r *run) failure(raised error) error {
	var api *lua.ApiError
	if !errors.As(raised, &api) {
		return raised
	}
	e := &scriptError{value: api.Object}
	switch v := api.Object.(type) {
	case lua.LString:
		text := r.translate(string(v))
		e.value = lua.LString(text)
		e.text = sandboxFile + ":164: " + text
	case nil, *lua.LNilType:
		e.value, e.text = lua.LNil, "nil"
	default:
		e.text = v.String()
	}
	return e
}

// wait lets others use the worker while the run waits for something outside of it.
func (r *run) wait(during func()) {
	w := r.worker
	current := w.main.G.CurrentThread
	r.budget.pause()
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.main.G.CurrentThread = current
		r.budget.resume()
	}()
	during()
}
