package api

import (
	"net"
	"net/http"

	"sidekong/admin"
	"sidekong/configs/entity"
)

// healthRoutes are those of upstreams and their targets. Kong: kong/api/routes/upstreams.lua
func (a *api) healthRoutes(t *table) {
	upstreams, targets := collectionOf("upstreams"), collectionOf("targets")
	inside := nesting{parent: upstreams, child: targets, field: "upstream"}
	const path = "/upstreams/{upstreams}"
	t.add(path+"/health", http.MethodGet, operation{
		summary: "Health of an upstream's targets", status: http.StatusOK, response: "health_page",
		query:  []string{"size", "offset", "balancer_health"},
		handle: func(c *call) (*answer, error) { return c.health(upstreams) },
	})
	t.add(path+"/targets/all", http.MethodGet, operation{
		summary: "List all targets of an upstream", status: http.StatusOK, response: "targets_page", query: pageArguments,
		handle: func(c *call) (*answer, error) { return c.listAllTargets(inside) },
	})
	for _, health := range []string{"healthy", "unhealthy"} {
		set := operation{
			summary: "Mark a target " + health, status: http.StatusNoContent,
			handle: func(c *call) (*answer, error) { return c.setHealth(inside, health == "healthy") },
		}
		t.add(path+"/targets/{targets}/"+health, http.MethodPut, set)
		set.summary = "Mark an address of a target " + health
		t.add(path+"/targets/{targets}/{address}/"+health, http.MethodPut, set)
	}
}

func (c *call) listAllTargets(n nesting) (*answer, error) {
	answer, err := c.listNested(n)
	if err != nil {
		return nil, err
	}
	if body := answer.body.(entity.Object); body["next"] != nil {
		offset, _ := body["offset"].(string)
		path := "/upstreams/" + escapeSegment(c.params["upstreams"]) + "/targets/all"
		return pageAnswer(body["data"], path, offset), nil
	}
	return answer, nil
}

func (c *call) health(upstreams *collection) (*answer, error) {
	upstream, err := c.named(upstreams)
	if err != nil {
		return nil, err
	}
	id, _ := upstream["id"].(string)
	var state admin.Upstream
	known := false
	if c.Health != nil {
		state, known = c.Health(id)
	}
	nodeID := c.node()["node_id"]
	if c.query.first("balancer_health") == "1" {
		health := entity.Object{"id": id, "health": "HEALTHCHECKS_OFF", "details": entity.Object{}}
		if known {
			health["health"] = state.Health
		}
		return ok(entity.Object{"data": health, "next": nil, "node_id": nodeID}), nil
	}
	page, err := c.query.page(false)
	if err != nil {
		return nil, err
	}
	page.Field, page.ID = "upstream", id
	items, next, err := c.DB.List(c.ctx, "targets", page)
	if err != nil {
		return nil, err
	}
	states := map[string]admin.Target{}
	for _, target := range state.Targets {
		states[target.Target] = target
	}
	for _, item := range items {
		name, _ := item["target"].(string)
		target, balanced := states[name]
		switch {
		case balanced:
			item["health"] = target.Health
			item["data"] = entity.Object{"addresses": target.Addresses, "dns": target.DNS, "nodeWeight": target.Weight}
		case known:
			item["health"] = "DNS_ERROR"
		default:
			item["health"] = "HEALTHCHECKS_OFF"
		}
	}
	if items == nil {
		items = []entity.Object{}
	}
	answer := pageAnswer(items, "/upstreams/"+escapeSegment(c.params["upstreams"])+"/health", next)
	answer.body.(entity.Object)["node_id"] = nodeID
	return answer, nil
}

func (c *call) setHealth(n nesting, healthy bool) (*answer, error) {
	upstream, target, err := c.inside(n)
	if err != nil {
		return nil, err
	}
	if c.SetHealth == nil {
		return nil, errNotFound
	}
	address := c.params["address"]
	if address != "" {
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(address, "8000") // Kong: kong/db/dao/targets.lua DEFAULT_PORT
		}
	}
	id, _ := upstream["id"].(string)
	name, _ := target["target"].(string)
	if err := c.SetHealth(id, name, address, healthy); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	return &answer{status: http.StatusNoContent}, nil
}
