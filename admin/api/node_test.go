package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin"
	"sidekong/admin/api"
	"sidekong/configs/entity"
)

func TestNode(t *testing.T) {
	c := newClient(t, api.Options{
		Node: func() map[string]any { return map[string]any{"node_id": "n", "hostname": "h"} },
		Status: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			fmt.Fprintf(w, `{"asked":%q}`, r.URL.Path)
		}),
	})
	c.want(201, "POST", "/plugins", `{"name":"key-auth"}`)
	root := c.want(200, "GET", "/", "")
	shown := root["plugins"].(entity.Object)
	if diff := cmp.Diff([]any{"key-auth"}, shown["enabled_in_cluster"]); diff != "" || root["node_id"] != "n" || root["hostname"] != "h" || root["version"] != "3.9.3" {
		t.Errorf("got %v; enabled (-want +got):\n%s", root, diff)
	}
	one := entity.Object{"version": "3.9.3", "priority": 1.0, "runs": true}
	if diff := cmp.Diff(one, shown["available_on_server"].(entity.Object)["opentelemetry"]); diff != "" {
		t.Errorf("opentelemetry (-want +got):\n%s", diff)
	}
	enabled := c.want(200, "GET", "/plugins/enabled", "")["enabled_plugins"].([]any)
	if len(enabled) != len(pluginConfigs) || enabled[0] != "basic-auth" {
		t.Errorf("got plugins %v, want all, sorted", enabled)
	}
	if got := c.want(200, "GET", "/status/", "")["asked"]; got != "/status" {
		t.Errorf("got status of %v, want /status", got)
	}
}

func TestLogLevel(t *testing.T) {
	level, lasting := "info", time.Duration(0)
	c := newClient(t, api.Options{
		LogLevel: func() string { return level },
		SetLogLevel: func(next string, d time.Duration) error {
			if next == "emerg" {
				return errors.New("no such level here")
			}
			level, lasting = next, d
			return nil
		},
	})
	for _, step := range []struct {
		method, path string
		want         int
		message      string
		lasting      time.Duration
	}{
		{"GET", "", 200, "log level: info", 0},
		{"PUT", "/info", 200, "log level is already info", 0},
		{"PUT", "/debug", 200, "log level changed", time.Minute},
		{"GET", "", 200, "log level: debug", time.Minute},
		{"PUT", "/warn?timeout=5", 200, "log level changed", 5 * time.Second},
		{"PUT", "/loud", 400, "unknown log level: loud", 5 * time.Second},
		{"PUT", "/error?timeout=-1", 400, "timeout must be greater than or equal to 0", 5 * time.Second},
		{"PUT", "/emerg", 500, "failed setting log level: no such level here", 5 * time.Second},
		{"POST", "/debug", 405, "Method not allowed", 5 * time.Second},
	} {
		got := c.want(step.want, step.method, "/debug/node/log-level"+step.path, "")["message"]
		if got != step.message || lasting != step.lasting {
			t.Errorf("%s %s: got %v for %v, want %s for %v", step.method, step.path, got, lasting, step.message, step.lasting)
		}
	}
}

func TestHealth(t *testing.T) {
	var marked []string
	state := admin.Upstream{Name: "u", Health: "HEALTHY", Targets: []admin.Target{{
		Target: "a.test:80", Health: "HEALTHY", Weight: 100, DNS: "A", Addresses: []admin.Address{{IP: "192.0.2.1", Port: 80, Weight: 100, Health: "HEALTHY"}},
	}}}
	balanced := ""
	c := newClient(t, api.Options{
		Health: func(id string) (admin.Upstream, bool) { return state, id == balanced },
		SetHealth: func(id, target, address string, healthy bool) error {
			if target == "b.test:8000" {
				return errors.New("no such target in the balancer")
			}
			marked = append(marked, fmt.Sprintf("%t %s %q %t", id == balanced, target, address, healthy))
			return nil
		},
		Node: func() map[string]any { return map[string]any{"node_id": "n"} },
	})
	balanced = c.want(201, "POST", "/upstreams", `{"name":"u"}`)["id"].(string)
	c.want(201, "POST", "/upstreams", `{"name":"other"}`)
	id := c.want(201, "POST", "/upstreams/u/targets", `{"target":"a.test:80"}`)["id"].(string)
	c.want(201, "POST", "/upstreams/u/targets", `{"target":"b.test"}`)

	page := c.want(200, "GET", "/upstreams/u/health", "")
	healths := map[string]any{}
	for _, item := range page["data"].([]any) {
		healths[item.(entity.Object)["target"].(string)] = item.(entity.Object)["health"]
	}
	if diff := cmp.Diff(map[string]any{"a.test:80": "HEALTHY", "b.test:8000": "DNS_ERROR"}, healths); diff != "" || page["node_id"] != "n" {
		t.Errorf("got %v, health (-want +got):\n%s", page, diff)
	}
	if got := c.want(200, "GET", "/upstreams/u/health?balancer_health=1", "")["data"].(entity.Object)["health"]; got != "HEALTHY" {
		t.Errorf("got balancer health %v, want HEALTHY", got)
	}
	if got := c.want(200, "GET", "/upstreams/other/health", "")["data"].([]any); len(got) != 0 {
		t.Errorf("got %v, want no targets", got)
	}
	c.want(404, "GET", "/upstreams/nope/health", "")

	c.want(204, "PUT", "/upstreams/u/targets/a.test:80/unhealthy", "")
	c.want(204, "PUT", "/upstreams/u/targets/"+id+"/healthy", "")
	c.want(204, "PUT", "/upstreams/u/targets/a.test:80/192.0.2.1:80/healthy", "")
	c.want(204, "PUT", "/upstreams/u/targets/a.test:80/192.0.2.1/unhealthy", "")
	c.want(400, "PUT", "/upstreams/u/targets/b.test:8000/healthy", "")
	c.want(404, "PUT", "/upstreams/u/targets/c.test:80/healthy", "")
	c.want(404, "PUT", "/upstreams/other/targets/a.test:80/healthy", "")
	want := []string{
		`true a.test:80 "" false`, `true a.test:80 "" true`, `true a.test:80 "192.0.2.1:80" true`, `true a.test:80 "192.0.2.1:8000" false`,
	}
	if diff := cmp.Diff(want, marked); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}

	if got := c.want(200, "GET", "/upstreams/u/targets/all", "")["data"].([]any); len(got) != 2 {
		t.Errorf("got %v, want both targets", got)
	}
	c.want(204, "DELETE", "/upstreams/u/targets/a.test:80", "")
	c.want(404, "GET", "/upstreams/u/targets/a.test:80", "")
}
