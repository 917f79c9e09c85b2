package capture

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// redactor knows what is secret in a request and its answer. It is read-only.
//
// What it cannot make sense of it masks: a text that was cut or is malformed shows no more than a whole one would.
type redactor struct {
	off   bool
	mask  string // stands in the place of a secret; letters, digits and the like alone
	names *names
	paths [][]string // of JSON fields, "*" being any
	cards bool
}

// maxMarks bounds the places that are named of one request.
const maxMarks = 32

// marks are the places where something was masked, in the order they were met, each once.
type marks struct {
	places []place
	more   bool // there were further ones
}

// place is a part of a request, "request.body", and what was masked there: the name of a field, or what it was taken for.
type place struct{ part, name string }

func (m *marks) add(at place) {
	switch {
	case slices.Contains(m.places, at):
	case len(m.places) >= maxMarks:
		m.more = true
	default:
		m.places = append(m.places, at)
	}
}

// appendJSON writes the places as a list, names in lower case.
func (m *marks) appendJSON(out []byte) []byte {
	out = append(out, '[')
	for i, at := range m.places {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), at.part...), '.')
		from := len(out)
		out = appendQuoted(out, at.name)
		out = append(out[:from], out[from+1:]...) // without its first quote
		for j := from; j < len(out); j++ {
			if out[j]-'A' < 26 {
				out[j] |= 0x20
			}
		}
	}
	if m.more {
		out = append(out, `,"…"`...)
	}
	return append(out, ']')
}

// masking is the redaction of one part of a request.
type masking struct {
	*redactor
	marks *marks
	part  string // "request.body"
	cut   bool   // the text goes on unseen
	depth int    // of texts within texts

	// Room to work in.
	page   *page
	fields []field
	order  []position
}

// maxNested bounds texts within texts, a JSON document in a string of another for example.
const maxNested = 4

// hide writes the mask and marks the place by the name of a field, or by what the text was taken for.
func (m *masking) hide(out []byte, name string) []byte {
	const longest = 64
	if len(name) > longest {
		name = name[:longest]
	}
	m.marks.add(place{m.part, name})
	return append(out, m.mask...)
}

// format is how a text is read.
type format uint8

const (
	formatText format = iota
	formatJSON
	formatForm
	formatMarkup
	formatHTML
	formatTable
	formatMultipart
)

// formatOf says how to read what a media type stands for.
func formatOf(media string) format {
	switch {
	case media == "application/x-www-form-urlencoded":
		return formatForm
	case media == "text/html", media == "application/xhtml+xml":
		return formatHTML
	case strings.HasSuffix(media, "/xml"), strings.HasSuffix(media, "+xml"):
		return formatMarkup
	case strings.Contains(media, "json"):
		return formatJSON
	case media == "text/csv", media == "text/tab-separated-values":
		return formatTable
	case strings.HasPrefix(media, "multipart/"):
		return formatMultipart
	default:
		return formatText
	}
}

// text appends in with its secrets masked. contentType says how to read it; what in looks like counts for more.
func (m *masking) text(out, in []byte, contentType string) []byte {
	if m.off {
		return append(out, in...)
	}
	as := formatOf(mediaType(contentType))
	if _, clean := m.glance(in, as); clean {
		return append(out, in...)
	}
	from := len(out)
	out = m.read(out, in, as, contentType)
	return m.shapes(out, from)
}

// read masks by names and places.
func (m *masking) read(out, in []byte, as format, contentType string) []byte {
	if as == formatMultipart {
		return m.multipart(out, in, contentType)
	}
	switch first := firstByte(in); {
	case as == formatJSON, first == '{', first == '[':
		from, known := len(out), *m.marks
		out, ok := m.json(out, in)
		if ok || as != formatText {
			return out
		}
		*m.marks = known
		return m.lines(out[:from], in) // "[12:00:01] started"
	case first == '<' && as == formatHTML:
		return m.markup(out, in, true)
	case first == '<':
		return m.markup(out, in, false)
	case as == formatForm:
		return m.pairs(out, in)
	case as == formatTable:
		return m.table(out, in)
	default:
		return m.lines(out, in)
	}
}

// firstByte is the first byte that is no white space, 0 if there is none.
func firstByte(in []byte) byte {
	in = bytes.TrimPrefix(in, byteOrderMark)
	for _, c := range in {
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
	}
	return 0
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// shapes masks what is secret by its look in out from position from on.
func (m *masking) shapes(out []byte, from int) []byte {
	out = m.replace(out, from, "userinfo", nextUserInfo)
	out = m.replace(out, from, "credential", nextScheme)
	out = m.replace(out, from, "credential", nextWebToken)
	return m.numbers(out, from)
}

// numbers masks card numbers in out from position from on.
func (m *masking) numbers(out []byte, from int) []byte {
	if !m.cards {
		return out
	}
	return m.replace(out, from, "card", func(text []byte, at int) (int, int, bool) { return nextCard(text, at, m.cut) })
}

// replace masks what next finds in out from position from on.
func (m *masking) replace(out []byte, from int, what string, next func(text []byte, from int) (int, int, bool)) []byte {
	start, end, ok := next(out, from)
	if !ok {
		return out
	}
	rest := bytes.Clone(out[start:])
	out = out[:start]
	end -= start
	for at := 0; ; {
		out = m.hide(out, what)
		at = end
		if start, end, ok = next(rest, at); !ok {
			return append(out, rest[at:]...)
		}
		out = append(out, rest[at:start]...)
	}
}

// lines masks the value of every "name: value" and "name=value" whose name means a secret, up to the end of the line; in
// "name=value" up to "&". Where the value may go on below, all the rest is masked.
func (m *masking) lines(out, in []byte) []byte {
	kept := 0
	for at := 0; at < len(in); at++ {
		if in[at] != ':' && in[at] != '=' {
			continue
		}
		name := nameBefore(in[kept:at])
		if len(name) == 0 || !secret(m.names, unescaped(name)) {
			continue
		}
		end := at + 1
		for end < len(in) && in[end] != '\n' && in[end] != '\r' && (in[end] != '&' || in[at] == ':') {
			end++
		}
		if value := bytes.TrimSpace(in[at+1 : end]); len(value) == 0 && !(end < len(in) && in[end] == '&') || opens(value) {
			end = len(in)
		}
		out = append(out, in[kept:at+1]...)
		out = m.hide(out, string(name))
		kept = end
		at = end - 1
	}
	return append(out, in[kept:]...)
}

// opens reports whether a value may go on in the next lines.
func opens(value []byte) bool {
	if len(value) == 0 {
		return false
	}
	switch first := value[0]; first {
	case '"', '\'', '`':
		return bytes.IndexByte(value[1:], first) < 0
	}
	switch value[len(value)-1] {
	case '{', '[', '(', '|', '>', '\\', ',':
		return true
	}
	return false
}

// suspect reports whether lines would mask something, or text is in a format of its own.
func (m *masking) suspect(in []byte) bool {
	for at, c := range in {
		if (c == ':' || c == '=') && secret(m.names, unescaped(nameBefore(in[:at]))) {
			return true
		}
	}
	switch firstByte(in) {
	case '{', '[', '<':
		return true
	}
	return false
}

// nameBefore is the name that ends where in ends, but for white space and quotes.
func nameBefore(in []byte) []byte {
	end := len(in)
	for end > 0 && (in[end-1] == ' ' || in[end-1] == '\t' || in[end-1] == '"' || in[end-1] == '\'' || in[end-1] == '\\') {
		end--
	}
	start := end
	for start > 0 && end-start < maxName && nameByte(in[start-1]) {
		start--
	}
	return in[start:end]
}

// maxName is the length up to which a name is looked at, from its end.
const maxName = 256

func nameByte(c byte) bool {
	return letter(c) || digit(c) || c == '_' || c == '-' || c == '.' || c == '[' || c == ']' || c == '%' || c == '+' || c >= utf8.RuneSelf
}

// unescaped is a name of a form without its escapes.
func unescaped(name []byte) []byte {
	if bytes.IndexByte(name, '%') < 0 {
		return name
	}
	if plain, err := url.QueryUnescape(string(name)); err == nil {
		return []byte(plain)
	}
	return name
}

// pairs masks the values of a form or a query by their names.
func (m *masking) pairs(out, in []byte) []byte {
	for len(in) > 0 {
		end := bytes.IndexByte(in, '&')
		if end < 0 {
			end = len(in)
		}
		out = m.pair(out, in[:end])
		if end < len(in) {
			out = append(out, in[end])
			end++
		}
		in = in[end:]
	}
	return out
}

func (m *masking) pair(out, in []byte) []byte {
	eq := bytes.IndexByte(in, '=')
	if eq < 0 {
		return m.lines(out, in)
	}
	name, value := in[:eq], in[eq+1:]
	if secret(m.names, unescaped(name)) {
		out = append(out, in[:eq+1]...)
		if len(value) == 0 && !m.cut {
			return out
		}
		return m.hide(out, string(unescaped(name)))
	}
	if bytes.IndexByte(value, '%') < 0 {
		return m.lines(out, in)
	}
	// What is escaped is read as what it stands for.
	plain, err := url.QueryUnescape(string(value))
	if err != nil {
		plain = string(value)
	}
	shown, ok := m.nested([]byte(plain))
	if ok {
		return append(out, in...)
	}
	out = append(out, in[:eq+1]...)
	return append(out, url.QueryEscape(string(shown))...)
}

// nested masks a text that stands within another. ok: there was nothing to mask.
func (m *masking) nested(in []byte) (shown []byte, ok bool) {
	if m.depth >= maxNested {
		return m.hide(nil, "nested"), false
	}
	inner := *m
	inner.depth++
	shown = inner.text(nil, in, "")
	return shown, bytes.Equal(shown, in)
}

// table shows the first line of a table alone if one of its columns means a secret.
func (m *masking) table(out, in []byte) []byte {
	head := in
	if end := bytes.IndexByte(in, '\n'); end >= 0 {
		head = in[:end+1]
	}
	for column := range bytes.FieldsFuncSeq(head, func(r rune) bool { return r == ',' || r == ';' || r == '\t' || r == '|' }) {
		if secret(m.names, column) {
			return m.hide(append(out, head...), string(bytes.TrimSpace(column)))
		}
	}
	return m.lines(out, in)
}

// target masks a path with its query.
func (m *masking) target(target string) string {
	if m.off {
		return target
	}
	path, query, found := strings.Cut(target, "?")
	switch seen := look(target); {
	case seen&(escapes|signs|colons|percent) != 0:
	case seen&digits != 0 && m.cards && hasCard(target):
	case seen&equals == 0 || strings.IndexByte(path, '=') < 0 && m.harmless(query):
		return target
	}
	return m.readTarget(path, query, found)
}

// targets are some in which there was nothing to mask, by their length: the same come again and again. The zero value is
// ready to use, by several goroutines.
type targets [16]atomic.Pointer[string]

// mask is m.target.
func (t *targets) mask(m *masking, target string) string {
	at := &t[len(target)%len(t)]
	clean := at.Load()
	if clean != nil && *clean == target {
		return target
	}
	shown := m.target(target)
	if shown == target && len(target) <= maxKept && (clean == nil || seldom()) {
		clean := strings.Clone(target)
		at.Store(&clean)
	}
	return shown
}

func (m *masking) readTarget(path, query string, found bool) string {
	out := m.lines(nil, []byte(path))
	if found {
		out = append(out, '?')
		out = m.pairs(out, []byte(query))
	}
	return string(m.shapes(out, 0))
}

// harmless reports whether a query without escapes is of names that mean no secret. It may say no to one that is.
func (m *masking) harmless(query string) bool {
	name := 0
	for i := range len(query) {
		switch query[i] {
		case '=':
			if unsafe(m.names, query[name:i]) {
				return false
			}
			name = i + 1
		case '&':
			name = i + 1
		}
	}
	return true
}

// partHeader masks a part's header's value: all of it where the name means a secret, else what is secret in it.
func (m *masking) partHeader(out []byte, name, value string) []byte {
	switch {
	case m.off:
		return append(out, value...)
	case secret(m.names, name):
		return m.hide(out, name)
	}
	from := len(out)
	if strings.IndexByte(value, '=') >= 0 {
		out = m.lines(out, []byte(value)) // parameters, and those of a URL
	} else {
		out = append(out, value...)
	}
	return m.shapes(out, from)
}
