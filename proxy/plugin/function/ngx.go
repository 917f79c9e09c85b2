package function

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/params"
)

// newNgx makes the table ngx: OpenResty's own, as far as it makes sense here. Scripts may write to it.
func newNgx(L *lua.LState) *lua.LTable {
	ngx := L.NewTable()
	set := func(t *lua.LTable, functions map[string]lua.LGFunction) *lua.LTable {
		for name, f := range functions {
			t.RawSetString(name, L.NewFunction(f))
		}
		return t
	}
	set(ngx, ngxFunctions)
	set(ngx, encodingFunctions)
	for name, value := range ngxConstants {
		ngx.RawSetString(name, lua.LNumber(value))
	}
	ngx.RawSetString("null", null)
	ngx.RawSetString("re", set(L.NewTable(), map[string]lua.LGFunction{
		"match": reMatch, "find": reFind, "gmatch": reGmatch, "sub": reSub, "gsub": reGsub,
	}))
	ngx.RawSetString("req", set(L.NewTable(), ngxRequestFunctions))
	ngx.RawSetString("socket", set(L.NewTable(), map[string]lua.LGFunction{"tcp": ngxSocket, "udp": ngxSocket}))
	ngx.RawSetString("worker", set(L.NewTable(), map[string]lua.LGFunction{
		"id": ngxZero, "pid": ngxZero, "count": ngxOne, "exiting": ngxFalse,
	}))
	config := set(L.NewTable(), map[string]lua.LGFunction{
		"prefix": func(L *lua.LState) int { L.Push(lua.LString("/usr/local/kong/")); return 1 },
	})
	config.RawSetString("subsystem", lua.LString("http"))
	config.RawSetString("debug", lua.LFalse)
	config.RawSetString("nginx_version", lua.LNumber(1025003))
	config.RawSetString("ngx_lua_version", lua.LNumber(10026))
	ngx.RawSetString("config", config)
	shared := L.NewTable()
	for _, name := range []string{
		"kong", "kong_db_cache", "kong_db_cache_miss", "kong_core_db_cache", "kong_locks",
		"kong_cluster_events", "kong_healthchecks", "kong_rate_limiting_counters", "prometheus_metrics",
	} {
		shared.RawSetString(name, set(L.NewTable(), dictFunctions))
	}
	ngx.RawSetString("shared", shared)

	dynamic := func(index, newIndex lua.LGFunction) *lua.LTable {
		t, meta := L.NewTable(), L.NewTable()
		meta.RawSetString("__index", L.NewFunction(index))
		meta.RawSetString("__newindex", L.NewFunction(newIndex))
		t.Metatable = meta
		return t
	}
	ngx.RawSetString("var", dynamic(varIndex, varNewIndex))
	ngx.RawSetString("header", dynamic(ngxHeaderIndex, ngxHeaderNewIndex))
	ngx.RawSetString("arg", dynamic(argIndex, argNewIndex))
	meta := L.NewTable()
	meta.RawSetString("__index", L.NewFunction(ngxIndex))
	meta.RawSetString("__newindex", L.NewFunction(ngxNewIndex))
	ngx.Metatable = meta
	return ngx
}

var ngxConstants = map[string]int{
	"OK": 0, "ERROR": -1, "AGAIN": -2, "DONE": -4, "DECLINED": -5,
	"HTTP_GET": 2, "HTTP_HEAD": 4, "HTTP_POST": 8, "HTTP_PUT": 16, "HTTP_DELETE": 32, "HTTP_MKCOL": 64, "HTTP_COPY": 128,
	"HTTP_MOVE": 256, "HTTP_OPTIONS": 512, "HTTP_PROPFIND": 1024, "HTTP_PROPPATCH": 2048, "HTTP_LOCK": 4096,
	"HTTP_UNLOCK": 8192, "HTTP_PATCH": 16384, "HTTP_TRACE": 32768,
	"HTTP_CONTINUE": 100, "HTTP_SWITCHING_PROTOCOLS": 101, "HTTP_OK": 200, "HTTP_CREATED": 201, "HTTP_ACCEPTED": 202,
	"HTTP_NO_CONTENT": 204, "HTTP_PARTIAL_CONTENT": 206, "HTTP_SPECIAL_RESPONSE": 300, "HTTP_MOVED_PERMANENTLY": 301,
	"HTTP_MOVED_TEMPORARILY": 302, "HTTP_SEE_OTHER": 303, "HTTP_NOT_MODIFIED": 304, "HTTP_TEMPORARY_REDIRECT": 307,
	"HTTP_PERMANENT_REDIRECT": 308, "HTTP_BAD_REQUEST": 400, "HTTP_UNAUTHORIZED": 401, "HTTP_PAYMENT_REQUIRED": 402,
	"HTTP_FORBIDDEN": 403, "HTTP_NOT_FOUND": 404, "HTTP_NOT_ALLOWED": 405, "HTTP_NOT_ACCEPTABLE": 406,
	"HTTP_REQUEST_TIMEOUT": 408, "HTTP_CONFLICT": 409, "HTTP_GONE": 410, "HTTP_UPGRADE_REQUIRED": 426,
	"HTTP_TOO_MANY_REQUESTS": 429, "HTTP_CLOSE": 444, "HTTP_ILLEGAL": 451, "HTTP_INTERNAL_SERVER_ERROR": 500,
	"HTTP_NOT_IMPLEMENTED": 501, "HTTP_METHOD_NOT_IMPLEMENTED": 501, "HTTP_BAD_GATEWAY": 502,
	"HTTP_SERVICE_UNAVAILABLE": 503, "HTTP_GATEWAY_TIMEOUT": 504, "HTTP_VERSION_NOT_SUPPORTED": 505,
	"HTTP_INSUFFICIENT_STORAGE": 507,
	"STDERR":                    0, "EMERG": 1, "ALERT": 2, "CRIT": 3, "ERR": 4, "WARN": 5, "NOTICE": 6, "INFO": 7, "DEBUG": 8,
}

func ngxZero(L *lua.LState) int  { L.Push(lua.LNumber(0)); return 1 }
func ngxOne(L *lua.LState) int   { L.Push(lua.LNumber(1)); return 1 }
func ngxFalse(L *lua.LState) int { L.Push(lua.LFalse); return 1 }

// dictFunctions are those of a shared dictionary that holds nothing.
var dictFunctions = map[string]lua.LGFunction{
	"get": func(L *lua.LState) int { L.Push(lua.LNil); return 1 },
	"set": func(L *lua.LState) int {
		L.Push(lua.LNil)
		L.Push(lua.LString("shared dictionaries are not supported"))
		return 2
	},
}

// ngxIndex gives what changes from request to request.
func ngxIndex(L *lua.LState) int {
	r := runOf(L)
	key, _ := L.Get(2).(lua.LString)
	v := lua.LNil
	switch key {
	case "ctx":
		if r.request.ctx == nil {
			r.request.ctx = L.CreateTable(0, smallTable)
		}
		r.request.ctx.RawSetString("KONG_PHASE", lua.LNumber(r.phase))
		v = r.request.ctx
	case "status":
		v = lua.LNumber(r.status())
	case "headers_sent":
		v = lua.LBool(r.phase&(bodyFilter|logging) != 0)
	case "is_subrequest":
		v = lua.LFalse
	}
	L.Push(v)
	return 1
}

func (r *run) status() int {
	if response := r.host.Response(); response != nil {
		return response.Status
	}
	return r.request.status
}

func ngxNewIndex(L *lua.LState) int {
	r := runOf(L)
	t, v := checkTable(L, 1), L.Get(3)
	switch key := L.Get(2); key {
	case lua.LString("status"):
		status, ok := toNumber(v)
		if !ok {
			raise(L, 1, "bad status")
		}
		if response := r.host.Response(); response != nil {
			setStatus(response, clampInt(status))
		} else {
			r.request.status = clampInt(status)
		}
	case lua.LString("ctx"):
		ctx, ok := v.(*lua.LTable)
		if !ok {
			raise(L, 1, "ctx should be a table while getting a "+v.Type().String())
		}
		r.request.ctx = ctx
	default:
		setTable(L, t, key, v)
	}
	return 0
}

func argIndex(L *lua.LState) int {
	r := runOf(L)
	v := lua.LNil
	if n, ok := L.Get(2).(lua.LNumber); ok && r.phase == bodyFilter {
		switch n {
		case 1:
			if v = r.arg[0]; v == lua.LNil {
				v = lua.LString("")
			}
		case 2:
			v = r.arg[1]
		}
	}
	L.Push(v)
	return 1
}

func argNewIndex(L *lua.LState) int {
	r := runOf(L)
	n, _ := L.Get(2).(lua.LNumber)
	if r.phase != bodyFilter || n != 1 && n != 2 {
		raise(L, 1, "attempt to write to undefined variable")
	}
	if n == 2 {
		r.arg[1] = lua.LBool(lua.LVAsBool(L.Get(3)))
		return 0
	}
	switch v := L.Get(3).(type) {
	case *lua.LNilType, lua.LString:
		r.arg[0] = v
	case lua.LNumber, *lua.LTable:
		r.arg[0] = lua.LString(joinOutput(L, v))
	default:
		raisef(L, 1, "bad chain writer argument: string, number, or table expected, but got %s", v.Type())
	}
	return 0
}

// joinOutput joins what ngx.print takes: strings, numbers, and lists of such.
func joinOutput(L *lua.LState, v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case *lua.LNilType:
		return ""
	}
	var out strings.Builder
	appendOutput(L, &out, v, 0)
	return out.String()
}

func appendOutput(L *lua.LState, out *strings.Builder, v lua.LValue, depth int) {
	switch v := v.(type) {
	case lua.LString, lua.LNumber:
		s, _ := toString(v)
		runOf(L).chargeString(L, len(s))
		out.WriteString(s)
	case *lua.LNilType:
		out.WriteString("nil")
	case lua.LBool:
		out.WriteString(v.String())
	case *lua.LTable:
		if depth > maxNesting {
			raise(L, 1, "table is nested too deeply")
		}
		runOf(L).work(L, v.Len()+1)
		for i := 1; i <= v.Len(); i++ {
			appendOutput(L, out, v.RawGetInt(i), depth+1)
		}
	case *lua.LUserData:
		if v == null {
			out.WriteString("null")
			return
		}
		raise(L, 1, "bad argument #1 to 'print' (string, number, boolean, nil, ngx.null, or array table expected, but got userdata)")
	default:
		raisef(L, 1, "bad argument #1 to 'print' (string, number, boolean, nil, ngx.null, or array table expected, but got %s)", v.Type())
	}
}

func ngxHeaderIndex(L *lua.LState) int {
	r := runOf(L)
	name := loose(L, 2)
	values := headerValues(r.answerHeader(), strings.ReplaceAll(name, "_", "-"), false)
	if values == nil {
		values = headerValues(r.answerHeader(), name, false)
	}
	switch len(values) {
	case 0:
		L.Push(lua.LNil)
	case 1:
		L.Push(lua.LString(values[0]))
	default:
		list := L.NewTable()
		for _, value := range values {
			list.Append(lua.LString(value))
		}
		L.Push(list)
	}
	return 1
}

func ngxHeaderNewIndex(L *lua.LState) int {
	r := runOf(L)
	if r.phase&(bodyFilter|logging) != 0 {
		raise(L, 1, "attempt to set ngx.header."+loose(L, 2)+" after sending out response headers")
	}
	name := strings.ReplaceAll(loose(L, 2), "_", "-")
	r.setAnswerHeader(name, accountHeader(L, name, looseValues(L, 3)))
	return 0
}

// looseValues is what a header is set to: nil and an empty list remove it.
func looseValues(L *lua.LState, n int) []string {
	switch v := L.Get(n).(type) {
	case *lua.LNilType:
		return nil
	case *lua.LTable:
		var values []string
		for i := 1; i <= v.Len(); i++ {
			values = append(values, safeHeader(text(L, v.RawGetInt(i))))
		}
		return values
	default:
		return []string{safeHeader(text(L, v))}
	}
}

var ngxFunctions = map[string]lua.LGFunction{
	"say": func(L *lua.LState) int { return ngxPrint(L, "\n") }, "print": func(L *lua.LState) int { return ngxPrint(L, "") },
	"exit": ngxExit, "redirect": ngxRedirect, "sleep": ngxSleep, "log": ngxLog,
	"flush": ngxOne, "eof": ngxOne, "send_headers": ngxOne, "update_time": func(*lua.LState) int { return 0 },
	"get_phase": func(L *lua.LState) int { L.Push(lua.LString(runOf(L).phase.String())); return 1 },
	"time":      func(L *lua.LState) int { L.Push(lua.LNumber(time.Now().Unix())); return 1 },
	"now":       func(L *lua.LState) int { L.Push(lua.LNumber(float64(time.Now().UnixMilli()) / 1000)); return 1 },
	"localtime": ngxClock(time.DateTime, false), "utctime": ngxClock(time.DateTime, true), "today": ngxClock(time.DateOnly, false),
	"http_time":       ngxTimeText("Mon, 02 Jan 2006 15:04:05 GMT"),
	"cookie_time":     ngxTimeText("Mon, 02-Jan-06 15:04:05 GMT"),
	"parse_http_time": ngxParseTime,
}

// disabled raises what OpenResty raises where a function can't be called.
func (r *run) disabled(L *lua.LState, phases phase) {
	if r.phase&phases != 0 {
		raise(L, 1, "API disabled in the context of "+r.phase.String()+"_by_lua*")
	}
}

func ngxPrint(L *lua.LState, end string) int {
	r := runOf(L)
	r.disabled(L, headerFilter|bodyFilter|logging)
	var out strings.Builder
	for i := 1; i <= L.GetTop(); i++ {
		appendOutput(L, &out, L.Get(i), 0)
	}
	out.WriteString(end)
	if int64(len(r.request.printed)+out.Len()) > r.memory/4 {
		r.stop(L, errMemory)
	}
	r.request.printed = append(r.request.printed, out.String()...)
	r.request.says = true
	L.Push(lua.LNumber(1))
	return 1
}

func ngxExit(L *lua.LState) int {
	r := runOf(L)
	r.disabled(L, logging)
	status := checkInt(L, 1)
	switch {
	case r.phase&(headerFilter|bodyFilter) != 0:
		if status == ngxConstants["ERROR"] {
			r.failed = true
		}
	case status == ngxConstants["ERROR"] || status == 444 || status == 499:
		r.answer = &plugin.Answer{Abort: true}
	case r.request.says:
		if r.request.status > 0 {
			status = r.request.status
		}
		if status < minStatus {
			status = http.StatusOK
		}
		r.answer = &plugin.Answer{
			Status: status, Header: headers{}, Body: r.request.printed, Source: plugin.FromExit, Chunked: true,
		}
	case status >= minStatus:
		a := &plugin.Answer{Status: status, Header: headers{}, Source: plugin.FromExit}
		r.bareAnswer(a)
		r.answer = a
	}
	r.stop(L, errExit)
	return 0
}

func ngxRedirect(L *lua.LState) int {
	r := runOf(L)
	r.disabled(L, headerFilter|bodyFilter|logging)
	target, status := checkString(L, 1), optInt(L, 2, http.StatusFound)
	switch status {
	case 301, 302, 303, 307, 308:
	default:
		raise(L, 1, "only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed")
	}
	a := &plugin.Answer{Status: status, Header: headers{}, Source: plugin.FromExit}
	r.bareAnswer(a)
	a.Header[contentType] = []string{"text/html"}
	a.Header["Location"] = []string{safeHeader(target)}
	r.answer = a
	r.stop(L, errExit)
	return 0
}

// maxSleep bounds ngx.sleep.
const maxSleep = 60 * time.Second

func ngxSleep(L *lua.LState) int {
	r := runOf(L)
	r.disabled(L, headerFilter|bodyFilter|logging)
	seconds := checkNumber(L, 1)
	if seconds < 0 || seconds != seconds {
		raise(L, 1, "invalid sleep duration \""+formatNumber(seconds)+"\"")
	}
	d := time.Duration(min(seconds, maxSleep.Seconds()) * float64(time.Second))
	r.wait(func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.host.Context().Done():
		}
	})
	return 0
}

func ngxSocket(L *lua.LState) int {
	runOf(L).disabled(L, headerFilter|bodyFilter|logging)
	raise(L, 1, "ngx.socket is not supported")
	return 0
}

func ngxLog(L *lua.LState) int {
	level := slog.LevelDebug
	switch n := checkInt(L, 1); {
	case n <= 4:
		level = slog.LevelError
	case n == 5:
		level = slog.LevelWarn
	case n <= 7:
		level = slog.LevelInfo
	}
	return writeLog(L, level, 2)
}

func ngxClock(layout string, utc bool) lua.LGFunction {
	return func(L *lua.LState) int {
		now := time.Now()
		if utc {
			now = now.UTC()
		}
		L.Push(lua.LString(now.Format(layout)))
		return 1
	}
}

func ngxTimeText(layout string) lua.LGFunction {
	return func(L *lua.LState) int {
		L.Push(lua.LString(time.Unix(toInt64(checkNumber(L, 1)), 0).UTC().Format(layout)))
		return 1
	}
}

func ngxParseTime(L *lua.LState) int {
	at, err := http.ParseTime(checkString(L, 1))
	if err != nil {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(at.Unix()))
	return 1
}

// encodingFunctions are ngx.md5 and its like.
var encodingFunctions = map[string]lua.LGFunction{
	"encode_base64": encodeBase64, "decode_base64": decodeBase64,
	"escape_uri": escapeURI, "unescape_uri": unescapeURI,
	"encode_args": encodeArgs, "decode_args": decodeArgs,
	"md5":         digest(func(b []byte) string { sum := md5.Sum(b); return hex.EncodeToString(sum[:]) }),
	"md5_bin":     digest(func(b []byte) string { sum := md5.Sum(b); return string(sum[:]) }),
	"sha1_bin":    digest(func(b []byte) string { sum := sha1.Sum(b); return string(sum[:]) }),
	"crc32_short": crc, "crc32_long": crc,
	"hmac_sha1":     hmacSHA1,
	"quote_sql_str": quoteSQL,
}

// heavy makes a string of an input of n bytes: all of its time counts where that is much.
func heavy(L *lua.LState, n int, f func() string) int {
	if n < 64<<10 {
		return output(L, f())
	}
	var out string
	runOf(L).timed(func() { out = f() })
	return output(L, out)
}

// output pushes a string that a function made of its input.
func output(L *lua.LState, s string) int {
	runOf(L).chargeString(L, len(s))
	L.Push(lua.LString(s))
	return 1
}

// plainInput is what the encoding functions take: nil counts as empty.
func plainInput(L *lua.LState, n int) string {
	if L.Get(n) == lua.LNil {
		return ""
	}
	s := loose(L, n)
	runOf(L).chargeString(L, len(s))
	return s
}

func digest(f func([]byte) string) lua.LGFunction {
	return func(L *lua.LState) int {
		s := plainInput(L, 1)
		return heavy(L, len(s), func() string { return f([]byte(s)) })
	}
}

func crc(L *lua.LState) int {
	L.Push(lua.LNumber(crc32.ChecksumIEEE([]byte(plainInput(L, 1)))))
	return 1
}

func hmacSHA1(L *lua.LState) int {
	mac := hmac.New(sha1.New, []byte(checkString(L, 1)))
	mac.Write([]byte(checkString(L, 2)))
	return output(L, string(mac.Sum(nil)))
}

func encodeBase64(L *lua.LState) int {
	encoding := base64.StdEncoding
	if lua.LVAsBool(L.Get(2)) {
		encoding = base64.RawStdEncoding
	}
	s := plainInput(L, 1)
	return heavy(L, len(s), func() string { return encoding.EncodeToString([]byte(s)) })
}

func decodeBase64(L *lua.LState) int {
	s, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "string argument only")
	}
	out, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(string(s), "="))
	if err != nil {
		L.Push(lua.LNil)
		return 1
	}
	return output(L, string(out))
}

func escapeURI(L *lua.LState) int {
	safe := safeInComponent
	if optInt(L, 2, 2) == 0 {
		safe = safeInURI
	}
	s := plainInput(L, 1)
	runOf(L).chargeString(L, 3*len(s))
	return heavy(L, len(s), func() string { return escape(s, safe) })
}

func unescapeURI(L *lua.LState) int {
	s := plainInput(L, 1)
	return heavy(L, len(s), func() string { return params.Unescape(s) })
}

func encodeArgs(L *lua.LState) int {
	t, ok := L.Get(1).(*lua.LTable)
	if !ok {
		typeError(L, 1, "table")
	}
	query, failure := ngxArgs(L, t)
	if failure != "" {
		raise(L, 1, failure)
	}
	return output(L, query)
}

func decodeArgs(L *lua.LState) int {
	limit := optInt(L, 2, maxHeaders)
	if limit <= 0 {
		limit = 1 << 20
	}
	pairs, truncated := parseArgs(checkString(L, 1), limit)
	L.Push(runOf(L).argsTable(L, pairs))
	if truncated {
		L.Push(lua.LString("truncated"))
		return 2
	}
	return 1
}

func quoteSQL(L *lua.LState) int {
	s := plainInput(L, 1)
	var out strings.Builder
	out.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; c {
		case 0:
			out.WriteString(`\0`)
		case '\b':
			out.WriteString(`\b`)
		case '\n':
			out.WriteString(`\n`)
		case '\r':
			out.WriteString(`\r`)
		case '\t':
			out.WriteString(`\t`)
		case 26:
			out.WriteString(`\Z`)
		case '\\', '\'', '"':
			out.WriteByte('\\')
			out.WriteByte(c)
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('\'')
	return output(L, out.String())
}

// ngxRequestFunctions are ngx.req.
var ngxRequestFunctions = map[string]lua.LGFunction{
	"get_method":   always(requestMethod),
	"get_headers":  always(ngxGetHeaders),
	"get_uri_args": always(ngxGetArgs),
	"read_body": always(func(L *lua.LState, r *run) int {
		r.disabled(L, headerFilter|bodyFilter|logging)
		r.request.read = true
		return 0
	}),
	"get_body_data": always(ngxBodyData),
	"get_body_file": always(func(L *lua.LState, _ *run) int { L.Push(lua.LNil); return 1 }),
	"get_post_args": always(ngxPostArgs),
	"set_header": always(func(L *lua.LState, r *run) int {
		name := checkString(L, 1)
		r.setRequestHeader(name, accountHeader(L, name, looseValues(L, 2)))
		return 0
	}),
	"clear_header": always(func(L *lua.LState, r *run) int {
		removeHeader(r.host.RequestHeader(), checkString(L, 1), false)
		return 0
	}),
	"set_method":   always(ngxSetMethod),
	"set_uri":      always(ngxSetURI),
	"set_uri_args": always(ngxSetArgs),
	"set_body_data": always(func(L *lua.LState, r *run) int {
		raw := []byte(checkString(L, 1))
		r.host.Upstream().Body = &raw
		return 0
	}),
	"raw_header":   always(ngxRawHeader),
	"http_version": always(factNumber(httpVersion)),
	"start_time": always(factNumber(func(f *Facts) float64 {
		return float64(f.Arrived.UnixMilli()) / 1000
	})),
	"is_internal": ngxFalse,
}

func ngxGetHeaders(L *lua.LState, r *run) int {
	limit := optInt(L, 1, maxHeaders)
	if limit <= 0 {
		limit = 1 << 20
	}
	t, truncated := r.headerTable(L, r.host.RequestHeader(), r.hostHeader(), limit)
	L.Push(t)
	if truncated {
		L.Push(lua.LString("truncated"))
		return 2
	}
	return 1
}

func ngxGetArgs(L *lua.LState, r *run) int {
	limit := optInt(L, 1, maxHeaders)
	if limit <= 0 {
		limit = 1 << 20
	}
	pairs, truncated := parseArgs(r.query(), limit)
	L.Push(r.argsTable(L, pairs))
	if truncated {
		L.Push(lua.LString("truncated"))
		return 2
	}
	return 1
}

func ngxBodyData(L *lua.LState, r *run) int {
	r.disabled(L, headerFilter|bodyFilter|logging)
	if !r.request.read {
		L.Push(lua.LNil)
		return 1
	}
	body, failure := r.rawBody(L, lua.LNumber(-1))
	if failure != "" || len(body) == 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LString(body))
	return 1
}

func ngxPostArgs(L *lua.LState, r *run) int {
	r.disabled(L, headerFilter|bodyFilter|logging)
	if !r.request.read {
		raise(L, 1, "no request body found; maybe you should turn on lua_need_request_body?")
	}
	body, failure := r.rawBody(L, lua.LNumber(-1))
	if failure != "" {
		L.Push(lua.LNil)
		L.Push(lua.LString("requesty body in temp file not supported"))
		return 2
	}
	pairs, _ := parseArgs(string(body), maxHeaders)
	L.Push(r.argsTable(L, pairs))
	return 1
}

func ngxSetMethod(L *lua.LState, r *run) int {
	n := checkInt(L, 1)
	for name, value := range ngxConstants {
		if method, ok := strings.CutPrefix(name, "HTTP_"); ok && value == n && value >= 2 && value&(value-1) == 0 {
			r.host.Upstream().Method = method
			return 0
		}
	}
	raise(L, 1, "unsupported HTTP method: "+strconv.Itoa(n))
	return 0
}

func ngxSetURI(L *lua.LState, r *run) int {
	path := checkString(L, 1)
	if path == "" {
		raise(L, 1, "attempt to use zero-length uri")
	}
	escaped := escape(path, safeInURI+"%")
	r.host.Upstream().Path = &escaped
	return 0
}

func ngxSetArgs(L *lua.LState, r *run) int {
	switch v := L.Get(1).(type) {
	case *lua.LTable:
		query, failure := ngxArgs(L, v)
		if failure != "" {
			raise(L, 1, failure)
		}
		r.setQuery(query)
	default:
		r.setQuery(checkString(L, 1))
	}
	return 0
}

// ngxRawHeader writes the request's head as it would be sent. The order of the headers is not the client's.
func ngxRawHeader(L *lua.LState, r *run) int {
	f := r.host.Facts()
	var out strings.Builder
	if !lua.LVAsBool(L.Get(1)) {
		fmt.Fprintf(&out, "%s %s HTTP/%d.%d\r\n", f.Method, f.Target, f.Major, f.Minor)
	}
	if f.HostHeader != "" {
		out.WriteString("Host: " + f.HostHeader + "\r\n")
	}
	h := r.host.RequestHeader()
	for _, name := range sortedNames(h) {
		for _, value := range h[name] {
			out.WriteString(name + ": " + value + "\r\n")
		}
	}
	out.WriteString("\r\n")
	return output(L, out.String())
}

func encodeBase64URL(L *lua.LState) int {
	return output(L, base64.RawURLEncoding.EncodeToString([]byte(plainInput(L, 1))))
}

func decodeBase64URL(L *lua.LState) int {
	out, err := base64.RawURLEncoding.DecodeString(checkString(L, 1))
	if err != nil {
		return nothing(L, "invalid input")
	}
	return output(L, string(out))
}
