package api_test

import (
	"net/http"
	"testing"

	"sidekong/admin/api"
	"sidekong/configs/entity"
)

func TestGuard(t *testing.T) {
	session := func(r *http.Request) bool { return r.Header.Get("Cookie") == "session" }
	local := api.Options{Token: "secret", AllowedHosts: []string{"sidecar.test"}, AllowedOrigins: []string{"https://page.test"}}
	public := api.Options{Token: "secret", Public: true, Session: session}
	page := api.Options{Session: func(*http.Request) bool { return true }}
	tests := []struct {
		name    string
		options api.Options
		method  string
		header  map[string]string
		want    int
	}{
		{"address", local, "GET", nil, 200},
		{"localhost", local, "GET", map[string]string{"Host": "localhost:8001"}, 200},
		{"IPv6", local, "GET", map[string]string{"Host": "[::1]:8001"}, 200},
		{"IPv6 without port", local, "GET", map[string]string{"Host": "[::1]"}, 200},
		{"allowed name", local, "GET", map[string]string{"Host": "Sidecar.test"}, 200},
		{"name led here", local, "GET", map[string]string{"Host": "evil.test:8001"}, 403},
		{"name that begins like one", local, "GET", map[string]string{"Host": "127.0.0.1.evil.test"}, 403},
		{"no name", local, "GET", map[string]string{"Host": ""}, 403},
		{"name led here, with token", local, "GET", map[string]string{"Host": "evil.test", "Kong-Admin-Token": "secret"}, 200},
		{"wrong token", local, "GET", map[string]string{"Kong-Admin-Token": "secreT"}, 401},
		{"page elsewhere reads", local, "GET", map[string]string{"Origin": "https://evil.test"}, 200},
		{"page elsewhere posts", local, "POST", map[string]string{"Origin": "https://evil.test"}, 403},
		{"page elsewhere posts, newer browser", local, "POST", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"page of no origin posts", local, "POST", map[string]string{"Origin": "null"}, 403},
		{"own page posts", local, "POST", map[string]string{"Origin": "http://127.0.0.1:8001"}, 201},
		{"allowed page posts", local, "POST", map[string]string{"Origin": "https://page.test"}, 201},
		{"curl posts", local, "POST", nil, 201},
		{"local page", page, "POST", nil, 201},
		{"local page, by a name led here", page, "GET", map[string]string{"Host": "evil.test"}, 403},
		{"public without token", public, "GET", nil, 401},
		{"public with empty token", public, "GET", map[string]string{"Kong-Admin-Token": ""}, 401},
		{"public with another scheme", public, "GET", map[string]string{"Authorization": "Basic secret"}, 401},
		{"public with bearer", public, "GET", map[string]string{"Authorization": "bearer secret", "Host": "any.test"}, 200},
		{"public with Kong's header", public, "POST", map[string]string{"Kong-Admin-Token": "secret"}, 201},
		{"public with session", public, "POST", map[string]string{"Cookie": "session"}, 201},
		{"public with session, from elsewhere", public, "POST", map[string]string{"Cookie": "session", "Origin": "https://evil.test"}, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, test.options)
			for name, value := range test.header {
				c.header[http.CanonicalHeaderKey(name)] = []string{value}
			}
			body := ""
			if test.method == "POST" {
				body = `{"host":"h"}`
			}
			got := c.send(test.method, "/services", body)
			if got.status != test.want {
				t.Errorf("got %d %s, want %d", got.status, got.text, test.want)
			}
			if got.status == 401 && got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("got WWW-Authenticate %q, want Bearer", got.header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestPublicNeedsToken(t *testing.T) {
	schemas := entity.NewSchemas(pluginConfigs)
	if _, err := api.Handler(api.Options{Schemas: schemas, Public: true}); err == nil {
		t.Error("got no error, want one")
	}
	if _, err := api.Handler(api.Options{Schemas: schemas, AllowedOrigins: []string{"not an origin"}}); err == nil {
		t.Error("malformed origin: got no error, want one")
	}
}
