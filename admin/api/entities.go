package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"sidekong/configs/database"
	"sidekong/configs/entity"
)

var pageArguments = []string{"size", "offset", "tags"}

// collectionRoutes are GET and POST of all entities of a kind. Kong: generate_collection_endpoints
func (a *api) collectionRoutes(t *table, path string, col *collection) {
	t.add(path, http.MethodGet, operation{
		summary: "List " + col.kind, status: http.StatusOK, response: col.kind + "_page", query: pageArguments,
		handle: func(c *call) (*answer, error) { return c.list(col) },
	})
	t.add(path, http.MethodPost, operation{
		summary: "Create one of " + col.kind, status: http.StatusCreated, body: col.kind, request: col.kind, response: col.kind,
		handle: func(c *call) (*answer, error) { return c.create(col) },
	})
}

// entityRoutes are those of one entity. Kong: generate_entity_endpoints
func (a *api) entityRoutes(t *table, path string, col *collection) {
	addressed := func(do func(*call, *collection, address) (*answer, error)) func(*call) (*answer, error) {
		return func(c *call) (*answer, error) {
			at, err := c.address(col, c.params[col.kind])
			if err != nil {
				return nil, err
			}
			return do(c, col, at)
		}
	}
	a.methodsOfOne(t, path, col, addressed((*call).show), addressed((*call).upsert), addressed((*call).update), addressed((*call).remove))
}

func (a *api) methodsOfOne(t *table, path string, col *collection, get, put, patch, remove func(*call) (*answer, error)) {
	t.add(path, http.MethodGet, operation{
		summary: "Show one of " + col.kind, status: http.StatusOK, response: col.kind, handle: get,
	})
	t.add(path, http.MethodPut, operation{
		summary: "Create or replace one of " + col.kind, status: http.StatusOK, body: col.kind, request: col.kind,
		response: col.kind, handle: put,
	})
	t.add(path, http.MethodPatch, operation{
		summary: "Change one of " + col.kind, status: http.StatusOK, body: col.kind, request: col.kind, response: col.kind,
		handle: patch,
	})
	t.add(path, http.MethodDelete, operation{
		summary: "Remove one of " + col.kind, status: http.StatusNoContent, handle: remove,
	})
}

// list answers a page. Kong: kong/api/endpoints.lua get_collection_endpoint
func (c *call) list(col *collection) (*answer, error) {
	if ids, given := c.query["custom_id"]; given && col.kind == "consumers" {
		return c.consumerByCustomID(ids)
	}
	page, err := c.query.page(true)
	if err != nil {
		return nil, err
	}
	items, next, err := c.DB.List(c.ctx, col.kind, page)
	if err != nil {
		return nil, err
	}
	return pageAnswer(c.masked(col.kind, items), "/"+col.path, next, c.query.kept()...), nil
}

// Kong: kong/api/routes/consumers.lua
func (c *call) consumerByCustomID(ids []any) (*answer, error) {
	id, isText := ids[0].(string)
	if !isText || id == "" || len(ids) > 1 {
		return nil, refuse(http.StatusBadRequest, "custom_id must be an unempty string")
	}
	found, err := c.DB.Find(c.ctx, "consumers", "custom_id", id)
	if err != nil {
		return nil, err
	}
	items := []entity.Object{}
	if found != nil {
		items = append(items, found)
	}
	return ok(entity.Object{"data": items, "next": nil}), nil
}

// Kong: get_entity_endpoint
func (c *call) show(col *collection, at address) (*answer, error) {
	found, err := c.at(col, at)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, errNotFound
	}
	return ok(c.mask(col.kind, found)), nil
}

// create answers with all that was created, secrets included: they came with the request or were made for it.
// Kong: post_collection_endpoint
func (c *call) create(col *collection) (*answer, error) {
	if err := c.refuseMasks(col.kind, c.body); err != nil {
		return nil, err
	}
	object, err := c.insertion(col, c.body, nil)
	if err != nil {
		return nil, err
	}
	if c.ReadOnly {
		return nil, unsupported("create", col.kind, "")
	}
	if object["id"] == nil {
		object["id"] = uuid.NewString()
	}
	if err := c.DB.Insert(c.ctx, col.kind, object); err != nil {
		return nil, err
	}
	c.applied()
	return &answer{status: http.StatusCreated, body: object}, nil
}

// upsert creates or replaces. What the path says beats the body. Kong: put_entity_endpoint
func (c *call) upsert(col *collection, at address) (*answer, error) {
	if col.kind == "certificates" {
		c.putServerName()
	}
	replacement := func(id string, old entity.Object) (entity.Object, error) {
		input := maps.Clone(c.body)
		input["id"] = id
		if at.field != "id" {
			input[at.field] = at.value
		}
		input, err := c.unmasked(col.kind, input, old)
		if err != nil {
			return nil, err
		}
		return c.insertion(col, input, old)
	}
	for try := 1; ; try++ {
		id, err := c.idFor(col, at)
		if err != nil {
			return nil, err
		}
		if c.ReadOnly {
			if _, err := replacement(id, nil); err != nil {
				return nil, err
			}
			return nil, unsupported("create or update", col.kind, at.unnamed())
		}
		var stored entity.Object
		_, err = c.DB.Update(c.ctx, col.kind, id, func(old entity.Object) (entity.Object, error) {
			stored, err = replacement(id, old)
			return stored, err
		})
		var taken *database.UniqueError
		if errors.As(err, &taken) && at.field != "id" && taken.Fields[at.field] == at.value && try < 3 {
			continue // somebody created it in the meantime: replace that one
		}
		if err != nil {
			return nil, err
		}
		c.applied()
		return ok(c.mask(col.kind, stored)), nil
	}
}

// idFor is the id of the entity at an address or, where there is none, the one that it is going to have.
func (c *call) idFor(col *collection, at address) (string, error) {
	if at.field == "id" {
		return at.value, nil
	}
	found, err := c.at(col, at)
	if err != nil {
		return "", err
	}
	if id, isText := found["id"].(string); isText {
		return id, nil
	}
	if id, isText := c.body["id"].(string); isText && isUUID(id) {
		return strings.ToLower(id), nil
	}
	return uuid.NewString(), nil
}

// update merges the body into what is there. Kong: patch_entity_endpoint
func (c *call) update(col *collection, at address) (*answer, error) {
	found, err := c.at(col, at)
	if err != nil {
		return nil, err
	}
	if found == nil {
		if col.kind == "plugins" && c.body["name"] == nil {
			return nil, errNotFound // Kong: kong/api/routes/plugins.lua patch_plugin
		}
		return nil, missing(at.field, at.value)
	}
	if col.kind == "plugins" && c.body["name"] == nil && c.form {
		c.body["name"] = found["name"]
		c.typeForm("plugins")
	}
	change := func(old entity.Object) (entity.Object, error) {
		if old == nil {
			return nil, missing(at.field, at.value)
		}
		input, err := c.withoutMasks(col.kind, c.body, old)
		if err != nil {
			return nil, err
		}
		lookup := &lookup{ctx: c.ctx, db: c.DB}
		schema, _ := c.Schemas.With(lookup).Of(col.kind)
		object, err := schema.Update(old, input)
		if lookup.err != nil {
			return nil, lookup.err
		}
		if err != nil {
			return nil, err
		}
		stamp(schema, object)
		return object, nil
	}
	if c.ReadOnly {
		if _, err := change(found); err != nil {
			return nil, err
		}
		return nil, unsupported("update", col.kind, at.unnamed())
	}
	var stored entity.Object
	id, _ := found["id"].(string)
	_, err = c.DB.Update(c.ctx, col.kind, id, func(old entity.Object) (entity.Object, error) {
		stored, err = change(old)
		return stored, err
	})
	if err != nil {
		return nil, err
	}
	c.applied()
	return ok(c.mask(col.kind, stored)), nil
}

// remove answers 204 also where there is nothing. Kong: delete_entity_endpoint
func (c *call) remove(col *collection, at address) (*answer, error) {
	gone := &answer{status: http.StatusNoContent}
	found, err := c.at(col, at)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return gone, nil
	}
	if c.ReadOnly {
		if names, _ := found["snis"].([]any); col.kind == "certificates" && len(names) > 0 {
			return nil, unsupported("remove", "snis", "name") // they would go first
		}
		return nil, unsupported("remove", col.kind, at.unnamed())
	}
	id, _ := found["id"].(string)
	_, err = c.DB.Delete(c.ctx, col.kind, id)
	var referenced *database.ReferencedError
	if errors.As(err, &referenced) && col.kind == "ca_certificates" {
		return nil, &entity.Error{ // Kong: kong/db/dao/ca_certificates.lua
			Code: codeReferenced, Name: "referenced by others",
			Message: fmt.Sprintf("ca certificate %s is still referenced by %s (id = %s)", id, referenced.By, referenced.ID),
		}
	}
	if err != nil {
		return nil, err
	}
	c.applied()
	return gone, nil
}

// insertion is the whole entity that an input makes, without an id where it brings none. old is what it replaces.
func (c *call) insertion(col *collection, input, old entity.Object) (entity.Object, error) {
	lookup := &lookup{ctx: c.ctx, db: c.DB}
	schema, _ := c.Schemas.With(lookup).Of(col.kind)
	object, err := schema.Insert(input)
	if lookup.err != nil {
		return nil, lookup.err
	}
	if err != nil {
		return nil, err
	}
	if id, isText := object["id"].(string); isText {
		object["id"] = strings.ToLower(id)
	}
	if at, given := old["created_at"]; given && input["created_at"] == nil {
		object["created_at"] = at
	}
	if _, given := object["key"]; !given && col.kind == "keyauth_credentials" {
		object["key"] = randomKey()
	}
	stamp(schema, object)
	return object, nil
}

// stamp sets the times that a schema has: that of creation where there is none yet. Those of targets have milliseconds.
func stamp(schema *entity.Schema, object entity.Object) {
	now := time.Now()
	for _, field := range schema.Fields() {
		at := float64(now.Unix())
		if field.Type == entity.Number {
			at = float64(now.UnixMilli()) / 1000
		}
		switch {
		case field.Name == "updated_at", field.Name == "created_at" && object["created_at"] == nil:
			object[field.Name] = at
		}
	}
}

// randomKey is a key as Kong makes them: 32 letters and digits. Kong: kong/tools/rand.lua random_string
func randomKey() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	key := make([]byte, 0, 32)
	for len(key) < 32 {
		random := make([]byte, 64)
		_, _ = rand.Read(random) // it does not fail
		for _, b := range random {
			// Only values below the greatest multiple of the alphabet's length, so that all are as likely.
			if b < 248 && len(key) < 32 {
				key = append(key, alphabet[b%62])
			}
		}
	}
	return string(key)
}

// applied waits until this process serves what was written, if that is soon.
func (c *call) applied() {
	if c.Applied == nil {
		return
	}
	// The write stands whether or not the client still waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), appliedWithin)
	defer cancel()
	_ = c.Applied(ctx) // who reports it is the one who applies it
}

// lookup lets schemas look at the stored entities. err is the first error of the database.
type lookup struct {
	ctx context.Context
	db  database.DB
	err error
}

// Find implements entity.Lookup.
func (l *lookup) Find(kind, field, value string) (entity.Object, bool) {
	var found entity.Object
	var err error
	if field == "id" {
		found, err = l.db.Get(l.ctx, kind, value)
	} else {
		found, err = l.db.Find(l.ctx, kind, field, value)
	}
	if l.err == nil {
		l.err = err
	}
	return found, found != nil
}

// Referring implements entity.Lookup.
func (l *lookup) Referring(kind, field, id string) []entity.Object {
	all, err := listAll(l.ctx, l.db, kind, database.Query{Field: field, ID: id})
	if l.err == nil {
		l.err = err
	}
	return all
}

// listAll reads page after page.
func listAll(ctx context.Context, db database.DB, kind string, query database.Query) ([]entity.Object, error) {
	query.Size = maxPageSize
	var all []entity.Object
	for {
		items, next, err := db.List(ctx, kind, query)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		query.Offset = next
	}
}
