package api

import (
	"strings"

	"github.com/google/uuid"

	"sidekong/configs/entity"
)

// collection is a kind of entity as its paths have it. Kong: kong/db/schema/entities/*.lua endpoint_key, admin_api_name
type collection struct {
	kind   string // services
	path   string // of all of them: /services
	nested string // of those that belong to another entity: /consumers/{consumers}/key-auth
	key    string // the field that they may be addressed by instead of their id, "" for none
	hidden bool   // they have no paths of their own
}

var collections = []*collection{
	{kind: "services", path: "services", nested: "services", key: "name"},
	{kind: "routes", path: "routes", nested: "routes", key: "name"},
	{kind: "plugins", path: "plugins", nested: "plugins", key: "instance_name"},
	{kind: "consumers", path: "consumers", nested: "consumers", key: "username"},
	{kind: "keyauth_credentials", path: "key-auths", nested: "key-auth", key: "key"},
	{kind: "basicauth_credentials", path: "basic-auths", nested: "basic-auth", key: "username"},
	{kind: "upstreams", path: "upstreams", nested: "upstreams", key: "name"},
	{kind: "targets", path: "targets", nested: "targets", key: "target", hidden: true},
	{kind: "certificates", path: "certificates", nested: "certificates"}, // and by the name of an SNI
	{kind: "ca_certificates", path: "ca_certificates", nested: "ca_certificates"},
	{kind: "snis", path: "snis", nested: "snis", key: "name"},
}

// disabled are paths that Kong's scheme would give and Kong leaves out. Kong: kong/api/routes/snis.lua
var disabled = map[string]bool{"/snis/{snis}/certificate": true}

func collectionOf(kind string) *collection {
	for _, col := range collections {
		if col.kind == kind {
			return col
		}
	}
	return nil
}

// address says which entity is meant: by its id, or by a unique field.
type address struct{ field, value string }

func byID(id string) address { return address{"id", strings.ToLower(id)} }

// unnamed is the field for messages about entities that were addressed by name, "" for those by id.
func (a address) unnamed() string {
	if a.field == "id" {
		return ""
	}
	return a.field
}

func isUUID(text string) bool { return len(text) == 36 && uuid.Validate(text) == nil }

// address reads the part of a path that names an entity. Kong: kong/api/endpoints.lua query_entity
func (c *call) address(col *collection, key string) (address, error) {
	if isUUID(key) {
		return byID(key), nil
	}
	if col.kind == "certificates" {
		return c.certificateAddress(key)
	}
	if col.key == "" {
		fields := entity.Object{"id": key}
		return address{}, &entity.Error{
			Code: codePrimaryKeyForm, Name: "invalid primary key",
			Message: "invalid primary key: '" + keyText(fields) + "'", Fields: fields,
		}
	}
	schema, _ := c.Schemas.Of(col.kind)
	if err := schema.CheckKey(col.key, key); err != nil {
		return address{}, err
	}
	return address{col.key, key}, nil
}

// certificateAddress finds the certificate of a server name. A PUT may name one that does not exist yet.
// Kong: kong/api/routes/certificates.lua prepare_params
func (c *call) certificateAddress(name string) (address, error) {
	snis, _ := c.Schemas.Of("snis")
	if err := snis.CheckKey("name", name); err != nil {
		return address{}, err
	}
	sni, err := c.DB.Find(c.ctx, "snis", "name", name)
	switch {
	case err != nil:
		return address{}, err
	case sni != nil:
		certificate, _ := sni["certificate"].(entity.Object)
		id, _ := certificate["id"].(string)
		return byID(id), nil
	case c.r.Method == "PUT":
		return byID(uuid.NewString()), nil
	}
	return address{}, refuse(404, "SNI not found")
}

// at finds the entity at an address, nil if there is none.
func (c *call) at(col *collection, a address) (entity.Object, error) {
	if a.field == "id" {
		return c.DB.Get(c.ctx, col.kind, a.value)
	}
	return c.DB.Find(c.ctx, col.kind, a.field, a.value)
}

// named finds the entity that the path names; where there is none, it answers 404.
func (c *call) named(col *collection) (entity.Object, error) {
	a, err := c.address(col, c.params[col.kind])
	if err != nil {
		return nil, err
	}
	found, err := c.at(col, a)
	if err == nil && found == nil {
		err = errNotFound
	}
	return found, err
}

// refID is the id that a reference holds, "" where it is null.
func refID(object entity.Object, field string) string {
	ref, _ := object[field].(entity.Object)
	id, _ := ref["id"].(string)
	return id
}
