package router

import (
	"bytes"
	"strings"
)

// OriginForm turns a request target in absolute form ("http://host/path?query") into origin form ("/path?query").
// Every other target is returned as it is.
func OriginForm(target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return target
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	default:
		return rest[i:]
	}
}

// Normalize splits a target in origin form into the path that routes are matched on and the query as sent, without
// its question mark. Triplets (%41) of bytes that are not reserved in RFC 3986 are decoded, those of reserved bytes
// get upper-case digits; then dot segments go and runs of slashes become one. It is ok unless the path lacks its
// leading slash or has a broken triplet. A path that is normal already costs no allocation.
//
// Kong: kong/router/utils.lua strip_uri_args, kong/tools/uri.lua normalize
func Normalize(target string) (path, query string, hasQuery, ok bool) {
	if target == "" || target[0] != '/' {
		return "", "", false, false
	}
	path, query, hasQuery = strings.Cut(target, "?")
	if isNormal(path) {
		return path, query, hasQuery, true
	}
	decoded, ok := decode(path)
	if !ok {
		return "", "", false, false
	}
	return string(removeDotSegments(decoded)), query, hasQuery, true
}

// isNormal reports whether a path has neither triplets, nor empty segments, nor segments that begin with a dot. The
// last ones may be normal, but are rare.
func isNormal(path string) bool {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '%':
			return false
		case '/':
			if i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.') {
				return false
			}
		}
	}
	return true
}

func decode(path string) (decoded []byte, ok bool) {
	decoded = make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			decoded = append(decoded, path[i])
			continue
		}
		c, ok := triplet(path[i:])
		if !ok {
			return nil, false
		}
		if reserved[c] {
			decoded = append(decoded, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			decoded = append(decoded, c)
		}
		i += 2
	}
	return decoded, true
}

// removeDotSegments works in place. The path begins with a slash.
func removeDotSegments(path []byte) []byte {
	out := path[:0]
	for i := 0; i < len(path); {
		end := len(path)
		if n := bytes.IndexByte(path[i+1:], '/'); n >= 0 {
			end = i + 1 + n
		}
		segment, last := path[i:end], end == len(path)
		i = end

		switch string(segment) {
		case "/", "/.":
		case "/..":
			out = out[:max(0, bytes.LastIndexByte(out, '/'))]
		default:
			out = append(out, segment...)
			continue
		}
		if last {
			out = append(out, '/')
		}
	}
	return out
}

// triplet decodes the %XX that s begins with.
func triplet(s string) (c byte, ok bool) {
	if len(s) < 3 {
		return 0, false
	}
	hi, lo := unhex[s[1]], unhex[s[2]]
	if hi < 0 || lo < 0 {
		return 0, false
	}
	return byte(hi)<<4 | byte(lo), true
}

const upperHex = "0123456789ABCDEF"

// unhex holds the value of each hexadecimal digit and -1 for every other byte.
var unhex = func() (t [256]int8) {
	for i := range t {
		t[i] = int8(strings.IndexByte(upperHex, byte(i)))
		if 'a' <= i && i <= 'f' {
			t[i] = int8(i - 'a' + 10)
		}
	}
	return t
}()

var reserved = byteSet("!*'();:@&=+$,/?%#[]")

func byteSet(s string) (set [256]bool) {
	for i := range len(s) {
		set[s[i]] = true
	}
	return set
}
