package proxy_test

import (
	"strings"
	"testing"
	"time"

	"sidekong/internal/collector"
	"sidekong/internal/upstream"
)

// TestMostSpecificInstanceExports: of several instances the one of the narrowest scope exports, and no other.
func TestMostSpecificInstanceExports(t *testing.T) {
	up := upstream.Start(t, nil)
	narrow := collector.Start(t)
	endpoint := "http://" + narrow.Address() + "/adapt_xxxxx/api/otlp/traces?k=v"
	config := `
services:
- name: backend
  url: ` + up.URL() + `
  routes:
  - {name: plain, paths: [/plain]}
  - name: special
    paths: [/special]
    plugins:
    - name: opentelemetry
      config:
        traces_endpoint: ` + endpoint + `
        headers: {X-Auth-Token: secret-token}
        resource_attributes: {service.name: kong-dev}
  - name: switched_off
    paths: [/off]
    plugins:
    - {name: opentelemetry, enabled: false, config: {traces_endpoint: "` + endpoint + `"}}
` + global
	e := start(t, setup{config: config})
	for _, target := range []string{"/plain", "/special", "/off", "/nowhere"} {
		e.get(target)
	}
	routes := func(all spans) (names string) {
		for _, span := range all.all("kong") {
			route, _ := span.Attribute("kong.route.name").(string)
			names += route + ","
		}
		return names
	}
	if got := routes(e.spans()); got != "plain,switched_off,," {
		t.Errorf("the global instance exported %q", got)
	}
	all := spans(narrow.Spans())
	if got := routes(all); got != "special," {
		t.Errorf("the route's instance exported %q", got)
	}
	for _, r := range narrow.Requests() {
		if r.URI != "/adapt_xxxxx/api/otlp/traces?k=v" || r.Header.Get("X-Auth-Token") != "secret-token" || r.Err != nil ||
			r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("posted to %s with %v, %v", r.URI, r.Header, r.Err)
		}
	}
	if root := all.named(t, "kong"); root.Resource["service.name"] != "kong-dev" || root.Scope != "kong-internal" {
		t.Errorf("resource %v, scope %s", root.Resource, root.Scope)
	}
	if root := spans(e.collector.Spans()).all("kong")[0]; root.Resource["service.name"] != "kong" {
		t.Errorf("default resource %v", root.Resource)
	}
}

// TestAnySuccess: every 2xx means delivered; nothing is posted twice.
func TestAnySuccess(t *testing.T) {
	for _, code := range []int{200, 201, 202, 204} {
		up := upstream.Start(t, nil)
		e := start(t, setup{config: service(up.URL())})
		e.collector.Behave(collector.Status(code))
		e.get("/")
		if n := len(e.spans().all("kong")); n != 1 || len(e.collector.Requests()) != 1 {
			t.Errorf("%d: %d roots in %d posts", code, n, len(e.collector.Requests()))
		}
		for _, stats := range e.exporters.Stats() {
			if stats.Created != stats.Delivered || stats.Created == 0 {
				t.Errorf("%d: %+v", code, stats)
			}
		}
	}
}

// TestExportersOverReload: an unrelated change keeps the queue and its connection; one that is not used any more
// delivers what it holds and ends.
func TestExportersOverReload(t *testing.T) {
	up := upstream.Start(t, nil)
	second := collector.Start(t)
	slow := func(url string) string {
		return "plugins:\n- name: opentelemetry\n  config: {traces_endpoint: '" + url + "', queue: {max_batch_size: 200, max_coalescing_delay: 3600}}\n"
	}
	services := "services:\n- {url: '" + up.URL() + "', routes: [{paths: [/]}]}\n"
	e := start(t, setup{config: services + slow("COLLECTOR")})
	e.get("/")
	e.idle()
	before := e.exporters.Stats()
	e.apply(services + "consumers:\n- username: unrelated\n" + slow("COLLECTOR"))
	e.get("/")
	e.idle()
	after := e.exporters.Stats()
	if len(before) != 1 || len(after) != 1 || before[0].ID != after[0].ID || after[0].Created != 2*before[0].Created {
		t.Errorf("before the reload %+v, after %+v", before, after)
	}
	if n := len(e.collector.Requests()); n != 0 {
		t.Errorf("the reload flushed: %d posts", n)
	}
	e.apply(services + slow(second.URL()))
	all, err := e.collector.Wait(int(after[0].Created), 5*time.Second)
	if err != nil || len(spans(all).all("kong")) != 2 {
		t.Errorf("after its last user went: %v, %s", err, spans(all).names())
	}
	eventually(t, "the unused exporter ends", func() bool {
		stats := e.exporters.Stats()
		return len(stats) == 2 && strings.Contains(stats[0].Endpoint, second.Address()) && stats[1].ID == "retired"
	})
}
