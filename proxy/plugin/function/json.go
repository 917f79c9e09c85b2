package function

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
)

// cjson and cjson.safe. lua-cjson: lua_cjson.c

// maxNesting bounds JSON in both directions.
const maxNesting = 1000

// jsonStyle is how numbers and sparse lists are written.
type jsonStyle struct {
	precision   int
	sparse      bool // lists with holes are written however large the holes are
	plainSlash  bool
	emptyObject bool // an empty table is an object
}

var (
	jsonPlain   = jsonStyle{precision: 14, emptyObject: true}
	jsonPrecise = jsonStyle{precision: 16, sparse: true, emptyObject: true}
	jsonRecord  = jsonStyle{precision: 16, sparse: true, emptyObject: true, plainSlash: true} // of log records
)

// newJSON makes the two modules.
func newJSON(L *lua.LState, lib *library) (plain, safe *lua.LTable) {
	module := func(name string, style jsonStyle, safe bool) *lua.LTable {
		t := L.NewTable()
		set := func(name string, f lua.LGFunction) { t.RawSetString(name, L.NewFunction(f)) }
		lists := false
		set("encode", func(L *lua.LState) int {
			out, err := runOf(L).encodeJSON(L, L.Get(1), style)
			if err != nil {
				return jsonFault(L, err, safe)
			}
			L.Push(lua.LString(out))
			return 1
		})
		set("decode", func(L *lua.LState) int {
			s, ok := toString(L.Get(1))
			if !ok {
				typeError(L, 1, "string")
			}
			v, err := runOf(L).decodeJSON(L, s, lists)
			if err != nil {
				return jsonFault(L, err, safe)
			}
			L.Push(v)
			return 1
		})
		option := func(name string, f func(*lua.LState)) {
			set(name, func(L *lua.LState) int { f(L); return 1 })
		}
		option("decode_array_with_array_mt", func(L *lua.LState) {
			if L.Get(1) != lua.LNil {
				lists = lua.LVAsBool(L.Get(1))
			}
			L.Push(lua.LBool(lists))
		})
		option("encode_empty_table_as_object", func(L *lua.LState) {
			if L.Get(1) != lua.LNil {
				style.emptyObject = lua.LVAsBool(L.Get(1))
			}
			L.Push(lua.LBool(style.emptyObject))
		})
		option("encode_escape_forward_slash", func(L *lua.LState) {
			if L.Get(1) != lua.LNil {
				style.plainSlash = !lua.LVAsBool(L.Get(1))
			}
			L.Push(lua.LBool(!style.plainSlash))
		})
		option("encode_number_precision", func(L *lua.LState) {
			if L.Get(1) != lua.LNil {
				n := checkInt(L, 1)
				if n < 1 || n > 16 {
					badArgument(L, 1, "expected integer between 1 and 16")
				}
				style.precision = n
			}
			L.Push(lua.LNumber(style.precision))
		})
		option("encode_sparse_array", func(L *lua.LState) {
			if L.Get(1) != lua.LNil {
				style.sparse = lua.LVAsBool(L.Get(1))
			}
			L.Push(lua.LBool(style.sparse))
		})
		t.RawSetString("null", null)
		t.RawSetString("empty_array", emptyArray)
		t.RawSetString("array_mt", lib.emptyArray)
		t.RawSetString("empty_array_mt", lib.emptyArray)
		t.RawSetString("_NAME", lua.LString(name))
		t.RawSetString("_VERSION", lua.LString("2.1.0.11"))
		set("new", func(L *lua.LState) int {
			plain, safe := newJSON(L, lib)
			if name == "cjson" {
				L.Push(plain)
			} else {
				L.Push(safe)
			}
			return 1
		})
		return t
	}
	return module("cjson", jsonPlain, false), module("cjson", jsonPrecise, true)
}

// emptyArray is cjson.empty_array.
var emptyArray = &lua.LUserData{Metatable: lua.LNil}

func jsonFault(L *lua.LState, err error, safe bool) int {
	if !safe {
		L.Error(lua.LString(err.Error()), 0)
	}
	L.Push(lua.LNil)
	L.Push(lua.LString(err.Error()))
	return 2
}

// jsonError is a message of cjson's.
type jsonError string

func (e jsonError) Error() string { return string(e) }

func jsonErrorf(format string, args ...any) error { return jsonError(fmt.Sprintf(format, args...)) }

// encoder writes one value.
type encoder struct {
	L     *lua.LState
	run   *run
	style jsonStyle
	out   []byte
}

func (r *run) encodeJSON(L *lua.LState, v lua.LValue, style jsonStyle) (string, error) {
	e := &encoder{L: L, run: r, style: style}
	if err := e.value(v, 0); err != nil {
		return "", err
	}
	r.chargeString(L, len(e.out))
	return string(e.out), nil
}

// grow accounts for output before it is there.
func (e *encoder) grow(n int) {
	e.run.work(e.L, n/16+1)
	if len(e.out)+n > cap(e.out) {
		e.run.chargeString(e.L, 2*(len(e.out)+n))
	}
}

func (e *encoder) value(v lua.LValue, depth int) error {
	switch v := v.(type) {
	case lua.LString:
		e.text(string(v))
	case lua.LNumber:
		return e.number(float64(v))
	case lua.LBool:
		e.out = strconv.AppendBool(e.out, bool(v))
	case *lua.LNilType:
		e.out = append(e.out, "null"...)
	case *lua.LTable:
		return e.table(v, depth+1)
	case *lua.LUserData:
		switch v {
		case null:
			e.out = append(e.out, "null"...)
		case emptyArray:
			e.out = append(e.out, "[]"...)
		default:
			return jsonError("Cannot serialise userdata: type not supported")
		}
	default:
		return jsonErrorf("Cannot serialise %s: type not supported", v.Type())
	}
	return nil
}

func (e *encoder) number(v float64) error {
	if v != v || math.IsInf(v, 0) {
		return jsonError("Cannot serialise number: must not be NaN or Infinity")
	}
	e.grow(24)
	e.out = append(e.out, formatG(v, e.style.precision, false)...)
	return nil
}

func (e *encoder) text(s string) {
	e.grow(len(s) + 2)
	e.out = append(e.out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			e.out = append(e.out, '\\', c)
		case c == '/' && !e.style.plainSlash:
			e.out = append(e.out, '\\', '/')
		case c == '\b':
			e.out = append(e.out, "\\b"...)
		case c == '\f':
			e.out = append(e.out, "\\f"...)
		case c == '\n':
			e.out = append(e.out, "\\n"...)
		case c == '\r':
			e.out = append(e.out, "\\r"...)
		case c == '\t':
			e.out = append(e.out, "\\t"...)
		case c < 0x20 || c == 0x7f:
			e.out = fmt.Appendf(e.out, "\\u%04x", c)
		default:
			e.out = append(e.out, c)
		}
	}
	e.out = append(e.out, '"')
}

// list reports whether a table is a list, and its last index: all keys are whole numbers above 0.
func (e *encoder) list(t *lua.LTable) (last, items int, ok bool) {
	ok = true
	t.ForEach(func(k, _ lua.LValue) {
		n, isNumber := k.(lua.LNumber)
		if !isNumber || n < 1 || n != lua.LNumber(math.Floor(float64(n))) || n > math.MaxInt32 {
			ok = false
			return
		}
		items++
		last = max(last, int(n))
	})
	return last, items, ok && items > 0
}

func (e *encoder) table(t *lua.LTable, depth int) error {
	if depth > maxNesting {
		return jsonErrorf("Cannot serialise, excessive nesting (%d)", depth)
	}
	e.run.work(e.L, t.Len())
	last, items, list := e.list(t)
	marked := t.Metatable == lua.LValue(e.run.worker.lib.emptyArray)
	if marked && !list {
		last, list = t.Len(), true
	}
	if items == 0 && !marked && !e.style.emptyObject && !hasKeys(t) {
		list = true
	}
	if !list {
		return e.object(t, depth)
	}
	if !marked && !e.style.sparse && last > 10 && last > 2*items {
		return jsonError("Cannot serialise table: excessively sparse array")
	}
	e.grow(5 * last)
	e.out = append(e.out, '[')
	for i := 1; i <= last; i++ {
		if i > 1 {
			e.out = append(e.out, ',')
		}
		if err := e.value(t.RawGet(lua.LNumber(i)), depth); err != nil {
			return err
		}
	}
	e.out = append(e.out, ']')
	return nil
}

func hasKeys(t *lua.LTable) bool {
	key, _ := t.Next(lua.LNil)
	return key != lua.LNil
}

func (e *encoder) object(t *lua.LTable, depth int) error {
	e.out = append(e.out, '{')
	first := true
	for key, v := t.Next(lua.LNil); key != lua.LNil; key, v = t.Next(key) {
		if !first {
			e.out = append(e.out, ',')
		}
		first = false
		e.run.work(e.L, 1)
		switch k := key.(type) {
		case lua.LString:
			e.text(string(k))
		case lua.LNumber:
			e.out = append(e.out, '"')
			if err := e.number(float64(k)); err != nil {
				return err
			}
			e.out = append(e.out, '"')
		default:
			return jsonError("Cannot serialise table: table key must be a number or string")
		}
		e.out = append(e.out, ':')
		if err := e.value(v, depth); err != nil {
			return err
		}
	}
	e.out = append(e.out, '}')
	return nil
}

// decoder reads one value. As cjson's it is lenient: 01, 0x10, NaN, raw control characters.
type decoder struct {
	L     *lua.LState
	run   *run
	s     string
	at    int
	lists bool // lists carry cjson.array_mt
	depth int
}

// decodeJSON reads a value; lists tells that lists carry cjson.array_mt.
func (r *run) decodeJSON(L *lua.LState, s string, lists bool) (lua.LValue, error) {
	r.work(L, len(s)/16+1)
	d := &decoder{L: L, run: r, s: s, lists: lists}
	if len(s) >= 2 && (s[0] == 0 || s[1] == 0) {
		return nil, jsonError("JSON parser does not support UTF-16 or UTF-32")
	}
	v, err := d.value(d.next())
	if err != nil {
		return nil, err
	}
	if t := d.next(); t.kind != tokenEnd {
		return nil, d.expected("the end", t)
	}
	return v, nil
}

// tokenKind is what cjson calls a token in its messages.
type tokenKind string

const (
	tokenObject   tokenKind = "T_OBJ_BEGIN"
	tokenObjEnd   tokenKind = "T_OBJ_END"
	tokenArray    tokenKind = "T_ARR_BEGIN"
	tokenArrEnd   tokenKind = "T_ARR_END"
	tokenString   tokenKind = "T_STRING"
	tokenNumber   tokenKind = "T_NUMBER"
	tokenBoolean  tokenKind = "T_BOOLEAN"
	tokenNull     tokenKind = "T_NULL"
	tokenColon    tokenKind = "T_COLON"
	tokenComma    tokenKind = "T_COMMA"
	tokenEnd      tokenKind = "T_END"
	tokenInvalid  tokenKind = "invalid token"
	tokenEscape   tokenKind = "invalid escape code"
	tokenUnicode  tokenKind = "invalid unicode escape code"
	tokenUnclosed tokenKind = "unexpected end of string"
	tokenBadNum   tokenKind = "invalid number"
)

type token struct {
	kind  tokenKind
	at    int
	value lua.LValue
}

func (d *decoder) expected(what string, t token) error {
	return jsonErrorf("Expected %s but found %s at character %d", what, string(t.kind), t.at+1)
}

var jsonMarks = map[byte]tokenKind{
	'{': tokenObject, '}': tokenObjEnd, '[': tokenArray, ']': tokenArrEnd, ':': tokenColon, ',': tokenComma,
}

func (d *decoder) next() token {
	for d.at < len(d.s) && strings.IndexByte(" \t\r\n", d.s[d.at]) >= 0 {
		d.at++
	}
	t := token{at: d.at}
	if d.at >= len(d.s) {
		t.kind = tokenEnd
		return t
	}
	c := d.s[d.at]
	if kind, ok := jsonMarks[c]; ok {
		d.at++
		t.kind = kind
		return t
	}
	rest := d.s[d.at:]
	switch {
	case c == '"':
		return d.string()
	case strings.HasPrefix(rest, "true"):
		d.at += 4
		t.kind, t.value = tokenBoolean, lua.LTrue
	case strings.HasPrefix(rest, "false"):
		d.at += 5
		t.kind, t.value = tokenBoolean, lua.LFalse
	case strings.HasPrefix(rest, "null"):
		d.at += 4
		t.kind, t.value = tokenNull, null
	default:
		return d.number()
	}
	return t
}

func (d *decoder) number() token {
	t := token{kind: tokenInvalid, at: d.at}
	end := d.at
	for end < len(d.s) && (isAlpha(d.s[end]) || d.s[end] >= '0' && d.s[end] <= '9' || strings.IndexByte("+-.", d.s[end]) >= 0) {
		end++
	}
	word := d.s[d.at:end]
	for len(word) > 0 {
		if v, ok := parseNumber(word); ok && word[0] != '+' && word[0] != '.' {
			d.at += len(word)
			t.kind, t.value = tokenNumber, lua.LNumber(v)
			return t
		}
		if len(word) > 64 || isAlpha(word[0]) {
			break
		}
		word = word[:len(word)-1]
	}
	return t
}

func (d *decoder) string() token {
	t := token{kind: tokenString, at: d.at}
	begin := d.at + 1
	i := begin
	for i < len(d.s) && d.s[i] != '"' && d.s[i] != '\\' {
		i++
	}
	if i < len(d.s) && d.s[i] == '"' {
		d.run.chargeString(d.L, i-begin)
		t.value = lua.LString(clone(d.s, begin, i))
		d.at = i + 1
		return t
	}
	out := []byte(d.s[begin:i])
	for ; ; i++ {
		if i >= len(d.s) {
			return token{kind: tokenUnclosed, at: i}
		}
		c := d.s[i]
		if c == '"' {
			d.run.chargeString(d.L, len(out))
			t.value = lua.LString(out)
			d.at = i + 1
			return t
		}
		if c != '\\' {
			out = append(out, c)
			continue
		}
		if i++; i >= len(d.s) {
			return token{kind: tokenUnclosed, at: i}
		}
		if plain := strings.IndexByte(`"\/bfnrt`, d.s[i]); plain >= 0 {
			out = append(out, "\"\\/\b\f\n\r\t"[plain])
			continue
		}
		if d.s[i] != 'u' {
			return token{kind: tokenEscape, at: i - 1}
		}
		r, ok := d.unicode(i + 1)
		if !ok {
			return token{kind: tokenUnicode, at: i - 1}
		}
		i += 4
		if utf16.IsSurrogate(r) {
			low, ok := rune(0), false
			if strings.HasPrefix(d.s[i+1:], `\u`) {
				low, ok = d.unicode(i + 3)
			}
			if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
				return token{kind: tokenUnicode, at: i - 5}
			}
			i += 6
		}
		out = utf8.AppendRune(out, r)
	}
}

func (d *decoder) unicode(at int) (rune, bool) {
	v, err := strconv.ParseUint(cut(d.s, at, at+4), 16, 16)
	return rune(v), err == nil
}

func (d *decoder) value(t token) (lua.LValue, error) {
	d.run.work(d.L, 1)
	switch t.kind {
	case tokenString, tokenNumber, tokenBoolean, tokenNull:
		return t.value, nil
	case tokenObject, tokenArray:
		if d.depth++; d.depth > maxNesting {
			return nil, jsonErrorf("Found too many nested data structures (%d) at character %d", d.depth, t.at+1)
		}
		d.run.charge(d.L, tableBytes)
		var table *lua.LTable
		var err error
		if t.kind == tokenObject {
			table = d.L.CreateTable(0, smallTable)
			err = d.object(table)
		} else {
			table = d.L.CreateTable(smallTable, 0)
			err = d.array(table)
		}
		d.depth--
		return table, err
	default:
		return nil, d.expected("value", t)
	}
}

func (d *decoder) object(table *lua.LTable) error {
	t := d.next()
	if t.kind == tokenObjEnd {
		return nil
	}
	for {
		if t.kind != tokenString {
			return d.expected("object key string", t)
		}
		key := string(t.value.(lua.LString))
		if t = d.next(); t.kind != tokenColon {
			return d.expected("colon", t)
		}
		v, err := d.value(d.next())
		if err != nil {
			return err
		}
		d.run.charge(d.L, entryBytes+indexBytes)
		table.RawSetString(key, v)
		switch t = d.next(); t.kind {
		case tokenObjEnd:
			return nil
		case tokenComma:
			t = d.next()
		default:
			return d.expected("comma or object end", t)
		}
	}
}

func (d *decoder) array(table *lua.LTable) error {
	if d.lists {
		table.Metatable = d.run.worker.lib.emptyArray
	}
	t := d.next()
	if t.kind == tokenArrEnd {
		return nil
	}
	for {
		v, err := d.value(t)
		if err != nil {
			return err
		}
		d.run.charge(d.L, 2*slotBytes)
		table.Append(v)
		switch t = d.next(); t.kind {
		case tokenArrEnd:
			return nil
		case tokenComma:
			t = d.next()
		default:
			return d.expected("comma or array end", t)
		}
	}
}
