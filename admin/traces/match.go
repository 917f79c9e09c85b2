package traces

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Match reports whether a trace is one that the filter asks for.
func (f *Filter) match(t *stored, row *Summary, resource []byte) bool {
	if f == nil {
		return true
	}
	for i := range f.terms {
		if f.terms[i].match(t, row, resource) == f.terms[i].negated {
			return false
		}
	}
	return true
}

func (t *term) match(trace *stored, row *Summary, resource []byte) bool {
	switch t.op {
	case contains:
		return t.inRow(row) || t.inSpans(trace, resource)
	case exists:
		found := false
		trace.attributes(resource, func(key, _ []byte) bool {
			found = string(key) == t.field
			return !found
		})
		return found
	}
	switch t.field {
	case "id":
		return t.compareText(row.ID)
	case "method":
		return t.compareText(row.Method)
	case "host":
		return t.compareText(row.Host)
	case "path":
		return t.compareText(row.Path)
	case "route":
		// A route is known by what its path is and by its name.
		if t.op == unequal || t.op == mismatches {
			return t.compareText(row.Route) && t.compareText(row.RouteName)
		}
		return t.compareText(row.Route) || t.compareText(row.RouteName)
	case "route_name":
		return t.compareText(row.RouteName)
	case "service":
		return t.anyText(append([]string{row.Service}, row.Services...))
	case "consumer":
		return t.compareText(row.Consumer)
	case "request_id":
		return t.compareText(row.RequestID)
	case "name":
		return t.compareText(row.Name)
	case "status":
		return t.compareNumber(float64(row.Status))
	case "duration":
		return t.compareNumber(row.Duration)
	case "spans":
		return t.compareNumber(float64(row.Spans))
	case "errors":
		return t.compareNumber(float64(row.Errors))
	case "logs":
		return t.compareNumber(float64(row.Logs))
	case "error":
		return t.compareText(strconv.FormatBool(row.Error))
	case "sampled":
		return t.compareText(strconv.FormatBool(row.Sampled))
	case "gateway":
		return t.compareText(strconv.FormatBool(row.Gateway))
	}
	return t.attribute(trace, resource)
}

// anyText compares with several values: any of them may be equal, none may be where it must not.
func (t *term) anyText(values []string) bool {
	denies := t.op == unequal || t.op == mismatches
	for _, value := range values {
		if t.compareText(value) != denies {
			return !denies
		}
	}
	return denies
}

// attribute compares with every attribute of the field's name. != and !~ hold where no value is equal or matches, so
// also where there is no such attribute.
func (t *term) attribute(trace *stored, resource []byte) bool {
	denies := t.op == unequal || t.op == mismatches
	found := false
	trace.attributes(resource, func(key, value []byte) bool {
		if string(key) != t.field {
			return true
		}
		return scalars(value, func(text []byte) bool {
			found = t.compareText(string(text)) != denies
			return !found
		})
	})
	return found != denies
}

func (t *term) compareText(value string) bool {
	switch t.op {
	case equal:
		return value == t.value || t.isNumber && t.equalsNumber(value)
	case unequal:
		return value != t.value && !(t.isNumber && t.equalsNumber(value))
	case matches:
		return t.pattern.MatchString(value)
	case mismatches:
		return !t.pattern.MatchString(value)
	}
	n, ok := parseNumber(value)
	return ok && t.compareNumber(n)
}

// equalsNumber lets 200 be equal to 200.0.
func (t *term) equalsNumber(value string) bool {
	n, ok := parseNumber(value)
	return ok && n == t.number
}

func (t *term) compareNumber(n float64) bool {
	switch t.op {
	case equal:
		return n == t.number
	case unequal:
		return n != t.number
	case greater:
		return n > t.number
	case greaterEqual:
		return n >= t.number
	case less:
		return n < t.number
	case lessEqual:
		return n <= t.number
	case matches:
		return t.pattern.MatchString(strconv.FormatFloat(n, 'f', -1, 64))
	case mismatches:
		return !t.pattern.MatchString(strconv.FormatFloat(n, 'f', -1, 64))
	}
	return false
}

func (t *term) inRow(row *Summary) bool {
	for _, text := range [...]string{
		row.ID, row.Method, row.Host, row.Path, row.Route, row.RouteName, row.Service, row.Consumer, row.RequestID,
		strconv.Itoa(row.Status),
	} {
		if strings.Contains(strings.ToLower(text), t.value) {
			return true
		}
	}
	return false
}

func (t *term) inSpans(trace *stored, resource []byte) bool {
	needle := []byte(t.value)
	found := false
	trace.spans(resource, func(s *span) bool {
		found = containsFold(s.name, needle)
		return !found
	})
	if found {
		return true
	}
	trace.attributes(resource, func(_, value []byte) bool {
		return scalars(value, func(text []byte) bool {
			found = containsFold(text, needle)
			return !found
		})
	})
	return found
}

// containsFold reports whether text holds needle, which is in lower case, whatever the case of text.
func containsFold(text, needle []byte) bool {
	if len(needle) == 0 {
		return true
	}
	for _, c := range needle {
		if c >= utf8.RuneSelf {
			return bytes.Contains(bytes.ToLower(text), needle)
		}
	}
	small, capital := needle[0], byte(unicode.ToUpper(rune(needle[0])))
	for i := 0; i+len(needle) <= len(text); i++ {
		if text[i] != small && text[i] != capital {
			continue
		}
		if equalFold(text[i:i+len(needle)], needle) {
			return true
		}
	}
	return false
}

// equalFold compares ASCII text with lower-case ASCII text of the same length.
func equalFold(text, lower []byte) bool {
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// attributes runs over the attributes of a trace's spans, of their events, and of their resources.
func (t *stored) attributes(resource []byte, yield func(key, value []byte) bool) {
	var last []byte
	goOn := true
	take := func(key, value []byte) bool {
		goOn = goOn && yield(key, value)
		return goOn
	}
	t.spans(resource, func(s *span) bool {
		if len(s.resource) > 0 && (last == nil || &last[0] != &s.resource[0]) {
			last = s.resource
			attributes(s.resource, numResourceAttribute, take)
		}
		if goOn {
			attributes(s.message, numAttribute, take)
		}
		if !goOn {
			return false
		}
		for f := (fields{rest: s.message}); f.next(); {
			if f.number == numEvent && goOn {
				attributes(f.bytes, numEventAttribute, take)
			}
		}
		return goOn
	})
}
