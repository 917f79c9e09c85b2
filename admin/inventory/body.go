package inventory

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// object is a JSON object as it was read: duplicate names come twice.
type object []member

type member struct {
	name  string
	value any
}

// unread stands in the place of a value that was cut off or lies too deep.
type unread struct{}

// readBody reads a body: JSON, lines of JSON or a form. whole is false where it was cut; what was read before is then
// given, and what is missing from it means nothing. ok is false for a body of another kind.
func readBody(body []byte, contentType string) (value any, whole, ok bool) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || len(body) > maxBody {
		return nil, false, false
	}
	media := mediaType(contentType)
	first := body[0]
	if media == "application/x-www-form-urlencoded" && first != '{' && first != '[' {
		return readForm(string(body))
	}
	if first != '{' && first != '[' && !strings.Contains(media, "json") {
		return nil, false, false
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	value, whole = readValue(decoder, 0)
	if _, none := value.(unread); none {
		return nil, false, false
	}
	return value, whole, true
}

// deepest is the nesting up to which a body is read.
const deepest = 100

// readValue reads one value, as far as it goes: object, []any, string, json.Number, bool, nil or unread.
func readValue(d *json.Decoder, depth int) (value any, whole bool) {
	if depth > deepest {
		return unread{}, false
	}
	token, err := d.Token()
	if err != nil {
		return unread{}, false
	}
	switch token {
	case json.Delim('{'):
		var members object
		for d.More() {
			name, err := d.Token()
			text, isText := name.(string)
			if err != nil || !isText {
				return members, false
			}
			value, whole := readValue(d, depth+1)
			if len(members) < 2*maxFields {
				members = append(members, member{text, value})
			}
			if !whole {
				return members, false
			}
		}
		_, err := d.Token()
		return members, err == nil
	case json.Delim('['):
		items := []any{}
		for d.More() {
			value, whole := readValue(d, depth+1)
			if len(items) < maxItems {
				items = append(items, value)
			}
			if !whole {
				return items, false
			}
		}
		_, err := d.Token()
		return items, err == nil
	}
	return token, true
}

// readForm reads a form as an object of texts.
func readForm(body string) (value any, whole, ok bool) {
	text, cut := strings.CutSuffix(body, "…truncated")
	var members object
	for pair := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || plain == "" {
			continue
		}
		if unescaped, err := url.QueryUnescape(value); err == nil {
			value = unescaped
		}
		if len(members) < maxFields {
			members = append(members, member{plain, value})
		}
	}
	if cut && len(members) > 0 {
		members = members[:len(members)-1]
	}
	return members, !cut, len(members) > 0
}
