package entity_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
)

func insert(t *testing.T, schema *entity.Schema, text string) (entity.Object, *entity.Error) {
	t.Helper()
	var in entity.Object
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		t.Fatal(err)
	}
	out, err := schema.Insert(in)
	var refused *entity.Error
	if err != nil && !errors.As(err, &refused) {
		t.Fatalf("got error %T, want *entity.Error", err)
	}
	return out, refused
}

func TestDecode(t *testing.T) {
	schemas := newSchemas()
	decode := func(kind, text string, into any) {
		t.Helper()
		schema, _ := schemas.Of(kind)
		out, refused := insert(t, schema, text)
		if refused != nil {
			t.Fatal(refused)
		}
		if err := entity.Decode(out, into); err != nil {
			t.Fatal(err)
		}
	}

	var service entity.Service
	decode("services", `{"name":"s","url":"https://up.test/base","created_at":7}`, &service)
	wantService := entity.Service{
		Meta: entity.Meta{CreatedAt: 7}, Name: "s", Enabled: true, Protocol: "https", Host: "up.test", Port: 443,
		Path: "/base", Retries: 5, ConnectTimeout: 60000, WriteTimeout: 60000, ReadTimeout: 60000,
	}
	if diff := cmp.Diff(wantService, service); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}

	var route entity.Route
	decode("routes", `{"paths":["/a"],"hosts":[],"headers":{"x-a":["1"]},"tags":["t"]}`, &route)
	wantRoute := entity.Route{
		Meta: entity.Meta{Tags: []string{"t"}}, Protocols: []string{"http", "https"}, Hosts: []string{},
		Paths: []string{"/a"}, Headers: map[string][]string{"x-a": {"1"}}, HTTPSRedirectStatusCode: 426,
		StripPath: true, PathHandling: "v0", RequestBuffering: true, ResponseBuffering: true,
	}
	if diff := cmp.Diff(wantRoute, route); diff != "" {
		t.Errorf("route (-want +got):\n%s", diff)
	}

	var target entity.Target
	decode("targets", `{"target":"::1","upstream":{"id":"00000000-0000-4000-8000-00000000001f"},"created_at":1.25}`, &target)
	wantTarget := entity.Target{
		Meta: entity.Meta{CreatedAt: 1}, Target: "[0000:0000:0000:0000:0000:0000:0000:0001]:8000", Weight: 100,
		Upstream: entity.Ref{ID: "00000000-0000-4000-8000-00000000001f"},
	}
	if diff := cmp.Diff(wantTarget, target); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}

	var upstream entity.Upstream
	decode("upstreams", `{"name":"u","hash_on":"ip"}`, &upstream)
	if upstream.Algorithm != "consistent-hashing" || upstream.HealthChecks.Active.HTTPPath != "/" ||
		upstream.HealthChecks.Passive.Healthy.HTTPStatuses[0] != 200 {
		t.Errorf("upstream: got %+v, want consistent hashing and the default health checks", upstream)
	}
}

func TestID(t *testing.T) {
	if got, want := entity.ID("routes", "tie-a"), "875800fd-0a8b-5889-ac32-333703423835"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnyPlugin(t *testing.T) {
	schema := newSchemas().AnyPlugin()
	out, refused := insert(t, schema, `{"name":"rate-limiting","config":{"minute":5,"x":[1]},"protocols":["http","http"]}`)
	if refused != nil {
		t.Fatal(refused)
	}
	want := entity.Object{
		"name": "rate-limiting", "config": entity.Object{"minute": 5.0, "x": []any{1.0}}, "enabled": true,
		"protocols": []any{"http"}, "instance_name": nil, "tags": nil, "service": nil, "route": nil, "consumer": nil,
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, text := range []string{
		`{"name":"rate-limiting","foo":1}`,
		`{"name":"key-auth","config":{"foo":1}}`,
		`{"config":{}}`,
	} {
		if _, refused := insert(t, schema, text); refused == nil {
			t.Errorf("%s: got no error, want one", text)
		}
	}
}

func TestSamplingStrategy(t *testing.T) {
	schema, _ := newSchemas().Of("plugins")
	config := func(more string) (entity.Object, *entity.Error) {
		out, refused := insert(t, schema, `{"name":"opentelemetry","config":{"traces_endpoint":"http://c/v1"`+more+`}}`)
		object, _ := out["config"].(entity.Object)
		return object, refused
	}
	out, refused := config("")
	if _, there := out["sampling_strategy"]; refused != nil || there {
		t.Errorf("not given: got %v, %v, want no such field", out, refused)
	}
	out, refused = config(`,"sampling_strategy":"parent_probability_fallback"`)
	if refused != nil || out["sampling_strategy"] != "parent_probability_fallback" {
		t.Errorf("given: got %v, %v", out, refused)
	}
	if _, refused = config(`,"sampling_strategy":"always"`); refused == nil {
		t.Error("unknown value: got no error, want one")
	}
}

// The shape of Fields lets callers find the place of each error in what they read.
func TestErrorFields(t *testing.T) {
	schemas := newSchemas()
	tests := []struct{ kind, in, want string }{
		{"services", `{"host":"h","foo":1}`, `{"foo":"unknown field"}`},
		{
			"routes", `{"paths":["/a","b","/c","//"]}`,
			`{"paths":[null,"should start with: / (fixed path) or ~/ (regex path)",null,"must not have empty segments"]}`,
		},
		{
			"upstreams", `{"name":"u","healthchecks":{"active":{"healthy":{"successes":256}}}}`,
			`{"healthchecks":{"active":{"healthy":{"successes":"value should be between 0 and 255"}}}}`,
		},
		{
			"plugins", `{"name":"opentelemetry","config":{"queue":{"x":1}}}`,
			`{"config":{"@entity":["at least one of these fields must be non-empty: 'traces_endpoint', 'logs_endpoint'"],` +
				`"queue":{"x":"unknown field"}}}`,
		},
		{"routes", `{"paths":["/a"],"service":{"name":"x"}}`, `{"service":{"id":"missing primary key"}}`},
		{"plugins", `{"name":"key-auth","route":{"name":"x"}}`, `{"route":{"protocols":"required field missing"}}`},
		{"services", `{"id":null,"host":"h"}`, `{"id":null}`},
	}
	for _, test := range tests {
		schema, _ := schemas.Of(test.kind)
		_, refused := insert(t, schema, test.in)
		if refused == nil {
			t.Errorf("%s: got no error, want %s", test.in, test.want)
			continue
		}
		var want entity.Object
		if err := json.Unmarshal([]byte(test.want), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, refused.Fields); diff != "" {
			t.Errorf("%s: fields (-want +got):\n%s", test.in, diff)
		}
	}
}

func TestMessage(t *testing.T) {
	routes, _ := newSchemas().Of("routes")
	_, refused := insert(t, routes, `{"protocols":["tcp"],"sources":[{"port":1},{"x y":1},{"ip":"\"]]"}]}`)
	want := `2 schema violations (sources.2: {
  ["@entity"] = {
    "at least one of these fields must be non-empty: 'ip', 'port'"
  },
  ["x y"] = "unknown field"
}; sources.3: {
  ip = [=[invalid ip or cidr range: '"]]']=]
})`
	if refused == nil || refused.Message != want {
		t.Errorf("got %v\nwant %s", refused, want)
	}
}

func TestSchemasDescribeThemselves(t *testing.T) {
	schemas := newSchemas()
	for _, kind := range schemas.Kinds() {
		schema, ok := schemas.Of(kind)
		if !ok || schema.Kind() != kind || len(schema.Fields()) == 0 {
			t.Errorf("%s: got %v, %v, want a schema with fields", kind, schema, ok)
		}
	}
	plugins, _ := schemas.Of("plugins")
	variant, ok := plugins.Variant("http-log")
	if !ok {
		t.Fatal("http-log: got no variant")
	}
	var names []string
	for _, field := range variant.Fields {
		if field.Name == "config" {
			for _, nested := range field.Record.Fields {
				names = append(names, nested.Name)
			}
		}
	}
	want := []string{
		"http_endpoint", "method", "content_type", "timeout", "keepalive", "retry_count", "queue_size", "flush_timeout",
		"headers", "queue", "custom_fields_by_lua",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("fields of http-log (-want +got):\n%s", diff)
	}
}

func BenchmarkInsertRoute(b *testing.B) {
	schema, _ := newSchemas().Of("routes")
	in := entity.Object{"name": "r", "paths": []any{"/a", `~/b/\d+$`}, "hosts": []any{"*.a.test"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schema.Insert(in); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCheckKey(t *testing.T) {
	schemas := newSchemas()
	for _, test := range []struct{ kind, field, value, want string }{
		{"services", "name", "a-b.c_~é", ""},
		{"services", "name", "a b", "invalid value 'a b': the only accepted ascii characters are alphanumerics or ., -, _, and ~"},
		{"snis", "name", "*.a.test", ""},
		{"snis", "name", "1.2.3.4", "must not be an IP"},
		{"consumers", "username", "", "length must be at least 1"},
		{"consumers", "nothing", "any", ""},
	} {
		schema, _ := schemas.Of(test.kind)
		got := ""
		var refused *entity.Error
		if err := schema.CheckKey(test.field, test.value); errors.As(err, &refused) {
			got = refused.Message
			if refused.Code != entity.CodeUnique || refused.Name != "invalid unique "+test.field {
				t.Errorf("%s %s: got code %d, name %q", test.kind, test.value, refused.Code, refused.Name)
			}
		}
		if got != test.want {
			t.Errorf("%s %s: got %q, want %q", test.kind, test.value, got, test.want)
		}
	}
}
