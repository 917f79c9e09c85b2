package params

import (
	"slices"
	"strings"
)

// Arg is one argument of a query or of a form. Bare is one without an equals sign.
type Arg struct {
	Name, Value string
	Bare        bool
}

// Args are the arguments of a query or of a form, in their order.
type Args []Arg

// ParseArgs reads arguments as nginx does: nothing is an error, what can't be decoded is kept as it stands, and
// arguments without a name are dropped. Only & separates them. nginx: ngx_http_lua_parse_args
func ParseArgs(query string) Args {
	if query == "" {
		return nil
	}
	args := make(Args, 0, strings.Count(query, "&")+1)
	for piece := range strings.SplitSeq(query, "&") {
		name, value, found := strings.Cut(piece, "=")
		if name == "" {
			continue
		}
		args = append(args, Arg{Name: Unescape(name), Value: Unescape(value), Bare: !found})
	}
	return args
}

// Without removes the arguments of a name from a raw query and leaves the others byte for byte.
func Without(query, name string) string {
	if query == "" {
		return ""
	}
	var kept []string
	for piece := range strings.SplitSeq(query, "&") {
		own, _, _ := strings.Cut(piece, "=")
		if Unescape(own) != name {
			kept = append(kept, piece)
		}
	}
	return strings.Join(kept, "&")
}

// Lookup is for Set.
func (a Args) Lookup(name string) (value string, kind Kind) {
	for _, arg := range a {
		switch {
		case arg.Name != name:
		case kind != Absent:
			return "", Several
		case arg.Bare:
			kind = Other
		default:
			value, kind = arg.Value, Text
		}
	}
	return value, kind
}

// Has is for Set.
func (a Args) Has(name string) bool { return a.index(name) >= 0 }

func (a Args) index(name string) int {
	return slices.IndexFunc(a, func(arg Arg) bool { return arg.Name == name })
}

// Delete is for Set.
func (a *Args) Delete(name string) bool {
	before := len(*a)
	*a = slices.DeleteFunc(*a, func(arg Arg) bool { return arg.Name == name })
	return len(*a) < before
}

// Rename is for Set.
func (a *Args) Rename(old, name string) bool {
	if old == name || !a.Has(old) {
		return false
	}
	a.Delete(name)
	for i := range *a {
		if (*a)[i].Name == old {
			(*a)[i].Name = name
		}
	}
	return true
}

// Set is for Set.
func (a *Args) Set(name, value string) {
	at := a.index(name)
	if at < 0 {
		a.Append(name, value)
		return
	}
	(*a)[at] = Arg{Name: name, Value: value}
	rest := slices.DeleteFunc((*a)[at+1:], func(arg Arg) bool { return arg.Name == name })
	*a = (*a)[:at+1+len(rest)]
}

// Append is for Set. It puts the value behind the last of that name.
func (a *Args) Append(name, value string) {
	at := len(*a)
	for i, arg := range *a {
		if arg.Name == name {
			at = i + 1
		}
	}
	*a = slices.Insert(*a, at, Arg{Name: name, Value: value})
}

// Encode is for Set.
func (a Args) Encode() ([]byte, error) { return a.appendTo(nil, "-._~!'()*"), nil }

// Query writes the arguments sorted by name, as Kong writes a query. Kong: kong/tools/http.lua encode_args
func (a Args) Query() string {
	sorted := slices.Clone(a)
	slices.SortStableFunc(sorted, func(x, y Arg) int { return strings.Compare(x.Name, y.Name) })
	return string(sorted.appendTo(nil, "-._~"))
}

func (a Args) appendTo(out []byte, safe string) []byte {
	for i, arg := range a {
		if i > 0 {
			out = append(out, '&')
		}
		out = appendEscaped(out, arg.Name, safe)
		if !arg.Bare {
			out = append(out, '=')
			out = appendEscaped(out, arg.Value, safe)
		}
	}
	return out
}

// Unescape decodes %XX and +; a bad escape stays as it is.
func Unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			out = append(out, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, fromHex(s[i+1])<<4|fromHex(s[i+2]))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

func fromHex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// appendEscaped encodes every byte but letters, digits and those in safe.
func appendEscaped(out []byte, s, safe string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(safe, c) >= 0 {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return out
}
