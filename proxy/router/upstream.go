package router

import (
	"strconv"
	"strings"
)

// Prefix gives what is stripped from the path: the matched text if the route strips, otherwise "".
func (m *Match) Prefix() string {
	if m.Route.StripPath {
		return m.Matched
	}
	return ""
}

// ForwardedPrefix gives the value of X-Forwarded-Prefix, "" for none.
func (m *Match) ForwardedPrefix() string {
	if p := m.Prefix(); p != "/" {
		return p
	}
	return ""
}

// ForwardedPath gives the value of X-Forwarded-Path for a target in origin form: the path as sent.
func ForwardedPath(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// UpstreamPath gives the path to send upstream, escaped, without the query.
func (m *Match) UpstreamPath() string { return escape(m.RouterPath()) }

// RouterPath gives the path for upstream before it is escaped: the service's path joined with the request's, less the
// stripped prefix. The route's path_handling does not count in this flavour.
//
// Kong: kong/router/atc.lua select, kong/router/utils.lua get_upstream_uri_v0 and sanitize_uri_postfix
func (m *Match) RouterPath() string {
	base := "/"
	if m.Service != nil && m.Service.Path != "" {
		base = m.Service.Path
	}
	path := m.requestPath
	if !m.Route.StripPath {
		switch {
		case strings.HasSuffix(base, "/"):
			return base[:len(base)-1] + path
		case path == "/":
			return base
		default:
			return base + path
		}
	}

	rest := strings.TrimPrefix(path, "/")
	if m.Path != "" {
		rest = path[len(m.Matched):] // from the front, wherever a regular expression matched
	}
	trimmed := strings.TrimSuffix(base, "/")
	switch rest = trimDots(rest); {
	case rest != "" && rest[0] == '/':
		return trimmed + rest
	case rest != "":
		return trimmed + "/" + rest
	case base == "/":
		return base
	case strings.HasSuffix(path, "/") && (path != "/" || trimmed != base):
		return trimmed + "/"
	default:
		return trimmed
	}
}

// trimDots keeps what follows a prefix from climbing.
func trimDots(rest string) string {
	switch {
	case rest == ".", rest == "..":
		return ""
	case strings.HasPrefix(rest, "./"):
		return rest[2:]
	case strings.HasPrefix(rest, "../"):
		return rest[3:]
	default:
		return rest
	}
}

// UpstreamHost gives the Host header to send upstream, given the request's.
//
// Kong: kong/runloop/handler.lua access.after
func (m *Match) UpstreamHost(requestHost string) string {
	s := m.Service
	switch {
	case m.Route.PreserveHost && requestHost != "":
		return requestHost
	case s == nil:
		return ""
	case s.Port == 80 && (s.Protocol == "http" || s.Protocol == "grpc"),
		s.Port == 443 && (s.Protocol == "https" || s.Protocol == "grpcs"):
		return s.Host
	default:
		return s.Host + ":" + strconv.Itoa(s.Port)
	}
}

// escape encodes every byte that may not stand in a path. Triplets stay as they are.
//
// Kong: kong/tools/uri.lua escape
func escape(path string) string {
	extra := 0
	for i := range len(path) {
		if !sent[path[i]] {
			extra += 2
		}
	}
	if extra == 0 {
		return path
	}
	out := make([]byte, 0, len(path)+extra)
	for i := range len(path) {
		if c := path[i]; sent[c] {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(out)
}

// sent are the bytes that go upstream as they are.
var sent = byteSet("!#$&'()*+,/:;=?@[]-_.~%0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
