package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin/api"
	"sidekong/configs"
	"sidekong/configs/database"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// fileless is a configuration without a database, as the program has it: parsed, resolved, swapped.
type fileless struct {
	memory *database.Memory
	loader configs.Loader
	lock   sync.Mutex
	hash   string
}

func (f *fileless) replace(ctx context.Context, input declarative.Input) (*declarative.Document, bool, error) {
	snapshot, _, err := f.loader.Load(ctx, configs.Text(input.Name, string(input.Data)))
	if err != nil {
		return nil, false, err
	}
	if len(snapshot.Services) > 0 && snapshot.Services[0].Host == "not.to.be.compiled" {
		return nil, false, errors.New("compile configuration: no")
	}
	f.lock.Lock()
	defer f.lock.Unlock()
	changed := snapshot.Hash != f.hash
	f.hash = snapshot.Hash
	f.memory.Replace(snapshot.Document)
	return snapshot.Document, changed, nil
}

func newFileless(t *testing.T) *client {
	t.Helper()
	schemas := entity.NewSchemas(pluginConfigs)
	f := &fileless{memory: database.NewMemory(&declarative.Document{}, schemas), loader: configs.Loader{Schemas: schemas}}
	return newClient(t, api.Options{DB: f.memory, ReadOnly: true, Replace: f.replace, Token: token})
}

const kongYAML = `_format_version: "3.0"
services:
- name: s
  url: http://h:81/p
  routes:
  - name: r
    paths: [/r]
consumers:
- username: alice
  keyauth_credentials:
  - key: s3cret
`

func TestConfig(t *testing.T) {
	c := newFileless(t)
	asJSON, err := json.Marshal(entity.Object{
		"_format_version": "3.0", "services": []any{entity.Object{"name": "j", "host": "h"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	inField, _ := json.Marshal(entity.Object{"config": kongYAML, "check_hash": 1, "flatten_errors": true})
	nested, _ := json.Marshal(entity.Object{"config": json.RawMessage(asJSON)})
	const yamlType, jsonType, formType = "text/yaml", "application/json", "application/x-www-form-urlencoded"
	steps := []struct {
		name, path, contentType, body string
		want                          int
		service                       string // that is served afterwards
	}{
		{"YAML", "/config", yamlType, kongYAML, 201, "s"},
		{"the same", "/config?check_hash=1", yamlType, kongYAML, 304, "s"},
		{"the same without a look at it", "/config", "application/yaml; charset=utf-8", kongYAML, 201, "s"},
		{"JSON", "/config", jsonType, string(asJSON), 201, "j"},
		{"YAML in a field", "/config", jsonType, string(inField), 201, "s"},
		{"the same in a field", "/config", jsonType, string(inField), 304, "s"},
		{"JSON in a field", "/config", jsonType, string(nested), 201, "j"},
		{"form", "/config", formType, "config=" + url.QueryEscape(kongYAML) + "&check_hash=1", 201, "s"},
		{"nothing", "/config", yamlType, " ", 400, "s"},
		{"no field", "/config", jsonType, "{}", 400, "s"},
		{"not JSON", "/config", jsonType, "{", 400, "s"},
		{"another type", "/config", "text/plain", kongYAML, 415, "s"},
		{"at fault", "/config", yamlType, "_format_version: '3.0'\nservices: [{name: bad}]\n", 400, "s"},
		{"not to be compiled", "/config", yamlType, "_format_version: '3.0'\nservices: [{name: bad, host: not.to.be.compiled}]\n", 400, "s"},
	}
	for _, step := range steps {
		r := c.with("Content-Type", step.contentType).send("POST", step.path, step.body)
		if r.status != step.want {
			t.Fatalf("%s: got %d %s, want %d", step.name, r.status, r.text, step.want)
		}
		if strings.Contains(r.text, "s3cret") {
			t.Errorf("%s: got %s, want masks", step.name, r.text)
		}
		c.want(200, "GET", "/services/"+step.service, "")
	}
	r := c.with("Content-Type", yamlType).send("POST", "/config", kongYAML)
	for _, service := range r.body["services"].(entity.Object) {
		if got := service.(entity.Object)["name"]; got != "s" {
			t.Errorf("got service %v, want s", got)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	c := newFileless(t).with("Content-Type", "text/yaml")
	const text = `_format_version: "3.0"
services:
- name: good
  host: h
- name: bad
  host: a b
  tags: [x]
  routes:
  - name: r
    paths: [nope]
    methods: [GET, get]
`
	r := c.send("POST", "/config", text)
	fields := entity.Object{"services": []any{nil, entity.Object{
		"host":   "invalid value: a b",
		"routes": []any{entity.Object{"paths": []any{"should start with: / (fixed path) or ~/ (regex path)"}, "methods": []any{nil, "invalid value: get"}}},
	}}}
	if diff := cmp.Diff(fields, r.body["fields"].(entity.Object)); diff != "" || r.status != 400 || r.body["code"] != 14.0 {
		t.Errorf("got %d %s, fields (-want +got):\n%s", r.status, r.text, diff)
	}
	if message, _ := r.body["message"].(string); !strings.Contains(message, "6:9") {
		t.Errorf("got message %q, want the fault's place in it", message)
	}
	flat := c.send("POST", "/config?flatten_errors=1", text)
	want := []any{
		entity.Object{
			"entity_type": "service", "entity_name": "bad", "entity_tags": []any{"x"},
			"entity": entity.Object{"name": "bad", "host": "a b", "tags": []any{"x"}},
			"errors": []any{entity.Object{"type": "field", "field": "host", "message": "invalid value: a b"}},
		},
		entity.Object{
			"entity_type": "route", "entity_name": "r",
			"entity": entity.Object{"name": "r", "paths": []any{"nope"}, "methods": []any{"GET", "get"}},
			"errors": []any{
				entity.Object{"type": "field", "field": "paths.1", "message": "should start with: / (fixed path) or ~/ (regex path)"},
				entity.Object{"type": "field", "field": "methods.2", "message": "invalid value: get"},
			},
		},
	}
	if diff := cmp.Diff(want, flat.body["flattened_errors"].([]any)); diff != "" {
		t.Errorf("flattened_errors (-want +got):\n%s", diff)
	}
}

func TestConfigExport(t *testing.T) {
	c := newFileless(t)
	c.with("Content-Type", "text/yaml").want(201, "POST", "/config", kongYAML)
	shown := c.want(200, "GET", "/config", "")["config"].(string)
	if strings.Contains(shown, "s3cret") || !strings.Contains(shown, api.Mask) || !strings.Contains(shown, "name: r") {
		t.Errorf("got %s, want it with a mask", shown)
	}
	whole := c.with("Kong-Admin-Token", token).want(200, "GET", "/config", "")["config"].(string)
	if !strings.Contains(whole, "s3cret") {
		t.Errorf("with the token: got %s, want it without masks", whole)
	}
	if r := c.with("Content-Type", "text/yaml").send("POST", "/config?check_hash=1", whole); r.status != 304 {
		t.Errorf("sent back: got %d %s, want 304", r.status, r.text)
	}
}

// Without a database, what is not /config cannot be written, and can be read.
func TestReadOnly(t *testing.T) {
	c := newFileless(t)
	c.with("Content-Type", "text/yaml").want(201, "POST", "/config", kongYAML)
	for _, request := range []struct {
		method, path, body string
		want               int
		message            string
	}{
		{"POST", "/services", `{"host":"h"}`, 405, "cannot create 'services' entities when not using a database"},
		{"PATCH", "/services/s", `{"port":1}`, 405, "cannot update 'services' entities by 'name' when not using a database"},
		{"PUT", "/routes/r", `{"paths":["/a"]}`, 405, "cannot create or update 'routes' entities by 'name' when not using a database"},
		{"DELETE", "/consumers/alice", "", 405, "cannot remove 'consumers' entities by 'username' when not using a database"},
		{"PATCH", "/services/nope", `{"port":1}`, 404, `could not find the entity with '{name="nope"}'`},
		{"DELETE", "/services/nope", "", 204, ""},
		{"GET", "/services/s/routes", "", 200, ""},
		{"PUT", "/debug/node/log-level/debug", "", 404, "Not found"},
	} {
		r := c.send(request.method, request.path, request.body)
		if message, _ := r.body["message"].(string); r.status != request.want || message != request.message {
			t.Errorf("%s %s: got %d %s, want %d %s", request.method, request.path, r.status, r.text, request.want, request.message)
		}
	}
}
