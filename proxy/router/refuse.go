package router

import (
	"net/http"
	"strings"
)

// Refuse gives the status with which nginx turns a request away before Kong sees it (400 or 405), or 0 when it lets
// the request pass. The target is as sent. Only before HTTP/1.1 may the Host header be missing.
//
// Kong: nginx src/http/ngx_http_parse.c ngx_http_parse_request_line and ngx_http_parse_complex_uri,
// src/http/ngx_http_request.c ngx_http_validate_host and ngx_http_process_request_header
func Refuse(method, target, host string, http11 bool) int {
	switch {
	case !validMethod(method), !validTarget(target):
		return http.StatusBadRequest
	case host == "" && http11, host != "" && !validHost(host):
		return http.StatusBadRequest
	case method == http.MethodConnect, method == http.MethodTrace:
		return http.StatusMethodNotAllowed
	}
	return 0
}

func validMethod(method string) bool {
	for i := range len(method) {
		c := method[i]
		if (c < 'A' || c > 'Z') && c != '_' && c != '-' {
			return false
		}
	}
	return method != ""
}

func validTarget(target string) bool {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	target = OriginForm(target)
	if !strings.HasPrefix(target, "/") {
		return false
	}
	path, _, _ := strings.Cut(target, "?")
	return isNormal(path) || staysBelowRoot(path)
}

// staysBelowRoot reports whether a path has sound triplets alone and never climbs above its root. For this nginx
// decodes every triplet, so here %2F separates segments, other than in Normalize. Where nginx stops at a "#", this goes
// on: what follows is part of the path that routes are matched on.
func staysBelowRoot(path string) bool {
	depth, length, dots := 0, 0, 0
	endSegment := func() {
		switch {
		case length == 0, length == 1 && dots == 1:
		case length == 2 && dots == 2:
			depth--
		default:
			depth++
		}
		length, dots = 0, 0
	}
	for i := 0; i < len(path) && depth >= 0; i++ {
		c := path[i]
		if c == '%' {
			var ok bool
			if c, ok = triplet(path[i:]); !ok || c == 0 {
				return false
			}
			i += 2
		}
		switch c {
		case '/':
			endSegment()
			continue
		case '.':
			dots++
		}
		length++
	}
	if depth >= 0 {
		endSegment()
	}
	return depth >= 0
}

// validHost follows nginx: no control characters, spaces or slashes, no two dots in a row, a name before the port.
func validHost(host string) bool {
	end, literal, port := len(host), false, false
	for i := range len(host) {
		switch c := host[i]; {
		case c <= ' ', c == 0x7f, c == '/':
			return false
		case c == '.' && i > 0 && host[i-1] == '.':
			return false
		case c == '[' && i == 0:
			literal = true
		case c == ']' && literal:
			literal = false
			port = true
			end = i + 1
		case c == ':' && !literal && !port:
			port = true
			end = i
		}
	}
	return strings.TrimSuffix(host[:end], ".") != ""
}
