package entity

import "regexp"

// Type is what a field's values are.
type Type string

// The types of fields. Set is an array without duplicates, Foreign an object {"id": …} that names another entity, Any
// a value that is passed on unchecked.
const (
	String     Type = "string"
	Integer    Type = "integer"
	Number     Type = "number"
	Boolean    Type = "boolean"
	Array      Type = "array"
	Set        Type = "set"
	Map        Type = "map"
	RecordType Type = "record"
	Foreign    Type = "foreign"
	Any        Type = "any"
)

// Field is one field of an entity or a record, with the rules for its value. The zero value of each rule is no rule,
// but strings may not be empty unless MinLen is negative. Kong: kong/db/schema/init.lua Schema.validators
type Field struct {
	Name string
	Type Type

	Required bool // null is refused; missing is refused unless there is a default
	Default  any  // what a missing value becomes; nil is null
	Auto     bool // stays missing when missing, for the caller of Insert to generate; null is kept

	Elements  *Field // of an Array or a Set; null is refused in it
	Keys      *Field // of a Map
	Values    *Field // of a Map; null is refused in it
	Record    *Record
	Reference string // the kind that a Foreign field points to

	Null          bool   // the value must be null
	Not           any    // the value must not be this
	OneOf         []any  // strings, or int for numbers
	Later         []any  // allowed besides OneOf: values of later Kongs, which the messages of 3.9 do not name
	NotOneOf      []any  // likewise
	Between       *Range // both ends included
	UUID          bool
	Timestamp     bool // greater than zero
	Len           *int // exactly
	MinLen        int  // 0 means 1 for strings and none for lists, -1 allows empty strings
	StartsWith    string
	Patterns      []Pattern // tried in order
	Contains      any       // an element of the list
	Check         func(value any) string
	Exclusive     [][]string // sets whose members must not be mixed
	Err           string     // replaces the text of every failed rule, not of a wrong type
	Unique        bool       // no two entities of this kind share a value; the store sees to it
	Referenceable bool       // may be {vault://…} instead, which no rule looks into
	Encrypted     bool       // a secret: to be masked wherever it is shown
}

// Range is a closed interval of numbers.
type Range struct{ Min, Max float64 }

// Pattern is a regular expression that a string must match, or must not when Refuse is set.
type Pattern struct {
	Re     *regexp.Regexp
	Refuse bool
	Err    string // "" is "invalid value: …"
}

// Record is a record type: ordered fields and the rules that span them. A plugin's configuration is one.
type Record struct {
	Fields     []Field
	Shorthands []Shorthand
	Checks     []Check
	Plugin     PluginRules // of a plugin's configuration alone
}

// PluginRules say what a plugin's entity must be, beyond its configuration.
type PluginRules struct {
	NoConsumer bool                       // it cannot be limited to a consumer
	Protocols  []string                   // that it may be limited to; nil is those of HTTP
	Checks     []Check                    // over the whole entity: fields are named config.…
	Config     func(config Object) string // over a configuration without other faults: "" or what is wrong
}

// Shorthand is a field of the input that stands for others. Expand gets its checked value, which may be nil, and
// returns what it stands for. Fields that are set beside it give way, unless Deprecated is set: then they win.
type Shorthand struct {
	Field
	Expand     func(value any) Object
	Deprecated bool
}

// Lookup finds the entities that are stored already, for checks that reach beyond one entity.
type Lookup interface {
	// Find returns the entity of that kind whose field has the value.
	Find(kind, field, value string) (Object, bool)
	// Referring returns the entities of that kind whose Foreign field points to id.
	Referring(kind, field, id string) []Object
}

func (r *Record) field(name string) *Field {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return &r.Fields[i]
		}
	}
	return nil
}

func between(low, high float64) *Range { return &Range{low, high} }

// Strings turns a list of strings into the values of OneOf, NotOneOf or Default.
func Strings(names ...string) []any {
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = name
	}
	return values
}

// Text makes a check of strings the Check of a field.
func Text(check func(string) string) func(any) string {
	return func(value any) string { return check(value.(string)) }
}
