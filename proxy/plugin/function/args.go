package function

import (
	"slices"
	"strings"

	"sidekong/proxy/plugin/params"

	lua "github.com/yuin/gopher-lua"
)

// pair is one argument of a query or of a form.
type pair struct {
	name, value string
	bare        bool // without an equals sign
}

// parseArgs reads a query: a bare name is true, pairs without a name are dropped, what can't be decoded is kept.
func parseArgs(query string, limit int) (pairs []pair, truncated bool) {
	for piece := range strings.SplitSeq(query, "&") {
		name, value, found := strings.Cut(piece, "=")
		if name == "" {
			continue
		}
		if len(pairs) == limit {
			return pairs, true
		}
		pairs = append(pairs, pair{name: params.Unescape(name), value: params.Unescape(value), bare: !found})
	}
	return pairs, false
}

func (p pair) lua() lua.LValue {
	if p.bare {
		return lua.LTrue
	}
	return lua.LString(p.value)
}

func (r *run) argsTable(L *lua.LState, pairs []pair) *lua.LTable {
	t := L.CreateTable(0, len(pairs))
	for _, p := range pairs {
		r.charge(L, entryBytes+indexBytes+len(p.name)+len(p.value))
		appendValue(t, p.name, p.lua())
	}
	return t
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

func fromHex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

const upperHex = "0123456789ABCDEF"

// escape encodes every byte but letters, digits and those in safe.
func escape(s, safe string) string {
	var out strings.Builder
	for i := range len(s) {
		c := s[i]
		if isAlpha(c) || c >= '0' && c <= '9' || strings.IndexByte(safe, c) >= 0 {
			out.WriteByte(c)
			continue
		}
		out.WriteByte('%')
		out.WriteByte(upperHex[c>>4])
		out.WriteByte(upperHex[c&15])
	}
	return out.String()
}

// What ngx.escape_uri leaves alone: of a URI as a whole, and of one of its components. nginx: ngx_escape_uri
const (
	safeInURI       = "-._~!$&'()*+,/:;=@[]"
	safeInComponent = "-._~!'()*"
	safeInArgument  = "-._~"
)

// ngxArgs encodes a table as ngx.encode_args does. message is what is wrong with it, "" if nothing.
func ngxArgs(L *lua.LState, t *lua.LTable) (query, message string) {
	var out []string
	one := func(name string, v lua.LValue) {
		if message != "" {
			return
		}
		name = escape(name, safeInComponent)
		switch v := v.(type) {
		case lua.LString, lua.LNumber:
			out = append(out, name+"="+escape(text(L, v), safeInComponent))
		case lua.LBool:
			if v {
				out = append(out, name)
			}
		default:
			message = "attempt to use " + v.Type().String() + " as query arg value"
		}
	}
	names := []string{}
	values := map[string]lua.LValue{}
	t.ForEach(func(k, v lua.LValue) {
		name, ok := toString(k)
		if !ok {
			message = "attempt to use a non-string key in the \"args\" arg table"
			return
		}
		names = append(names, name)
		values[name] = v
	})
	slices.Sort(names)
	for _, name := range names {
		if list, ok := values[name].(*lua.LTable); ok {
			list.ForEach(func(_, v lua.LValue) { one(name, v) })
			continue
		}
		one(name, values[name])
	}
	query = strings.Join(out, "&")
	runOf(L).chargeString(L, len(query))
	return query, message
}

// kongArgs encodes a table as Kong's set_query does: sorted; true is a bare name, false an empty element.
// Kong: kong/tools/http.lua encode_args
func kongArgs(L *lua.LState, t *lua.LTable) string {
	var names []string
	values := map[string]lua.LValue{}
	t.ForEach(func(k, v lua.LValue) {
		key, ok := k.(lua.LString)
		name := string(key)
		if !ok {
			raise(L, 1, "arg keys must be strings")
		}
		names = append(names, name)
		values[name] = v
	})
	slices.Sort(names)
	var out []string
	one := func(name string, v lua.LValue) {
		name = escape(name, safeInArgument)
		switch v := v.(type) {
		case lua.LBool:
			if v {
				out = append(out, name)
			} else {
				out = append(out, "")
			}
		case lua.LString, lua.LNumber:
			s, _ := toString(v)
			out = append(out, name+"="+escape(s, safeInArgument))
		default:
			raisef(L, 1, "attempt to use %s as query arg value", v.Type())
		}
	}
	for _, name := range names {
		list, ok := values[name].(*lua.LTable)
		if !ok {
			one(name, values[name])
			continue
		}
		list.ForEach(func(_, v lua.LValue) { one(name, v) })
	}
	query := strings.Join(out, "&")
	runOf(L).chargeString(L, len(query))
	return query
}
