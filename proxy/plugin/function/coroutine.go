package function

import "slices"

import lua "github.com/yuin/gopher-lua"

// maxNested bounds coroutines that resume each other: each is a recursion of the interpreter.
const maxNested = 32

// coroutineLibrary wraps the interpreter's coroutines: they belong to the run of their maker, which counts and bounds
// them, and errors in them are worded as everywhere.
func coroutineLibrary(L *lua.LState) *lua.LTable {
	lua.OpenCoroutine(L)
	stock := L.Get(-1).(*lua.LTable)
	L.Pop(1)
	function := func(name string) lua.LGFunction { return stock.RawGetString(name).(*lua.LFunction).GFunction }
	create, yield, status, stockResume := function("create"), function("yield"), function("status"), function("resume")

	newThread := func(L *lua.LState) *lua.LState {
		r := runOf(L)
		checkFunction(L, 1)
		r.charge(L, threadBytes)
		L.RemoveContext() // else the new thread derives one of its own
		create(L)
		L.SetContext(r)
		thread := L.Get(-1).(*lua.LState)
		thread.SetContext(r)
		return thread
	}
	library := L.NewTable()
	library.RawSetString("create", L.NewFunction(func(L *lua.LState) int {
		L.Push(newThread(L))
		return 1
	}))
	library.RawSetString("wrap", L.NewFunction(func(L *lua.LState) int {
		thread := newThread(L)
		L.Push(L.NewFunction(func(L *lua.LState) int {
			L.Insert(thread, 1)
			n, ok := resume(L, stockResume)
			if !ok {
				L.Error(L.Get(-1), 0)
			}
			return n
		}))
		return 1
	}))
	library.RawSetString("resume", L.NewFunction(func(L *lua.LState) int {
		if _, ok := L.Get(1).(*lua.LState); !ok {
			typeError(L, 1, "coroutine")
		}
		n, ok := resume(L, stockResume)
		L.Insert(lua.LBool(ok), L.GetTop()-n+1)
		return n + 1
	}))
	library.RawSetString("yield", L.NewFunction(func(L *lua.LState) int {
		r := runOf(L)
		if len(r.active) < 2 {
			raise(L, 1, "attempt to yield across C-call boundary")
		}
		if r.inner > 0 {
			raise(L, 1, "attempt to yield across C-call boundary")
		}
		return yield(L)
	}))
	library.RawSetString("status", L.NewFunction(func(L *lua.LState) int {
		thread, ok := L.Get(1).(*lua.LState)
		if !ok {
			typeError(L, 1, "coroutine")
		}
		if slices.Contains(runOf(L).active[:len(runOf(L).active)-1], thread) {
			L.Push(lua.LString("normal"))
			return 1
		}
		return status(L)
	}))
	library.RawSetString("running", L.NewFunction(func(L *lua.LState) int {
		active := runOf(L).active
		L.Push(active[len(active)-1])
		return 1
	}))
	return library
}

// resume runs a coroutine, which is the first value on the stack, with the arguments that follow it, until it yields
// or ends. What it gave, or the error, is on top of the stack then: n values.
func resume(L *lua.LState, stock lua.LGFunction) (n int, ok bool) {
	r := runOf(L)
	thread := L.Get(1).(*lua.LState)
	refuse := func(message string) (int, bool) {
		L.Push(lua.LString(message))
		return 1, false
	}
	if slices.Contains(r.active, thread) {
		return refuse("cannot resume non-suspended coroutine")
	}
	switch {
	case thread.Dead || thread.Context() == nil:
		return refuse("cannot resume dead coroutine")
	case len(r.active) > maxNested:
		return refuse("C stack overflow")
	}
	thread.SetContext(r) // it may have been made in an earlier request
	depth, inner := r.depth, r.inner
	r.depth, r.inner = depth+1, 0
	r.active = append(r.active, thread)
	n = stock(L)
	r.active = r.active[:len(r.active)-1]
	r.depth, r.inner = depth, inner
	r.afterError()
	ok = lua.LVAsBool(L.Get(-n))
	if !ok {
		message := L.Get(-1)
		if s, isText := message.(lua.LString); isText {
			message = lua.LString(r.translate(string(s)))
		}
		L.Push(message)
		return 1, false
	}
	return n - 1, true
}
