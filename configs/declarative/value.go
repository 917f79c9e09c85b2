package declarative

import (
	"math"
	"strconv"

	"sidekong/configs/entity"
)

// Bounds on one input. MaxBytes is for those who read it. A configuration of 10,000 routes has about 6 MiB and 400,000 values.
const (
	MaxBytes  = 64 << 20  // of text
	maxValues = 2_000_000 // after aliases are expanded
	maxDepth  = 100       // of lists and maps in each other
)

type shape uint8

const (
	scalarShape shape = iota
	listShape
	mapShape
)

// value is one value of an input and the place where it stands. An alias shares the value of its anchor, so values
// form a graph without cycles, and they do not change once they are made,
// but for what is noted of them.
type value struct {
	at     Position
	shape  shape
	scalar any  // nil, bool, float64 or string
	bare   bool // a scalar without quotes, which YAML may read as something other than text
	items  []*value
	fields []field
	byName map[string]int // places in fields, made when one of many is looked up
	height int            // of an anchored value: how deep it nests
	size   int            // see expandedSize; 0: not counted yet
}

type field struct {
	name string
	at   Position
	val  *value
}

func (v *value) isNull() bool { return v == nil || v.shape == scalarShape && v.scalar == nil }

// text is the value of a string, and false for anything else.
func (v *value) text() (string, bool) {
	if v == nil || v.shape != scalarShape {
		return "", false
	}
	s, ok := v.scalar.(string)
	return s, ok
}

func (v *value) field(name string) (field, bool) {
	if v == nil {
		return field{}, false
	}
	const few = 16
	if len(v.fields) <= few {
		for _, f := range v.fields {
			if f.name == name {
				return f, true
			}
		}
		return field{}, false
	}
	if v.byName == nil {
		v.byName = make(map[string]int, len(v.fields))
		for i, f := range v.fields {
			v.byName[f.name] = i
		}
	}
	i, ok := v.byName[name]
	if !ok {
		return field{}, false
	}
	return v.fields[i], true
}

// add appends a field, whose name is new.
func (v *value) add(f field) {
	if v.byName != nil {
		v.byName[f.name] = len(v.fields)
	}
	v.fields = append(v.fields, f)
}

func (v *value) get(name string) *value {
	f, _ := v.field(name)
	return f.val
}

func (v *value) names() []string {
	names := make([]string, len(v.fields))
	for i, f := range v.fields {
		names[i] = f.name
	}
	return names
}

// plain is the value as entity.Object and its parts, all of it new.
func (v *value) plain() any {
	switch v.shape {
	case listShape:
		list := make([]any, len(v.items))
		for i, item := range v.items {
			list[i] = item.plain()
		}
		return list
	case mapShape:
		object := make(entity.Object, len(v.fields))
		for _, f := range v.fields {
			object[f.name] = f.val.plain()
		}
		return object
	}
	return v.scalar
}

// describe names what a value is, for messages.
func (v *value) describe() string {
	switch v.shape {
	case listShape:
		return "a list"
	case mapShape:
		return "a map"
	}
	switch v.scalar.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	}
	return "a string"
}

// expandedSize counts the values under v with every alias expanded. It takes a step for each value that was
// written, however often aliases repeat it. The sum is bounded by math.MaxInt.
func (v *value) expandedSize() int {
	if v.size > 0 {
		return v.size
	}
	n := 1
	for _, item := range v.items {
		n += min(item.expandedSize(), math.MaxInt-n)
	}
	for _, f := range v.fields {
		n += min(f.val.expandedSize(), math.MaxInt-n)
	}
	v.size = n
	return n
}

// trail is the way from the top of an input to the value in hand. It is put in words only where a message needs it.
type trail []step

// step leads to a field, or where at is not negative to an element of a list.
type step struct {
	name string
	at   int
}

func (t *trail) enter(name string) { *t = append(*t, step{name, -1}) }
func (t *trail) element(i int)     { *t = append(*t, step{at: i}) }
func (t *trail) leave()            { *t = (*t)[:len(*t)-1] }

func (t trail) String() (path string) {
	for _, s := range t {
		if s.at < 0 {
			path = member(path, s.name)
		} else {
			path = index(path, s.at)
		}
	}
	return path
}

// member and index extend a field's path.
func member(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
