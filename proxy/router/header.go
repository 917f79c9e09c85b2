package router

import (
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"sidekong/configs/entity"
)

// headerName is a header's name as Kong looks it up: dashes and underscores are one in the configuration, and a
// request's header with underscores goes before one with dashes.
//
// Kong: kong/tools/string.lua replace_dashes_lower, the metatable of ngx.req.get_headers
type headerName struct {
	underscored, dashed string // canonical keys of http.Header
}

func newHeaderName(configured string) headerName {
	return headerName{
		underscored: http.CanonicalHeaderKey(strings.ReplaceAll(configured, "-", "_")),
		dashed:      http.CanonicalHeaderKey(strings.ReplaceAll(configured, "_", "-")),
	}
}

// maxValues is how many values of a header are looked at. Kong reads as many headers of a request (lua_max_req_headers).
const maxValues = 100

func (n *headerName) values(h http.Header) []string {
	values := h[n.underscored]
	if len(values) == 0 {
		values = h[n.dashed]
	}
	return values[:min(len(values), maxValues)]
}

// headerRule is one of the headers that a route asks for: some value of the request's must match one of these.
type headerRule struct {
	name   headerName
	values []headerValue
}

// headerValue is a text in lower case, or a regular expression that runs on values in lower case.
type headerValue struct {
	text  string
	regex *pattern // nil for a text
}

// newHeaderRules gives a route's headers sorted by name.
//
// Kong: kong/router/transform.lua get_expression
func newHeaderRules(route *entity.Route) ([]headerRule, error) {
	var rules []headerRule
	for _, name := range slices.Sorted(maps.Keys(route.Headers)) {
		rule := headerRule{name: newHeaderName(name)}
		for _, value := range route.Headers[name] {
			expr, isRegex := strings.CutPrefix(lowerASCII(value), "~*")
			if !isRegex {
				rule.values = append(rule.values, headerValue{text: expr})
				continue
			}
			re, err := compilePattern(expr)
			if err != nil {
				return nil, fmt.Errorf("headers.%s: %q: %w", name, value, err)
			}
			rule.values = append(rule.values, headerValue{regex: re})
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// match finds the first configured value that matches any of the request's. If that is a regular expression, it comes
// with the request's value in lower case.
func (r *headerRule) match(values []string) (regex *pattern, value string, ok bool) {
	for _, want := range r.values {
		for _, got := range values {
			if want.regex == nil {
				if equalLower(got, want.text) {
					return nil, "", true
				}
			} else if got = strings.ToLower(got); want.regex.match(got) {
				return want.regex, got, true
			}
		}
	}
	return nil, "", false
}

// plain reports whether all values are texts.
func (r *headerRule) plain() bool {
	return !slices.ContainsFunc(r.values, func(v headerValue) bool { return v.regex != nil })
}

// headerSet is a set of header names that finds those present in a request without trying all of them when there are
// more names than headers.
type headerSet struct {
	names []headerName
	byKey map[string]int // both keys of each name → its index in names
}

// add returns the name's index.
func (s *headerSet) add(name headerName) int {
	if i, ok := s.byKey[name.underscored]; ok {
		return i
	}
	if s.byKey == nil {
		s.byKey = make(map[string]int)
	}
	i := len(s.names)
	s.names = append(s.names, name)
	s.byKey[name.underscored], s.byKey[name.dashed] = i, i
	return i
}

// present yields the index and the values of each name that the request has; one may come twice.
func (s *headerSet) present(h http.Header) iter.Seq2[int, []string] {
	return func(yield func(i int, values []string) bool) {
		if len(s.names) > len(h) {
			for key := range h {
				if i, ok := s.byKey[key]; ok && !yield(i, s.names[i].values(h)) {
					return
				}
			}
			return
		}
		for i := range s.names {
			if values := s.names[i].values(h); len(values) > 0 && !yield(i, values) {
				return
			}
		}
	}
}

// readable reports whether the values of all the set's headers are valid UTF-8.
func (s *headerSet) readable(h http.Header) bool {
	if len(s.names) == 0 {
		return true
	}
	for _, values := range s.present(h) {
		for _, v := range values {
			if !utf8.ValidString(v) {
				return false
			}
		}
	}
	return true
}

// equalLower reports whether value in lower case is text. Kong folds the value's Unicode letters, but only ASCII ones
// in the configured text.
func equalLower(value, text string) bool {
	for i := range len(value) {
		c := value[i]
		if c >= utf8.RuneSelf {
			return strings.ToLower(value) == text
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if i >= len(text) || text[i] != c {
			// A letter outside ASCII can lower to one inside it, but not before this byte.
			return false
		}
	}
	return len(value) == len(text)
}

// lowerASCII is Lua's string.lower in the C locale.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
