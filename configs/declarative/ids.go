package declarative

import (
	"fmt"
	"strings"

	"sidekong/configs/entity"
)

// identify gives an id to an entity that has none: always the same for the same configuration, so that a reload
// changes only what was edited.
//
// Where Kong's ids are stable these are the same. Where Kong draws a random one (no name, certificates, key-auth
// credentials) the id follows from the content and from the entity around it.
//
// Kong: kong/db/schema/others/declarative_config.lua get_key_for_uuid_gen, build_cache_key
func (b *builder) identify(it *item) string {
	field := func(name string) string {
		s, _ := it.object[name].(string)
		return s
	}
	// A reference is part of a key as it was written, or as the id of the entity around.
	ref := func(name string) string {
		if s, ok := it.own.get(name).text(); ok {
			return s
		}
		if object, ok := it.object[name].(entity.Object); ok {
			s, _ := object["id"].(string)
			return s
		}
		if it.parent != nil && it.parent.kind.children[it.kind.name] == name {
			return it.parent.id
		}
		return ""
	}
	var key string
	switch it.kind.name {
	case "services", "routes", "upstreams", "consumers", "snis":
		key = field(it.kind.key)
	case "basicauth_credentials":
		if name := field("username"); name != "" {
			key = "basicauth_credentials:*:" + name
		}
	case "targets":
		key = strings.Join([]string{"targets", "*", ref("upstream"), field("target")}, ":")
	case "plugins":
		if it.group != nil {
			break
		}
		key = strings.Join([]string{"plugins", "*", field("name"), ref("route"), ref("service"), ref("consumer")}, ":")
	}
	if key != "" {
		return entity.ID(it.kind.name, key)
	}
	key = "content:" + canonical(it.object)
	if it.group != nil {
		key += canonical(entity.Object{"consumer_group": it.group.plain()})
	}
	if it.parent != nil {
		key = it.parent.kind.name + ":" + it.parent.id + ":" + key
	}
	id := entity.ID(it.kind.name, key)
	if b.twins[id]++; b.twins[id] > 1 {
		id = entity.ID(it.kind.name, fmt.Sprintf("%s:%d", key, b.twins[id]))
	}
	return id
}
