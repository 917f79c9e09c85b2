package router

import (
	"strings"
)

// HostName gives a Host header as nginx's $host has it: lower case, without port and without a final dot.
func HostName(host string) string {
	if strings.HasPrefix(host, "[") {
		if i := strings.IndexByte(host, ']'); i >= 0 {
			host = host[:i+1]
		}
	} else if i := strings.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// splitHostPort splits at the first colon if a number follows it; port is -1 if not. So brackets are no help to an
// IPv6 address, which stays whole with its port.
//
// Kong: kong/router/transform.lua split_host_port
func splitHostPort(hostport string) (host string, port int) {
	i := strings.IndexByte(hostport, ':')
	if i < 0 || i+1 == len(hostport) {
		return hostport, -1
	}
	for _, c := range []byte(hostport[i+1:]) {
		if c < '0' || c > '9' {
			return hostport, -1
		}
		port = min(port*10+int(c-'0'), 1<<20) // beyond any port: it equals none
	}
	return hostport[:i], port
}

type hostKind uint8

const (
	exactHost  hostKind = iota // a.test
	suffixHost                 // *.a.test
	prefixHost                 // a.*
)

// hostPattern is one of a route's hosts.
type hostPattern struct {
	kind hostKind
	text string // without the asterisk
	port int    // -1 for any
}

func newHostPattern(configured string) hostPattern {
	host, port := splitHostPort(configured)
	switch {
	case strings.HasPrefix(host, "*"):
		return hostPattern{suffixHost, host[1:], port}
	case strings.HasSuffix(host, "*"):
		return hostPattern{prefixHost, host[:len(host)-1], port}
	default:
		return hostPattern{exactHost, host, port}
	}
}

func (p *hostPattern) match(host string, port int) bool {
	if host == "" || p.port >= 0 && p.port != port {
		return false
	}
	switch p.kind {
	case suffixHost:
		return strings.HasSuffix(host, p.text)
	case prefixHost:
		return strings.HasPrefix(host, p.text)
	default:
		return host == p.text
	}
}
