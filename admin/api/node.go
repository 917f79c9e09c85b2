package api

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sidekong/configs/database"
	"sidekong/configs/entity"
)

// nodeRoutes tell about this process. Kong: kong/api/routes/kong.lua, health.lua, debug.lua, plugins.lua
func (a *api) nodeRoutes(t *table) {
	t.add("/", http.MethodGet, operation{
		summary: "The node, its plugins and its configuration", status: http.StatusOK, response: "free",
		handle: (*call).root,
	})
	t.add("/endpoints", http.MethodGet, operation{
		summary: "List the paths of this API", status: http.StatusOK, response: "endpoints",
		handle: func(c *call) (*answer, error) {
			paths := make([]string, len(c.routes.routes))
			for i, r := range c.routes.routes {
				paths[i] = r.pattern
			}
			return ok(entity.Object{"data": paths}), nil
		},
	})
	t.add("/openapi.json", http.MethodGet, operation{
		summary: "This API as an OpenAPI document", status: http.StatusOK, response: "free",
		handle: func(c *call) (*answer, error) { return ok(document(c.document)), nil },
	})
	t.add("/plugins/enabled", http.MethodGet, operation{
		summary: "List the plugins that may be configured", status: http.StatusOK, response: "enabled_plugins",
		handle: func(c *call) (*answer, error) {
			names := make([]string, len(c.Plugins))
			for i, p := range c.Plugins {
				names[i] = p.Name
			}
			slices.Sort(names)
			return ok(entity.Object{"enabled_plugins": names}), nil
		},
	})
	if a.Status != nil {
		t.add("/status", http.MethodGet, operation{
			summary: "How the node does", status: http.StatusOK, response: "free",
			handle: func(c *call) (*answer, error) { return c.status() },
		})
	}
	if a.LogLevel == nil || a.SetLogLevel == nil {
		return
	}
	t.add("/debug/node/log-level", http.MethodGet, operation{
		summary: "The log level", status: http.StatusOK, response: "message",
		handle: func(c *call) (*answer, error) {
			return message(http.StatusOK, "log level: "+c.LogLevel()), nil
		},
	})
	t.add("/debug/node/log-level/{log_level}", http.MethodPut, operation{
		summary: "Change the log level for a while", status: http.StatusOK, response: "message", query: []string{"timeout"},
		handle: (*call).putLogLevel,
	})
}

// kongVersion is the Kong that this API is like; tools choose what they send by it.
const kongVersion = "3.9.3"

// node is what the program tells of itself.
func (a *api) node() map[string]any {
	if a.Node == nil {
		return map[string]any{}
	}
	return a.Node()
}

// root answers what Kong does, as far as it has a counterpart here.
func (c *call) root() (*answer, error) {
	available := entity.Object{}
	for _, p := range c.Plugins {
		available[p.Name] = entity.Object{"version": p.Version, "priority": p.Priority, "runs": p.Runs}
	}
	configured, err := listAll(c.ctx, c.DB, "plugins", database.Query{})
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, p := range configured {
		if name, isText := p["name"].(string); isText {
			used[name] = true
		}
	}
	enabled := slices.Sorted(maps.Keys(used))
	if enabled == nil {
		enabled = []string{}
	}
	body := entity.Object{
		"tagline": "Welcome to sidekong", "edition": "community", "version": kongVersion,
		"plugins": entity.Object{"available_on_server": available, "enabled_in_cluster": enabled},
	}
	maps.Copy(body, c.node())
	return ok(body), nil
}

// status is the status listener's answer, with its headers dropped.
func (c *call) status() (*answer, error) {
	recorder := &recorder{header: http.Header{}, status: http.StatusOK}
	request := c.r.Clone(c.ctx)
	request.Method, request.URL.Path, request.URL.RawPath = http.MethodGet, "/status", ""
	c.Status.ServeHTTP(recorder, request)
	return &answer{status: recorder.status, body: document(recorder.body)}, nil
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorder) Header() http.Header    { return r.header }
func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(text []byte) (int, error) {
	r.body = append(r.body, text...)
	return len(text), nil
}

var logLevels = []string{"debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"}

// Kong: kong/api/routes/debug.lua handle_put_log_level
func (c *call) putLogLevel() (*answer, error) {
	if c.ReadOnly {
		return nil, refuse(http.StatusMethodNotAllowed, "cannot change log level when not using a database")
	}
	level := c.params["log_level"]
	if !slices.Contains(logLevels, level) {
		return nil, refuse(http.StatusBadRequest, "unknown log level: %s", level)
	}
	const defaultSeconds, maxSeconds = 60, 1 << 31
	seconds := float64(defaultSeconds)
	text := c.query.first("timeout")
	if sent, given := c.body["timeout"]; given {
		if number, isNumber := sent.(float64); isNumber {
			text = strconv.FormatFloat(number, 'f', -1, 64)
		} else {
			text, _ = sent.(string)
		}
	}
	if number, isNumber := luaNumber(text); isNumber {
		seconds = min(number, maxSeconds)
	}
	switch {
	case seconds < 0:
		return nil, refuse(http.StatusBadRequest, "timeout must be greater than or equal to 0")
	case strings.EqualFold(level, c.LogLevel()):
		return message(http.StatusOK, "log level is already "+level), nil
	}
	if err := c.SetLogLevel(level, time.Duration(seconds*float64(time.Second))); err != nil {
		return nil, refuse(http.StatusInternalServerError, "failed setting log level: %v", err)
	}
	return message(http.StatusOK, "log level changed"), nil
}
