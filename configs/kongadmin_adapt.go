package configs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sidekong/configs/entity"
)

// adaptation makes of another Kong's entities what this version's schemas take, and notes what it leaves out.
type adaptation struct {
	schemas   *entity.Schemas
	fates     map[string]map[string]fate // by kind and id; a kind that was not read is missing
	kept      map[string][]entity.Object
	omissions []*omission // in the order of finding
	dangling  int         // references to what must have come or gone while the lists were read
}

// omission is something left out for the same reason once or more often.
type omission struct {
	what  string // a kind, or a field of one
	why   string
	first string // name or id of the first entity
	times int
}

type fate int

const (
	unread fate = iota
	refused
	taken
)

// adaptedKinds is in an order in which each comes after those it points to.
var adaptedKinds = []string{"consumers", "upstreams", "services", "routes", "targets", "plugins"}

func adapt(picture map[string][]entity.Object, schemas *entity.Schemas) *adaptation {
	a := &adaptation{schemas: schemas, fates: map[string]map[string]fate{}, kept: map[string][]entity.Object{}}
	for _, kind := range adaptedKinds {
		list, read := picture[kind]
		if !read {
			continue
		}
		a.fates[kind] = make(map[string]fate, len(list))
		for _, object := range list {
			id, _ := object["id"].(string)
			if a.fates[kind][id] != unread {
				continue // on two pages, since something before it came while they were read
			}
			a.fates[kind][id] = refused
			if adapted, ok := a.entity(kind, object); ok {
				a.fates[kind][id] = taken
				a.kept[kind] = append(a.kept[kind], adapted)
			}
		}
	}
	return a
}

// marshal writes a kong.yaml in JSON with a line for each entity, so that the line of a fault tells something.
func (a *adaptation) marshal() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(`{"_format_version": "3.0", "_transform": false`)
	for _, kind := range adaptedKinds {
		for i, object := range a.kept[kind] {
			text, err := json.Marshal(object)
			if err != nil {
				return nil, fmt.Errorf("kong admin: %w", err)
			}
			if i == 0 {
				fmt.Fprintf(&out, ",\n%q: [\n", kind)
			} else {
				out.WriteString(",\n")
			}
			out.Write(text)
		}
		if len(a.kept[kind]) > 0 {
			out.WriteString("]")
		}
	}
	out.WriteString("}\n")
	return out.Bytes(), nil
}

// maxOmissions bounds the reasons that are told apart.
const maxOmissions = 30

// omit notes that something is left out.
func (a *adaptation) omit(what, why string, of entity.Object) {
	if len(a.omissions) >= maxOmissions-1 && !slices.ContainsFunc(a.omissions, same(what, why)) {
		what, why = "others", "various"
	}
	if i := slices.IndexFunc(a.omissions, same(what, why)); i >= 0 {
		a.omissions[i].times++
		return
	}
	a.omissions = append(a.omissions, &omission{what: what, why: why, first: called(of), times: 1})
}

func same(what, why string) func(*omission) bool {
	return func(o *omission) bool { return o.what == what && o.why == why }
}

// called is what people know an entity by.
func called(object entity.Object) string {
	for _, field := range []string{"name", "username", "target", "custom_id", "id"} {
		if name, _ := object[field].(string); name != "" {
			return name
		}
	}
	return ""
}

// entity brings one entity into shape. ok is false if it is left out.
func (a *adaptation) entity(kind string, object entity.Object) (adapted entity.Object, ok bool) {
	schema, ok := a.schemas.Of(kind)
	if id, _ := object["id"].(string); !ok || id == "" {
		a.omit(kind, "without an id", object)
		return nil, false
	}
	record := *schema.Record()
	if kind == "plugins" {
		name, _ := object["name"].(string)
		variant, known := schema.Variant(name)
		if !known {
			a.omit(kind, "no such plugin here", object)
			return nil, false
		}
		record.Fields = slices.Concat(variant.Fields, record.Fields) // the first of a name counts
		for _, field := range slices.Sorted(maps.Keys(object)) {
			if isReference(object[field]) && find(&record, field) == nil {
				a.omit(kind, "limited by "+field+", which Sidekong does not know", object)
				return nil, false
			}
		}
	}
	adapted = a.known(kind, &record, object, object)
	text, err := json.Marshal(adapted)
	if err != nil || strings.Contains(string(text), "${{") {
		// decK's way to name an environment variable. Nobody who may write to that Kong shall read ours.
		a.omit(kind, `"${{" stands in it`, object)
		return nil, false
	}
	if _, err := schema.Insert(adapted); err != nil {
		a.omit(kind, reason(kind, err), object)
		return nil, false
	}
	return adapted, a.resolves(kind, &record, adapted)
}

// resolves looks whether an entity's references lead to entities that are taken.
func (a *adaptation) resolves(kind string, record *entity.Record, object entity.Object) bool {
	for i := range record.Fields {
		f := &record.Fields[i]
		ref, _ := object[f.Name].(entity.Object)
		id, _ := ref["id"].(string)
		if f.Type != entity.Foreign || id == "" {
			continue
		}
		fates, read := a.fates[f.Reference]
		switch {
		case !read:
			a.omit(kind, "belongs to one of the "+f.Reference+", which are not read", object)
		case fates[id] == refused:
			a.omit(kind, "belongs to one of the "+f.Reference+" that are left out", object)
		case fates[id] == unread:
			a.dangling++
			a.omit(kind, "belongs to one of the "+f.Reference+" that Kong does not show", object)
		default:
			continue
		}
		return false
	}
	return true
}

// notWorthAWord are fields that are left out in silence: Enterprise's workspace, and references to certificates, none
// of which is read.
var notWorthAWord = []string{"ws_id", "client_certificate", "ca_certificates"}

// known copies those fields of an object that the record has, at every level. A null stands for the default where
// there must be a value.
func (a *adaptation) known(path string, record *entity.Record, object, of entity.Object) entity.Object {
	kept := make(entity.Object, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		value := object[name]
		f := find(record, name)
		switch {
		case slices.Contains(notWorthAWord, name) && !strings.Contains(path, "."):
		case f == nil && isEmpty(value):
		case f == nil:
			a.omit(path+"."+name, "a field that Sidekong does not know", of)
		case value == nil && f.Required:
		default:
			kept[name] = a.value(path+"."+name, f, value, of)
		}
	}
	return kept
}

func (a *adaptation) value(path string, f *entity.Field, value any, of entity.Object) any {
	if f == nil {
		return value
	}
	switch v := value.(type) {
	case entity.Object:
		if f.Record != nil {
			return a.known(path, f.Record, v, of)
		}
		if f.Values != nil {
			kept := make(entity.Object, len(v))
			for _, name := range slices.Sorted(maps.Keys(v)) {
				kept[name] = a.value(path+".*", f.Values, v[name], of)
			}
			return kept
		}
	case []any:
		kept := make([]any, len(v))
		for i, item := range v {
			kept[i] = a.value(path, f.Elements, item, of)
		}
		return kept
	}
	return value
}

func find(record *entity.Record, name string) *entity.Field {
	for i := range record.Fields {
		if record.Fields[i].Name == name {
			return &record.Fields[i]
		}
	}
	for i := range record.Shorthands {
		if record.Shorthands[i].Name == name {
			return &record.Shorthands[i].Field
		}
	}
	return nil
}

func isEmpty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case []any:
		return len(value) == 0
	case entity.Object:
		return len(value) == 0
	}
	return false
}

// isReference tells {"id": …}, by which one entity of Kong points to another.
func isReference(value any) bool {
	object, _ := value.(entity.Object)
	_, ok := object["id"].(string)
	return ok && len(object) == 1
}

// reason is why the schema refuses an entity. Of a plugin only the fields are named, since the values may be secret.
func reason(kind string, err error) string {
	var violation *entity.Error
	if kind != "plugins" || !errors.As(err, &violation) {
		return err.Error()
	}
	fields := slices.Sorted(maps.Keys(violation.Fields))
	if config, ok := violation.Fields["config"].(entity.Object); ok {
		fields = slices.DeleteFunc(fields, func(name string) bool { return name == "config" })
		for _, name := range slices.Sorted(maps.Keys(config)) {
			fields = append(fields, "config."+name)
		}
	}
	return "Kong 3.9 would refuse " + strings.Join(fields, ", ")
}
