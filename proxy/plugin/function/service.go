package function

import (
	"crypto/rand"
	"math"
	"slices"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// kong.service.request. Kong: kong/pdk/service/request.lua
var serviceRequestFunctions = map[string]lua.LGFunction{
	"enable_buffering": in(upstreamTry, func(_ *lua.LState, r *run) int { r.host.Upstream().Buffered = true; return 0 }),
	"set_scheme":       in(upstreamTry, serviceSetScheme),
	"set_path":         in(upstreamTry, serviceSetPath),
	"set_raw_query":    in(upstreamChanges, serviceSetRawQuery),
	"set_query":        in(upstreamChanges, serviceSetQuery),
	"set_method":       in(upstreamChanges, serviceSetMethod),
	"set_header":       in(upstreamTry, serviceSetHeader),
	"add_header":       in(upstreamChanges, serviceAddHeader),
	"clear_header":     in(upstreamChanges, serviceClearHeader),
	"set_headers":      in(upstreamChanges, serviceSetHeaders),
	"set_raw_body":     in(upstreamTry, serviceSetRawBody),
	"set_body":         in(upstreamChanges, serviceSetBody),
}

// kong.service. Kong: kong/pdk/service.lua
var serviceFunctions = map[string]lua.LGFunction{
	"set_target":   in(targetChanges, serviceSetTarget),
	"set_upstream": in(targetChanges, serviceSetUpstream),
	"set_retries":  in(targetChanges, serviceSetRetries),
	"set_timeouts": in(targetChanges, serviceSetTimeouts),
}

// upstreamAnswered are the phases of kong.service.response. Kong: kong/pdk/service/response.lua
const upstreamAnswered = responding | headerFilter | bodyFilter | logging

var serviceResponseFunctions = map[string]lua.LGFunction{
	"get_status":   in(upstreamAnswered, serviceStatus),
	"get_header":   in(upstreamAnswered, serviceHeader),
	"get_headers":  in(upstreamAnswered, serviceHeaders),
	"get_raw_body": in(upstreamAnswered, serviceRawBody),
	"get_body":     in(upstreamAnswered, serviceBody),
}

func serviceSetScheme(L *lua.LState, r *run) int {
	scheme, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "scheme must be a string")
	}
	if !slices.Contains([]string{"http", "https", "grpc", "grpcs"}, string(scheme)) {
		raise(L, 1, "invalid scheme: "+string(scheme))
	}
	r.host.Upstream().Scheme = string(scheme)
	return 0
}

func serviceSetPath(L *lua.LState, r *run) int {
	path, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "path must be a string")
	}
	if !strings.HasPrefix(string(path), "/") {
		raise(L, 1, "path must start with /")
	}
	escaped := escape(string(path), safeInURI+"?%")
	r.host.Upstream().Path = &escaped
	return 0
}

func serviceSetRawQuery(L *lua.LState, r *run) int {
	query, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "query must be a string")
	}
	r.setQuery(string(query))
	return 0
}

func serviceSetQuery(L *lua.LState, r *run) int {
	args, ok := L.Get(1).(*lua.LTable)
	if !ok {
		raise(L, 1, "args must be a table")
	}
	r.setQuery(kongArgs(L, args))
	return 0
}

func (r *run) setQuery(query string) {
	query = strings.NewReplacer("\r", "%0D", "\n", "%0A", " ", "%20", "\x00", "%00", "#", "%23").Replace(query)
	r.host.Upstream().Query = &query
}

var methods = []string{
	"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE", "PROPFIND", "PROPPATCH", "LOCK", "UNLOCK",
	"PATCH", "TRACE",
}

func serviceSetMethod(L *lua.LState, r *run) int {
	method, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "method must be a string")
	}
	if !slices.Contains(methods, string(method)) {
		raise(L, 1, "invalid method: "+string(method))
	}
	r.host.Upstream().Method = string(method)
	return 0
}

// setRequestHeader changes a header that goes upstream.
func (r *run) setRequestHeader(name string, values []string) {
	if sameHeader(name, "Host", false) {
		if len(values) > 0 {
			r.host.Upstream().Host = values[0]
		}
		return
	}
	setHeader(r.host.RequestHeader(), name, values)
}

func serviceSetHeader(L *lua.LState, r *run) int {
	name := headerName(L, L.Get(1))
	values := headerValue(L, name, L.Get(2))
	if name == ":authority" {
		L.Push(lua.LNil)
		L.Push(lua.LString("cannot set :authority pseudo-header on non-grpc requests"))
		return 2
	}
	r.setRequestHeader(name, values)
	return 0
}

func serviceAddHeader(L *lua.LState, r *run) int {
	name := headerName(L, L.Get(1))
	values := headerValue(L, name, L.Get(2))
	if t, ok := L.Get(2).(*lua.LTable); ok {
		values = []string{t.String()} // as Kong does
	}
	if sameHeader(name, "Host", false) {
		r.setRequestHeader(name, values)
		return 0
	}
	addHeader(r.host.RequestHeader(), name, values)
	return 0
}

func serviceClearHeader(L *lua.LState, r *run) int {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "header must be a string")
	}
	removeHeader(r.host.RequestHeader(), string(name), false)
	return 0
}

func serviceSetHeaders(L *lua.LState, r *run) int {
	names, values := headerList(L, 1)
	for _, name := range names {
		r.setRequestHeader(name, values[name])
	}
	return 0
}

func serviceSetRawBody(L *lua.LState, r *run) int {
	body, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "body must be a string")
	}
	raw := []byte(body)
	r.host.Upstream().Body = &raw
	return 0
}

func serviceSetBody(L *lua.LState, r *run) int {
	args, ok := L.Get(1).(*lua.LTable)
	if !ok {
		raise(L, 1, "args must be a table")
	}
	mime := ""
	switch v := L.Get(2).(type) {
	case lua.LString:
		mime = string(v)
	case *lua.LNilType:
		given, ok := r.header(contentType)
		if !ok {
			L.Push(lua.LNil)
			L.Push(lua.LString("content type was neither explicitly given as an argument or received as a header"))
			return 2
		}
		mime = given
	default:
		raise(L, 1, "mime must be a string")
	}
	essence, _, _ := strings.Cut(mime, ";")
	var body string
	switch strings.ToLower(strings.TrimSpace(essence)) {
	case typeForm:
		body = kongArgs(L, args)
	case typeJSON:
		encoded, err := r.encodeJSON(L, args, jsonPrecise)
		if err != nil {
			L.Error(lua.LString(err.Error()), 0)
		}
		body = encoded
	case typeMultipart:
		body, mime = r.multipartBody(L, args, mime)
	default:
		raise(L, 1, "unsupported content type "+mime)
	}
	raw := []byte(body)
	r.host.Upstream().Body = &raw
	setHeader(r.host.RequestHeader(), contentType, []string{mime})
	L.Push(lua.LTrue)
	return 1
}

func (r *run) multipartBody(L *lua.LState, args *lua.LTable, mime string) (body, contentType string) {
	boundary := ""
	if _, after, found := strings.Cut(mime, "boundary="); found {
		boundary, _, _ = strings.Cut(strings.Trim(after, `"`), ";")
	}
	if boundary == "" {
		boundary = rand.Text()
		mime = typeMultipart + "; boundary=" + boundary
	}
	fields := map[string][]string{}
	size := 0
	args.ForEach(func(k, v lua.LValue) {
		name, ok := toString(k)
		if !ok {
			raise(L, 1, "arg keys must be strings")
		}
		if list, ok := v.(*lua.LTable); ok {
			list.ForEach(func(_, one lua.LValue) { fields[name] = append(fields[name], text(L, one)) })
			return
		}
		fields[name] = append(fields[name], text(L, v))
		size += len(name) + len(fields[name][0]) + 64
	})
	r.chargeString(L, size)
	return formatMultipart(fields, boundary), mime
}

// integer checks a whole number.
func integer(L *lua.LState, n int, name string, least, most float64) int {
	v, ok := L.Get(n).(lua.LNumber)
	if !ok || float64(v) != math.Trunc(float64(v)) {
		raise(L, 1, name+" must be an integer")
	}
	if float64(v) < least || float64(v) > most {
		raisef(L, 1, "%s must be an integer between %d and %d: given %s", name, int(least), int(most), formatNumber(float64(v)))
	}
	return int(v)
}

func serviceSetTarget(L *lua.LState, r *run) int {
	host, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "host must be a string")
	}
	port := integer(L, 2, "port", 0, 65535)
	up := r.host.Upstream()
	up.TargetHost, up.TargetPort, up.Upstream = string(host), port, ""
	up.Host = string(host) // a Host set before is lost; one set after counts
	return 0
}

func serviceSetUpstream(L *lua.LState, r *run) int {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "host must be a string")
	}
	if !r.host.HasUpstream(string(name)) {
		L.Push(lua.LNil)
		L.Push(lua.LString("could not find an Upstream named '" + string(name) + "'"))
		return 2
	}
	up := r.host.Upstream()
	up.Upstream, up.TargetHost, up.TargetPort = string(name), "", 0
	L.Push(lua.LTrue)
	return 1
}

func serviceSetRetries(L *lua.LState, r *run) int {
	n := integer(L, 1, "retries", 0, 32767)
	r.host.Upstream().Retries = &n
	return 0
}

func serviceSetTimeouts(L *lua.LState, r *run) int {
	const most = 2147483646
	ms := func(n int, name string) time.Duration {
		return time.Duration(integer(L, n, name, 1, most)) * time.Millisecond
	}
	connect, write, read := ms(1, "connect_timeout"), ms(2, "write_timeout"), ms(3, "read_timeout")
	up := r.host.Upstream()
	up.ConnectTimeout, up.WriteTimeout, up.ReadTimeout = connect, write, read
	return 0
}

func serviceStatus(L *lua.LState, r *run) int {
	if status := r.host.UpstreamStatus(); status > 0 {
		L.Push(lua.LNumber(status))
		return 1
	}
	L.Push(lua.LNil)
	return 1
}

func serviceHeader(L *lua.LState, r *run) int {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "name must be a string")
	}
	if values := headerValues(r.host.Response().Header, string(name), true); len(values) > 0 {
		L.Push(lua.LString(values[0]))
		return 1
	}
	L.Push(lua.LNil)
	return 1
}

func serviceHeaders(L *lua.LState, r *run) int {
	t, truncated := r.headerTable(L, r.host.Response().Header, "", limitArg(L, 1, "max_headers"))
	L.Push(t)
	if truncated {
		L.Push(lua.LString("truncated"))
		return 2
	}
	return 1
}

func (r *run) bufferedBody(L *lua.LState) []byte {
	body, ok := r.host.BufferedBody()
	if !ok {
		raise(L, 1, "service body is only available with buffered proxying (see: kong.service.request.enable_buffering function)")
	}
	r.chargeString(L, len(body))
	return body
}

func serviceRawBody(L *lua.LState, r *run) int {
	L.Push(lua.LString(r.bufferedBody(L)))
	return 1
}

func serviceBody(L *lua.LState, r *run) int {
	body := r.bufferedBody(L)
	kind := optString(L, 1, "")
	if kind == "" {
		values := headerValues(r.host.Response().Header, contentType, false)
		if len(values) == 0 {
			L.Push(lua.LNil)
			L.Push(lua.LString("missing content type"))
			return 2
		}
		kind = values[0]
	}
	limit := maxHeaders
	if L.Get(2) != lua.LNil {
		limit = limitArg(L, 2, "max_args")
	}
	return r.parseBody(L, kind, body, "", limit)
}
