package api

import (
	"net/url"
	"slices"
)

// putServerName makes a PUT to /certificates/{name} list that name, where the body lists any.
// Kong: kong/api/routes/certificates.lua prepare_args
func (c *call) putServerName() {
	name, direct := c.params["certificates"]
	if !direct {
		return
	}
	if isUUID(name) {
		name = ""
	}
	switch snis := c.body["snis"].(type) {
	case nil:
		c.body["snis"] = nil
	case string:
		c.body["snis"] = []any{snis}
		if name != "" && snis != name {
			c.body["snis"] = []any{snis, name}
		}
	case []any:
		if name != "" && !slices.Contains(snis, any(name)) {
			c.body["snis"] = append(snis, name)
		}
	}
}

// escapeSegment writes a text as part of a path.
func escapeSegment(text string) string { return url.PathEscape(text) }
