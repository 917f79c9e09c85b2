package function

import (
	"net/http"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// headers are an http.Header whose names need not be canonical.
type headers = http.Header

// maxHeaders is how many headers scripts see unless they ask for more.
const maxHeaders = 100

// sameHeader reports whether two names are equal but for case, and where alike is set for - and _ as well.
func sameHeader(a, b string, alike bool) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := lower(a[i]), lower(b[i])
		if alike {
			x, y = dash(x), dash(y)
		}
		if x != y {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func dash(c byte) byte {
	if c == '_' {
		return '-'
	}
	return c
}

// headerValues gives the values of a header.
func headerValues(h headers, name string, alike bool) []string {
	if alike {
		name = strings.ReplaceAll(name, "_", "-")
	}
	if values := h[http.CanonicalHeaderKey(name)]; values != nil {
		return values
	}
	for other, values := range h {
		if len(values) > 0 && sameHeader(other, name, alike) {
			return values
		}
	}
	return nil
}

// removeHeader removes a header.
func removeHeader(h headers, name string, alike bool) {
	delete(h, http.CanonicalHeaderKey(name))
	for other := range h {
		if sameHeader(other, name, alike) {
			delete(h, other)
		}
	}
}

// setHeader replaces a header; no values remove it.
func setHeader(h headers, name string, values []string) {
	removeHeader(h, name, false)
	if len(values) > 0 {
		h[spelling(name)] = values
	}
}

func addHeader(h headers, name string, values []string) {
	name = spelling(name)
	for other := range h {
		if other != name && sameHeader(other, name, false) {
			name = other
			break
		}
	}
	h[name] = append(slices.Clone(h[name]), values...)
}

// spelling is the key under which a header is kept: canonical, save for underscores, which are no dashes.
func spelling(name string) string {
	if strings.Contains(name, "_") {
		return name
	}
	return http.CanonicalHeaderKey(name)
}

// headerTable gives headers as Kong does: lower-case names, repeated ones as lists, at most limit of them, and a
// lookup that forgives case and underscores. host comes first where it isn't empty.
func (r *run) headerTable(L *lua.LState, h headers, host string, limit int) (t *lua.LTable, truncated bool) {
	t = L.CreateTable(0, len(h)+1)
	t.Metatable = r.worker.lib.headerMeta
	n := 0
	add := func(name string, values []string) bool {
		name = strings.ToLower(name)
		for _, value := range values {
			if n++; n > limit {
				return false
			}
			r.charge(L, entryBytes+indexBytes+len(name))
			appendValue(t, name, lua.LString(value))
		}
		return true
	}
	if host != "" {
		add("host", []string{host})
	}
	if len(h) > limit/2 { // the map has no order: that of names must do
		for _, name := range sortedNames(h) {
			if !add(name, h[name]) {
				return t, true
			}
		}
		return t, false
	}
	for name, values := range h {
		if !add(name, values) {
			return t, true
		}
	}
	return t, false
}

func sortedNames(h headers) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// appendValue adds a value to a key: the second makes a list.
func appendValue(t *lua.LTable, key string, value lua.LValue) {
	switch old := t.RawGetString(key).(type) {
	case *lua.LNilType:
		t.RawSetString(key, value)
	case *lua.LTable:
		old.Append(value)
	default:
		list := &lua.LTable{Metatable: lua.LNil}
		list.Append(old)
		list.Append(value)
		t.RawSetString(key, list)
	}
}

// headerIndex is the lookup of such a table: the name in lower case, with dashes.
func headerIndex(L *lua.LState) int {
	t, key := checkTable(L, 1), L.Get(2)
	if s, ok := key.(lua.LString); ok {
		L.Push(t.RawGetString(strings.ReplaceAll(strings.ToLower(string(s)), "_", "-")))
		return 1
	}
	L.Push(lua.LNil)
	return 1
}

// limitArg is an optional bound on how many arguments or headers are wanted.
func limitArg(L *lua.LState, n int, name string) int {
	v := L.Get(n)
	if v == lua.LNil {
		return maxHeaders
	}
	limit, ok := v.(lua.LNumber)
	switch {
	case !ok:
		raise(L, 1, name+" must be a number")
	case limit < 1:
		raise(L, 1, name+" must be >= 1")
	case limit > 1000:
		raise(L, 1, name+" must be <= 1000")
	}
	return int(limit)
}

// headerName checks a header's name. Kong: kong/pdk/private/checks.lua validate_header
func headerName(L *lua.LState, v lua.LValue) string {
	name, ok := v.(lua.LString)
	if !ok {
		raisef(L, 1, `invalid header name "%s": got %s, expected string`, text(L, v), v.Type())
	}
	return string(name)
}

// maxHeaderBytes bounds the headers that scripts set in one request, in all.
const maxHeaderBytes = 256 << 10

// accountHeader stops a script that sets more headers than anyone would send.
func accountHeader(L *lua.LState, name string, values []string) []string {
	r := runOf(L)
	r.request.headerBytes += entryBytes + len(name)
	for _, value := range values {
		r.request.headerBytes += slotBytes + len(value)
	}
	if r.request.headerBytes > maxHeaderBytes {
		r.stop(L, errMemory)
	}
	return values
}

// headerValue checks and normalises a header's value.
func headerValue(L *lua.LState, name string, v lua.LValue) []string {
	switch v := v.(type) {
	case lua.LString, lua.LNumber, lua.LBool:
		return accountHeader(L, name, []string{safeHeader(text(L, v))})
	case *lua.LTable:
		values := []string{}
		n := v.Len()
		for i := 1; i <= n; i++ {
			one, ok := v.RawGetInt(i).(lua.LString)
			if !ok {
				raisef(L, 1, `invalid header value in array "%s": got %s, expected string`, name, v.RawGetInt(i).Type())
			}
			values = append(values, safeHeader(string(one)))
		}
		return accountHeader(L, name, values)
	}
	raisef(L, 1, `invalid header value for "%s": got %s, expected array of string, string, number or boolean`, name, v.Type())
	return nil
}

// safeHeader trims a value and escapes what would end its line, as nginx does.
func safeHeader(value string) string {
	value = strings.Trim(value, " \t")
	if !strings.ContainsAny(value, "\r\n\x00") {
		return value
	}
	return strings.NewReplacer("\r", "%0D", "\n", "%0A", "\x00", "%00").Replace(value)
}

// headerList checks a table of headers, as set_headers takes it; the names come sorted.
func headerList(L *lua.LState, n int) (names []string, values map[string][]string) {
	t, ok := L.Get(n).(*lua.LTable)
	if !ok {
		raise(L, 1, "headers must be a table")
	}
	values = map[string][]string{}
	t.ForEach(func(key, value lua.LValue) {
		name := headerName(L, key)
		values[name] = headerValue(L, name, value)
	})
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, values
}
