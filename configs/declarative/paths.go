package declarative

import (
	"regexp"
	"strconv"
	"strings"
)

// Below format 3.0 a route's path was a regular expression when it held anything but these characters; since 3.0 a
// regular expression says so with a leading ~.
var plainPath = regexp.MustCompile(`^[a-zA-Z0-9.\-_~/%]*\n?$`)

// migratePath gives a path of format 1.1 or 2.1 the form that it has in 3.0.
//
// Kong: kong/db/migrations/migrate_path_280_300.lua migrate_path
func migratePath(path string) string {
	if plainPath.MatchString(path) {
		return normalizePath(path)
	}
	return "~" + decodeTriplets(path, func(b byte) (string, bool) {
		if strings.IndexByte("!#$%&'()*+,/:;=?@[]", b) >= 0 {
			return "", false
		}
		if strings.IndexByte(`.^-{}\|`, b) >= 0 {
			return `\` + string(rune(b)), true
		}
		return string([]byte{b}), true
	})
}

// normalizePath decodes what needs no percent sign, removes dot segments and merges slashes.
//
// Kong: kong/tools/uri.lua normalize
func normalizePath(path string) string {
	path = decodeTriplets(path, func(b byte) (string, bool) {
		return string([]byte{b}), strings.IndexByte("!*'();:@&=+$,/?%#[]", b) < 0
	})
	if !strings.Contains(path, ".") && !strings.Contains(path, "//") {
		return path
	}
	var out []string // segments, each with its leading slash
	drop := func() {
		if len(out) > 0 {
			out = out[:len(out)-1]
		}
	}
	for path != "" {
		switch {
		case path == "/.":
			path = "/"
		case path == "/..":
			path = "/"
			drop()
		case path == "." || path == "..":
			path = ""
		case strings.HasPrefix(path, "../"):
			path = path[3:]
		case strings.HasPrefix(path, "./"):
			path = path[2:]
		case strings.HasPrefix(path, "/./"):
			path = path[2:]
		case strings.HasPrefix(path, "/../"):
			path = path[3:]
			drop()
		case strings.HasPrefix(path, "//"):
			path = path[1:]
		default:
			end := len(path)
			if i := strings.IndexByte(path[1:], '/'); i >= 0 {
				end = i + 1
			}
			out = append(out, path[:end])
			path = path[end:]
		}
	}
	return strings.Join(out, "")
}

var triplet = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

// decodeTriplets replaces each %XX by what decode says, and writes the others in upper case.
func decodeTriplets(path string, decode func(byte) (string, bool)) string {
	return triplet.ReplaceAllStringFunc(path, func(t string) string {
		b, _ := strconv.ParseUint(t[1:], 16, 8)
		if text, ok := decode(byte(b)); ok {
			return text
		}
		return strings.ToUpper(t)
	})
}
