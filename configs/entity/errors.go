package entity

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Codes of Error. Kong: kong/db/errors.lua
const (
	CodeSchema     = 2  // the entity breaks its schema
	CodePrimaryKey = 3  // the primary key is in use, or null
	CodeUnique     = 10 // a value that entities are found by is not valid
	CodeOptions    = 11 // an option beside the entity (ttl) is not valid
	CodeForeign    = 13 // an entity that is referred to by name does not exist
)

// UnknownField is the text of the error at a field that the schema does not know.
const UnknownField = "unknown field"

// Texts of Kong's schema engine that are needed in several places. Kong: kong/db/schema/init.lua validation_errors
const (
	errRequired = "required field missing"
	errNull     = "value must be null"
	entityKey   = "@entity" // where errors about a whole record stand
)

// Error is Kong's error object. Fields mirrors the shape of the entity that was refused: a field's name leads to the
// text of its error, to a nested Object for a record, or to a []any for a list (nil for the good elements); "@entity"
// leads to a []any of texts about the record as a whole. With CodeOptions, Fields holds the options instead.
type Error struct {
	Code    int
	Name    string
	Message string
	Fields  Object
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// MarshalJSON writes Kong's error object.
func (e *Error) MarshalJSON() ([]byte, error) {
	object := Object{"code": e.Code, "name": e.Name, "message": e.Message}
	switch {
	case e.Fields == nil:
	case e.Code == CodeOptions:
		object["options"] = e.Fields
	default:
		object["fields"] = e.Fields
	}
	return json.Marshal(object)
}

// violation is the error for fields that break the schema. Kong: kong/db/errors.lua schema_violation
func violation(fields Object) *Error {
	var texts []string
	if whole, ok := fields[entityKey].([]any); ok {
		for _, text := range whole {
			texts = append(texts, fmt.Sprint(text))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name == entityKey {
			continue
		}
		switch nested := fields[name].(type) {
		case Object:
			for _, sub := range slices.Sorted(maps.Keys(nested)) {
				texts = append(texts, name+"."+sub+": "+subtext(nested[sub]))
			}
		case []any:
			for i, text := range nested {
				if text != nil {
					texts = append(texts, name+"."+strconv.Itoa(i+1)+": "+subtext(text))
				}
			}
		default:
			texts = append(texts, fmt.Sprintf("%s: %v", name, nested))
		}
	}
	message := fmt.Sprintf("schema violation (%s)", strings.Join(texts, "; "))
	if len(texts) != 1 {
		message = fmt.Sprintf("%d schema violations (%s)", len(texts), strings.Join(texts, "; "))
	}
	return &Error{Code: CodeSchema, Name: "schema violation", Message: message, Fields: fields}
}

func subtext(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	return luaTable(value, "")
}

// luaTable writes a nested error as Kong's messages do, as a Lua table. Kong: pl.pretty write
func luaTable(value any, indent string) string {
	inner := indent + "  "
	var entries []string
	switch value := value.(type) {
	case []any:
		sparse := false
		for i, item := range value {
			switch {
			case item == nil:
				sparse = true
			case sparse:
				entries = append(entries, fmt.Sprintf("%s[%d] = %s", inner, i+1, luaTable(item, inner)))
			default:
				entries = append(entries, inner+luaTable(item, inner))
			}
		}
	case Object:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			entries = append(entries, inner+luaKey(key)+" = "+luaTable(value[key], inner))
		}
	default:
		return luaString(fmt.Sprint(value))
	}
	return "{\n" + strings.Join(entries, ",\n") + "\n" + indent + "}"
}

var (
	luaIdentifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	luaLongQuote  = regexp.MustCompile(`\[=*\[|\]=*\]`)
)

func luaKey(key string) string {
	if luaIdentifier.MatchString(key) {
		return key
	}
	return "[" + luaString(key) + "]"
}

func luaString(text string) string {
	quotes := luaLongQuote.FindAllString(text+"]", -1)
	if (strings.Contains(text, "\n") || quotes != nil) && !strings.Contains(text, "\r") {
		level := 0
		for _, quote := range quotes {
			level = max(level, len(quote)-1)
		}
		equals := strings.Repeat("=", level)
		if strings.HasPrefix(text, "\n") {
			text = "\n" + text
		}
		return "[" + equals + "[" + text + "]" + equals + "]"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", `\r`, "\x00", `\0`).Replace(text) + `"`
}

// unresolved is the error for references by name that lead nowhere: fields has the names that were looked for, kinds
// the kind that each field refers to.
// Kong: kong/db/errors.lua foreign_keys_unresolved
func unresolved(fields Object, kinds map[string]string) *Error {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		keys := fields[name].(Object)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			text := fmt.Sprintf("the foreign key cannot be resolved with '{%s=%s}' for an existing '%s' entity",
				key, luaString(keys[key].(string)), kinds[name])
			keys[key] = text
			texts = append(texts, name+"."+key+": "+text)
		}
	}
	message := fmt.Sprintf("foreign key unresolved (%s)", strings.Join(texts, "; "))
	if len(texts) != 1 {
		message = fmt.Sprintf("%d foreign keys unresolved (%s)", len(texts), strings.Join(texts, "; "))
	}
	return &Error{Code: CodeForeign, Name: "foreign keys unresolved", Message: message, Fields: fields}
}

// insertEntityError adds a text about the record as a whole.
func insertEntityError(errs Object, text string) {
	list, _ := errs[entityKey].([]any)
	errs[entityKey] = append(list, text)
}

// setError puts an error at a dotted path.
func setError(errs Object, path string, err any) {
	head, rest, nested := strings.Cut(path, ".")
	if !nested {
		errs[head] = err
		return
	}
	inner, ok := errs[head].(Object)
	if !ok {
		inner = Object{}
		errs[head] = inner
	}
	setError(inner, rest, err)
}
