package declarative

import (
	"fmt"
	"strings"

	"sidekong/configs/entity"
)

// uniqueness finds entities of one kind that may not stand beside each other.
type uniqueness struct {
	*builder
	kind  *kind
	first map[string]*item
}

func newUniqueness(b *builder, k *kind) *uniqueness {
	return &uniqueness{builder: b, kind: k, first: map[string]*item{}}
}

// add compares a checked entity with those before it.
func (u *uniqueness) add(it *item, checked entity.Object) {
	schema, _ := u.schemas.Of(u.kind.name)
	for _, f := range schema.Fields() {
		name := f.Name
		value, ok := checked[name].(string)
		if !ok || !f.Unique {
			continue
		}
		first := u.taken(it, name+"\x00"+value)
		if first == nil {
			continue
		}
		shown := " set to '" + value + "'"
		if f.Encrypted {
			shown = ""
		}
		u.fault(it.where(name), member(it.path, name), "uniqueness violation: '%s' entity with %s%s already declared at %s",
			u.kind.name, name, shown, first.at)
	}
	switch u.kind.name {
	case "plugins":
		key := fmt.Sprint("scope\x00", checked["name"])
		for _, name := range []string{"route", "service", "consumer"} {
			key += "\x00" + refID(checked, name)
		}
		if it.group != nil {
			return
		}
		if first := u.taken(it, key); first != nil {
			u.fault(it.where("name"), it.path, "a second plugin %v for the same scope (%s); the first is at %s, and one is allowed",
				checked["name"], u.scope(it), first.at)
		}
	case "targets":
		key := "target\x00" + refID(checked, "upstream") + "\x00" + fmt.Sprint(checked["target"])
		if first := u.taken(it, key); first != nil {
			u.fault(it.where("target"), member(it.path, "target"),
				"uniqueness violation: 'targets' entity with target set to '%v' already declared at %s", checked["target"], first.at)
		}
	}
}

// taken gives the item that was there first, or nil after entering this one.
func (u *uniqueness) taken(it *item, key string) *item {
	first := u.first[key]
	if first == nil {
		u.first[key] = it
		return nil
	}
	return first
}

func refID(object entity.Object, name string) string {
	ref, _ := object[name].(entity.Object)
	id, _ := ref["id"].(string)
	return strings.ToLower(id)
}
