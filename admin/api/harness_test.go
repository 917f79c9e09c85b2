package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sidekong/admin/api"
	"sidekong/configs/database"
	"sidekong/configs/entity"
)

// client sends requests to an API on an empty database.
type client struct {
	*testing.T
	handler http.Handler
	db      database.DB
	schemas *entity.Schemas
	header  http.Header
}

func newClient(t *testing.T, options api.Options) *client {
	t.Helper()
	c := &client{T: t, schemas: entity.NewSchemas(pluginConfigs), header: http.Header{}}
	if options.DB == nil {
		options.DB = preferred(t, c.schemas)
	}
	c.db, options.Schemas = options.DB, c.schemas
	c.handler = newHandler(t, options)
	return c
}

// reply is an answer, its body also as JSON.
type reply struct {
	status int
	header http.Header
	text   string
	body   entity.Object
}

func (c *client) send(method, target, body string) reply {
	c.Helper()
	request := httptest.NewRequestWithContext(c.Context(), method, target, strings.NewReader(body))
	request.Host = "127.0.0.1:8001"
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range c.header {
		request.Header[name] = values
		if name == "Host" {
			request.Host = values[0]
		}
	}
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, request)
	r := reply{status: recorder.Code, header: recorder.Header(), text: recorder.Body.String()}
	if strings.HasPrefix(r.header.Get("Content-Type"), "application/json") && r.text != "" {
		if err := json.Unmarshal([]byte(r.text), &r.body); err != nil {
			c.Fatalf("%s %s: %q: %v", method, target, r.text, err)
		}
	}
	return r
}

// want sends a request that must have that status.
func (c *client) want(status int, method, target, body string) entity.Object {
	c.Helper()
	r := c.send(method, target, body)
	if r.status != status {
		c.Fatalf("%s %s %s: got %d %s, want %d", method, target, body, r.status, r.text, status)
	}
	return r.body
}

// with is the same client with a header more.
func (c *client) with(name, value string) *client {
	copied := *c
	copied.header = c.header.Clone()
	copied.header.Set(name, value)
	return &copied
}
