package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin/httplog"
	"sidekong/proxy/plugin/opentelemetry"
)

func testSchemas() *entity.Schemas {
	return entity.NewSchemas(map[string]*entity.Record{
		"opentelemetry": opentelemetry.Config(), "http-log": httplog.Config(),
	})
}

func TestForms(t *testing.T) {
	schemas := testSchemas()
	tests := []struct{ kind, form, want string }{
		{"services", "host=h&port=81", `{"host":"h","port":81}`},
		{"services", "host=h&tls_verify=true&enabled=false", `{"host":"h","tls_verify":true,"enabled":false}`},
		{"services", "name=&path", `{"name":null,"path":true}`},
		{"services", "host=a+b%20c%zz%4", `{"host":"a b c%zz%4"}`},
		{"services", "tags=a", `{"tags":["a"]}`},
		{"services", "tags=a&tags=b", `{"tags":["a","b"]}`},
		{"services", "tags[]=a&tags[]=b", `{"tags":["a","b"]}`},
		{"services", "tags[2]=b&tags[1]=a", `{"tags":["a","b"]}`},
		{"services", "tags[1]=a&tags=b", `{"tags":["a","b"]}`},
		{"services", "tags=", `{"tags":null}`},
		{"services", "client_certificate.id=x&client_certificate[name]=y", `{"client_certificate":{"id":"x","name":"y"}}`},
		{"routes", "headers.x-a=1&headers.x-a=2", `{"headers":{"x-a":["1","2"]}}`},
		{"routes", "sources[1].ip=10.0.0.0/8&sources[1].port=80&sources[2].port=81", `{"sources":[{"ip":"10.0.0.0/8","port":80},{"port":81}]}`},
		{"routes", "service.name=s&regex_priority=-5", `{"service":{"name":"s"},"regex_priority":-5}`},
		{"upstreams", "healthchecks.active.healthy.http_statuses[]=200&healthchecks.threshold=1.5", `{"healthchecks":{"active":{"healthy":{"http_statuses":[200]}},"threshold":1.5}}`},
		{
			"plugins", "name=opentelemetry&config.resource_attributes[service.name]=k&config.headers.a=5&config.sampling_rate=0.5",
			`{"name":"opentelemetry","config":{"resource_attributes":{"service.name":"k"},"headers":{"a":"5"},"sampling_rate":0.5}}`,
		},
		{"plugins", "name=nope&config.number=5", `{"name":"nope","config":{"number":"5"}}`},
		{"keyauth_credentials", "key=5&ttl=60", `{"key":"5","ttl":60}`},
		{"services", "[a]=1&.b=2&c.=3&d[=4&=5", `{"[a]":"1",".b":"2","c.":"3","d[":"4"}`},
		{"services", "a.b=1&a=2&a[x]=3", `{"a":{"b":"1","1":"2","x":"3"}}`},
		{"services", "port=0x1F&retries=1e2&read_timeout= 7 ", `{"port":31,"retries":100,"read_timeout":7}`},
		{"services", "port=nan&retries=1_0&read_timeout=inf", `{"port":"nan","retries":"1_0","read_timeout":"inf"}`},
		{"nothing", "a.b=1", `{"a":{"b":"1"}}`},
	}
	for _, test := range tests {
		arguments, err := parseArguments(test.form)
		if err != nil {
			t.Fatal(err)
		}
		c := &call{api: &api{Options: Options{Schemas: schemas}}}
		if err := c.fromForm(arguments, test.kind); err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal([]byte(test.want), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, any(c.body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.form, diff)
		}
		again := entity.Object{}
		maps.Copy(again, c.body)
		if c.typeForm(test.kind); !cmp.Equal(again, c.body) {
			t.Errorf("%s: typed twice: got %v, want %v", test.form, c.body, again)
		}
	}
	if _, err := parseArguments(strings.Repeat("a=1&", 1001)); err != errArguments {
		t.Errorf("1001 arguments: got %v, want %v", err, errArguments)
	}
}

// Whatever a form says, it becomes an object of bounded depth that the schemas can look at.
func FuzzForm(f *testing.F) {
	f.Add("host=h&tags[]=a&tags[3]=b&config.headers[x.y]=1")
	f.Add("a.b.c=1&a=2&a[1][2].b[]=3&[=4&]=5&a[99999999999]=6&%5B1%5D=7")
	f.Add("name=opentelemetry&config=&config.queue.max_entries=0x10&config[]=1&service[name]=x&service=y")
	f.Add(strings.Repeat("a[b]", 100) + "=1")
	schemas := testSchemas()
	f.Fuzz(func(t *testing.T, form string) {
		arguments, err := parseArguments(form)
		if err != nil {
			return
		}
		for _, kind := range schemas.Kinds() {
			c := &call{api: &api{Options: Options{Schemas: schemas}}}
			if err := c.fromForm(arguments, kind); err != nil {
				t.Fatal(err)
			}
			if got := depth(c.body); got > maxNesting+3 {
				t.Fatalf("%q: %d deep", form, got)
			}
			if _, err := json.Marshal(c.body); err != nil {
				t.Fatalf("%q: %v", form, err)
			}
			schema, _ := schemas.Of(kind)
			_, _ = schema.Insert(c.body)
		}
		if q, err := parseQuery(form); err == nil {
			_, _ = q.page(true)
		}
	})
}

func depth(value any) int {
	deepest := 0
	switch value := value.(type) {
	case entity.Object:
		for _, item := range value {
			deepest = max(deepest, depth(item))
		}
	case []any:
		for _, item := range value {
			deepest = max(deepest, depth(item))
		}
	default:
		return 0
	}
	return deepest + 1
}

func FuzzMultipart(f *testing.F) {
	f.Add("--b\r\nContent-Disposition: form-data; name=\"host\"\r\n\r\nh\r\n--b--\r\n", "multipart/form-data; boundary=b")
	f.Add("--b\r\nContent-Disposition: form-data; name=host; filename=x\r\n\r\n\r\n--b", "multipart/form-data; boundary=\"b\"")
	f.Add("", "multipart/form-data; boundary=")
	f.Fuzz(func(t *testing.T, body, contentType string) {
		arguments, err := readMultipart(strings.NewReader(body), contentType)
		if len(arguments) > maxArguments || err != nil && arguments != nil {
			t.Fatalf("got %d arguments and error %v", len(arguments), err)
		}
	})
}

// Masks go both ways: what was hidden is restored as it was.
func FuzzJSON(f *testing.F) {
	f.Add(`{"name":"http-log","config":{"http_endpoint":"http://x","headers":{"a":"b","c":"********"}}}`)
	f.Add(`{"name":"opentelemetry","config":{"headers":["a"],"queue":[1],"endpoint":5}}`)
	f.Add(`{"key":"k","snis":[{}],"cert":{"a":1},"password":["x"],"name":{}}`)
	schemas := testSchemas()
	f.Fuzz(func(t *testing.T, text string) {
		object, err := readJSON(strings.NewReader(text))
		if err != nil {
			return
		}
		c := &call{api: &api{Options: Options{Schemas: schemas}}}
		for _, kind := range schemas.Kinds() {
			if name, _ := object["name"].(string); kind == "plugins" && name != "http-log" && name != "opentelemetry" {
				continue // all of it is masked
			}
			shown := c.mask(kind, object)
			before, _ := json.Marshal(object)
			if !bytes.Contains(before, []byte(Mask)) && kind != "basicauth_credentials" {
				restored, err := c.unmasked(kind, shown, object)
				if err != nil {
					continue // a mask in a list, which has no name to find it by
				}
				if after, _ := json.Marshal(restored); !bytes.Equal(before, after) {
					t.Fatalf("%s: got %s, want %s", kind, after, before)
				}
			}
		}
	})
}

func TestFaultFields(t *testing.T) {
	faults := declarative.Faults{
		{Field: "services[0].routes[1].paths[0]", Message: "bad path"},
		{Field: "services[0].host", Message: "required"},
		{Field: "services[2]", Message: "no service"},
		{Field: "", Message: "no version"},
		{Field: "services[0].host", Message: "twice"},
	}
	got := faultFields(faults)
	want := entity.Object{
		"@entity": "no version",
		"services": []any{
			entity.Object{"host": []any{"required", "twice"}, "routes": []any{nil, entity.Object{"paths": []any{"bad path"}}}},
			nil,
			entity.Object{"@entity": "no service"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzFaultFields(f *testing.F) {
	f.Add("services[0].routes[1].paths[0]", "services:\n- name: a\n  routes: [{}, {paths: [b]}]\n")
	f.Add("[5]", "- a")
	f.Add("services[0].x", "services: [{1: {2: .nan}, x: .inf, t: 2001-01-01}]")
	f.Add("plugins[0].config.headers.a.b[2]", "plugins: [{name: x, tags: [1]}]")
	f.Fuzz(func(t *testing.T, field, text string) {
		fault := &configFault{faults: declarative.Faults{{Field: field, Message: "m"}, {Field: field, Message: "n"}}, text: []byte(text)}
		for _, flatten := range []bool{false, true} {
			fault.flatten = flatten
			if _, err := json.Marshal(fault.answer().body); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	a := &api{Options: Options{Schemas: testSchemas()}}
	t := a.table()
	b.ReportAllocs()
	for b.Loop() {
		if r, _ := t.match("/services/00000000-0000-4000-8000-000000000001/routes/r"); r == nil {
			b.Fatal("no route")
		}
	}
}
