package api

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sidekong/configs/entity"
)

// argument is one name=value of a form or a query. value is a string, or true where there was no "=".
type argument struct {
	name  string
	value any
}

// parseArguments splits a form. Escapes that are none stay as they are. Kong: ngx.decode_args
func parseArguments(text string) ([]argument, error) {
	var arguments []argument
	for pair := range strings.SplitSeq(text, "&") {
		name, value, assigned := strings.Cut(pair, "=")
		if name == "" {
			continue
		}
		if len(arguments) == maxArguments {
			return nil, errArguments
		}
		a := argument{unescape(name), true}
		if assigned {
			a.value = unescape(value)
		}
		arguments = append(arguments, a)
	}
	return arguments, nil
}

// unescape decodes %XX and + as nginx does. Kong: ngx.unescape_uri
func unescape(text string) string {
	if !strings.ContainsAny(text, "%+") {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '+':
			out = append(out, ' ')
		case c == '%' && i+2 < len(text):
			if b, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(b))
				i += 2
				continue
			}
			out = append(out, c)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// maxNesting bounds how deep the name of an argument may lead. What goes deeper is taken for a plain name.
const maxNesting = 32

// nest makes an object of arguments whose names are paths: a.b=, a[b]=, a[1]=, a[]=; a name that occurs more than once
// is a list. A name with dots needs brackets: config.resource_attributes[service.name]=x.
// Kong: kong/api/arguments_decoder.lua, kong/api/arguments.lua combine
func nest(arguments []argument) entity.Object {
	root := newNode()
	for _, a := range arguments {
		root.put(namePath(a.name), a.value)
	}
	object := make(entity.Object, len(root.named))
	for name, value := range root.named {
		object[name] = plain(value)
	}
	return object
}

// namePath splits the name of an argument. "" stands for [].
func namePath(name string) []string {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
		return []string{name}
	}
	var path []string
	start := 0
	for i := 1; i <= len(name) && len(path) < maxNesting; i++ {
		switch {
		case i == len(name):
			if i > start {
				path = append(path, name[start:i])
			}
			return path
		case name[i] == '.':
			if i > start {
				path = append(path, name[start:i])
			}
			start = i + 1
		case name[i] == '[':
			end := strings.IndexByte(name[i:], ']')
			if end < 0 {
				continue
			}
			if i > start {
				path = append(path, name[start:i])
			}
			path = append(path, name[i+1:i+end])
			i += end
			start = i + 1
			if start == len(name) {
				return path
			}
		}
	}
	return []string{name}
}

// node is a table of Lua: values by position and by name.
type node struct {
	at    map[int]any // a node, a string or true
	named map[string]any
	last  int // the highest position
}

func newNode() *node { return &node{at: map[int]any{}, named: map[string]any{}} }

func (n *node) put(path []string, value any) {
	for i, step := range path {
		position, isPosition := n.position(step, i)
		old, exists := n.named[step]
		if isPosition {
			old, exists = n.at[position]
		}
		next := value
		deeper, isNode := old.(*node)
		last := i == len(path)-1
		switch {
		case last && !exists:
		case last && isNode:
			deeper.at[deeper.last+1] = value
			deeper.last++
			return
		case isNode:
			next = deeper
		default:
			deeper = newNode()
			if exists { // a scalar becomes the first of a list
				deeper.at[1], deeper.last = old, 1
			}
			if last {
				deeper.at[2], deeper.last = value, 2
			}
			next = deeper
		}
		if isPosition {
			n.at[position] = next
			n.last = max(n.last, position)
		} else {
			n.named[step] = next
		}
		if last {
			return
		}
		n = deeper
	}
}

// position reads a step that is a place in a list: a number, or nothing for the place after the last. The first step
// of a path is always a name.
func (n *node) position(step string, depth int) (int, bool) {
	if depth == 0 {
		return 0, false
	}
	if step == "" {
		return n.last + 1, true
	}
	position, err := strconv.Atoi(step)
	return position, err == nil && position > 0 && position <= math.MaxInt32
}

// plain is a table as JSON would have it: a list where it has positions alone.
func plain(value any) any {
	n, ok := value.(*node)
	if !ok {
		return value
	}
	positions := slices.Sorted(maps.Keys(n.at))
	if len(n.named) == 0 {
		list := make([]any, len(positions))
		for i, position := range positions {
			list[i] = plain(n.at[position])
		}
		return list
	}
	object := make(entity.Object, len(n.named)+len(positions))
	for name, item := range n.named {
		object[name] = plain(item)
	}
	for _, position := range positions {
		object[strconv.Itoa(position)] = plain(n.at[position])
	}
	return object
}

// infer turns the texts of a form into what the schema wants. Kong: kong/api/arguments.lua infer
func infer(schemas *entity.Schemas, schema *entity.Schema, object entity.Object) {
	record := schema.Record()
	if name, isText := object["name"].(string); isText && schema.Kind() == "plugins" {
		if variant, known := schema.Variant(name); known {
			inferRecord(schemas, variant, object)
		}
	}
	inferRecord(schemas, record, object)
}

func inferRecord(schemas *entity.Schemas, record *entity.Record, object entity.Object) {
	for i := range record.Fields {
		inferField(schemas, &record.Fields[i], object)
	}
	for i := range record.Shorthands {
		inferField(schemas, &record.Shorthands[i].Field, object)
	}
}

func inferField(schemas *entity.Schemas, field *entity.Field, object entity.Object) {
	if value, given := object[field.Name]; given {
		object[field.Name] = inferValue(schemas, field, value)
	}
}

func inferValue(schemas *entity.Schemas, field *entity.Field, value any) any {
	if value == "" || value == nil {
		return nil
	}
	switch field.Type {
	case entity.Number, entity.Integer:
		if text, isText := value.(string); isText {
			if number, isNumber := luaNumber(text); isNumber {
				return number
			}
		}
	case entity.Boolean:
		switch value {
		case "true":
			return true
		case "false":
			return false
		}
	case entity.Any: // ttl: a number if it can be one
		if text, isText := value.(string); isText {
			if number, isNumber := luaNumber(text); isNumber && field.Name == "ttl" {
				return number
			}
		}
	case entity.Array, entity.Set:
		switch value := value.(type) {
		case []any:
			for i := range value {
				value[i] = inferValue(schemas, field.Elements, value[i])
			}
		case entity.Object:
		default:
			return []any{inferValue(schemas, field.Elements, value)}
		}
	case entity.Map:
		if object, isObject := value.(entity.Object); isObject {
			for name := range object {
				object[name] = inferValue(schemas, field.Values, object[name])
			}
		}
	case entity.RecordType:
		if object, isObject := value.(entity.Object); isObject {
			inferRecord(schemas, field.Record, object)
		}
	case entity.Foreign:
		if object, isObject := value.(entity.Object); isObject {
			if schema, known := schemas.Of(field.Reference); known {
				infer(schemas, schema, object)
			}
		}
	}
	return value
}

var hexadecimal = regexp.MustCompile(`^[+-]?0[xX][0-9a-fA-F]+$`)

// luaNumber reads what Lua's tonumber does: decimal and hexadecimal numbers with space around them.
func luaNumber(text string) (float64, bool) {
	text = strings.Trim(text, " \t\n\v\f\r")
	if hexadecimal.MatchString(text) {
		text += "p0" // what ParseFloat wants of hexadecimal numbers
	} else if strings.ContainsAny(text, "xX_pPiInN") {
		return 0, false
	}
	number, err := strconv.ParseFloat(text, 64)
	return number, err == nil
}
