package requesttransformer

import (
	"fmt"
	"strconv"
	"strings"

	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/params"
)

// template is a configured value: text with places that the request fills in. Kong takes any Lua expression in $( ).
// Here are those that look something up: headers, query_params, uri_captures and shared, by .name, ["name"] or, of
// uri_captures, [number], with further ones or a text in quotes after "or".
type template []part

// part is a text, or what is looked up in its place: the first of the choices that there is.
type part struct {
	text    string
	choices []choice
}

// choice is a text or a place to look it up. of is "" for a text.
type choice struct{ of, name string }

// static reports whether the request has no say in the value.
func (t template) static() bool { return len(t) == 1 && t[0].choices == nil }

// parseTemplate reads a configured value.
func parseTemplate(text string) (template, error) {
	var t template
	for rest := text; rest != ""; {
		before, expression, found := strings.Cut(rest, "$(")
		if before != "" {
			t = append(t, part{text: before})
		}
		if !found {
			break
		}
		s := scanner{expression}
		choices, err := s.expression()
		if err != nil {
			return nil, fmt.Errorf("$(%s: %w", expression, err)
		}
		t = append(t, part{choices: choices})
		rest = s.rest
	}
	if t == nil {
		t = template{part{}}
	}
	return t, nil
}

// scanner reads one expression up to its closing parenthesis.
type scanner struct{ rest string }

var errNoLookup = fmt.Errorf("want a lookup such as headers.name, query_params.name, uri_captures.name or shared.name, " +
	`with or "text" after it: other Lua does not run here`)

func (s *scanner) expression() (choices []choice, err error) {
	for {
		c, ok := s.choice()
		if !ok {
			return nil, errNoLookup
		}
		choices = append(choices, c)
		if s.skip(")") {
			return choices, nil
		}
		if !s.skip("or ") {
			return nil, errNoLookup
		}
	}
}

// skip goes past token and the blanks before it.
func (s *scanner) skip(token string) bool {
	trimmed := strings.TrimLeft(s.rest, " \t\r\n")
	after, ok := strings.CutPrefix(trimmed, token)
	if ok {
		s.rest = after
	}
	return ok
}

func (s *scanner) choice() (choice, bool) {
	if text, ok := s.quoted(); ok {
		return choice{name: text}, true
	}
	for _, of := range []string{"headers", "query_params", "uri_captures", "shared"} {
		if !s.skip(of) {
			continue
		}
		if s.skip(".") {
			end := strings.IndexFunc(s.rest, func(r rune) bool {
				return r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
			})
			if end <= 0 {
				return choice{}, false
			}
			name := s.rest[:end]
			s.rest = s.rest[end:]
			return choice{of, name}, true
		}
		if !s.skip("[") {
			return choice{}, false
		}
		name, ok := s.quoted()
		if !ok && of == "uri_captures" {
			end := strings.IndexByte(s.rest, ']')
			if end < 0 {
				return choice{}, false
			}
			name = strings.TrimSpace(s.rest[:end])
			_, err := strconv.ParseUint(name, 10, 16)
			ok = err == nil
			s.rest = s.rest[end:]
		}
		return choice{of, name}, ok && s.skip("]")
	}
	return choice{}, false
}

// quoted reads a text in single or double quotes, without escapes.
func (s *scanner) quoted() (string, bool) {
	for _, quote := range []string{`"`, `'`} {
		before := s.rest
		if !s.skip(quote) {
			continue
		}
		text, rest, ok := strings.Cut(s.rest, quote)
		if !ok || strings.Contains(text, `\`) {
			s.rest = before
			return "", false
		}
		s.rest = rest
		return text, true
	}
	return "", false
}

// render gives the value for a request; what there is not is empty.
func (t template) render(ctx *plugin.Context) string {
	if t.static() {
		return t[0].text
	}
	var out strings.Builder
	for _, p := range t {
		out.WriteString(p.text)
		for _, c := range p.choices {
			if value, ok := c.look(ctx); ok {
				out.WriteString(value)
				break
			}
		}
	}
	return out.String()
}

func (c choice) look(ctx *plugin.Context) (string, bool) {
	switch c.of {
	case "headers":
		if strings.EqualFold(c.name, "host") {
			return ctx.Request.Host, true
		}
		exact, dashed := plugin.HeaderNames(c.name)
		values := ctx.Request.Header[exact]
		if values == nil {
			values = ctx.Request.Header[dashed]
		}
		if len(values) == 0 {
			return "", false
		}
		return values[0], true
	case "query_params":
		for _, arg := range params.ParseArgs(ctx.RawQuery()) {
			if arg.Name == c.name {
				if arg.Bare {
					return "true", true
				}
				return arg.Value, true
			}
		}
		return "", false
	case "uri_captures":
		value, ok := ctx.Captures[c.name]
		return value, ok
	case "shared":
		if ctx.Shared == nil {
			return "", false
		}
		return ctx.Shared(c.name)
	default:
		return c.name, true
	}
}
