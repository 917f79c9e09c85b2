package inventory

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// segment is one part of a path: text that stands for itself, or a parameter.
type segment struct {
	text  string // of a parameter: its name where the configuration has one
	kind  kind
	param bool
}

// kind is what the values of a parameter look like.
type kind string

// The kinds of parameter. A slug is a word, one of many at its place.
const (
	number kind = "number"
	uuid   kind = "uuid"
	hash   kind = "hash"
	date   kind = "date"
	email  kind = "email"
	slug   kind = "slug"
)

var (
	isNumber = regexp.MustCompile(`^-?[0-9]+$`)
	isUUID   = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)
	isDate   = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	isEmail  = regexp.MustCompile(`^[^@\s/]+@[^@\s/]+\.[A-Za-z]{2,}$`)
	isHex    = regexp.MustCompile(`^[0-9A-Fa-f]{12,}$`)
	isWord   = regexp.MustCompile(`^[0-9A-Za-z_-]{16,}$`)
	hasDigit = regexp.MustCompile(`[0-9]`)
)

// kindOf tells what a text is by its look; "" for a word.
func kindOf(text string) kind {
	switch {
	case isNumber.MatchString(text):
		return number
	case isUUID.MatchString(text):
		return uuid
	case isDate.MatchString(text):
		return date
	case isEmail.MatchString(text):
		return email
	case isHex.MatchString(text) && hasDigit.MatchString(text), isRandom(text):
		return hash
	case text == mask || len(text) > maxSegment:
		return slug
	}
	return ""
}

// isRandom reports whether a text looks like random letters and digits, such as an identifier in base 62: letters and
// digits take turns more often than in a word with a version.
func isRandom(text string) bool {
	if !isWord.MatchString(text) {
		return false
	}
	digits, turns := 0, 0
	for i := range len(text) {
		digit := text[i]-'0' < 10
		if digit {
			digits++
		}
		if i > 0 && digit != (text[i-1]-'0' < 10) {
			turns++
		}
	}
	return digits >= 3 && turns >= 4
}

// split makes segments of a path: what looks like an identifier becomes a parameter.
func split(path string) []segment {
	var segments []segment
	for text := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if len(segments) == maxSegments {
			segments[maxSegments-1] = segment{kind: slug, param: true}
			break
		}
		plain := text
		if strings.IndexByte(text, '%') >= 0 {
			if unescaped, err := url.PathUnescape(text); err == nil {
				plain = unescaped
			}
		}
		if k := kindOf(plain); k != "" {
			segments = append(segments, segment{kind: k, param: true})
		} else {
			segments = append(segments, segment{text: text})
		}
	}
	return segments
}

// patterns are the configured regular expressions of paths, compiled when they are first met.
type patterns map[string]*regexp.Regexp

// segments makes segments of a path by the captures of the route's pattern first, then by what the rest looks like.
func (p *patterns) segments(pattern, path string) []segment {
	expression, ok := strings.CutPrefix(pattern, "~")
	if !ok || strings.IndexByte(expression, '(') < 0 {
		return split(path)
	}
	if *p == nil {
		*p = patterns{}
	}
	re, known := (*p)[expression]
	if !known {
		if len(*p) >= maxPatterns {
			return split(path)
		}
		re, _ = regexp.Compile("^(?:" + expression + ")") // one that Go cannot read is nil
		(*p)[expression] = re
	}
	if re == nil {
		return split(path)
	}
	at := re.FindStringSubmatchIndex(path)
	if at == nil {
		return split(path)
	}
	return captured(path, at, re.SubexpNames())
}

// captured puts the captures of a match, those that contain others excepted, in the place of their text.
func captured(path string, at []int, names []string) []segment {
	type capture struct {
		start, end int
		name       string
	}
	var captures []capture
	for i := 1; i < len(names); i++ {
		start, end := at[2*i], at[2*i+1]
		if start < 0 || start == end || strings.IndexByte(path[start:end], '/') >= 0 {
			continue
		}
		name := names[i]
		if name == "" {
			name = strconv.Itoa(i)
		}
		captures = append(captures, capture{start, end, name})
	}
	slices.SortStableFunc(captures, func(a, b capture) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	var segments []segment
	offset := 1
	for text := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if len(segments) == maxSegments {
			segments[maxSegments-1] = segment{kind: slug, param: true}
			break
		}
		end := offset + len(text)
		var out strings.Builder
		kept, whole := offset, ""
		for _, c := range captures {
			if c.start < kept || c.end > end {
				continue
			}
			if c.start == offset && c.end == end {
				whole = c.name
			}
			out.WriteString(path[kept:c.start] + "{" + c.name + "}")
			kept = c.end
		}
		switch {
		case whole != "":
			segments = append(segments, segment{text: whole, kind: cmp.Or(kindOf(text), slug), param: true})
		case kept > offset:
			out.WriteString(path[kept:end])
			segments = append(segments, segment{text: out.String()})
		default:
			segments = append(segments, split(text)...)
		}
		offset = end + 1
	}
	return segments
}

// place is a node of the tree of a host's paths.
type place struct {
	literals  map[string]*place
	param     *place // nil: no parameter is known here
	name      string // of the parameter that this place stands for, where it is configured
	kinds     map[kind]int64
	full      bool  // too many words: unknown ones are values of the parameter
	calls     int64 // that came by
	endpoints map[string]*endpoint
}

// next is where a segment leads, nil if that is not known.
func (p *place) next(s segment) *place {
	if !s.param {
		if literal := p.literals[s.text]; literal != nil {
			return literal
		}
		if !p.full {
			return nil
		}
	}
	return p.param
}

// walk goes down a path that is known.
func (p *place) walk(segments []segment) *place {
	for _, s := range segments {
		if p = p.next(s); p == nil {
			return nil
		}
	}
	return p
}

// descend goes down a path and makes what is not known of it.
func (p *place) descend(segments []segment) *place {
	for i, s := range segments {
		next := p.next(s)
		switch {
		case next == nil && !s.param && len(p.literals) < maxLiterals:
			if p.literals == nil {
				p.literals = map[string]*place{}
			}
			next = &place{}
			p.literals[s.text] = next
		case next == nil && !s.param:
			p.collapse()
			return p.descend(segments[i:])
		case next == nil:
			next = &place{}
			p.param = next
		}
		if next == p.param {
			next.takes(s)
		}
		next.calls++
		p = next
	}
	return p
}

// takes notes a value of the parameter.
func (p *place) takes(s segment) {
	if p.kinds == nil {
		p.kinds = map[kind]int64{}
	}
	p.kinds[cmp.Or(s.kind, slug)]++
	if s.param && s.text != "" {
		p.name = s.text
	}
}

// collapse makes a parameter of the words at a place, save those that come up often enough to be names.
func (p *place) collapse() {
	const often = 10 // one in so many
	total := int64(0)
	for _, literal := range p.literals {
		total += literal.calls
	}
	p.full = true
	if p.param == nil {
		p.param = &place{}
	}
	for text, literal := range p.literals {
		if literal.calls*often > total || strings.IndexByte(text, '{') >= 0 {
			continue
		}
		delete(p.literals, text)
		p.param.merge(literal)
		p.param.takes(segment{kind: slug})
	}
}

// merge takes over what is known below another place.
func (p *place) merge(other *place) {
	p.calls += other.calls
	for text, literal := range other.literals {
		if p.literals == nil {
			p.literals = map[string]*place{}
		}
		if own := p.literals[text]; own != nil {
			own.merge(literal)
		} else {
			p.literals[text] = literal
		}
	}
	if other.param != nil {
		if p.param == nil {
			p.param = &place{}
		}
		p.param.merge(other.param)
		for k, n := range other.param.kinds {
			if p.param.kinds == nil {
				p.param.kinds = map[kind]int64{}
			}
			p.param.kinds[k] += n
		}
		p.param.name = cmp.Or(p.param.name, other.param.name)
	}
	p.full = p.full || other.full
	for method, e := range other.endpoints {
		if p.endpoints == nil {
			p.endpoints = map[string]*endpoint{}
		}
		if own := p.endpoints[method]; own != nil {
			own.merge(e)
		} else {
			p.endpoints[method] = e
		}
	}
	if len(p.literals) > maxLiterals {
		p.collapse()
	}
}

func (p *place) count() int {
	n := len(p.endpoints)
	for _, literal := range p.literals {
		n += literal.count()
	}
	if p.param != nil {
		n += p.param.count()
	}
	return n
}

// each calls f for all endpoints below, with the way to them. way is changed after f returns.
func (p *place) each(way []step, f func(way []step, method string, e *endpoint)) {
	for method, e := range p.endpoints {
		f(way, method, e)
	}
	for text, literal := range p.literals {
		literal.each(append(way, step{text: text, at: literal}), f)
	}
	if p.param != nil {
		p.param.each(append(way, step{param: true, at: p.param}), f)
	}
}

// step is one segment of the way to an endpoint.
type step struct {
	text  string
	param bool
	at    *place
}

// pathParameter is a parameter of a path template.
type pathParameter struct {
	name  string
	kinds map[kind]int64
}

var captureNames = regexp.MustCompile(`\{([^{}]+)\}`)

// template writes the way to an endpoint as OpenAPI does. A parameter has its configured name, or one after the segment
// before it: /users/{userId}.
func template(way []step) (path string, parameters []pathParameter) {
	used := map[string]bool{}
	unique := func(name string) string {
		for i, base := 2, name; used[name]; i++ {
			name = base + strconv.Itoa(i)
		}
		used[name] = true
		return name
	}
	var out strings.Builder
	before := ""
	for _, s := range way {
		out.WriteByte('/')
		if !s.param {
			before = s.text
			out.WriteString(captureNames.ReplaceAllStringFunc(s.text, func(capture string) string {
				name := unique(parameterName(capture[1 : len(capture)-1]))
				parameters = append(parameters, pathParameter{name: name})
				return "{" + name + "}"
			}))
			continue
		}
		name := parameterName(s.at.name)
		if name == "" {
			name = guessName(before, s.at.kinds)
		}
		name = unique(name)
		parameters = append(parameters, pathParameter{name, s.at.kinds})
		out.WriteString("{" + name + "}")
	}
	if out.Len() == 0 {
		return "/", nil
	}
	return out.String(), parameters
}

// parameterName makes a number that a capture goes by into a name.
func parameterName(name string) string {
	if isNumber.MatchString(name) {
		return "param" + name
	}
	return name
}

// guessName names a parameter after the segment before it.
func guessName(before string, kinds map[kind]int64) string {
	if len(kinds) == 1 && kinds[date] > 0 {
		return "date"
	}
	word := strings.Map(func(r rune) rune {
		if r < 128 && (r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9') {
			return r
		}
		return -1
	}, before)
	switch {
	case word == "" || word[0] >= '0' && word[0] <= '9' || regexp.MustCompile(`^v[0-9]+$`).MatchString(word):
		return "id"
	case strings.HasSuffix(word, "ies") && len(word) > 4:
		word = word[:len(word)-3] + "y"
	case strings.HasSuffix(word, "sses") || strings.HasSuffix(word, "xes") || strings.HasSuffix(word, "ches"):
		word = word[:len(word)-2]
	case strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ss") && !strings.HasSuffix(word, "us"):
		word = word[:len(word)-1]
	}
	return word + "Id"
}
