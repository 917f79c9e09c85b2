package function

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
)

// hostile are scripts that want more than their share. Each has to be stopped.
var hostile = []struct {
	name, script string
	trusted      bool // needs untrusted_lua = on
}{
	{name: "empty loop", script: `while true do end`},
	{name: "goto loop", script: `::again:: goto again`},
	{name: "repeat loop", script: `repeat until false`},
	{name: "numeric loop", script: `for i = 1, math.huge do end`},
	{name: "pcall loop", script: `while true do pcall(function() while true do end end) end`},
	{name: "pcall of pcall", script: `local function f() while true do pcall(f) end end f()`},
	{name: "xpcall handler loop", script: `xpcall(function() while true do end end, function() while true do end end) while true do end`},
	{name: "error handler that starts again", script: `local function h() return xpcall(error, h) end while true do h() end`},
	{name: "greedy pattern", script: `return ("a"):rep(200):find((".-"):rep(30) .. "b")`},
	{name: "nested repetition", script: `return ("a"):rep(30000):match("^(a*)*(a*)*(a*)*(a*)*b$") or ("a"):rep(30000):find(".*.*.*.*b")`},
	{name: "gsub on a long subject", script: `local s = ("ab"):rep(100000) while true do s:gsub("(a)(b)", "%2%1") end`},
	{name: "gmatch without end", script: `for i = 1, 1e9 do for w in ("x "):rep(1000):gmatch("%S*") do end end`},
	{name: "balanced pattern", script: `return ("("):rep(100000):gsub("%b()", "")`},
	{name: "plain find", script: `local s = ("a"):rep(1000000) while true do s:find("b", 1, true) end`},
	{name: "string.rep to gigabytes", script: `return ("x"):rep(4 * 1024 * 1024 * 1024)`},
	{name: "string.rep in steps", script: `local t = {} for i = 1, 1000 do t[i] = ("x"):rep(1024 * 1024) .. i end`},
	{name: "string.rep with a separator", script: `return ("x"):rep(1e6, ("y"):rep(1e6))`},
	{name: "doubling by ..", script: `local s = "x" while true do s = s .. s end`},
	{name: "doubling a chain", script: `local s = "x" while true do s = s .. s .. s .. s .. s .. s .. s .. s end`},
	{name: "string.format", script: `local s = "x" while true do s = string.format("%s%s%s%s", s, s, s, s) end`},
	{name: "gsub that grows", script: `local s = "x" while true do s = s:gsub(".", "%0%0%0%0%0%0%0%0") end`},
	{name: "table.concat", script: `local s = ("x"):rep(1e6) local t = {} for i = 1, 100 do t[i] = s end while true do t[1] = table.concat(t) end`},
	{name: "table.insert", script: `local t = {} while true do table.insert(t, {}) end`},
	{name: "table.insert at the front", script: `local t = {} for i = 1, 1e9 do table.insert(t, 1, i) end`},
	{name: "sort with a comparator that loops", script: `local t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() while true do end end)`},
	{name: "sort again and again", script: `local t = {} for i = 1, 2000 do t[i] = i % 7 end while true do table.sort(t, function(a, b) return a < b end) end`},
	{name: "huge table", script: `local t = {} for i = 1, 1e9 do t[i] = i end`},
	{name: "huge map", script: `local t = {} for i = 1, 1e9 do t["k" .. i] = i end`},
	{name: "tables of tables", script: `local t = {} while true do t = {t, {}, {}, {}} end`},
	{name: "sparse list", script: `local t = {} t[60000000] = 1`},
	{name: "many sparse lists", script: `local all = {} for i = 1, 1e6 do local t = {} t[60000] = 1 t[60000] = nil all[i] = t end`},
	{name: "sparse constructor", script: `local t = {[60000000] = 1}`},
	{name: "global hoard", script: `H = {} while true do H[#H + 1] = {a = 1} end`},
	{name: "hoard in ngx", script: `ngx.h = {} while true do ngx.h[#ngx.h + 1] = {a = 1} end`},
	{name: "hoard in kong.ctx", script: `local c = kong.ctx.shared while true do c[#c + 1] = ("x"):rep(1000) end`},
	{name: "hoard of upvalues", script: `local f = function() end while true do local g = f f = function() return g end end`},
	{name: "pieces of long strings", script: `local t = {} for i = 1, 1e6 do t[i] = (("x"):rep(100000) .. i):sub(1, 1) end while true do end`},
	{name: "deep recursion", script: `local function f() return 1 + f() end while true do pcall(f) end`},
	{name: "tail calls", script: `local function f() return f() end f()`},
	{name: "coroutine that loops", script: `coroutine.wrap(function() while true do end end)()`},
	{name: "coroutines that yield", script: `local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end`},
	{name: "many coroutines", script: `local t = {} while true do local c = coroutine.create(function() coroutine.yield() end) coroutine.resume(c) t[#t + 1] = c end`},
	{name: "nested coroutines", script: `local function f() return coroutine.wrap(f)() end while true do pcall(f) end`},
	{name: "error in coroutines", script: `while true do coroutine.resume(coroutine.create(function() while true do end end)) end`},
	{name: "error object", script: `while true do pcall(error, {}) end`},
	{name: "tostring of an error object", trusted: true, script: `error(setmetatable({}, {__tostring = function() while true do end end}))
		local e = setmetatable({}, {__tostring = function() while true do end end}) while true do pcall(tostring, e) end`},
	{name: "__index chain", trusted: true, script: `local t = setmetatable({}, {__index = function(t, k) return t[k] end}) while true do pcall(function() return t.x end) end`},
	{name: "__index that loops", trusted: true, script: `local t = setmetatable({}, {__index = function() while true do end end}) return t.x`},
	{name: "__newindex", trusted: true, script: `local t t = setmetatable({}, {__newindex = function(_, k) while true do t[k] = 1 end end}) t.x = 1`},
	{name: "__newindex to another table", trusted: true, script: `local big = {} local t = setmetatable({}, {__newindex = big}) t[60000000] = 1`},
	{name: "__concat", trusted: true, script: `local t = setmetatable({}, {__concat = function(a, b) return a .. b end}) while true do pcall(function() return t .. t end) end`},
	{name: "__eq", trusted: true, script: `local m = {__eq = function() while true do end end} return setmetatable({}, m) == setmetatable({}, m)`},
	{name: "__lt in sort", trusted: true, script: `local m = {__lt = function() while true do end end} table.sort{setmetatable({}, m), setmetatable({}, m)}`},
	{name: "rawset", trusted: true, script: `rawset({}, 60000000, 1)`},
	{name: "unpack", script: `local t = {} for i = 1, 5000 do t[i] = i end while true do select("#", unpack(t)) end`},
	{name: "ngx.re", script: `local s = ("a"):rep(100000) while true do ngx.re.match(s, "(a|aa)+b") end`},
	{name: "ngx.re.gsub", script: `local s = ("a"):rep(1000) while true do s = ngx.re.gsub(s, "a", "$0$0") end`},
	{name: "base64", script: `local s = "x" while true do s = ngx.encode_base64(s .. s) end`},
	{name: "escape", script: `local s = "/" while true do s = ngx.escape_uri(s) .. s end`},
	{name: "json", script: `local t = {} for i = 1, 2000 do t[i] = i end while true do require("cjson").encode(t) end`},
	{name: "json of a table in itself", script: `local t = {} t.t = t while true do pcall(require("cjson").encode, t) end`},
	{name: "json that grows", script: `local s = "x" while true do s = require("cjson").encode({s, s, s}) end`},
	{name: "ngx.print of a table in itself", script: `local t = {} t[1] = t t[2] = t while true do pcall(ngx.print, t) end`},
	{name: "ngx.say", script: `while true do ngx.say(("x"):rep(100000)) end`},
	{name: "span attributes", script: `while true do kong.log.err(("x"):rep(10000)) end`},
	{name: "headers", script: `for i = 1, 1e9 do kong.response.set_header("X-" .. i, ("y"):rep(1000)) end`},
	{name: "long log values", script: `for i = 1, 1e9 do kong.log.set_serialize_value("k" .. i, ("x"):rep(1000000)) end`},
	{name: "many log values", script: `for i = 1, 1e9 do kong.log.set_serialize_value("k" .. i, i) end`},
	{name: "exit in pcall", script: `while true do pcall(kong.response.exit, 1) end`},
	{name: "computed length", script: `local t = {} t[300000] = 1 t[300000] = nil while true do local n = #t end`},
}

// limits of a stop.
const (
	stopTime   = 150 * time.Millisecond // times raceFactor
	stopMemory = 64 << 20
)

func oneStep(t testing.TB, options Options, phase string, scripts ...string) step {
	t.Helper()
	var list []any
	for _, script := range scripts {
		list = append(list, script)
	}
	made, err := Define(options)[0].New(&entity.Plugin{Name: PreName, Config: entity.Object{phase: list}}, plugin.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return step{PreName, unwrap(made)}
}

// unwrap is the instance, whatever phases its plugin has.
func unwrap(made any) *instance { return made.(interface{ self() *instance }).self() }

func (i *instance) self() *instance { return i }

const plainRequest = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n"

// A hostile script is stopped within its time and memory while other requests go on, and what it leaves behind is let
// go of.
func TestHostile(t *testing.T) {
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			options := Options{SandboxRequires: []string{"cjson"}}
			if h.trusted {
				options.UntrustedLua = On
			}
			var took time.Duration
			var grown uint64
			for range 3 { // the machine may be busy: the best of three counts
				var err error
				took, grown, err = attack(t, options, h.script)
				if err == nil {
					t.Fatal("got no error, want the script stopped")
				}
				if took <= raceFactor*stopTime && grown <= stopMemory {
					return
				}
			}
			t.Errorf("stopped after %v and %d MiB, want at most %v and %d MiB", took, grown>>20, stopTime, stopMemory>>20)
		})
	}
}

// attack runs a script and gives how long it took and by how much the heap grew at most.
func attack(t *testing.T, options Options, script string) (took time.Duration, grown uint64, err error) {
	t.Helper()
	one := oneStep(t, options, "access", script)
	d := testDriver(t, plainRequest)
	d.phase = accessing
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapAlloc > peak.Load() {
				peak.Store(now.HeapAlloc)
			}
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	begin, spent := time.Now(), processorTime(t)
	err = one.instance.run(d, accessing, one.instance.access)
	took = min(time.Since(begin), processorTime(t)-spent)
	close(done)
	<-watched
	if p := peak.Load(); p > before.HeapAlloc {
		grown = p - before.HeapAlloc
	}
	return took, grown, err
}

// processorTime is what the process has used of the processors: on a busy machine it says more than the clock.
func processorTime(t *testing.T) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// While scripts are being stopped, other requests are served, on the same instance too.
func TestHostileBeside(t *testing.T) {
	options := Options{}
	bad := oneStep(t, options, "access", `if kong.request.get_header("x-bad") then while true do local s = ("x"):rep(1000) end end kong.ctx.plugin.v = kong.request.get_header("x-n")`,
		`return kong.ctx.plugin.v`)
	var served, stopped atomic.Int64
	var wait sync.WaitGroup
	end := time.Now().Add(700 * time.Millisecond)
	for n := range 4 {
		wait.Go(func() {
			for time.Now().Before(end) {
				head := fmt.Sprintf("X-N: %d\r\n", n)
				if n == 0 {
					head = "X-Bad: 1\r\n"
				}
				d := testDriver(t, strings.Replace(plainRequest, "\r\n\r\n", "\r\n"+head+"\r\n", 1))
				d.phase = accessing
				err := bad.instance.run(d, accessing, bad.instance.access)
				switch {
				case n == 0 && errors.Is(err, errTime):
					stopped.Add(1)
				case n > 0 && err == nil:
					served.Add(1)
				default:
					t.Errorf("request %d: got error %v", n, err)
				}
			}
		})
	}
	wait.Wait()
	if stopped.Load() == 0 || served.Load() < 100 {
		t.Errorf("got %d stopped and %d served, want some and at least 100", stopped.Load(), served.Load())
	}
}

// What a script has hoarded in its globals is gone once it was stopped for it.
func TestHoardIsDropped(t *testing.T) {
	one := oneStep(t, Options{Time: 10 * time.Second}, "access", `H = H or {} for i = 1, 1e9 do H[#H + 1] = ("x"):rep(10000) .. i end`)
	d := testDriver(t, plainRequest)
	d.phase = accessing
	if err := one.instance.run(d, accessing, one.instance.access); !errors.Is(err, errMemory) {
		t.Fatalf("got error %v, want the script stopped", err)
	}
	w := d.state.(*request).worker
	if n := len(w.ready); n != 0 {
		t.Errorf("got %d chunks kept, want none", n)
	}
}

// A little memory kept per request adds up: over the budget the script is stopped and begins anew.
func TestSlowHoard(t *testing.T) {
	one := oneStep(t, Options{Memory: 1 << 20}, "access", `H = H or {} H[#H + 1] = ("x"):rep(10000) .. #H`)
	var stops int
	for range 1000 {
		d := testDriver(t, plainRequest)
		d.phase = accessing
		if err := one.instance.run(d, accessing, one.instance.access); errors.Is(err, errMemory) {
			stops++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if stops < 5 || stops > 50 {
		t.Errorf("got %d stops in 1000 requests of 10 kB each with 1 MiB, want about 10", stops)
	}
}
