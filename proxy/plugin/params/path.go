package params

import "strings"

// EscapePath escapes what must not stand in a path, and leaves what is escaped already.
// Kong: kong/tools/uri.lua escape
func EscapePath(path string) string {
	return string(appendEscaped(make([]byte, 0, len(path)+strings.Count(path, " ")*2), path, "!#$&'()*+,/:;=?@[]-_.~%"))
}
