package database

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sidekong/configs/entity"
)

// model is what a database has to know of the entities: it follows from their schemas.
type model map[string]*collection

// collection is all entities of one kind, as far as a database has to know them.
type collection struct {
	name       string
	schema     *entity.Schema
	unique     [][]string // fields, or combinations of fields, whose values only one entity may have
	references []reference
}

// reference is a field that names another entity.
type reference struct {
	field string
	to    string // kind
}

// combined has the fields that are unique together. Kong: cache_key in kong/db/schema/entities/*.lua
var combined = map[string][]string{
	"plugins": {"name", "route", "service", "consumer"},
	"targets": {"upstream", "target"},
}

// belongs has the references that take an entity with them when what they name is deleted. Kong: on_delete in the
// schemas of entities, and kong/db/dao/certificates.lua delete
var belongs = map[string][]string{
	"plugins":               {"route", "service", "consumer"},
	"targets":               {"upstream"},
	"snis":                  {"certificate"},
	"keyauth_credentials":   {"consumer"},
	"basicauth_credentials": {"consumer"},
}

func newModel(schemas *entity.Schemas) model {
	m := model{}
	for _, name := range schemas.Kinds() {
		if name == "tags" { // a view of all others
			continue
		}
		schema, _ := schemas.Of(name)
		k := &collection{name: name, schema: schema}
		for _, f := range schema.Fields() {
			if f.Unique {
				k.unique = append(k.unique, []string{f.Name})
			}
			if f.Type == entity.Foreign {
				k.references = append(k.references, reference{f.Name, f.Reference})
			}
		}
		if fields := combined[name]; fields != nil {
			k.unique = append(k.unique, fields)
		}
		m[name] = k
	}
	return m
}

func (m model) kind(name string) (*collection, error) {
	if k := m[name]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("no such kind of entity: %q", name)
}

// refers gives an error where an entity of that kind has no such reference.
func (k *collection) refers(field string) error {
	if slices.ContainsFunc(k.references, func(r reference) bool { return r.field == field }) {
		return nil
	}
	return fmt.Errorf("%s have no reference %q", k.name, field)
}

// stored is the form in which an object is kept: its own copy, ids in lower case, without what is worked out when it is
// read.
func (k *collection) stored(object entity.Object) entity.Object {
	object = maps.Clone(object)
	if id, ok := object["id"].(string); ok {
		object["id"] = strings.ToLower(id)
	}
	for _, r := range k.references {
		if ref, ok := object[r.field].(entity.Object); ok {
			id, _ := ref["id"].(string)
			object[r.field] = entity.Object{"id": strings.ToLower(id)}
		}
	}
	switch k.name {
	case "certificates":
		delete(object, "snis")
	case "keyauth_credentials":
		delete(object, "ttl")
	}
	return object
}

// claim is a value that only one entity may have. Values are known by their digests: they are of one size, and neither
// a key's length nor its bytes can be too much for an index.
type claim struct {
	field  string // or several, with commas
	digest string
	fields entity.Object
}

// claims are the unique values of an entity, after its id.
func (k *collection) claims(object entity.Object) []claim {
	var claims []claim
	for _, fields := range k.unique {
		if len(fields) == 1 && object[fields[0]] == nil {
			continue
		}
		c := claim{field: strings.Join(fields, ","), fields: entity.Object{}}
		values := make([]any, len(fields))
		for i, name := range fields {
			values[i] = object[name]
			c.fields[name] = object[name]
		}
		c.digest = digest(values...)
		claims = append(claims, c)
	}
	return claims
}

// digest of some values, which are what JSON makes of them.
func digest(values ...any) string {
	text, _ := json.Marshal(values) // strings, nulls and references always marshal
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// link is a reference that is set.
type link struct {
	reference
	id string
}

func (k *collection) links(object entity.Object) []link {
	var links []link
	for _, r := range k.references {
		if ref, ok := object[r.field].(entity.Object); ok {
			id, _ := ref["id"].(string)
			links = append(links, link{r, id})
		}
	}
	return links
}

func tagsOf(object entity.Object) []string {
	list, _ := object["tags"].([]any)
	var tags []string
	for _, item := range list {
		if tag, ok := item.(string); ok && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}

func idOf(object entity.Object) string {
	id, _ := object["id"].(string)
	return strings.ToLower(id)
}

// wantedNames are the names in a certificate's snis, false where it says nothing of them.
func wantedNames(object entity.Object) ([]string, bool) {
	value, given := object["snis"]
	list, _ := value.([]any)
	var names []string
	for _, item := range list {
		if name, ok := item.(string); ok {
			names = append(names, name)
		}
	}
	return names, given
}

// sortedNames is a list of names as a certificate's snis.
func sortedNames(names []string) []any {
	slices.Sort(names)
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	return list
}

// usesAuthority reports whether a service trusts the CA certificate. Kong: kong/db/dao/ca_certificates.lua
// check_ca_reference
func usesAuthority(service entity.Object, id string) bool {
	list, _ := service["ca_certificates"].([]any)
	return slices.ContainsFunc(list, func(item any) bool {
		text, _ := item.(string)
		return strings.EqualFold(text, id)
	})
}

// size is how many a query wants at most.
func (q Query) size() int { return pageSize(q.Size) }

func pageSize(size int) int { return cmp.Or(max(size, 0), 100) }
