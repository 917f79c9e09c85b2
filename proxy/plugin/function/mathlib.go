package function

import (
	"math"
	"math/bits"
	"os"
	"runtime"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// mathLibrary is the interpreter's own: nothing in it allocates or loops.
func mathLibrary(L *lua.LState) *lua.LTable {
	lua.OpenMath(L)
	t := L.Get(-1).(*lua.LTable)
	L.Pop(1)
	t.RawSetString("mod", lua.LNil)
	t.RawSetString("huge", lua.LNumber(math.Inf(1)))
	t.RawSetString("fmod", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LNumber(math.Mod(checkNumber(L, 1), checkNumber(L, 2))))
		return 1
	}))
	for name, f := range map[string]func(float64) float64{
		"floor": math.Floor, "ceil": math.Ceil, "abs": math.Abs, "sqrt": math.Sqrt,
	} {
		t.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			L.Push(lua.LNumber(f(checkNumber(L, 1))))
			return 1
		}))
	}
	for name, better := range map[string]func(a, b float64) bool{
		"max": func(a, b float64) bool { return a > b },
		"min": func(a, b float64) bool { return a < b },
	} {
		t.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			best := checkNumber(L, 1)
			for i := 2; i <= L.GetTop(); i++ {
				if v := checkNumber(L, i); better(v, best) {
					best = v
				}
			}
			L.Push(lua.LNumber(best))
			return 1
		}))
	}
	return t
}

var osFunctions = map[string]lua.LGFunction{
	"clock": osClock, "date": osDate, "difftime": osDifftime, "time": osTime, "getenv": osGetenv,
}

var started = time.Now()

func osClock(L *lua.LState) int {
	L.Push(lua.LNumber(time.Since(started).Seconds()))
	return 1
}

func osDifftime(L *lua.LState) int {
	later, earlier := checkNumber(L, 1), 0.0
	if L.Get(2) != lua.LNil {
		earlier = checkNumber(L, 2)
	}
	L.Push(lua.LNumber(later - earlier))
	return 1
}

func osGetenv(L *lua.LState) int {
	if v, ok := os.LookupEnv(checkString(L, 1)); ok {
		L.Push(lua.LString(v))
	} else {
		L.Push(lua.LNil)
	}
	return 1
}

func osTime(L *lua.LState) int {
	if L.Get(1) == lua.LNil {
		L.Push(lua.LNumber(time.Now().Unix()))
		return 1
	}
	t := checkTable(L, 1)
	field := func(name string, fallback int) int {
		v, ok := toNumber(t.RawGetString(name))
		if !ok {
			if fallback < 0 {
				raise(L, 1, "field '"+name+"' missing in date table")
			}
			return fallback
		}
		return clampInt(v)
	}
	at := time.Date(field("year", -1), time.Month(field("month", -1)), field("day", -1),
		field("hour", 12), field("min", 0), field("sec", 0), 0, time.Local)
	L.Push(lua.LNumber(at.Unix()))
	return 1
}

func osDate(L *lua.LState) int {
	format := optString(L, 1, "%c")
	at := time.Now()
	if L.Get(2) != lua.LNil {
		at = time.Unix(int64(checkNumber(L, 2)), 0)
	}
	at = at.Local()
	if len(format) > 0 && format[0] == '!' {
		at, format = at.UTC(), format[1:]
	}
	if len(format) >= 2 && format[:2] == "*t" {
		t := L.NewTable()
		for name, v := range map[string]int{
			"year": at.Year(), "month": int(at.Month()), "day": at.Day(), "hour": at.Hour(), "min": at.Minute(),
			"sec": at.Second(), "wday": int(at.Weekday()) + 1, "yday": at.YearDay(),
		} {
			t.RawSetString(name, lua.LNumber(v))
		}
		t.RawSetString("isdst", lua.LBool(at.IsDST()))
		L.Push(t)
		return 1
	}
	L.Push(lua.LString(strftime(L, format, at)))
	return 1
}

// layouts are strftime's conversions as Go's layouts.
var layouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'c': "Mon Jan _2 15:04:05 2006", 'd': "02", 'H': "15",
	'I': "03", 'm': "01", 'M': "04", 'p': "PM", 'S': "05", 'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'Y': "2006",
	'Z': "MST", 'z': "-0700", 'D': "01/02/06", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'e': "_2", 'j': "002",
}

func strftime(L *lua.LState, format string, at time.Time) string {
	var out []byte
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out = append(out, format[i])
			continue
		}
		i++
		if layout, ok := layouts[format[i]]; ok {
			out = at.AppendFormat(out, layout)
			runOf(L).charge(L, 32)
			continue
		}
		switch format[i] {
		case 'w':
			out = append(out, byte('0'+at.Weekday()))
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case '%':
			out = append(out, '%')
		default:
			out = append(out, '%', format[i])
		}
	}
	return string(out)
}

// bitFunctions are LuaJIT's bit library: 32-bit integers.
var bitFunctions = map[string]lua.LGFunction{
	"tobit":   bitMap(func(a int32) int32 { return a }),
	"bnot":    bitMap(func(a int32) int32 { return ^a }),
	"bswap":   bitMap(func(a int32) int32 { return int32(bits.ReverseBytes32(uint32(a))) }),
	"band":    bitFold(func(a, b int32) int32 { return a & b }),
	"bor":     bitFold(func(a, b int32) int32 { return a | b }),
	"bxor":    bitFold(func(a, b int32) int32 { return a ^ b }),
	"lshift":  bitShift(func(a uint32, n uint) uint32 { return a << n }),
	"rshift":  bitShift(func(a uint32, n uint) uint32 { return a >> n }),
	"arshift": bitShift(func(a uint32, n uint) uint32 { return uint32(int32(a) >> n) }),
	"rol":     bitShift(func(a uint32, n uint) uint32 { return bits.RotateLeft32(a, int(n)) }),
	"ror":     bitShift(func(a uint32, n uint) uint32 { return bits.RotateLeft32(a, -int(n)) }),
}

// toBit wraps a number into 32 bits.
func toBit(L *lua.LState, n int) int32 {
	return int32(uint32(int64(math.Mod(math.RoundToEven(checkNumber(L, n)), 1<<32))))
}

func bitMap(f func(int32) int32) lua.LGFunction {
	return func(L *lua.LState) int {
		L.Push(lua.LNumber(f(toBit(L, 1))))
		return 1
	}
}

func bitFold(f func(a, b int32) int32) lua.LGFunction {
	return func(L *lua.LState) int {
		v := toBit(L, 1)
		for i := 2; i <= L.GetTop(); i++ {
			v = f(v, toBit(L, i))
		}
		L.Push(lua.LNumber(v))
		return 1
	}
}

func bitShift(f func(a uint32, n uint) uint32) lua.LGFunction {
	return func(L *lua.LState) int {
		L.Push(lua.LNumber(int32(f(uint32(toBit(L, 1)), uint(toBit(L, 2))&31))))
		return 1
	}
}

// jitLibrary says what scripts ask of jit: its version and that it is off.
func jitLibrary(L *lua.LState) *lua.LTable {
	t := L.NewTable()
	t.RawSetString("version", lua.LString("LuaJIT 2.1"))
	t.RawSetString("version_num", lua.LNumber(20100))
	t.RawSetString("os", lua.LString("Linux"))
	t.RawSetString("arch", lua.LString(runtime.GOARCH))
	for _, name := range []string{"on", "off", "flush"} {
		t.RawSetString(name, L.NewFunction(func(*lua.LState) int { return 0 }))
	}
	t.RawSetString("status", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LFalse)
		return 1
	}))
	return t
}
