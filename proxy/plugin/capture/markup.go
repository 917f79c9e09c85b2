package capture

import (
	"bytes"
	"slices"
)

// emptyElements are those of HTML that have no content. HTML 13.1.2
var emptyElements = []string{
	"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
}

// textElements are those of HTML whose content holds no tags.
var textElements = []string{"script", "style", "textarea", "title"}

// attribute is one of a tag, as places in the text.
type attribute struct{ name, value [2]int }

// markup masks XML or HTML: elements and attributes by their names, and what another attribute of the same tag names as
// a secret. It builds no tree. Where a tag does not end, the rest is masked.
func (m *masking) markup(out, in []byte, html bool) []byte {
	var element []byte // secret, with all that is in it; nil: none
	open := 0          // elements of its name that are
	content := func(text []byte) {
		if element == nil {
			out = m.lines(out, text)
		}
	}
	for len(in) > 0 {
		start := bytes.IndexByte(in, '<')
		if start < 0 {
			content(in)
			break
		}
		content(in[:start])
		in = in[start:]
		if size, text := special(in); size != 0 {
			if size < 0 {
				return m.hide(out, "malformed")
			}
			if element == nil {
				out = append(out, in[:text[0]]...)
				out = m.lines(out, in[text[0]:text[1]])
				out = append(out, in[text[1]:size]...)
			}
			in = in[size:]
			continue
		}
		name, attributes, size := tag(in)
		if size < 0 {
			return m.hide(out, "malformed")
		}
		closing, empty := in[1] == '/', in[size-2] == '/' || html && slices.Contains(emptyElements, string(bytes.ToLower(name)))
		switch {
		case element != nil && !bytes.Equal(name, element):
		case element != nil && closing:
			if open--; open == 0 {
				element = nil
				out = append(out, in[:size]...)
			}
		case element != nil:
			if !empty {
				open++
			}
		default:
			var hidden bool
			out, hidden = m.tag(out, in[:size], name, attributes)
			if hidden && !closing && !empty {
				element, open = name, 1
				out = m.hide(out, string(name))
			}
		}
		in = in[size:]
		if html && element == nil && !closing && slices.Contains(textElements, string(bytes.ToLower(name))) {
			end := bytes.Index(in, []byte("</"))
			if end < 0 {
				end = len(in)
			}
			content(in[:end])
			in = in[end:]
		}
	}
	return out
}

// special finds the end of a comment, a CDATA section, a declaration or an instruction, and the text in it. size is 0
// where in begins with none of these, and negative where it does not end.
func special(in []byte) (size int, text [2]int) {
	for _, kind := range [...]struct{ begin, end string }{{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}, {"<!", ">"}} {
		if !bytes.HasPrefix(in, []byte(kind.begin)) {
			continue
		}
		end := bytes.Index(in[len(kind.begin):], []byte(kind.end))
		if end < 0 {
			return -1, text
		}
		end += len(kind.begin)
		return end + len(kind.end), [2]int{len(kind.begin), end}
	}
	return 0, text
}

// maxAttributes bounds the attributes of one tag.
const maxAttributes = 256

// tag reads the tag that in begins with. size is negative where it is none.
func tag(in []byte) (name []byte, attributes []attribute, size int) {
	at := 1
	if at < len(in) && in[at] == '/' {
		at++
	}
	word := func() [2]int {
		start := at
		for at < len(in) && !space(in[at]) && in[at] != '>' && in[at] != '=' && (in[at] != '/' || at+1 < len(in) && in[at+1] != '>') {
			at++
		}
		return [2]int{start, at}
	}
	blank := func() {
		for at < len(in) && space(in[at]) {
			at++
		}
	}
	place := word()
	if name = in[place[0]:place[1]]; len(name) == 0 {
		return nil, nil, -1
	}
	for {
		blank()
		switch {
		case at >= len(in) || len(attributes) == maxAttributes:
			return nil, nil, -1
		case in[at] == '>':
			return name, attributes, at + 1
		case in[at] == '/' || in[at] == '=':
			at++
			continue
		}
		a := attribute{name: word()}
		blank()
		if at < len(in) && in[at] == '=' {
			at++
			blank()
			if at >= len(in) {
				return nil, nil, -1
			}
			if quote := in[at]; quote == '"' || quote == '\'' {
				end := bytes.IndexByte(in[at+1:], quote)
				if end < 0 {
					return nil, nil, -1
				}
				a.value = [2]int{at + 1, at + 1 + end}
				at += end + 2
			} else {
				a.value[0] = at
				for at < len(in) && !space(in[at]) && in[at] != '>' {
					at++
				}
				a.value[1] = at
			}
		}
		attributes = append(attributes, a)
	}
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

// naming are the attributes that say what an element is.
var naming = []string{"name", "id", "key", "type", "for", "class", "property", "field", "autocomplete"}

// tag masks the values of attributes. hidden: the element's content is secret.
func (m *masking) tag(out, in, name []byte, attributes []attribute) (masked []byte, hidden bool) {
	hidden = secret(m.names, local(name))
	named := hidden
	for _, a := range attributes {
		value := in[a.value[0]:a.value[1]]
		if len(value) <= maxName && slices.Contains(naming, string(bytes.ToLower(in[a.name[0]:a.name[1]]))) && secret(m.names, value) {
			named, hidden = true, true
		}
	}
	kept := 0
	for _, a := range attributes {
		name, value := in[a.name[0]:a.name[1]], in[a.value[0]:a.value[1]]
		if len(value) == 0 {
			continue
		}
		out = append(out, in[kept:a.value[0]]...)
		kept = a.value[1]
		declares := bytes.HasPrefix(name, []byte("xmlns")) || slices.Contains(naming, string(bytes.ToLower(name)))
		switch {
		case secret(m.names, local(name)), named && !declares:
			out = m.hide(out, string(name))
		default:
			out = m.lines(out, value)
		}
	}
	return append(out, in[kept:]...), hidden
}

// local is a name without its namespace's prefix.
func local(name []byte) []byte { return name[bytes.IndexByte(name, ':')+1:] }
