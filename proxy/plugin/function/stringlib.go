package function

import (
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

var stringFunctions = map[string]lua.LGFunction{
	"byte": strByte, "char": strChar, "find": strFind, "format": strFormat, "gmatch": strGmatch, "gfind": strGmatch,
	"gsub": strGsub, "len": strLen, "lower": strLower, "match": strMatch, "rep": strRep, "reverse": strReverse,
	"sub": strSub, "upper": strUpper,
}

// clone is s[from:to] without the rest of s.
func clone(s string, from, to int) string {
	if from == 0 && to == len(s) {
		return s
	}
	return strings.Clone(s[from:to])
}

// slice turns Lua's positions, which count from 1 and from the end when negative, into Go's.
func slice(length, i, j int) (from, to int) {
	if i < 0 {
		i = max(length+i+1, 1)
	} else if i == 0 {
		i = 1
	}
	if j < 0 {
		j = length + j + 1
	} else if j > length {
		j = length
	}
	if i > j {
		return 0, 0
	}
	return i - 1, j
}

func strByte(L *lua.LState) int {
	s := checkString(L, 1)
	i := optInt(L, 2, 1)
	from, to := slice(len(s), i, optInt(L, 3, i))
	if to-from > 7000 {
		raise(L, 1, "string slice too long")
	}
	for _, c := range []byte(s[from:to]) {
		L.Push(lua.LNumber(c))
	}
	return to - from
}

func strChar(L *lua.LState) int {
	out := make([]byte, L.GetTop())
	for i := range out {
		c := checkNumber(L, i+1)
		if c < 0 || c > 255 {
			badArgument(L, i+1, "invalid value")
		}
		out[i] = byte(c)
	}
	L.Push(lua.LString(out))
	return 1
}

func strLen(L *lua.LState) int {
	L.Push(lua.LNumber(len(checkString(L, 1))))
	return 1
}

func strLower(L *lua.LState) int { return strMap(L, 'A', 'Z', 0x20) }
func strUpper(L *lua.LState) int { return strMap(L, 'a', 'z', 0x20) }

// strMap flips a bit of the ASCII letters between two.
func strMap(L *lua.LState, from, to, bit byte) int {
	s := checkString(L, 1)
	runOf(L).chargeString(L, len(s))
	out := []byte(s)
	for i, c := range out {
		if c >= from && c <= to {
			out[i] = c ^ bit
		}
	}
	L.Push(lua.LString(out))
	return 1
}

func strReverse(L *lua.LState) int {
	s := checkString(L, 1)
	runOf(L).chargeString(L, len(s))
	out := make([]byte, len(s))
	for i := range len(s) {
		out[len(s)-1-i] = s[i]
	}
	L.Push(lua.LString(out))
	return 1
}

func strRep(L *lua.LState) int {
	s, n, separator := checkString(L, 1), checkInt(L, 2), optString(L, 3, "")
	if n <= 0 || len(s)+len(separator) == 0 {
		L.Push(lua.LString(""))
		return 1
	}
	size := float64(n)*float64(len(s)) + float64(n-1)*float64(len(separator))
	if size > math.MaxInt32 {
		runOf(L).stop(L, errMemory)
	}
	runOf(L).chargeString(L, int(size))
	if separator == "" {
		L.Push(lua.LString(strings.Repeat(s, n)))
		return 1
	}
	L.Push(lua.LString(strings.Repeat(s+separator, n-1) + s))
	return 1
}

func strSub(L *lua.LState) int {
	s := checkString(L, 1)
	from, to := slice(len(s), checkInt(L, 2), optInt(L, 3, -1))
	runOf(L).chargeString(L, to-from)
	L.Push(lua.LString(clone(s, from, to)))
	return 1
}

// start is the optional first position of find, match and gmatch; past is beyond the end.
func start(L *lua.LState, n, length int) (at int, past bool) {
	init := optInt(L, n, 1)
	if init < 0 {
		init = max(length+init+1, 1)
	} else if init == 0 {
		init = 1
	}
	return init - 1, init-1 > length
}

const patternSpecials = "^$*+?.([%-"

func strFind(L *lua.LState) int { return find(L, true) }

func strMatch(L *lua.LState) int { return find(L, false) }

func find(L *lua.LState, positions bool) int {
	s, pattern := checkString(L, 1), checkString(L, 2)
	at, past := start(L, 3, len(s))
	if past {
		at = len(s) // LuaJIT looks at the end then
	}
	if positions && (lua.LVAsBool(L.Get(4)) || !strings.ContainsAny(pattern, patternSpecials)) {
		runOf(L).work(L, (len(s)-at)/32+1)
		i := strings.Index(s[at:], pattern)
		if i < 0 {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(lua.LNumber(at + i + 1))
		L.Push(lua.LNumber(at + i + len(pattern)))
		return 2
	}
	m := newMatcher(L, s, pattern)
	p := 0
	anchored := strings.HasPrefix(pattern, "^")
	if anchored {
		p = 1
	}
	for ; at <= len(s); at++ {
		if end := m.at(at, p); end >= 0 {
			if positions {
				L.Push(lua.LNumber(at + 1))
				L.Push(lua.LNumber(end))
				return 2 + m.pushCaptures(at, end, false)
			}
			return m.pushCaptures(at, end, true)
		}
		if anchored {
			break
		}
	}
	L.Push(lua.LNil)
	return 1
}

func strGmatch(L *lua.LState) int {
	s, pattern := checkString(L, 1), checkString(L, 2)
	at := 0
	L.Push(L.NewFunction(func(L *lua.LState) int {
		m := newMatcher(L, s, pattern)
		for ; at <= len(s); at++ {
			if end := m.at(at, 0); end >= 0 {
				from := at
				at = end
				if end == from {
					at++
				}
				return m.pushCaptures(from, end, true)
			}
		}
		L.Push(lua.LNil)
		return 1
	}))
	return 1
}

func strGsub(L *lua.LState) int {
	s, pattern := checkString(L, 1), checkString(L, 2)
	var replace func(m *matcher, from, to int) lua.LValue
	switch with := L.Get(3).(type) {
	case *lua.LTable:
		replace = func(m *matcher, from, to int) lua.LValue { return L.GetTable(with, m.capture(0, from, to)) }
	case *lua.LFunction:
		replace = func(m *matcher, from, to int) lua.LValue {
			var args []lua.LValue
			for i := range max(m.level, 1) {
				args = append(args, m.capture(i, from, to))
			}
			return callOne(L, with, args...)
		}
	case lua.LString, lua.LNumber:
		template, _ := toString(with)
		replace = func(m *matcher, from, to int) lua.LValue { return m.expand(template, from, to) }
	default:
		typeError(L, 3, "string/function/table")
	}
	limit := optInt(L, 4, len(s)+1)
	p := 0
	anchored := strings.HasPrefix(pattern, "^")
	if anchored {
		p = 1
	}
	m := newMatcher(L, s, pattern)
	r := runOf(L)
	var out strings.Builder
	write := func(piece string) {
		if out.Len()+len(piece) > out.Cap() {
			r.chargeString(L, 2*(out.Len()+len(piece)))
		}
		out.WriteString(piece)
	}
	at, count := 0, 0
	for count < limit {
		end := m.at(at, p)
		if end >= 0 {
			count++
			switch v := replace(m, at, end).(type) {
			case lua.LString:
				write(string(v))
			case lua.LNumber:
				write(formatNumber(float64(v)))
			default:
				if !lua.LVIsFalse(v) {
					raisef(L, 1, "invalid replacement value (a %s)", v.Type().String())
				}
				write(s[at:end])
			}
		}
		switch {
		case end > at:
			at = end
		case at < len(s):
			write(s[at : at+1])
			at++
		default:
			at++
		}
		if at > len(s) || anchored {
			break
		}
	}
	if at < len(s) {
		write(s[at:])
	}
	L.Push(lua.LString(out.String()))
	L.Push(lua.LNumber(count))
	return 2
}

// expand puts captures into a replacement string.
func (m *matcher) expand(template string, from, to int) lua.LValue {
	if !strings.Contains(template, "%") {
		return lua.LString(template)
	}
	var out strings.Builder
	for i := 0; i < len(template); i++ {
		c := template[i]
		if c != '%' || i+1 == len(template) {
			out.WriteByte(c)
			continue
		}
		i++
		switch d := template[i]; {
		case d == '0':
			out.WriteString(m.subject[from:to])
		case d >= '1' && d <= '9':
			s, _ := toString(m.capture(int(d-'1'), from, to))
			out.WriteString(s)
		default:
			out.WriteByte(d)
		}
		m.run.charge(m.L, out.Len()/8)
	}
	m.run.chargeString(m.L, out.Len())
	return lua.LString(out.String())
}

func strFormat(L *lua.LState) int {
	format := checkString(L, 1)
	r := runOf(L)
	var out strings.Builder
	arg := 1
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		i++
		if i < len(format) && format[i] == '%' {
			out.WriteByte('%')
			continue
		}
		f := formatSpec{precision: -1}
		i = f.parse(L, format, i)
		arg++
		piece := f.apply(L, arg)
		r.chargeString(L, out.Len()/4+len(piece))
		out.WriteString(piece)
	}
	r.chargeString(L, out.Len())
	L.Push(lua.LString(out.String()))
	return 1
}

// formatSpec is one conversion of a format.
type formatSpec struct {
	minus, plus, space, sharp, zero bool
	width, precision                int
	verb                            byte
}

func (f *formatSpec) parse(L *lua.LState, format string, i int) int {
	begin := i
	for ; i < len(format) && strings.IndexByte("-+ #0", format[i]) >= 0; i++ {
		switch format[i] {
		case '-':
			f.minus = true
		case '+':
			f.plus = true
		case ' ':
			f.space = true
		case '#':
			f.sharp = true
		case '0':
			f.zero = true
		}
	}
	digits := func(n *int) {
		for count := 0; i < len(format) && format[i] >= '0' && format[i] <= '9'; i++ {
			if count++; count > 2 {
				raise(L, 1, "invalid option '%"+format[begin:i+1]+"' to 'format'")
			}
			*n = *n*10 + int(format[i]-'0')
		}
	}
	digits(&f.width)
	if i < len(format) && format[i] == '.' {
		i++
		f.precision = 0
		digits(&f.precision)
	}
	if i >= len(format) || strings.IndexByte("cdiouxXeEfFgGaAqs", format[i]) < 0 {
		raise(L, 1, "invalid option '%"+format[begin:min(i+1, len(format))]+"' to 'format'")
	}
	f.verb = format[i]
	return i
}

func (f *formatSpec) apply(L *lua.LState, arg int) string {
	switch f.verb {
	case 'c':
		return f.pad(string([]byte{byte(checkInt(L, arg))}))
	case 'd', 'i':
		return f.integer(checkNumber(L, arg))
	case 'u', 'o', 'x', 'X':
		return f.unsigned(checkNumber(L, arg))
	case 'e', 'E', 'f', 'F', 'g', 'G', 'a', 'A':
		return f.float(checkNumber(L, arg))
	case 'q':
		return quoted(checkString(L, arg))
	default:
		if arg > L.GetTop() {
			typeError(L, arg, "string")
		}
		s := text(L, L.Get(arg))
		if f.precision >= 0 && f.precision < len(s) {
			s = s[:f.precision]
		}
		return f.pad(s)
	}
}

func (f *formatSpec) sign(negative bool) string {
	switch {
	case negative:
		return "-"
	case f.plus:
		return "+"
	case f.space:
		return " "
	default:
		return ""
	}
}

func (f *formatSpec) integer(v float64) string {
	n := toInt64(v)
	digits := strconv.FormatInt(n, 10)
	digits = strings.TrimPrefix(digits, "-")
	return f.number(f.sign(n < 0), digits, f.precision)
}

func (f *formatSpec) unsigned(v float64) string {
	n := uint64(toInt64(v))
	if v >= 1<<63 && v < 1<<64 {
		n = uint64(v)
	}
	base, prefix := 10, ""
	switch f.verb {
	case 'o':
		base, prefix = 8, "0"
	case 'x':
		base, prefix = 16, "0x"
	case 'X':
		base, prefix = 16, "0X"
	}
	digits := strconv.FormatUint(n, base)
	if f.verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	if !f.sharp || n == 0 {
		prefix = ""
	}
	return f.number(prefix, digits, f.precision)
}

func toInt64(v float64) int64 {
	switch {
	case v != v:
		return math.MinInt64
	case v >= 1<<63 || v < -1<<63:
		return math.MinInt64
	default:
		return int64(v)
	}
}

func (f *formatSpec) number(sign, digits string, precision int) string {
	if precision >= 0 {
		if len(digits) < precision {
			digits = strings.Repeat("0", precision-len(digits)) + digits
		}
	} else if fill := f.width - len(sign) - len(digits); f.zero && !f.minus && fill > 0 {
		digits = strings.Repeat("0", fill) + digits
	}
	return f.pad(sign + digits)
}

func (f *formatSpec) float(v float64) string {
	precision := f.precision
	if precision < 0 {
		precision = 6
	}
	var digits string
	magnitude := math.Abs(v)
	switch {
	case math.IsInf(v, 0):
		digits = "inf"
	case v != v:
		digits = "nan"
	case f.verb|0x20 == 'g':
		digits = formatG(magnitude, precision, f.sharp)
	case f.verb|0x20 == 'a':
		digits = strconv.FormatFloat(magnitude, 'x', f.precision, 64)
	default:
		digits = strconv.FormatFloat(magnitude, f.verb|0x20, precision, 64)
	}
	if f.verb < 'a' {
		digits = strings.ToUpper(digits)
	}
	sign := f.sign(math.Signbit(v) && v == v)
	if fill := f.width - len(sign) - len(digits); f.zero && !f.minus && fill > 0 && digits[0] >= '0' && digits[0] <= '9' {
		digits = strings.Repeat("0", fill) + digits
	}
	return f.pad(sign + digits)
}

func (f *formatSpec) pad(s string) string {
	if fill := f.width - len(s); fill > 0 {
		if f.minus {
			return s + strings.Repeat(" ", fill)
		}
		return strings.Repeat(" ", fill) + s
	}
	return s
}

// quoted writes a string as a Lua source would.
func quoted(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\', '\n':
			out.WriteByte('\\')
			out.WriteByte(c)
		case '\r':
			out.WriteString("\\r")
		case 0:
			out.WriteString("\\000")
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}
