package api

import (
	"net/http"

	"github.com/google/uuid"

	"sidekong/configs/database"
	"sidekong/configs/entity"
)

// nesting is entities inside another one: child refers to parent by field.
type nesting struct {
	parent, child *collection
	field         string
}

// nestedRoutes are /services/{services}/routes and /services/{services}/routes/{routes}.
func (a *api) nestedRoutes(t *table, path string, n nesting) {
	t.add(path, http.MethodGet, operation{
		summary: "List " + n.child.kind + " of one of " + n.parent.kind, status: http.StatusOK,
		response: n.child.kind + "_page", query: pageArguments,
		handle: func(c *call) (*answer, error) { return c.listNested(n) },
	})
	t.add(path, http.MethodPost, operation{
		summary: "Create one of " + n.child.kind + " for one of " + n.parent.kind, status: http.StatusCreated,
		body: n.child.kind, request: n.child.kind, response: n.child.kind,
		handle: func(c *call) (*answer, error) { return c.createNested(n) },
	})
	path += "/{" + n.child.kind + "}"
	do := func(do func(*call, nesting) (*answer, error)) func(*call) (*answer, error) {
		return func(c *call) (*answer, error) { return do(c, n) }
	}
	put := (*call).upsertNested
	if n.child.kind == "targets" {
		put = (*call).updateNested // Kong: kong/api/routes/upstreams.lua
	}
	a.methodsOfOne(t, path, n.child, do((*call).showNested), do(put), do((*call).updateNested), do((*call).removeNested))
}

func (c *call) listNested(n nesting) (*answer, error) {
	parent, err := c.named(n.parent)
	if err != nil {
		return nil, err
	}
	page, err := c.query.page(true)
	if err != nil {
		return nil, err
	}
	page.Field = n.field
	page.ID, _ = parent["id"].(string)
	items, next, err := c.DB.List(c.ctx, n.child.kind, page)
	if err != nil {
		return nil, err
	}
	path := "/" + n.parent.path + "/" + escapeSegment(c.params[n.parent.kind]) + "/" + n.child.nested
	return pageAnswer(c.masked(n.child.kind, items), path, next), nil
}

func (c *call) createNested(n nesting) (*answer, error) {
	parent, err := c.named(n.parent)
	if err != nil {
		return nil, err
	}
	c.body[n.field] = entity.Object{"id": parent["id"]}
	return c.create(n.child)
}

// inside finds an entity and the one that it belongs to; where they do not belong together, it answers 404.
func (c *call) inside(n nesting) (parent, child entity.Object, err error) {
	if parent, err = c.named(n.parent); err != nil {
		return nil, nil, err
	}
	parentID, _ := parent["id"].(string)
	if key := c.params[n.child.kind]; n.child.kind == "targets" && !isUUID(key) {
		child, err = c.targetNamed(parentID, key)
	} else {
		child, err = c.named(n.child)
	}
	if err == nil && (child == nil || refID(child, n.field) != parentID) {
		err = errNotFound
	}
	return parent, child, err
}

// targetNamed finds a target by its host and port, which are unique within an upstream alone.
// Kong: kong/db/dao/targets.lua select_by_upstream_filter
func (c *call) targetNamed(upstream, target string) (entity.Object, error) {
	all, err := listAll(c.ctx, c.DB, "targets", database.Query{Field: "upstream", ID: upstream})
	if err != nil {
		return nil, err
	}
	for _, object := range all {
		if object["target"] == target {
			return object, nil
		}
	}
	return nil, nil
}

func (c *call) showNested(n nesting) (*answer, error) {
	_, child, err := c.inside(n)
	if err != nil {
		return nil, err
	}
	return ok(c.mask(n.child.kind, child)), nil
}

func (c *call) upsertNested(n nesting) (*answer, error) {
	parent, err := c.named(n.parent)
	if err != nil {
		return nil, err
	}
	c.body[n.field] = entity.Object{"id": parent["id"]}
	at, err := c.address(n.child, c.params[n.child.kind])
	if err != nil {
		return nil, err
	}
	return c.upsert(n.child, at)
}

func (c *call) updateNested(n nesting) (*answer, error) {
	parent, child, err := c.inside(n)
	if err != nil {
		return nil, err
	}
	if c.body[n.field] == nil && n.child.kind != "targets" {
		c.body[n.field] = entity.Object{"id": parent["id"]}
	}
	id, _ := child["id"].(string)
	return c.update(n.child, byID(id))
}

func (c *call) removeNested(n nesting) (*answer, error) {
	_, child, err := c.inside(n)
	if err != nil {
		return nil, err
	}
	id, _ := child["id"].(string)
	return c.remove(n.child, byID(id))
}

// foreignRoutes are /routes/{routes}/service: what an entity refers to.
func (a *api) foreignRoutes(t *table, path string, n nesting) {
	do := func(do func(c *call, child entity.Object, id string) (*answer, error)) func(*call) (*answer, error) {
		return func(c *call) (*answer, error) {
			child, err := c.named(n.child)
			if err != nil {
				return nil, err
			}
			return do(c, child, refID(child, n.field))
		}
	}
	a.methodsOfOne(t, path, n.parent,
		do(func(c *call, _ entity.Object, id string) (*answer, error) {
			if id == "" {
				return nil, errNotFound
			}
			return c.show(n.parent, byID(id))
		}),
		do(func(c *call, child entity.Object, id string) (*answer, error) {
			if id != "" {
				return c.upsert(n.parent, byID(id))
			}
			return c.associate(n, child)
		}),
		do(func(c *call, _ entity.Object, id string) (*answer, error) {
			if id == "" {
				return nil, errNotFound
			}
			return c.update(n.parent, byID(id))
		}),
		do(func(c *call, _ entity.Object, id string) (*answer, error) {
			if id == "" {
				return nil, errNotFound
			}
			return nil, errMethod
		}))
}

// associate creates what an entity is to refer to, and has it refer to it.
func (c *call) associate(n nesting, child entity.Object) (*answer, error) {
	at := byID(uuid.NewString())
	created, err := c.upsert(n.parent, at)
	if err != nil {
		return nil, err
	}
	id, _ := child["id"].(string)
	change := *c
	change.body = entity.Object{n.field: entity.Object{"id": at.value}}
	change.form = false
	if _, err := change.update(n.child, byID(id)); err != nil {
		return nil, err
	}
	return created, nil
}
