package function

import (
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Mode is Kong's setting untrusted_lua. Kong: kong.conf untrusted_lua
type Mode string

// The modes.
const (
	Off     Mode = "off"     // no script runs: the requests that would need one fail
	Sandbox Mode = "sandbox" // scripts see a part of Lua's library; the default
	On      Mode = "on"      // scripts see all of it, and share their globals
)

// safeNames are what the sandbox shows. Kong: kong/tools/kong-lua-sandbox.lua BASE_ENV
var safeNames = map[string][]string{
	"":          {"_VERSION", "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type", "unpack", "xpcall"},
	"coroutine": {"create", "resume", "running", "status", "wrap", "yield"},
	"math": {
		"abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod", "frexp", "huge", "ldexp",
		"log", "log10", "max", "min", "modf", "pi", "pow", "rad", "random", "sin", "sinh", "sqrt", "tan", "tanh",
	},
	"os":     {"clock", "date", "difftime", "time"},
	"string": {"byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse", "sub", "upper"},
	"table":  {"concat", "insert", "maxn", "remove", "sort"},
}

// sandboxed makes the part of the library that the sandbox shows: modules that can't be written to.
func sandboxed(L *lua.LState, base *lua.LTable) *lua.LTable {
	safe := L.NewTable()
	for module, names := range safeNames {
		if module == "" {
			for _, name := range names {
				safe.RawSetString(name, base.RawGetString(name))
			}
			continue
		}
		from, inner := base.RawGetString(module).(*lua.LTable), L.NewTable()
		for _, name := range names {
			inner.RawSetString(name, from.RawGetString(name))
		}
		safe.RawSetString(module, protect(L, module, inner))
	}
	return safe
}

// protect shows a module behind a table that refuses to be written to.
func protect(L *lua.LState, module string, inner *lua.LTable) *lua.LTable {
	outer, meta := L.NewTable(), L.NewTable()
	meta.RawSetString("__index", inner)
	meta.RawSetString("__newindex", L.NewFunction(func(L *lua.LState) int {
		key := text(L, L.Get(2))
		L.Error(lua.LString(sandboxFile+":95: Can not modify "+module+"."+key+". Protected by the sandbox."), 0)
		return 0
	}))
	outer.Metatable = meta
	return outer
}

// environment makes the globals of a chunk.
func (w *worker) environment() *lua.LTable {
	L := w.main
	if w.shared.options.UntrustedLua == On {
		if w.common == nil {
			w.common = L.NewTable()
			w.lib.base.ForEach(func(k, v lua.LValue) { w.common.RawSet(k, v) })
			w.common.RawSetString("kong", w.lib.kong)
			w.common.RawSetString("ngx", w.lib.ngx)
			w.common.RawSetString("_G", w.common)
		}
		return w.common
	}
	env := L.NewTable()
	w.lib.safe.ForEach(func(k, v lua.LValue) { env.RawSet(k, v) })
	env.RawSetString("require", w.lib.base.RawGetString("require"))
	env.RawSetString("kong", view(L, w.lib.kong))
	env.RawSetString("ngx", w.lib.ngx)
	env.RawSetString("_G", env)
	for _, name := range w.shared.options.SandboxEnvironment {
		w.expose(env, name)
	}
	return env
}

// view copies a table of tables, so that a chunk's writes stay its own; functions and metatables are shared.
func view(L *lua.LState, t *lua.LTable) *lua.LTable {
	out := L.NewTable()
	out.Metatable = t.Metatable
	t.ForEach(func(k, v lua.LValue) {
		if inner, ok := v.(*lua.LTable); ok {
			v = view(L, inner)
		}
		out.RawSet(k, v)
	})
	return out
}

// expose shows a further part of the library, os.getenv for example, to a sandboxed chunk.
func (w *worker) expose(env *lua.LTable, name string) {
	keys := strings.Split(name, ".")
	from, to := w.lib.base, env
	for i, key := range keys {
		v := from.RawGetString(key)
		if i == len(keys)-1 {
			to.RawSetString(key, v)
			return
		}
		inner, ok := v.(*lua.LTable)
		if !ok {
			return
		}
		mine, ok := to.RawGetString(key).(*lua.LTable)
		if !ok {
			mine = w.main.NewTable()
			to.RawSetString(key, mine)
		} else if meta, ok := mine.Metatable.(*lua.LTable); ok {
			opened := w.main.NewTable() // a protected module: a copy of it with more inside
			meta.RawGetString("__index").(*lua.LTable).ForEach(func(k, v lua.LValue) { opened.RawSet(k, v) })
			to.RawSetString(key, protect(w.main, key, opened))
			mine = opened
		}
		from, to = inner, mine
	}
}

// require gives one of the modules that exist, in the sandbox those that are listed.
func (w *worker) require(L *lua.LState) int {
	name := checkString(L, 1)
	options := w.shared.options
	if options.UntrustedLua != On && !slices.Contains(options.SandboxRequires, name) {
		L.Error(lua.LString("/usr/local/share/lua/5.1/kong/tools/sandbox.lua:79: require '"+name+"' not allowed within sandbox"), 0)
	}
	var module lua.LValue
	switch name {
	case "cjson":
		module = w.lib.cjson
	case "cjson.safe":
		module = w.lib.safeJSON
	case "resty.http":
		module = w.lib.http
	case "string", "table", "math", "os", "coroutine", "bit", "jit":
		module = w.lib.base.RawGetString(name)
	case "ngx.re", "ngx.base64", "table.new", "table.clear":
		module = w.extra(name)
	default:
		raisef(L, 1, "module '%s' not found", name)
	}
	L.Push(module)
	return 1
}

// extra are the small modules of OpenResty.
func (w *worker) extra(name string) lua.LValue {
	function := func(group, name string) lua.LValue {
		return w.lib.kong.RawGetString(group).(*lua.LTable).RawGetString(name)
	}
	switch name {
	case "table.new":
		return function("table", "new")
	case "table.clear":
		return function("table", "clear")
	case "ngx.base64":
		t := w.main.NewTable()
		t.RawSetString("encode_base64url", w.main.NewFunction(encodeBase64URL))
		t.RawSetString("decode_base64url", w.main.NewFunction(decodeBase64URL))
		return t
	default:
		return w.lib.ngx.RawGetString("re")
	}
}
