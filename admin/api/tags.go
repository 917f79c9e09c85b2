package api

import (
	"net/http"

	"sidekong/configs/entity"
)

// tagRoutes list what carries tags. Kong: kong/api/routes/tags.lua
func (a *api) tagRoutes(t *table) {
	t.add("/tags", http.MethodGet, operation{
		summary: "List tags and what carries them", status: http.StatusOK, response: "tags_page", query: []string{"size", "offset"},
		handle: func(c *call) (*answer, error) { return c.tags("", "/tags", c.query.kept()...) },
	})
	t.add("/tags/{tags}", http.MethodGet, operation{
		summary: "List what carries a tag", status: http.StatusOK, response: "tags_page", query: []string{"size", "offset"},
		handle: func(c *call) (*answer, error) {
			return c.tags(c.params["tags"], "/tags/"+escapeSegment(c.params["tags"]))
		},
	})
	// Kong has them and refuses.
	refuseTags := operation{
		summary: "Refused: tags are written with what carries them", status: http.StatusBadRequest, response: "error", body: "tags",
		handle: func(c *call) (*answer, error) {
			schema, _ := c.Schemas.Of("tags")
			_, err := schema.Insert(c.body)
			return nil, err
		},
	}
	t.add("/tags", http.MethodPost, refuseTags)
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		t.add("/tags/{tags}", method, refuseTags)
	}
}

func (c *call) tags(tag, path string, kept ...string) (*answer, error) {
	page, err := c.query.page(false)
	if err != nil {
		return nil, err
	}
	found, next, err := c.DB.Tagged(c.ctx, tag, page.Size, page.Offset)
	if err != nil {
		return nil, err
	}
	data := make([]entity.Object, len(found))
	for i, t := range found {
		data[i] = entity.Object{"entity_name": t.EntityName, "entity_id": t.EntityID, "tag": t.Tag}
	}
	return pageAnswer(data, path, next, kept...), nil
}
