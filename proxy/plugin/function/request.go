package function

import (
	"errors"
	"math"
	"sort"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"sidekong/proxy/plugin"
)

// kong.request. Kong: kong/pdk/request.lua
var requestFunctions = map[string]lua.LGFunction{
	"get_method":           in(anyRequest, requestMethod),
	"get_scheme":           in(anyRequest, factString(func(f *Facts) string { return f.Scheme })),
	"get_host":             in(anyRequest, factString(func(f *Facts) string { return strings.TrimSuffix(f.Host, ".") })),
	"get_port":             in(anyRequest, factNumber(func(f *Facts) float64 { return float64(f.Port) })),
	"get_path":             in(anyRequest, factString(func(f *Facts) string { return f.Path })),
	"get_raw_path":         in(anyRequest, factString(func(f *Facts) string { return rawPath(f.Target) })),
	"get_path_with_query":  in(anyRequest, factString(func(f *Facts) string { return f.Target })),
	"get_raw_query":        in(anyRequest, requestRawQuery),
	"get_query":            in(anyRequest, requestQuery),
	"get_query_arg":        in(anyRequest, requestQueryArg),
	"get_header":           in(anyRequest, requestHeader),
	"get_headers":          in(anyRequest, requestHeaders),
	"get_raw_body":         in(beforeContent, requestRawBody),
	"get_body":             in(beforeContent, requestBody),
	"get_http_version":     in(anyRequest, factNumber(httpVersion)),
	"get_start_time":       in(anyRequest, factNumber(func(f *Facts) float64 { return float64(f.Arrived.UnixMilli()) })),
	"get_uri_captures":     in(anyRequest, requestCaptures),
	"get_forwarded_scheme": in(anyRequest, requestForwardedScheme),
	"get_forwarded_host":   in(anyRequest, requestForwardedHost),
	"get_forwarded_port":   in(anyRequest, requestForwardedPort),
	"get_forwarded_path":   in(anyRequest, requestForwardedPath),
	"get_forwarded_prefix": in(anyRequest, requestForwardedPrefix),
}

func factString(get func(*Facts) string) func(*lua.LState, *run) int {
	return func(L *lua.LState, r *run) int {
		f := r.host.Facts()
		L.Push(lua.LString(get(&f)))
		return 1
	}
}

func factNumber(get func(*Facts) float64) func(*lua.LState, *run) int {
	return func(L *lua.LState, r *run) int {
		f := r.host.Facts()
		L.Push(lua.LNumber(get(&f)))
		return 1
	}
}

func httpVersion(f *Facts) float64 { return float64(f.Major) + float64(f.Minor)/10 }

func rawPath(target string) string {
	path, _, _ := strings.Cut(target, "?")
	path, _, _ = strings.Cut(path, "#")
	return path
}

func rawQuery(target string) string {
	_, query, _ := strings.Cut(target, "?")
	query, _, _ = strings.Cut(query, "#")
	return query
}

func requestMethod(L *lua.LState, r *run) int {
	method := r.host.Facts().Method
	if changed := r.host.Upstream().Method; changed != "" {
		method = changed
	}
	L.Push(lua.LString(method))
	return 1
}

// query is the query in hand: what a script set, else what came.
func (r *run) query() string {
	if changed := r.host.Upstream().Query; changed != nil {
		return *changed
	}
	return rawQuery(r.host.Facts().Target)
}

func requestRawQuery(L *lua.LState, r *run) int {
	L.Push(lua.LString(r.query()))
	return 1
}

func requestQuery(L *lua.LState, r *run) int {
	limit := limitArg(L, 1, "max_args")
	pairs, truncated := parseArgs(r.query(), limit)
	L.Push(r.argsTable(L, pairs))
	if truncated {
		L.Push(lua.LString("truncated"))
		return 2
	}
	L.Push(lua.LNil)
	return 2
}

func requestQueryArg(L *lua.LState, r *run) int {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "query argument name must be a string")
	}
	pairs, _ := parseArgs(r.query(), maxHeaders)
	for _, p := range pairs {
		if p.name == string(name) {
			L.Push(p.lua())
			return 1
		}
	}
	L.Push(lua.LNil)
	return 1
}

// header gives the first value of a request's header.
func (r *run) header(name string) (string, bool) {
	if sameHeader(name, "Host", false) {
		host := r.hostHeader()
		return host, host != ""
	}
	values := headerValues(r.host.RequestHeader(), name, true)
	if len(values) == 0 {
		return "", false
	}
	if len(values) > 1 && sameHeader(name, "Cookie", false) {
		return strings.Join(values, "; "), true
	}
	if len(values) == 1 && strings.Contains(values[0], ", ") && !r.amongFirst(name) {
		return "", false // Kong looks such values up in get_headers(), which ends at 100
	}
	return values[0], true
}

// amongFirst reports whether a header is among those that get_headers gives.
func (r *run) amongFirst(name string) bool {
	h := r.host.RequestHeader()
	if len(h) < maxHeaders/2 {
		return true
	}
	n := 1 // Host
	for _, other := range sortedNames(h) {
		n += len(h[other])
		if sameHeader(other, name, true) {
			return n <= maxHeaders
		}
	}
	return true
}

func (r *run) hostHeader() string {
	if changed := r.host.Upstream().Host; changed != "" {
		return changed
	}
	return r.host.Facts().HostHeader
}

func requestHeader(L *lua.LState, r *run) int {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "header name must be a string")
	}
	if value, ok := r.header(string(name)); ok && name != "" {
		L.Push(lua.LString(value))
		return 1
	}
	L.Push(lua.LNil)
	return 1
}

func requestHeaders(L *lua.LState, r *run) int {
	t, truncated := r.headerTable(L, r.host.RequestHeader(), r.hostHeader(), limitArg(L, 1, "max_headers"))
	L.Push(t)
	if truncated {
		L.Push(lua.LString("truncated"))
		return 2
	}
	return 1
}

const errBuffer = "request body did not fit into client body buffer, consider raising 'client_body_buffer_size'"

// rawBody reads the body. fileLimit is how large it may be beyond what Kong would hold in memory: nil or negative for
// not at all, 0 for any size.
func (r *run) rawBody(L *lua.LState, fileLimit lua.LValue) (body []byte, failure string) {
	if changed := r.host.Upstream().Body; changed != nil {
		return *changed, ""
	}
	limit := r.worker.shared.options.BodyBuffer
	want := int64(-1)
	switch v := fileLimit.(type) {
	case lua.LNumber:
		if v >= 0 {
			want = int64(v)
			limit = max(limit, want)
			if want == 0 {
				limit = 0
			}
		}
	case *lua.LNilType:
	default:
		raise(L, 1, "max_allowed_file_size must be a number")
	}
	if limit == 0 || limit > r.memory {
		limit = r.memory
	}
	var length int64
	var err error
	r.wait(func() { body, length, err = r.host.RequestBody(limit) })
	switch {
	case errors.Is(err, plugin.ErrBodyTooLarge) && want > 0:
		return nil, "request body file too big: " + strconv.FormatInt(length, 10) + " > " + strconv.FormatInt(want, 10)
	case errors.Is(err, plugin.ErrBodyTooLarge):
		return nil, errBuffer
	case err != nil:
		return nil, err.Error()
	}
	r.chargeString(L, len(body))
	return body, ""
}

func requestRawBody(L *lua.LState, r *run) int {
	body, failure := r.rawBody(L, L.Get(1))
	if failure != "" {
		L.Push(lua.LNil)
		L.Push(lua.LString(failure))
		return 2
	}
	L.Push(lua.LString(body))
	return 1
}

// The types of body that the PDK knows.
const (
	typeForm      = "application/x-www-form-urlencoded"
	typeJSON      = "application/json"
	typeMultipart = "multipart/form-data"
)

func requestBody(L *lua.LState, r *run) int {
	contentType := ""
	switch v := L.Get(1).(type) {
	case lua.LString:
		contentType = string(v)
	default:
		given, ok := r.header("Content-Type")
		if !ok {
			L.Push(lua.LNil)
			L.Push(lua.LString("missing content type"))
			return 2
		}
		contentType = given
	}
	limit := maxHeaders
	if L.Get(2) != lua.LNil {
		limit = limitArg(L, 2, "max_args")
	}
	lower := strings.ToLower(contentType)
	if !strings.HasPrefix(lower, typeForm) && !strings.HasPrefix(lower, typeJSON) && !strings.HasPrefix(lower, typeMultipart) {
		return unsupportedType(L, contentType)
	}
	body, failure := r.rawBody(L, L.Get(3))
	return r.parseBody(L, contentType, body, failure, limit)
}

func unsupportedType(L *lua.LState, contentType string) int {
	mime, _, _ := strings.Cut(contentType, ";")
	L.Push(lua.LNil)
	L.Push(lua.LString("unsupported content type '" + contentType + "'"))
	L.Push(lua.LString(strings.TrimSpace(mime)))
	return 3
}

// parseBody pushes a body as its type says: value, error, type.
func (r *run) parseBody(L *lua.LState, contentType string, body []byte, failure string, limit int) int {
	lower := strings.ToLower(contentType)
	give := func(v lua.LValue, failure, mime string) int {
		L.Push(v)
		if failure == "" {
			L.Push(lua.LNil)
		} else {
			L.Push(lua.LString(failure))
		}
		L.Push(lua.LString(mime))
		return 3
	}
	switch {
	case strings.HasPrefix(lower, typeForm):
		if failure != "" {
			return give(lua.LNil, failure, typeForm)
		}
		pairs, _ := parseArgs(string(body), limit)
		return give(r.argsTable(L, pairs), "", typeForm)
	case strings.HasPrefix(lower, typeJSON):
		if failure != "" {
			return give(lua.LNil, failure, typeJSON)
		}
		v, err := r.decodeJSON(L, string(body), true)
		if _, ok := v.(*lua.LTable); err != nil || !ok {
			return give(lua.LNil, "invalid json body", typeJSON)
		}
		return give(v, "", typeJSON)
	case strings.HasPrefix(lower, typeMultipart):
		if failure != "" {
			return give(lua.LNil, failure, typeMultipart)
		}
		t := L.NewTable()
		for _, part := range parseMultipart(string(body), contentType) {
			r.charge(L, entryBytes+indexBytes+len(part.value))
			appendValue(t, part.name, lua.LString(part.value))
		}
		return give(t, "", typeMultipart)
	}
	return unsupportedType(L, contentType)
}

func requestCaptures(L *lua.LState, r *run) int {
	f := r.host.Facts()
	t, named, unnamed := L.NewTable(), L.NewTable(), L.NewTable()
	for name, value := range f.Captures {
		if number, err := strconv.Atoi(name); err == nil {
			unnamed.RawSet(lua.LNumber(number), lua.LString(value))
		} else {
			named.RawSetString(name, lua.LString(value))
		}
	}
	t.RawSetString("named", named)
	t.RawSetString("unnamed", unnamed)
	L.Push(t)
	return 1
}

// forwarded gives a forwarding header where the peer is trusted.
func (r *run) forwarded(name string) (string, bool) {
	if !r.host.Facts().PeerTrusted {
		return "", false
	}
	value, ok := r.header(name)
	return value, ok
}

func requestForwardedScheme(L *lua.LState, r *run) int {
	scheme, ok := r.forwarded("X-Forwarded-Proto")
	if !ok {
		scheme = r.host.Facts().Scheme
	}
	L.Push(lua.LString(strings.ToLower(scheme)))
	return 1
}

func requestForwardedHost(L *lua.LState, r *run) int {
	host, ok := r.forwarded("X-Forwarded-Host")
	if !ok {
		L.Push(lua.LString(strings.TrimSuffix(r.host.Facts().Host, ".")))
		return 1
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if !strings.Contains(host, ",") {
		if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
			host = host[:i]
		}
	}
	L.Push(lua.LString(strings.ToLower(host)))
	return 1
}

func requestForwardedPort(L *lua.LState, r *run) int {
	valid := func(s string) (int, bool) {
		n, ok := parseNumber(s)
		return int(n), ok && n == math.Trunc(n) && n >= 1 && n <= 65535
	}
	f := r.host.Facts()
	port := f.Port
	if value, ok := r.forwarded("X-Forwarded-Port"); ok {
		if n, ok := valid(value); ok {
			L.Push(lua.LNumber(n))
			return 1
		}
	}
	if value, ok := r.forwarded("X-Forwarded-Host"); ok {
		if _, after, found := cutLast(value, ":"); found {
			if n, ok := valid(after); ok {
				port = n
			}
		}
	}
	L.Push(lua.LNumber(port))
	return 1
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

func requestForwardedPath(L *lua.LState, r *run) int {
	path, ok := r.forwarded("X-Forwarded-Path")
	if !ok {
		path = rawPath(r.host.Facts().Target)
	}
	L.Push(lua.LString(path))
	return 1
}

func requestForwardedPrefix(L *lua.LState, r *run) int {
	prefix, _ := r.forwarded("X-Forwarded-Prefix")
	L.Push(lua.LString(prefix))
	return 1
}

// part is one field of a multipart form.
type part struct{ name, value string }

// parseMultipart reads a form. What is broken gives what could be read of it. Kong: lua-multipart
func parseMultipart(body, contentType string) (parts []part) {
	boundary := ""
	for parameter := range strings.SplitSeq(contentType, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(name, "boundary") {
			boundary = strings.Trim(value, `"`)
		}
	}
	if boundary == "" {
		return nil
	}
	sections := strings.Split("\r\n"+body, "\r\n--"+boundary)
	for _, section := range sections[1:] {
		if strings.HasPrefix(section, "--") {
			break
		}
		head, value, found := strings.Cut(strings.TrimPrefix(section, "\r\n"), "\r\n\r\n")
		if !found {
			continue
		}
		for line := range strings.SplitSeq(head, "\r\n") {
			field, disposition, _ := strings.Cut(line, ":")
			if !strings.EqualFold(strings.TrimSpace(field), "Content-Disposition") {
				continue
			}
			for parameter := range strings.SplitSeq(disposition, ";") {
				key, name, found := strings.Cut(strings.TrimSpace(parameter), "=")
				if found && strings.EqualFold(key, "name") {
					parts = append(parts, part{strings.Trim(name, `"`), value})
				}
			}
		}
	}
	return parts
}

// formatMultipart writes a form with its names sorted.
func formatMultipart(fields map[string][]string, boundary string) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	var out strings.Builder
	for _, name := range names {
		for _, value := range fields[name] {
			out.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n")
		}
	}
	out.WriteString("--" + boundary + "--\r\n")
	return out.String()
}
