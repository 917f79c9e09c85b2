package function

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	lua "github.com/yuin/gopher-lua"

	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// resty.http: request_uri alone. lua-resty-http: lib/resty/http.lua

const (
	userAgent       = "lua-resty-http/0.17.1 (Lua) ngx_lua/10026"
	defaultTimeout  = 60 * time.Second
	errNoHTTPClient = "http requests are not configured"
)

// newHTTP makes the module.
func newHTTP(L *lua.LState) *lua.LTable {
	module := L.NewTable()
	methods := L.NewTable()
	set := func(t *lua.LTable, name string, f lua.LGFunction) { t.RawSetString(name, L.NewFunction(f)) }
	set(methods, "request_uri", httpRequestURI)
	set(methods, "set_timeout", func(L *lua.LState) int {
		checkTable(L, 1).RawSetString("timeout", lua.LNumber(checkNumber(L, 2)))
		return 0
	})
	set(methods, "set_timeouts", func(L *lua.LState) int {
		total := 0.0
		for i := 2; i <= 4; i++ {
			if n, ok := toNumber(L.Get(i)); ok {
				total += n
			}
		}
		checkTable(L, 1).RawSetString("timeout", lua.LNumber(total))
		return 0
	})
	set(methods, "set_keepalive", ngxOne)
	set(methods, "close", ngxOne)
	meta := L.NewTable()
	meta.RawSetString("__index", methods)
	set(module, "new", func(L *lua.LState) int {
		t := L.NewTable()
		t.Metatable = meta
		L.Push(t)
		return 1
	})
	module.RawSetString("_VERSION", lua.LString("0.17.1"))
	return module
}

func httpRequestURI(L *lua.LState) int {
	r := runOf(L)
	r.disabled(L, headerFilter|bodyFilter|logging)
	client := r.worker.shared.options.Client
	if client == nil {
		return nothing(L, errNoHTTPClient)
	}
	object := checkTable(L, 1)
	timeout := defaultTimeout
	if ms, ok := toNumber(object.RawGetString("timeout")); ok && ms > 0 {
		timeout = min(timeout, time.Duration(ms*float64(time.Millisecond)))
	}
	ctx, cancel := context.WithTimeout(r.host.Context(), timeout)
	defer cancel()
	req, failure := r.httpRequest(ctx, L, checkString(L, 2))
	if failure != "" {
		return nothing(L, failure)
	}
	span := r.httpSpan(req)
	var res *http.Response
	var body []byte
	var err error
	limit := r.memory / 4
	r.wait(func() {
		if res, err = client.Do(req); err != nil { //nolint:bodyclose // it is closed below
			return
		}
		defer res.Body.Close()
		body, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
	})
	if err == nil && int64(len(body)) > limit {
		err = plugin.ErrBodyTooLarge
	}
	if err != nil {
		failure := httpFailure(err)
		span.RecordError(failure)
		span.SetStatus(tracing.StatusError, "")
		span.End()
		return nothing(L, failure)
	}
	span.SetInt("http.status_code", int64(res.StatusCode))
	span.End()
	r.chargeString(L, len(body))
	t := L.NewTable()
	t.RawSetString("status", lua.LNumber(res.StatusCode))
	t.RawSetString("reason", lua.LString(http.StatusText(res.StatusCode)))
	header, _ := r.headerTable(L, res.Header, "", 1000)
	t.RawSetString("headers", header)
	t.RawSetString("has_body", lua.LBool(len(body) > 0))
	t.RawSetString("body", lua.LString(body))
	t.RawSetString("read_body", L.NewFunction(func(L *lua.LState) int {
		L.Push(checkTable(L, 1).RawGetString("body"))
		return 1
	}))
	L.Push(t)
	return 1
}

// httpFailure words an error as cosockets do; a URL, which may hold secrets, is no part of it.
func httpFailure(err error) string {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "connection refused"
	}
	return err.Error()
}

// httpRequest makes the request of request_uri's arguments.
func (r *run) httpRequest(ctx context.Context, L *lua.LState, uri string) (req *http.Request, failure string) {
	params, _ := L.Get(3).(*lua.LTable)
	if params == nil {
		params = L.NewTable()
	}
	field := func(name string) string {
		s, _ := toString(params.RawGetString(name))
		return s
	}
	target, err := url.Parse(uri)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, "bad uri: " + uri
	}
	if path := field("path"); path != "" {
		target.Path, target.RawPath = path, ""
	}
	switch query := params.RawGetString("query").(type) {
	case *lua.LTable:
		encoded, failure := ngxArgs(L, query)
		if failure != "" {
			return nil, failure
		}
		target.RawQuery = encoded
	case lua.LString:
		target.RawQuery = strings.TrimPrefix(string(query), "?")
	}
	method := strings.ToUpper(field("method"))
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	switch v := params.RawGetString("body").(type) {
	case *lua.LTable:
		body = strings.NewReader(joinOutput(L, v))
	case lua.LString:
		body = bytes.NewReader([]byte(v))
	}
	if req, err = http.NewRequestWithContext(ctx, method, target.String(), body); err != nil {
		return nil, "bad request"
	}
	req.Header["User-Agent"] = []string{userAgent}
	if list, ok := params.RawGetString("headers").(*lua.LTable); ok {
		list.ForEach(func(k, v lua.LValue) {
			name, ok := toString(k)
			if !ok {
				return
			}
			var values []string
			if many, ok := v.(*lua.LTable); ok {
				many.ForEach(func(_, one lua.LValue) { values = append(values, safeHeader(text(L, one))) })
			} else {
				values = []string{safeHeader(text(L, v))}
			}
			if sameHeader(name, "Host", false) {
				req.Host = values[0]
				return
			}
			setHeader(req.Header, name, values)
		})
	}
	return req, ""
}

// httpSpan begins the span of a request. Kong: kong/observability/tracing/instrumentation.lua http_client
func (r *run) httpSpan(req *http.Request) tracing.Span {
	trace := r.host.Trace()
	if !trace.Has(tracing.HTTPClient) {
		return tracing.Span{}
	}
	parent, ok := r.host.Active()
	if !ok {
		parent = r.host.Root()
	}
	span := trace.StartSpan("kong.internal.request", tracing.KindClient, parent)
	span.SetString("http.url", r.host.Masked(req.URL.String()))
	span.SetString("http.method", req.Method)
	span.SetString("http.flavor", "1.1")
	span.SetString("http.user_agent", req.Header.Get("User-Agent"))
	return span
}
