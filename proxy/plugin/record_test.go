package plugin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/internal/gateway"
	"sidekong/internal/upstream"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/keyauth"
)

// recording is a plugin that hands out the record of each request.
type recording struct {
	recorder *plugin.Recorder
	access   func(*plugin.Context)
	out      chan map[string]any
}

func (r recording) Access(ctx *plugin.Context) error {
	if r.access != nil {
		r.access(ctx)
	}
	return nil
}

// TraceIDs is what the opentelemetry plugin tells.
func (recording) TraceIDs(*plugin.Context) map[string]string { return map[string]string{"w3c": "abc"} }

func (r recording) Log(ctx *plugin.Context) {
	var record map[string]any
	line, err := r.recorder.JSON(ctx)
	if err == nil {
		err = json.Unmarshal(line, &record)
	}
	if err != nil {
		record = map[string]any{"error": err.Error()}
	}
	r.out <- record
}

func record(access func(*plugin.Context)) (*plugin.Definition, chan map[string]any) {
	out := make(chan map[string]any, 1)
	return &plugin.Definition{
		Name: "record", Priority: 1, Config: &entity.Record{},
		New: func(_ *entity.Plugin, env plugin.Env) (plugin.Instance, error) {
			return recording{plugin.NewRecorder(env), access, out}, nil
		},
	}, out
}

// at gives a value by a path of names.
func at(record map[string]any, path string) any {
	var value any = record
	for name := range strings.SplitSeq(path, ".") {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value
}

const withKeys = gateway.Service + `
consumers:
- id: 11111111-1111-4111-8111-111111111111
  username: ada
  keyauth_credentials:
  - {id: 22222222-2222-4222-8222-222222222222, key: sesame}
plugins:
- name: record
`

// TestRecord: what Kong's serializer tells of a request, and no secret.
func TestRecord(t *testing.T) {
	definition, out := record(nil)
	g := gateway.Start(t, gateway.Setup{
		Config:  withKeys + "- name: key-auth\n  config: {key_names: [my_key], key_in_body: true}\n",
		Plugins: []*plugin.Definition{definition, keyauth.Define()},
		Answer:  upstream.Answer("hello", "Set-Cookie: secret", "X-Up: 1", "X-Up: 2"),
	})
	g.Do("POST", "/a%20b?q=1&q=2&c&token=secret&my_key=sesame", "body",
		"Authorization: Bearer secret", "Cookie: a=secret", "X-A: 1", "X-A: 2", "Host: here.test")
	r := <-out
	for path, want := range map[string]any{
		"request.method":              "POST",
		"request.uri":                 "/a%20b?q=1&q=2&c&token=REDACTED&my_key=REDACTED",
		"request.querystring":         map[string]any{"q": []any{"1", "2"}, "c": true, "token": "REDACTED", "my_key": "REDACTED"},
		"request.headers.x-a":         []any{"1", "2"},
		"request.headers.host":        "here.test",
		"request.headers.cookie":      "REDACTED",
		"response.status":             200.0,
		"response.headers.x-up":       []any{"1", "2"},
		"response.headers.set-cookie": "REDACTED",
		"upstream_uri":                "/a%20b?q=1&q=2&c&token=REDACTED&my_key=REDACTED",
		"upstream_status":             "200",
		"source":                      "upstream",
		"client_ip":                   "127.0.0.1",
		"route.name":                  "all",
		"route.paths":                 []any{"/"},
		"service.name":                "backend",
		"consumer.username":           "ada",
		"authenticated_entity.id":     "22222222-2222-4222-8222-222222222222",
		"trace_id":                    map[string]any{"w3c": "abc"},
		"workspace_name":              "default",
		"workspace":                   "0dc6f45b-8f8d-40d2-a504-473544ee190b",
	} {
		if diff := cmp.Diff(want, at(r, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if got := at(r, "request.headers.authorization"); got != "REDACTED" {
		t.Errorf("authorization: %v", got)
	}
	if url, _ := at(r, "request.url").(string); !strings.HasPrefix(url, "http://here.test:") || !strings.Contains(url, "/a%20b?q=1") {
		t.Errorf("url: %s", url)
	}
	tries, _ := r["tries"].([]any)
	if len(tries) != 1 || tries[0].(map[string]any)["ip"] != "127.0.0.1" || tries[0].(map[string]any)["balancer_start"].(float64) < 1e12 {
		t.Errorf("tries: %v", r["tries"])
	}
	for _, path := range []string{"latencies.request", "latencies.kong", "latencies.proxy", "latencies.receive", "request.size", "response.size"} {
		if n, ok := at(r, path).(float64); !ok || n < 0 {
			t.Errorf("%s: %v", path, at(r, path))
		}
	}
	if started, _ := r["started_at"].(float64); started < 1.7e12 {
		t.Errorf("started_at: %v", r["started_at"])
	}
	if text, err := json.Marshal(r); err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "sesame") {
		t.Errorf("a secret in %s, %v", text, err)
	}
}

// TestRecordOfOwnAnswers: a request that no upstream answered.
func TestRecordOfOwnAnswers(t *testing.T) {
	definition, out := record(func(ctx *plugin.Context) { ctx.ExitMessage(403, "no") })
	g := gateway.Start(t, gateway.Setup{Config: withKeys, Plugins: []*plugin.Definition{definition, keyauth.Define()}})
	g.Get("/")
	r := <-out
	for path, want := range map[string]any{
		"response.status": 403.0, "source": "kong", "upstream_status": "", "upstream_uri": "", "latencies.proxy": -1.0,
		"consumer": nil, "authenticated_entity": nil, "tries": []any{},
	} {
		if diff := cmp.Diff(want, at(r, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// TestLogValues: what plugins put into the record, by Kong's rules.
func TestLogValues(t *testing.T) {
	definition, out := record(func(ctx *plugin.Context) {
		for _, v := range []struct{ key, value, mode string }{
			{"mine", `{"a":1}`, "set"},
			{"mine.b.c", `2`, "set"},
			{"mine.a.x", `3`, "set"}, // mine.a is no object
			{"response.status", `299`, "add"},
			{"response.size", `1`, "replace"},
			{"none.x", `4`, "replace"},
			{"none2", `4`, "replace"},
			{"added", `5`, "add"},
			{"route.name", `"other"`, "set"},
			{"service", ``, "set"},
			{"request.headers", `null`, "set"},
			{`dotted\.name`, `6`, "set"},
			{`deep.a\.b\.c.d`, `7`, "set"},
			{`back\slash`, `8`, "set"},
		} {
			var value json.RawMessage
			if v.value != "" {
				value = json.RawMessage(v.value)
			}
			ctx.SetLogValue(v.key, value, v.mode)
		}
	})
	g := gateway.Start(t, gateway.Setup{Config: withKeys, Plugins: []*plugin.Definition{definition, keyauth.Define()}})
	g.Get("/")
	r := <-out
	for path, want := range map[string]any{
		"mine": map[string]any{"a": 1.0, "b": map[string]any{"c": 2.0}}, "response.status": 200.0, "response.size": 1.0,
		"none": nil, "none2": nil, "added": 5.0, "route.name": "other", "service": nil, "request.headers": nil,
		"deep": map[string]any{"a.b.c": map[string]any{"d": 7.0}}, `back\slash`: 8.0,
	} {
		if diff := cmp.Diff(want, at(r, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if got := r["dotted.name"]; got != 6.0 {
		t.Errorf("dotted.name: %v", got)
	}
	// The route itself is as it was.
	g.Get("/")
	if got := at(<-out, "route.paths"); got == nil {
		t.Error("the route has lost its paths")
	}
}
