package api

import (
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// configFault is a configuration that was refused.
type configFault struct {
	faults  declarative.Faults
	text    []byte // the configuration
	flatten bool   // list the faults by entity
}

func (e *configFault) Error() string { return "declarative config is invalid: " + e.faults.Error() }

// answer is Kong's error object; fields has the faults in the shape of the configuration.
// Kong: kong/db/errors.lua declarative_config, declarative_config_flattened
func (e *configFault) answer() *answer {
	body := entity.Object{
		"code": codeDeclarative, "name": "invalid declarative configuration", "message": e.Error(),
	}
	if !e.flatten {
		body["fields"] = faultFields(e.faults)
		return &answer{status: http.StatusBadRequest, body: body}
	}
	flattened, rest := e.flattened()
	body["flattened_errors"], body["fields"] = flattened, faultFields(rest)
	return &answer{status: http.StatusBadRequest, body: body}
}

// step is one step of a field's path: a name, or an index.
type step struct {
	name  string
	index int // -1 for a name
}

var stepPattern = regexp.MustCompile(`\[([0-9]+)\]|[^.\[\]]+`)

// steps reads a path such as services[0].routes[1].paths[0].
func steps(path string) []step {
	var list []step
	for _, match := range stepPattern.FindAllStringSubmatch(path, -1) {
		if i, err := strconv.Atoi(match[1]); err == nil {
			list = append(list, step{index: i})
		} else {
			list = append(list, step{name: match[0], index: -1})
		}
	}
	return list
}

// faultFields arranges faults in the shape of what they are about. Those about the whole stand at @entity.
func faultFields(faults declarative.Faults) entity.Object {
	root := newNode()
	for _, fault := range faults {
		path := []string{"@entity"}
		if list := steps(fault.Field); len(list) > 0 && len(list) <= maxNesting {
			path = path[:0]
			for _, s := range list {
				if s.index >= 0 {
					s.name = strconv.Itoa(s.index + 1)
				}
				path = append(path, s.name)
			}
			if last := list[len(list)-1]; last.index >= 0 && len(list) > 1 && collectionOf(list[len(list)-2].name) != nil {
				path = append(path, "@entity")
			}
		}
		root.put(path, fault.Message)
	}
	object := make(entity.Object, len(root.named))
	for name, value := range root.named {
		object[name] = sparse(value)
	}
	return object
}

// sparse is a table as JSON would have it, with null for the good elements of a list.
func sparse(value any) any {
	n, isNode := value.(*node)
	if !isNode {
		return value
	}
	// Beyond this the holes would be the greater part of the answer: it is written as an object then.
	const maxHoles = 100_000
	if len(n.named) > 0 || n.last > maxHoles {
		object := make(entity.Object, len(n.named)+len(n.at))
		for name, item := range n.named {
			object[name] = sparse(item)
		}
		for position, item := range n.at {
			object[strconv.Itoa(position)] = sparse(item)
		}
		return object
	}
	list := make([]any, n.last)
	for position, item := range n.at {
		list[position-1] = sparse(item)
	}
	return list
}

// flattened lists the faults by entity, with the entities as they were written, and gives back those of none.
func (e *configFault) flattened() (list []entity.Object, rest declarative.Faults) {
	list = []entity.Object{}
	var written any
	_ = yaml.Unmarshal(e.text, &written) // nil where it is none
	index := map[string]int{}
	for _, fault := range e.faults {
		at, path := entityIn(written, steps(fault.Field))
		if at.object == nil {
			rest = append(rest, fault)
			continue
		}
		i, known := index[at.path]
		if !known {
			i = len(list)
			index[at.path] = i
			list = append(list, at.flat())
		}
		one := entity.Object{"type": "entity", "message": fault.Message}
		if path != "" {
			one["type"], one["field"] = "field", path
		}
		errs, _ := list[i]["errors"].([]entity.Object)
		list[i]["errors"] = append(errs, one)
	}
	return list, rest
}

// place is an entity in a configuration.
type place struct {
	path   string
	kind   string
	object map[string]any
}

// entityIn walks a path as far as the last entity on it and gives the rest of the path.
func entityIn(value any, path []step) (found place, rest string) {
	var walked strings.Builder
	for i, s := range path {
		switch {
		case s.index < 0:
			fmt.Fprintf(&walked, ".%s", s.name)
			object, _ := value.(map[string]any)
			value = object[s.name]
			continue
		default:
			fmt.Fprintf(&walked, "[%d]", s.index)
			items, _ := value.([]any)
			if s.index >= len(items) {
				return found, rest
			}
			value = items[s.index]
		}
		kind := path[i-1].name
		if object, isObject := value.(map[string]any); isObject && i > 0 && collectionOf(kind) != nil {
			found = place{path: walked.String(), kind: kind, object: object}
			rest = dotted(path[i+1:])
		}
	}
	return found, rest
}

func dotted(path []step) string {
	var parts []string
	for _, s := range path {
		if s.index >= 0 {
			s.name = strconv.Itoa(s.index + 1)
		}
		parts = append(parts, s.name)
	}
	return strings.Join(parts, ".")
}

func (p place) flat() entity.Object {
	out := entity.Object{"entity_type": strings.TrimSuffix(p.kind, "s")}
	own := entity.Object{}
	for name, value := range jsonable(p.object).(entity.Object) {
		if list, isList := value.([]any); isList && collectionOf(name) != nil && len(list) > 0 {
			if _, nested := list[0].(entity.Object); nested {
				continue
			}
		}
		own[name] = value
	}
	out["entity"] = own
	if name, isText := p.object["name"].(string); isText && name != "" {
		out["entity_name"] = name
	}
	if id, isText := p.object["id"].(string); isText && isUUID(id) {
		out["entity_id"] = id
	}
	if tags, isList := p.object["tags"].([]any); isList && !slices.ContainsFunc(tags, func(tag any) bool { _, isText := tag.(string); return !isText }) {
		out["entity_tags"] = tags
	}
	return out
}

// jsonable is a value of YAML as JSON can have it: names that are no texts are written as such, and so are numbers that
// JSON lacks.
func jsonable(value any) any {
	switch value := value.(type) {
	case map[string]any:
		object := make(entity.Object, len(value))
		for name, item := range value {
			object[name] = jsonable(item)
		}
		return object
	case map[any]any:
		object := make(entity.Object, len(value))
		for name, item := range value {
			object[fmt.Sprint(name)] = jsonable(item)
		}
		return object
	case []any:
		list := make([]any, len(value))
		for i := range value {
			list[i] = jsonable(value[i])
		}
		return list
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return fmt.Sprint(value)
		}
	case time.Time:
		return value.Format(time.RFC3339Nano)
	}
	return value
}
