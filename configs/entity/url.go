package entity

import (
	"regexp"
	"strconv"
	"strings"
)

// looseURL holds the parts of a URL that Kong looks at; nil where a part is absent.
type looseURL struct {
	scheme, userinfo, host, port, path *string
}

var (
	urlScheme   = regexp.MustCompile(`^([0-9A-Za-z][0-9A-Za-z+\-.]*):`)
	urlPort     = regexp.MustCompile(`:([^:\]]*)$`)
	urlBrackets = regexp.MustCompile(`^\[(.+)\]$`)
)

// parseURL splits a URL as LuaSocket does, which finds parts in any text. Kong: socket.url parse
func parseURL(text string) looseURL {
	var u looseURL
	text, _, _ = strings.Cut(text, "#")
	if match := urlScheme.FindStringSubmatch(text); match != nil {
		u.scheme = &match[1]
		text = text[len(match[0]):]
	}
	authority, hasAuthority := strings.CutPrefix(text, "//")
	if hasAuthority {
		text = ""
		if i := strings.Index(authority, "/"); i >= 0 {
			authority, text = authority[:i], authority[i:]
		}
	}
	text, _, _ = strings.Cut(text, "?")
	text, _, _ = strings.Cut(text, ";")
	if text != "" {
		u.path = &text
	}
	if user, rest, ok := strings.Cut(authority, "@"); ok && hasAuthority {
		u.userinfo = &user
		authority = rest
	}
	if match := urlPort.FindStringSubmatch(authority); match != nil && hasAuthority {
		u.port = &match[1]
		authority = strings.TrimSuffix(authority, match[0])
	}
	if hasAuthority && authority != "" {
		if match := urlBrackets.FindStringSubmatch(authority); match != nil {
			authority = match[1]
		}
		u.host = &authority
	}
	return u
}

// URLHasUserinfo reports whether a URL names a user.
func URLHasUserinfo(text string) bool { return parseURL(text).userinfo != nil }

// Kong: kong/db/schema/typedefs.lua validate_url
func checkURL(text string) string {
	u := parseURL(text)
	switch {
	case u.host == nil:
		return "missing host in url"
	case u.scheme == nil:
		return "missing scheme in url"
	}
	return ""
}

// expandServiceURL takes a service's url apart. Kong: kong/db/schema/entities/services.lua shorthand_fields
func expandServiceURL(value any) Object {
	text, ok := value.(string)
	if !ok {
		text = "userdata: NULL" // so Lua prints null
	}
	u := parseURL(text)
	parts := Object{"protocol": "http", "host": nil, "port": nil, "path": nil}
	if u.port != nil {
		parts["port"] = *u.port
		if port, ok := luaNumber(*u.port); ok {
			parts["port"] = port
		}
	}
	switch {
	case u.scheme != nil:
		parts["protocol"] = *u.scheme
	case parts["port"] == 443.0:
		parts["protocol"] = "https"
	}
	if u.port == nil {
		parts["port"] = 80.0
		if parts["protocol"] == "https" {
			parts["port"] = 443.0
		}
	}
	if u.host != nil {
		parts["host"] = *u.host
	}
	if u.path != nil {
		parts["path"] = *u.path
	}
	return parts
}

// luaNumber reads a number as Lua's tonumber does.
func luaNumber(text string) (float64, bool) {
	text = strings.Trim(text, " \t\n\v\f\r")
	if hex, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		n, err := strconv.ParseUint(hex, 16, 64)
		return float64(n), err == nil
	}
	if strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

var (
	pathPattern = regexp.MustCompile(`^/[0-9A-Za-z.\-_~/%:@!$&'()*+,;=]*$`)
	triplet     = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
)

// checkPath returns what is wrong with a path; escapes tells that it is the percent-encoding.
// Kong: kong/db/schema/typedefs.lua validate_path
func checkPath(path string) (text string, escapes bool) {
	if !pathPattern.MatchString(path) {
		return "invalid path: '" + path + "' (characters outside of the reserved list of RFC 3986 found)", false
	}
	raw := triplet.ReplaceAllString(path, "___")
	if i := strings.Index(raw, "%"); i >= 0 {
		return "invalid url-encoded value: '" + raw[i:min(i+3, len(raw))] + "'", true
	}
	return "", false
}

const reservedInPath = "!*'();:@&=+$,/?%#[]"

// normalPath is the form of a path in which the router compares it: escapes decoded except those of reserved
// characters, dot segments removed, slashes merged. Kong: kong/tools/uri.lua normalize
func normalPath(path string) string {
	path = triplet.ReplaceAllStringFunc(path, func(escape string) string {
		n, _ := strconv.ParseUint(escape[1:], 16, 8)
		if strings.IndexByte(reservedInPath, byte(n)) >= 0 {
			return strings.ToUpper(escape)
		}
		return string([]byte{byte(n)})
	})
	var out []string
	for path != "" {
		switch {
		case path == "/." || path == "/..":
			if path == "/.." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			path = "/"
		case path == "." || path == "..":
			path = ""
		case strings.HasPrefix(path, "../"):
			path = path[3:]
		case strings.HasPrefix(path, "./"), strings.HasPrefix(path, "/./"):
			path = path[2:]
		case strings.HasPrefix(path, "/../"):
			path = path[3:]
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		case strings.HasPrefix(path, "//"):
			path = path[1:]
		default:
			end := strings.Index(path[1:], "/") + 1
			if end == 0 {
				end = len(path)
			}
			out = append(out, path[:end])
			path = path[end:]
		}
	}
	return strings.Join(out, "")
}
