package configs_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

const everything = `
_format_version: "3.0"
services:
- name: s
  host: up
  routes:
  - name: r
    paths: [/r]
    plugins:
    - {name: empty, instance_name: route}
    - {name: empty, instance_name: route.service, service: s}
    - {name: empty, instance_name: consumer.route, consumer: u}
    - {name: empty, instance_name: all, service: s, consumer: u}
  plugins:
  - {name: empty, instance_name: service}
  - {name: empty, instance_name: consumer.service, consumer: u}
- name: "off"
  host: a.test
  enabled: false
  routes:
  - {name: of-disabled, paths: [/off]}
routes:
- {name: alone, paths: [/alone]}
plugins:
- {name: empty, instance_name: global}
- {name: opentelemetry, instance_name: disabled, enabled: false}
consumers:
- username: u
  plugins:
  - {name: empty, instance_name: consumer}
  keyauth_credentials: [{key: k}]
  basicauth_credentials: [{username: u, password: p}]
upstreams:
- name: up
  targets: [{target: "127.0.0.1:1"}, {target: "127.0.0.1:2"}]
`

func TestSnapshot(t *testing.T) {
	s := mustLoad(t, configs.Text("kong.yaml", everything))

	var scopes []string
	for _, p := range s.ActivePlugins {
		scopes = append(scopes, p.InstanceName)
	}
	want := []string{"all", "consumer.route", "consumer.service", "route.service", "consumer", "route", "service", "global"}
	if diff := cmp.Diff(want, scopes); diff != "" {
		t.Errorf("active plugins (-want +got):\n%s", diff)
	}
	if got, want := len(s.Plugins), len(want)+1; got != want {
		t.Errorf("%d plugins, want %d with the disabled one", got, want)
	}

	routes := map[string]bool{}
	for _, r := range s.ActiveRoutes {
		routes[r.Name] = true
	}
	if diff := cmp.Diff(map[string]bool{"r": true, "alone": true}, routes); diff != "" {
		t.Errorf("active routes (-want +got):\n%s", diff)
	}
	if len(s.Routes) != 3 || len(s.KeyAuth) != 1 || len(s.BasicAuth) != 1 || len(s.Targets) != 2 {
		t.Errorf("%d routes, %d + %d credentials, %d targets", len(s.Routes), len(s.KeyAuth), len(s.BasicAuth), len(s.Targets))
	}
	for i := range s.Targets[1:] {
		if s.Targets[i].ID >= s.Targets[i+1].ID {
			t.Errorf("targets are not sorted by id: %s before %s", s.Targets[i].ID, s.Targets[i+1].ID)
		}
	}
	upstream, ok := s.UpstreamNamed("up")
	if !ok {
		t.Fatal("no upstream named up")
	}
	if again, ok := s.Upstream(upstream.ID); !ok || again != upstream {
		t.Errorf("Upstream(%s) = %v, %v", upstream.ID, again, ok)
	}
	if consumer, ok := s.Consumer(s.KeyAuth[0].Consumer.ID); !ok || consumer.Username != "u" {
		t.Errorf("the key's consumer is %v, %v", consumer, ok)
	}
	if _, ok := s.Route("none"); ok {
		t.Error("found a route that does not exist")
	}
}

func TestHash(t *testing.T) {
	hash := func(config string) string { return mustLoad(t, configs.Text("kong.yaml", config)).Hash }
	const first = `{_format_version: "3.0", services: [{name: a, url: "http://a.test/x"}, {name: b, host: b.test}]}`
	same := []string{
		`{"_format_version":"3.0","services":[{"name":"b","host":"b.test"},{"name":"a","url":"http://a.test/x"}]}`,
		`{_format_version: "2.1", services: [{name: a, host: a.test, path: /x, retries: 5}, {name: b, host: b.test}]}`,
	}
	want := hash(first)
	if len(want) != 32 {
		t.Errorf("hash %q, want 32 digits", want)
	}
	for _, config := range same {
		if got := hash(config); got != want {
			t.Errorf("hash %s, want %s for the same content: %s", got, want, config)
		}
	}
	if got := hash(`{_format_version: "3.0", services: [{name: a, url: "http://a.test/y"}, {name: b, host: b.test}]}`); got == want {
		t.Error("another path, the same hash")
	}
}

func TestNewRefusesLooseReferences(t *testing.T) {
	_, err := configs.Loader{}.Snapshot(&declarative.Document{Entities: map[string][]declarative.Entity{
		"routes": {{Object: entity.Object{"id": "r", "service": entity.Object{"id": "gone"}}}},
	}})
	if want := "resolve route r: its service gone does not exist"; err == nil || err.Error() != want {
		t.Errorf("New = %v, want %s", err, want)
	}
	_, err = configs.Loader{}.Snapshot(&declarative.Document{Entities: map[string][]declarative.Entity{
		"services": {{Object: entity.Object{"id": "s"}}, {Object: entity.Object{"id": "s"}}},
	}})
	if want := `decode services: id "s" is missing or used twice`; err == nil || err.Error() != want {
		t.Errorf("New = %v, want %s", err, want)
	}
}

func TestScopeCovers(t *testing.T) {
	request := configs.Scope{Route: "r", Service: "s"}
	for scope, want := range map[configs.Scope]bool{
		{}:                            true,
		{Route: "r"}:                  true,
		{Service: "s", Route: "r"}:    true,
		{Route: "other"}:              false,
		{Consumer: "u"}:               false,
		{Consumer: "u", Service: "s"}: false,
	} {
		if got := scope.Covers(request); got != want {
			t.Errorf("%+v covers %+v: %v, want %v", scope, request, got, want)
		}
	}
}
