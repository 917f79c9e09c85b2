package function

import (
	"errors"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// library is Lua's own library in a worker, made of functions that keep to the budget.
type library struct {
	concat, key     *lua.LFunction
	guard           *lua.LFunction
	base            *lua.LTable // what a trusted chunk has as globals
	safe            *lua.LTable // what the sandbox shows of it
	kong, ngx       *lua.LTable
	cjson, safeJSON *lua.LTable
	http            *lua.LTable
	spanMeta        *lua.LTable
	headerMeta      *lua.LTable
	emptyArray      *lua.LTable // metatable of lists
	next            *lua.LFunction
	inext           *lua.LFunction
}

// null is cjson.null and ngx.null.
var null = func() *lua.LUserData { return &lua.LUserData{Metatable: nullMeta} }()

var nullMeta = func() *lua.LTable {
	L := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer L.Close()
	meta := L.NewTable()
	meta.RawSetString("__metatable", lua.LFalse) // all workers share it: nobody may change it
	meta.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString("userdata: NULL"))
		return 1
	}))
	return meta
}()

func newLibrary(w *worker) library {
	L := w.main
	lib := library{concat: L.NewFunction(luaConcat), key: L.NewFunction(luaKey), guard: L.NewFunction(luaGuard)}
	lib.next, lib.inext = L.NewFunction(luaNext), L.NewFunction(luaINext)
	lib.base = L.NewTable()
	set := func(t *lua.LTable, functions map[string]lua.LGFunction) *lua.LTable {
		for name, f := range functions {
			t.RawSetString(name, L.NewFunction(f))
		}
		return t
	}
	set(lib.base, baseFunctions)
	lib.base.RawSetString("_VERSION", lua.LString("Lua 5.1"))
	lib.base.RawSetString("pairs", L.NewFunction(func(L *lua.LState) int {
		L.Push(lib.next)
		L.Push(checkTable(L, 1))
		L.Push(lua.LNil)
		return 3
	}))
	lib.base.RawSetString("ipairs", L.NewFunction(func(L *lua.LState) int {
		L.Push(lib.inext)
		L.Push(checkTable(L, 1))
		L.Push(lua.LNumber(0))
		return 3
	}))
	text := set(L.NewTable(), stringFunctions)
	lib.base.RawSetString("string", text)
	lib.base.RawSetString("table", set(L.NewTable(), tableFunctions))
	lib.base.RawSetString("math", mathLibrary(L))
	lib.base.RawSetString("os", set(L.NewTable(), osFunctions))
	lib.base.RawSetString("io", L.NewTable())
	lib.base.RawSetString("bit", set(L.NewTable(), bitFunctions))
	lib.base.RawSetString("coroutine", coroutineLibrary(L))
	lib.base.RawSetString("jit", jitLibrary(L))
	meta := L.NewTable()
	meta.RawSetString("__index", text)
	L.SetMetatable(lua.LString(""), meta)
	lib.emptyArray = L.NewTable()
	lib.spanMeta = L.NewTable()
	lib.spanMeta.RawSetString("__index", set(L.NewTable(), spanFunctions))
	lib.headerMeta = L.NewTable()
	lib.headerMeta.RawSetString("__index", L.NewFunction(headerIndex))
	lib.ngx = newNgx(L)
	lib.kong = newKong(L)
	lib.cjson, lib.safeJSON = newJSON(L, &lib)
	lib.http = newHTTP(L)
	lib.base.RawSetString("require", L.NewFunction(w.require))
	lib.safe = sandboxed(L, lib.base)
	return lib
}

var baseFunctions = map[string]lua.LGFunction{
	"assert": luaAssert, "error": luaError, "pcall": luaPCall, "xpcall": luaXPCall, "select": luaSelect,
	"tonumber": luaToNumber, "tostring": luaToString, "type": luaType, "unpack": luaUnpack, "next": luaNext,
	"rawget": luaRawGet, "rawset": luaRawSet, "rawequal": luaRawEqual, "getmetatable": luaGetMetatable,
	"setmetatable": luaSetMetatable, "print": luaPrint, "collectgarbage": luaCollectGarbage,
}

// luaConcat joins strings: what .. is rewritten to.
func luaConcat(L *lua.LState) int {
	r := runOf(L)
	n := L.GetTop()
	size := 0
	for i := 1; i <= n; i++ {
		s, ok := toString(L.Get(i))
		if !ok {
			L.Push(concatMeta(L, n))
			return 1
		}
		size += len(s)
	}
	r.chargeString(L, size)
	if n == 2 {
		a, _ := toString(L.Get(1))
		b, _ := toString(L.Get(2))
		L.Push(lua.LString(a + b))
		return 1
	}
	var out strings.Builder
	out.Grow(size)
	for i := 1; i <= n; i++ {
		s, _ := toString(L.Get(i))
		out.WriteString(s)
	}
	L.Push(lua.LString(out.String()))
	return 1
}

// concatMeta joins from the right, with metamethods.
func concatMeta(L *lua.LState, n int) lua.LValue {
	right := L.Get(n)
	for i := n - 1; i >= 1; i-- {
		left := L.Get(i)
		a, leftOK := toString(left)
		b, rightOK := toString(right)
		if leftOK && rightOK {
			runOf(L).chargeString(L, len(a)+len(b))
			right = lua.LString(a + b)
			continue
		}
		method := L.GetMetaField(left, "__concat")
		if method == lua.LNil {
			method = L.GetMetaField(right, "__concat")
		}
		if method == lua.LNil {
			culprit := right
			if !leftOK {
				culprit = left
			}
			kind := culprit.Type().String()
			name := ""
			r := runOf(L)
			if frame, ok := L.GetStack(1); ok {
				if _, err := L.GetInfo("Sl", frame, lua.LNil); err == nil {
					if known := r.namesOf(frame.Source); known != nil {
						name = operandName(known.math[frame.CurrentLine], kind)
					}
				}
			}
			raise(L, 1, fault("concatenate", name, kind))
		}
		right = callOne(L, method, left, right)
	}
	return right
}

// luaKey is asked before a store to a key that may be far beyond a list's end.
func luaKey(L *lua.LState) int {
	key := L.Get(2)
	n, ok := key.(lua.LNumber)
	if !ok || n <= denseKeys || n >= lua.LNumber(lua.MaxArrayIndex) || n != lua.LNumber(int(n)) {
		return 1 // key is on top
	}
	t, _ := L.Get(1).(*lua.LTable)
	if t == nil || t.Metatable != lua.LNil || t.RawGetInt(int(n)-1) == lua.LNil {
		runOf(L).charge(L, sparseBytes*int(n))
	}
	return 1
}

// call calls a function from Go, bounded in depth.
func call(L *lua.LState, results int, f lua.LValue, args ...lua.LValue) {
	r := runOf(L)
	r.enter(L)
	L.Push(f)
	for _, arg := range args {
		L.Push(arg)
	}
	L.Call(len(args), results)
	r.leave()
}

func callOne(L *lua.LState, f lua.LValue, args ...lua.LValue) lua.LValue {
	call(L, 1, f, args...)
	v := L.Get(-1)
	L.Pop(1)
	return v
}

func (r *run) enter(L *lua.LState) {
	if r.depth >= maxGoDepth {
		raise(L, 1, "C stack overflow")
	}
	r.depth++
	r.inner++
}

func (r *run) leave() { r.depth--; r.inner-- }

func luaAssert(L *lua.LState) int {
	if L.GetTop() == 0 {
		badArgument(L, 1, "value expected")
	}
	if lua.LVIsFalse(L.Get(1)) {
		message := L.Get(2)
		if message == lua.LNil {
			message = lua.LString("assertion failed!")
		}
		L.Error(message, 0)
	}
	return L.GetTop()
}

func luaError(L *lua.LState) int {
	message := L.Get(1)
	level := optInt(L, 2, 1)
	if s, ok := toString(message); ok && level > 0 {
		message = lua.LString(where(L, level) + s)
	}
	L.Error(message, 0)
	return 0
}

func luaPCall(L *lua.LState) int {
	if L.GetTop() == 0 {
		badArgument(L, 1, "value expected")
	}
	r := runOf(L)
	if f := L.Get(1); f.Type() != lua.LTFunction && L.GetMetaField(f, "__call") == lua.LNil {
		L.Push(lua.LFalse)
		L.Push(lua.LString("attempt to call a " + f.Type().String() + " value"))
		return 2
	}
	r.enter(L)
	depth, inner := r.depth, r.inner
	L.Insert(r.worker.lib.guard, 1)
	err := L.PCall(L.GetTop()-1, lua.MultRet, nil)
	r.depth, r.inner = depth, inner
	r.leave()
	if err == nil {
		L.Insert(lua.LTrue, 1)
		return L.GetTop()
	}
	r.afterError()
	L.Push(lua.LFalse)
	L.Push(r.caught(err))
	return 2
}

// afterError ends the run where what was caught is its stop.
func (r *run) afterError() {
	if r.why != nil {
		panic(stopError(r.why))
	}
}

// luaGuard calls its first argument with the others: what PCall calls, so that errors cost no trace.
func luaGuard(L *lua.LState) int {
	L.Panic = quietPanic
	L.Call(L.GetTop()-1, lua.MultRet)
	return L.GetTop()
}

// caught is the value of a caught error.
func (r *run) caught(err error) lua.LValue {
	var api *lua.ApiError
	if !errors.As(err, &api) || api.Object == nil {
		return lua.LString(err.Error())
	}
	if s, ok := api.Object.(lua.LString); ok {
		return lua.LString(r.translate(string(s)))
	}
	return api.Object
}

func luaXPCall(L *lua.LState) int {
	r := runOf(L)
	if L.GetTop() < 2 {
		badArgument(L, 2, "value expected")
	}
	handler := L.Get(2)
	L.Remove(2) // LuaJIT passes further arguments on
	r.enter(L)
	depth, inner := r.depth, r.inner
	L.Insert(r.worker.lib.guard, 1)
	err := L.PCall(L.GetTop()-1, lua.MultRet, nil)
	r.depth, r.inner = depth, inner
	r.leave()
	if err == nil {
		L.Insert(lua.LTrue, 1)
		return L.GetTop()
	}
	r.afterError()
	L.SetTop(0)
	L.Push(lua.LFalse)
	call(L, lua.MultRet, handler, r.caught(err))
	return L.GetTop()
}

func luaSelect(L *lua.LState) int {
	if s, ok := L.Get(1).(lua.LString); ok && s == "#" {
		L.Push(lua.LNumber(L.GetTop() - 1))
		return 1
	}
	n := checkInt(L, 1)
	top := L.GetTop()
	if n < 0 {
		n = top + n
	} else if n > top {
		n = top
	}
	if n < 1 {
		badArgument(L, 1, "index out of range")
	}
	return top - n
}

func luaToNumber(L *lua.LState) int {
	if L.GetTop() == 0 {
		badArgument(L, 1, "value expected")
	}
	base := optInt(L, 2, 10)
	if base == 10 {
		if v, ok := toNumber(L.Get(1)); ok {
			L.Push(lua.LNumber(v))
		} else {
			L.Push(lua.LNil)
		}
		return 1
	}
	if base < 2 || base > 36 {
		badArgument(L, 2, "base out of range")
	}
	text := strings.ToLower(strings.Trim(checkString(L, 1), " \t\r\n\v\f"))
	negative := strings.HasPrefix(text, "-")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "-"), "+")
	if base == 16 {
		text = strings.TrimPrefix(text, "0x")
	}
	v, err := strconv.ParseUint(text, base, 64)
	if err != nil {
		L.Push(lua.LNil)
		return 1
	}
	n := lua.LNumber(v)
	if negative {
		n = -n
	}
	L.Push(n)
	return 1
}

func luaToString(L *lua.LState) int {
	if L.GetTop() == 0 {
		badArgument(L, 1, "value expected")
	}
	L.Push(toStringMeta(L, L.Get(1)))
	return 1
}

// toStringMeta is tostring, with its metamethod.
func toStringMeta(L *lua.LState, v lua.LValue) lua.LValue {
	switch v := v.(type) {
	case lua.LString:
		return v
	case lua.LNumber:
		return lua.LString(formatNumber(float64(v)))
	case *lua.LUserData:
		if v == null {
			return lua.LString("userdata: NULL")
		}
	}
	if method := L.GetMetaField(v, "__tostring"); method != lua.LNil {
		return callOne(L, method, v)
	}
	return lua.LString(v.String())
}

// text is tostring where a string is wanted.
func text(L *lua.LState, v lua.LValue) string {
	if s, ok := toStringMeta(L, v).(lua.LString); ok {
		return string(s)
	}
	raise(L, 1, "'tostring' must return a string to 'print'")
	return ""
}

func luaType(L *lua.LState) int {
	if L.GetTop() == 0 {
		badArgument(L, 1, "value expected")
	}
	L.Push(lua.LString(L.Get(1).Type().String()))
	return 1
}

func luaUnpack(L *lua.LState) int {
	t := checkTable(L, 1)
	from := optInt(L, 2, 1)
	to := optInt(L, 3, t.Len())
	if from > to {
		return 0
	}
	if to-from >= 7000 {
		raise(L, 1, "too many results to unpack")
	}
	for i := from; i <= to; i++ {
		L.Push(t.RawGet(lua.LNumber(i)))
	}
	return to - from + 1
}

func luaNext(L *lua.LState) int {
	t := checkTable(L, 1)
	key, value := t.Next(L.Get(2))
	L.Push(key)
	if key == lua.LNil {
		return 1
	}
	L.Push(value)
	return 2
}

func luaINext(L *lua.LState) int {
	i := L.Get(2).(lua.LNumber) + 1
	v := L.Get(1).(*lua.LTable).RawGet(i)
	if v == lua.LNil {
		return 0
	}
	L.Push(i)
	L.Push(v)
	return 2
}

func luaRawGet(L *lua.LState) int {
	L.Push(checkTable(L, 1).RawGet(L.Get(2)))
	return 1
}

func luaRawSet(L *lua.LState) int {
	setTable(L, checkTable(L, 1), L.Get(2), L.Get(3))
	L.Push(L.Get(1))
	return 1
}

// setTable stores to a table from Go: charged.
func setTable(L *lua.LState, t *lua.LTable, key, value lua.LValue) {
	if n, ok := key.(lua.LNumber); ok && n > denseKeys && n < lua.LNumber(lua.MaxArrayIndex) && t.RawGetInt(int(n)-1) == lua.LNil {
		runOf(L).charge(L, sparseBytes*int(n))
	}
	L.RawSet(t, key, value)
}

func luaRawEqual(L *lua.LState) int {
	L.Push(lua.LBool(L.RawEqual(L.Get(1), L.Get(2))))
	return 1
}

func luaGetMetatable(L *lua.LState) int {
	v := L.Get(1)
	if guarded := L.GetMetaField(v, "__metatable"); guarded != lua.LNil {
		L.Push(guarded)
		return 1
	}
	L.Push(L.GetMetatable(v))
	return 1
}

func luaSetMetatable(L *lua.LState) int {
	t := checkTable(L, 1)
	meta := L.Get(2)
	if _, ok := meta.(*lua.LTable); !ok && meta != lua.LNil {
		typeError(L, 2, "nil or table")
	}
	if L.GetMetaField(t, "__metatable") != lua.LNil {
		raise(L, 1, "cannot change a protected metatable")
	}
	t.Metatable = meta
	L.Push(t)
	return 1
}

func luaPrint(L *lua.LState) int {
	var words []string
	for i := 1; i <= L.GetTop(); i++ {
		words = append(words, text(L, L.Get(i)))
	}
	runOf(L).host.Logger().Info(strings.Join(words, "\t"))
	return 0
}

// luaCollectGarbage answers as the collector would and leaves it alone.
func luaCollectGarbage(L *lua.LState) int {
	if optString(L, 1, "collect") == "count" {
		L.Push(lua.LNumber(float64(runOf(L).sum) / 1024))
		return 1
	}
	L.Push(lua.LNumber(0))
	return 1
}
