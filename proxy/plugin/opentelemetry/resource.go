package opentelemetry

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"sidekong/proxy/plugin"
	"sidekong/tracing/otlp"
)

const (
	// maxResources is the number of distinct resources that an instance's templates may give rise to. A receiver keeps
	// each for long, and values come from strangers.
	maxResources = 1000
	// maxResourceValue is the length of a value, in bytes, beyond which it is cut.
	maxResourceValue = 256
)

// resources give each request its own resource, where values of resource_attributes are templates. Every distinct one
// is encoded once. Beyond maxResources of them requests get the instance's plain resource, and one line says so.
type resources struct {
	templates []namedTemplate
	secrets   *plugin.Secrets
	log       *slog.Logger

	mu    sync.Mutex
	known map[string][]byte // rendered values → attributes as otlp.Resource's Bytes
	full  bool
}

type namedTemplate struct {
	name string
	template
}

// newResources splits templates from plain attributes; nil: there are no templates.
func newResources(attributes map[string]string, secrets *plugin.Secrets, log *slog.Logger) (plain map[string]string, r *resources) {
	plain = maps.Clone(attributes)
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		t, ok := parseTemplate(attributes[name])
		if !ok {
			if strings.Contains(attributes[name], "$(") {
				log.Warn("resource attribute is taken as it stands: it is no template that is understood", "attribute", name)
			}
			continue
		}
		if r == nil {
			r = &resources{secrets: secrets, log: log, known: map[string][]byte{}}
		}
		r.templates = append(r.templates, namedTemplate{name, t})
		delete(plain, name)
	}
	return plain, r
}

var renderings = sync.Pool{New: func() any { return new([]byte) }}

// of gives the attributes that a request's resource has beyond the plain one, or in place of its; nil: none.
func (r *resources) of(ctx *plugin.Context) []byte {
	if r == nil {
		return nil
	}
	scratch := renderings.Get().(*[]byte)
	defer renderings.Put(scratch)
	source := values{ctx: ctx, secrets: r.secrets}
	rendered := (*scratch)[:0]
	for i := range r.templates {
		at := len(rendered)
		rendered = append(rendered, 0, 0)
		rendered = r.templates[i].render(rendered, &source)
		rendered = cut(rendered, at+2, maxResourceValue)
		binary.BigEndian.PutUint16(rendered[at:], uint16(len(rendered)-at-2))
	}
	*scratch = rendered

	r.mu.Lock()
	defer r.mu.Unlock()
	if encoded, ok := r.known[string(rendered)]; ok {
		return encoded
	}
	if len(r.known) >= maxResources {
		if !r.full {
			r.full = true
			r.log.Warn("resource_attributes have too many distinct values: further requests get none of those with templates", "limit", maxResources)
		}
		return nil
	}
	encoded := r.encode(rendered)
	r.known[string(rendered)] = encoded
	return encoded
}

// encode makes a resource's attributes of rendered values; empty ones are left out.
func (r *resources) encode(rendered []byte) []byte {
	attributes := otlp.Resource{}
	for _, t := range r.templates {
		size := int(binary.BigEndian.Uint16(rendered))
		if value := rendered[2 : 2+size]; size > 0 {
			attributes[t.name] = string(value)
		}
		rendered = rendered[2+size:]
	}
	encoded, err := attributes.Bytes()
	if err != nil {
		r.log.Error("resource is left out", "error", err) // its text is valid, so there is no reason to fail
		return nil
	}
	return encoded
}

// cut shortens text[from:] to a length, and not within a character.
func cut(text []byte, from, length int) []byte {
	if len(text)-from <= length {
		return text
	}
	end := from + length
	for end > from && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// template is text with values of the request in it.
type template []piece

// piece is plain text, or the first of its choices that has a value.
type piece struct {
	text    string
	choices []choice // nil: text
}

// choice is a value of the request by its table and name, or a plain text where table is "".
type choice struct{ table, name string }

// parseTemplate reads text with $(headers.x), $(query_params.x), $(uri_captures.x) and $(shared.x), where .x may be
// ["x"] and "or" leads to a further choice or a quoted text. ok is false where it holds none of these, or something
// else in $(…): Kong evaluates any Lua there. Kong: kong/plugins/opentelemetry/utils.lua compile_resource_attributes
func parseTemplate(text string) (t template, ok bool) {
	for {
		before, rest, found := strings.Cut(text, "$(")
		if before != "" {
			t = append(t, piece{text: before})
		}
		if !found {
			return t, ok
		}
		choices, rest, err := parseExpression(rest)
		if err != nil {
			return nil, false
		}
		t = append(t, piece{choices: choices})
		text, ok = rest, true
	}
}

// parseExpression reads choices up to the closing parenthesis.
func parseExpression(text string) (choices []choice, rest string, err error) {
	for {
		c, after, ok := parseChoice(strings.TrimLeft(text, " "))
		if !ok {
			return nil, "", fmt.Errorf("parse template: unexpected %.20q", text)
		}
		choices = append(choices, c)
		after = strings.TrimLeft(after, " ")
		if rest, ok := strings.CutPrefix(after, ")"); ok {
			return choices, rest, nil
		}
		if text, ok = strings.CutPrefix(after, "or "); !ok {
			return nil, "", fmt.Errorf("parse template: unexpected %.20q", after)
		}
	}
}

func parseChoice(text string) (c choice, rest string, ok bool) {
	if quoted, rest, ok := parseQuoted(text); ok {
		return choice{name: quoted}, rest, true
	}
	for _, table := range []string{"headers", "query_params", "uri_captures", "shared"} {
		rest, ok := strings.CutPrefix(text, table)
		if !ok {
			continue
		}
		if name, ok := strings.CutPrefix(rest, "["); ok {
			key, rest, quoted := parseQuoted(name)
			rest, closed := strings.CutPrefix(rest, "]")
			if !quoted {
				digits := len(name) - len(strings.TrimLeft(name, "0123456789"))
				key = name[:digits]
				rest, closed = strings.CutPrefix(name[digits:], "]")
			}
			return choice{table, key}, rest, closed && key != ""
		}
		name, ok := strings.CutPrefix(rest, ".")
		size := 0
		for size < len(name) && isWord(name[size]) {
			size++
		}
		if !ok || size == 0 || '0' <= name[0] && name[0] <= '9' {
			return choice{}, "", false
		}
		return choice{table, name[:size]}, name[size:], true
	}
	return choice{}, "", false
}

// parseQuoted reads a text in single or double quotes, without escapes.
func parseQuoted(text string) (quoted, rest string, ok bool) {
	if text == "" || text[0] != '"' && text[0] != '\'' {
		return "", text, false
	}
	quoted, rest, ok = strings.Cut(text[1:], text[:1])
	return quoted, rest, ok && !strings.Contains(quoted, `\`)
}

func isWord(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func (t template) render(buf []byte, source *values) []byte {
	for i := range t {
		if t[i].choices == nil {
			buf = append(buf, t[i].text...)
			continue
		}
		for _, c := range t[i].choices {
			if value, ok := source.get(c); ok {
				buf = append(buf, value...)
				break
			}
		}
	}
	return buf
}

// values are what templates can name of a request.
type values struct {
	ctx     *plugin.Context
	secrets *plugin.Secrets
	query   url.Values // nil: not parsed yet
}

func (v *values) get(c choice) (string, bool) {
	switch c.table {
	case "headers":
		// As in Kong, case does not matter and an underscore stands for a dash. Of several the first counts.
		name := strings.ReplaceAll(strings.ToLower(c.name), "_", "-")
		if name == "host" {
			return v.ctx.Request.Host, v.ctx.Request.Host != ""
		}
		found := v.ctx.Request.Header[http.CanonicalHeaderKey(name)]
		if len(found) == 0 {
			return "", false
		}
		return hide(found[0], v.secrets.Header(name)), true
	case "query_params":
		if v.query == nil {
			_, query, _ := strings.Cut(v.ctx.ForwardedURI, "?")
			v.query, _ = url.ParseQuery(query) // what it could read it gives
		}
		if found := v.query[c.name]; len(found) > 0 {
			return hide(found[0], v.secrets.Parameter(c.name)), true
		}
		return "", false
	case "uri_captures":
		value, ok := v.ctx.Captures[c.name]
		return value, ok
	case "shared":
		if v.ctx.Shared == nil {
			return "", false
		}
		return v.ctx.Shared(c.name)
	default:
		return c.name, true
	}
}

func hide(value string, secret bool) string {
	if secret {
		return plugin.Redacted
	}
	return value
}
