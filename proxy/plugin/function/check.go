package function

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// raise raises a message with the position of the script's line that called the running function. Where that was
// called by another function of ours (pcall, say) there is none, as in Lua. level 1 is the caller, 2 its caller.
func raise(L *lua.LState, level int, message string) {
	L.Error(lua.LString(where(L, level)+message), 0)
}

func raisef(L *lua.LState, level int, format string, args ...any) {
	raise(L, level, fmt.Sprintf(format, args...))
}

func where(L *lua.LState, level int) string {
	frame, ok := L.GetStack(level)
	if !ok {
		return ""
	}
	if _, err := L.GetInfo("Sl", frame, lua.LNil); err != nil || frame.Source == "" || frame.CurrentLine <= 0 {
		return ""
	}
	return frame.Source + ":" + strconv.Itoa(frame.CurrentLine) + ": "
}

// badArgument raises Lua's message for an argument of the running function.
func badArgument(L *lua.LState, n int, message string) {
	name := "?"
	if frame, ok := L.GetStack(1); ok {
		if _, err := L.GetInfo("S", frame, lua.LNil); err == nil && frame.Source != "" {
			if own, ok := L.GetStack(0); ok {
				if _, err := L.GetInfo("n", own, lua.LNil); err == nil && own.Name != "" {
					name = own.Name
				}
			}
		}
	}
	if i := strings.LastIndexAny(name, ".:"); i >= 0 {
		name = name[i+1:]
	}
	raisef(L, 1, "bad argument #%d to '%s' (%s)", n, name, message)
}

func typeError(L *lua.LState, n int, expected string) {
	got := "no value"
	if n <= L.GetTop() {
		got = L.Get(n).Type().String()
	}
	badArgument(L, n, expected+" expected, got "+got)
}

func checkString(L *lua.LState, n int) string {
	s, ok := toString(L.Get(n))
	if !ok {
		typeError(L, n, "string")
	}
	return s
}

func optString(L *lua.LState, n int, fallback string) string {
	if L.Get(n) == lua.LNil {
		return fallback
	}
	return checkString(L, n)
}

func checkNumber(L *lua.LState, n int) float64 {
	v, ok := toNumber(L.Get(n))
	if !ok {
		typeError(L, n, "number")
	}
	return v
}

func checkInt(L *lua.LState, n int) int { return clampInt(checkNumber(L, n)) }

func optInt(L *lua.LState, n, fallback int) int {
	if L.Get(n) == lua.LNil {
		return fallback
	}
	return checkInt(L, n)
}

func checkTable(L *lua.LState, n int) *lua.LTable {
	t, ok := L.Get(n).(*lua.LTable)
	if !ok {
		typeError(L, n, "table")
	}
	return t
}

func checkFunction(L *lua.LState, n int) *lua.LFunction {
	f, ok := L.Get(n).(*lua.LFunction)
	if !ok {
		typeError(L, n, "function")
	}
	return f
}

func clampInt(v float64) int {
	switch {
	case v != v:
		return 0
	case v > math.MaxInt32:
		return math.MaxInt32
	case v < math.MinInt32:
		return math.MinInt32
	default:
		return int(v)
	}
}

// toString is a string, or a number as one.
func toString(v lua.LValue) (string, bool) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), true
	case lua.LNumber:
		return formatNumber(float64(v)), true
	default:
		return "", false
	}
}

func toNumber(v lua.LValue) (float64, bool) {
	switch v := v.(type) {
	case lua.LNumber:
		return float64(v), true
	case lua.LString:
		return parseNumber(string(v))
	default:
		return 0, false
	}
}

// formatNumber writes a number as Lua's tostring does: C's %.14g.
func formatNumber(v float64) string {
	if v == math.Trunc(v) && v > -1e14 && v < 1e14 && (v != 0 || !math.Signbit(v)) {
		return strconv.FormatInt(int64(v), 10)
	}
	return formatG(v, 14, false)
}

// formatG is C's %.<precision>g; alternate keeps trailing zeros.
func formatG(v float64, precision int, alternate bool) string {
	switch {
	case v != v:
		return "nan"
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "-inf"
	}
	precision = max(precision, 1)
	digits := strconv.FormatFloat(v, 'e', precision-1, 64)
	mark := strings.IndexByte(digits, 'e')
	exponent, _ := strconv.Atoi(digits[mark+1:])
	if exponent < -4 || exponent >= precision {
		mantissa := digits[:mark]
		if !alternate && strings.Contains(mantissa, ".") {
			mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
		}
		return mantissa + digits[mark:]
	}
	fixed := strconv.FormatFloat(v, 'f', precision-1-exponent, 64)
	if !alternate && strings.Contains(fixed, ".") {
		fixed = strings.TrimRight(strings.TrimRight(fixed, "0"), ".")
	}
	return fixed
}

// parseNumber reads a number as LuaJIT does: decimal, hexadecimal and binary, with spaces around it; inf and nan.
func parseNumber(s string) (float64, bool) {
	s = strings.Trim(s, " \t\r\n\v\f")
	sign := 1.0
	body := s
	if strings.HasPrefix(body, "-") {
		sign, body = -1, body[1:]
	} else {
		body = strings.TrimPrefix(body, "+")
	}
	if body == "" || strings.ContainsAny(body, "_+ ") && !strings.ContainsAny(body, "eEpP") || strings.Contains(body, "_") {
		return 0, false
	}
	lower := strings.ToLower(body)
	switch {
	case lower == "inf" || lower == "infinity":
		return math.Inf(int(sign)), true
	case lower == "nan":
		return math.NaN(), true
	case strings.HasPrefix(lower, "0b"):
		v, err := strconv.ParseUint(lower[2:], 2, 64)
		return sign * float64(v), err == nil
	case strings.HasPrefix(lower, "0x"):
		if !strings.Contains(lower, "p") {
			lower += "p0"
		}
		v, err := strconv.ParseFloat(lower, 64)
		return sign * v, err == nil || math.IsInf(v, 0)
	}
	if c := lower[0]; c != '.' && (c < '0' || c > '9') {
		return 0, false
	}
	v, err := strconv.ParseFloat(lower, 64)
	return sign * v, err == nil || math.IsInf(v, 0)
}
