package function

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// serverName is nginx's, which is the host of requests without one.
const serverName = "kong"

// variables are those of nginx that scripts ask for. One that has no value is nil.
var variables = map[string]func(r *run, f *Facts) (string, bool){
	"uri":          func(_ *run, f *Facts) (string, bool) { return f.Path, true },
	"document_uri": func(_ *run, f *Facts) (string, bool) { return f.Path, true },
	"request_uri":  func(_ *run, f *Facts) (string, bool) { return f.Target, true },
	"args":         func(r *run, _ *Facts) (string, bool) { return some(r.query()) },
	"query_string": func(r *run, _ *Facts) (string, bool) { return some(r.query()) },
	"is_args":      func(r *run, _ *Facts) (string, bool) { return iff(r.query() != "", "?", ""), true },
	"host":         func(_ *run, f *Facts) (string, bool) { return strings.TrimSuffix(f.Host, "."), true },
	"scheme":       func(_ *run, f *Facts) (string, bool) { return f.Scheme, true },
	"https":        func(_ *run, f *Facts) (string, bool) { return iff(f.Scheme == "https", "on", ""), true },
	"remote_addr":  func(_ *run, f *Facts) (string, bool) { return f.Client.String(), true },
	"remote_port":  func(_ *run, f *Facts) (string, bool) { return strconv.Itoa(f.remotePort()), true },
	"realip_remote_addr": func(_ *run, f *Facts) (string, bool) {
		return f.Peer.Addr().String(), true
	},
	"realip_remote_port": func(_ *run, f *Facts) (string, bool) {
		return strconv.Itoa(int(f.Peer.Port())), true
	},
	"server_port":     func(_ *run, f *Facts) (string, bool) { return strconv.Itoa(f.Port), true },
	"server_addr":     func(_ *run, f *Facts) (string, bool) { return f.ServerAddr, f.ServerAddr != "" },
	"server_name":     func(*run, *Facts) (string, bool) { return serverName, true },
	"server_protocol": func(_ *run, f *Facts) (string, bool) { return f.protocol(), true },
	"request_method":  func(_ *run, f *Facts) (string, bool) { return f.Method, true },
	"request": func(_ *run, f *Facts) (string, bool) {
		return f.Method + " " + f.Target + " " + f.protocol(), true
	},
	"request_id":      func(_ *run, f *Facts) (string, bool) { return f.RequestID, true },
	"kong_request_id": func(_ *run, f *Facts) (string, bool) { return f.RequestID, true },
	"request_time": func(_ *run, f *Facts) (string, bool) {
		return strconv.FormatFloat(time.Since(f.Arrived).Seconds(), 'f', 3, 64), true
	},
	"request_length": func(_ *run, f *Facts) (string, bool) { return strconv.FormatInt(f.RequestLength, 10), true },
	"request_body": func(r *run, _ *Facts) (string, bool) {
		if !r.request.read {
			return "", false
		}
		body, _, err := r.host.RequestBody(r.memory)
		return string(body), err == nil && len(body) > 0
	},
	"content_type":   func(r *run, _ *Facts) (string, bool) { return r.header(contentType) },
	"content_length": func(r *run, _ *Facts) (string, bool) { return r.header(contentLength) },
	"status":         func(r *run, _ *Facts) (string, bool) { return fmt.Sprintf("%03d", r.status()), true },
	"bytes_sent":     func(_ *run, f *Facts) (string, bool) { return strconv.FormatInt(f.BytesSent, 10), true },
	"body_bytes_sent": func(_ *run, f *Facts) (string, bool) {
		return strconv.FormatInt(f.BytesSent, 10), true
	},
	"time_iso8601": func(*run, *Facts) (string, bool) { return time.Now().Format("2006-01-02T15:04:05-07:00"), true },
	"time_local":   func(*run, *Facts) (string, bool) { return time.Now().Format("02/Jan/2006:15:04:05 -0700"), true },
	"msec": func(*run, *Facts) (string, bool) {
		return strconv.FormatFloat(float64(time.Now().UnixMilli())/1000, 'f', 3, 64), true
	},
	"pid":              func(*run, *Facts) (string, bool) { return "1", true },
	"hostname":         func(*run, *Facts) (string, bool) { return "localhost", true },
	"nginx_version":    func(*run, *Facts) (string, bool) { return "1.25.3", true },
	"connection":       func(*run, *Facts) (string, bool) { return "1", true },
	"remote_user":      func(*run, *Facts) (string, bool) { return "", false },
	"upstream_uri":     func(r *run, f *Facts) (string, bool) { return r.upstreamPath(f), true },
	"upstream_host":    func(r *run, _ *Facts) (string, bool) { return r.host.Upstream().Host, true },
	"upstream_scheme":  upstreamScheme,
	"upstream_status":  upstreamStatus,
	"kong_proxy_mode":  func(*run, *Facts) (string, bool) { return "http", true },
	"proxy_host":       func(*run, *Facts) (string, bool) { return "kong_upstream", true },
	"upstream_http_te": func(*run, *Facts) (string, bool) { return "", false },
}

func upstreamScheme(r *run, f *Facts) (string, bool) {
	if s := r.host.Upstream().Scheme; s != "" {
		return s, true
	}
	return f.UpstreamScheme, true
}

func upstreamStatus(r *run, _ *Facts) (string, bool) {
	status := r.host.UpstreamStatus()
	return strconv.Itoa(status), status > 0
}

func some(s string) (string, bool) { return s, s != "" }

func iff(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

func (f *Facts) protocol() string {
	if f.Major >= 2 {
		return "HTTP/" + strconv.Itoa(f.Major) + ".0"
	}
	return fmt.Sprintf("HTTP/%d.%d", f.Major, f.Minor)
}

func (f *Facts) remotePort() int {
	if f.ClientPort > 0 {
		return f.ClientPort
	}
	return int(f.Peer.Port())
}

func (r *run) upstreamPath(f *Facts) string {
	if path := r.host.Upstream().Path; path != nil {
		return *path
	}
	return f.UpstreamPath
}

// variable gives a variable of nginx.
func (r *run) variable(name string) (string, bool) {
	f := r.host.Facts()
	if get := variables[name]; get != nil {
		return get(r, &f)
	}
	switch {
	case name == "http_host":
		host := r.hostHeader()
		return host, host != ""
	case strings.HasPrefix(name, "http_"):
		h := name[len("http_"):]
		values := headerValues(r.host.RequestHeader(), h, true)
		separator := ", "
		if h == "cookie" {
			separator = "; "
		}
		return strings.Join(values, separator), len(values) > 0
	case strings.HasPrefix(name, "arg_"):
		for piece := range strings.SplitSeq(r.query(), "&") {
			key, value, found := strings.Cut(piece, "=")
			if found && strings.EqualFold(key, name[len("arg_"):]) {
				return value, true
			}
		}
	case strings.HasPrefix(name, "cookie_"):
		request := http.Request{Header: http.Header{"Cookie": headerValues(r.host.RequestHeader(), "Cookie", false)}}
		for _, cookie := range request.Cookies() {
			if strings.EqualFold(cookie.Name, name[len("cookie_"):]) {
				return cookie.Value, true
			}
		}
	case strings.HasPrefix(name, "sent_http_"):
		values := headerValues(r.answerHeader(), name[len("sent_http_"):], true)
		return strings.Join(values, ", "), len(values) > 0
	case strings.HasPrefix(name, "upstream_http_"):
		if response := r.host.Response(); response != nil {
			values := headerValues(response.Header, name[len("upstream_http_"):], true)
			return strings.Join(values, ", "), len(values) > 0
		}
	}
	return "", false
}

func varIndex(L *lua.LState) int {
	r := runOf(L)
	name, ok := toString(L.Get(2))
	if !ok {
		raise(L, 1, "bad variable name")
	}
	value, ok := r.variable(strings.ToLower(name))
	if !ok {
		L.Push(lua.LNil)
		return 1
	}
	return output(L, value)
}

func varNewIndex(L *lua.LState) int {
	r := runOf(L)
	name, ok := toString(L.Get(2))
	if !ok {
		raise(L, 1, "bad variable name")
	}
	value := ""
	if v := L.Get(3); v != lua.LNil {
		value = text(L, v)
	}
	up := r.host.Upstream()
	switch name {
	case "upstream_uri":
		path, query, found := strings.Cut(value, "?")
		up.Path = &path
		if found {
			up.Query = &query
		}
	case "upstream_host":
		up.Host = value
	case "upstream_scheme":
		up.Scheme = value
	case "args":
		r.setQuery(value)
	default:
		if variables[name] != nil {
			raisef(L, 1, `variable "%s" not changeable`, name)
		}
		raisef(L, 1, `variable "%s" not found for writing; maybe it is a built-in variable that is not changeable `+
			`or you forgot to use "set $%s '';" in the config file to define it first`, name, name)
	}
	return 0
}
