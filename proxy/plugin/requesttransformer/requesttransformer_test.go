package requesttransformer

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/internal/gateway"
	"sidekong/proxy/plugin"
)

const route = `
services:
- name: backend
  url: UPSTREAM
  routes:
  - {name: all, paths: ["~/item/(?<id>\\d+)$", /], strip_path: false}
plugins:
- name: request-transformer
  config:
`

func start(t *testing.T, config string) *gateway.Gateway {
	t.Helper()
	return gateway.Start(t, gateway.Setup{Config: route + config, Plugins: []*plugin.Definition{Define()}})
}

// TestHeaders: what the upstream gets of headers that the client sent.
func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		name, config string
		header       []string
		want         map[string][]string // by name; nil: not there
	}{
		{"remove", `    remove: {headers: [x-a, "x-b:ignored"]}`, []string{"X-A: 1", "X-A: 2", "X-B: 3", "X-C: 4"}, map[string][]string{"X-A": nil, "X-B": nil, "X-C": {"4"}}},
		{"rename", `    rename: {headers: ["x-a:x-b", "x-none:x-c"]}`, []string{"X-A: 1", "X-A: 2", "X-B: 3"}, map[string][]string{"X-A": nil, "X-B": {"1", "2"}, "X-C": nil}},
		{"rename to other case", `    rename: {headers: ["x-a:X-A"]}`, []string{"X-A: 1"}, map[string][]string{"X-A": {"1"}}},
		{"replace", `    replace: {headers: ["x-a:new", "x-none:new"]}`, []string{"X-A: 1", "X-A: 2"}, map[string][]string{"X-A": {"new"}, "X-None": nil}},
		{"replace by nothing", `    replace: {headers: ["x-a:"]}`, []string{"X-A: 1"}, map[string][]string{"X-A": nil}},
		{"add", `    add: {headers: ["x-a:new", "x-b:http://h:1/"]}`, []string{"X-A: 1"}, map[string][]string{"X-A": {"1"}, "X-B": {"http://h:1/"}}},
		{"append", `    append: {headers: ["x-a:new", "x-b:new"]}`, []string{"X-A: 1"}, map[string][]string{"X-A": {"1", "new"}, "X-B": {"new"}}},
		{"in order", "    remove: {headers: [x-a]}\n    add: {headers: [\"x-a:2\"]}\n    append: {headers: [\"x-a:3\"]}", []string{"X-A: 1"}, map[string][]string{"X-A": {"2", "3"}}},
		{"host stays", "    remove: {headers: [host]}\n    add: {headers: [\"host:x\"]}\n    append: {headers: [\"host:x\"]}", nil, map[string][]string{}},
		{"template", `    add: {headers: ["x-a:$(headers.x_b) $(query_params.q) $(uri_captures.id) $(shared.none or 'none')-"]}`, []string{"X-B: b"}, map[string][]string{"X-A": {"b Q 7 none-"}}},
		{"template of nothing", `    add: {headers: ["x-a:<$(headers[\"x-none\"])>"]}`, nil, map[string][]string{"X-A": {"<>"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, c.config)
			if got := g.Get("/item/7?q=Q", c.header...); got.Status != 200 {
				t.Fatalf("got %d %s", got.Status, got.Body)
			}
			up := g.Received()
			for name, want := range c.want {
				if diff := cmp.Diff(want, up.Header[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if host := up.Header.Get("Host"); host != g.Upstream.Address() {
				t.Errorf("Host %s", host)
			}
		})
	}
}

func TestHost(t *testing.T) {
	for _, config := range []string{`    replace: {headers: ["Host:other.test"]}`, `    rename: {headers: ["x-host:Host"]}`} {
		g := start(t, config)
		g.Get("/", "X-Host: other.test")
		if host := g.Received().Header.Get("Host"); host != "other.test" {
			t.Errorf("%s: Host %s", config, host)
		}
	}
}

// TestLines: method and target as they go upstream.
func TestLines(t *testing.T) {
	form := "Content-Type: application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, config, target, body string
		header                     []string
		method, want               string
	}{
		{"untouched query", `    http_method: GET`, "/a?z=%31&a=+", "", nil, "GET", "/a?z=%31&a=+"},
		{"remove", `    remove: {querystring: [a]}`, "/?b=1&a=2&a", "", nil, "POST", "/?b=1"},
		{"remove the last", `    remove: {querystring: [a]}`, "/?a=2", "", nil, "POST", "/"},
		{"rename", `    rename: {querystring: ["a:b"]}`, "/?a=1&b=2", "", nil, "POST", "/?b=1"},
		{"replace", `    replace: {querystring: ["a:x", "b:x"]}`, "/?a=1", "", nil, "POST", "/?a=x"},
		{"add", `    add: {querystring: ["a:x", "b:x y"]}`, "/?a=1", "", nil, "POST", "/?a=1&b=x%20y"},
		{"append", `    append: {querystring: ["a:x", "b:y"]}`, "/?c&a=1", "", nil, "POST", "/?a=1&a=x&b=y&c"},
		{"path", `    replace: {uri: "/x y/$(uri_captures.id)"}`, "/item/7?q=1", "", nil, "POST", "/x%20y/7?q=1"},
		{"path with a query", `    replace: {uri: "/x?own=1"}`, "/?q=1", "", nil, "POST", "/x?own=1"},
		{"form into the query", `    http_method: GET`, "/?a=1", "a=2&b=3", []string{form}, "GET", "/?a=1&a=2&b=3"},
		{"JSON not", `    http_method: GET`, "/?a=1", `{"b":1}`, []string{"Content-Type: application/json"}, "GET", "/?a=1"},
		{"form into the query, then changed", "    http_method: GET\n    remove: {querystring: [b]}", "/", "a=2&b=3", []string{form}, "GET", "/?a=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, c.config)
			if got := g.Do("POST", c.target, c.body, c.header...); got.Status != 200 {
				t.Fatalf("got %d %s", got.Status, got.Body)
			}
			up := g.Received()
			if up.Method != c.method || up.Target != c.want {
				t.Errorf("got %s %s, want %s %s", up.Method, up.Target, c.method, c.want)
			}
		})
	}
}

func TestBadPath(t *testing.T) {
	g := start(t, `    replace: {uri: "x"}`)
	if got := g.Get("/"); got.Status != 500 || !strings.Contains(got.Body, "An unexpected error occurred") {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
}

func TestBody(t *testing.T) {
	const all = `    remove: {body: [gone]}
    rename: {body: ["old:new"]}
    replace: {body: ["there:2", "none:2"]}
    add: {body: ["there:3", "added:3"]}
    append: {body: ["list:4"]}`
	for _, c := range []struct{ name, config, kind, body, want string }{
		{"JSON", all, "application/json", `{"gone":1,"old":{"x":1.0},"there":1,"list":["a"]}`, `{"new":{"x":1.0},"there":"2","list":["a","4"],"added":"3"}`},
		{"form", all, "application/x-www-form-urlencoded", "gone=1&old=a&there=1&list=a", "new=a&there=2&list=a&list=4&added=3"},
		{"JSON from nothing", all, "application/json", "", `{"there":"3","added":"3","list":["4"]}`},
		{"broken JSON", all, "application/json", `{"gone":`, `{"gone":`},
		{"JSON list", all, "application/json", `[1]`, `[1]`},
		{"text", all, "text/plain", "gone=1", "gone=1"},
		{"nothing to change", `    remove: {body: [x]}`, "application/json", `{ "a": 1 }`, `{ "a": 1 }`},
		{"too long", all, "application/json", `{"gone":"` + strings.Repeat("x", maxBody) + `"}`, `{"gone":"` + strings.Repeat("x", maxBody) + `"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, c.config)
			if got := g.Do("POST", "/", c.body, "Content-Type: "+c.kind); got.Status != 200 {
				t.Fatalf("got %d %s", got.Status, got.Body)
			}
			up := g.Received()
			if up.Body != c.want || up.Err != nil {
				t.Errorf("body %.200q, want %.200q; %v", up.Body, c.want, up.Err)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"method", `    http_method: get`, "invalid value: get"},
		{"header without value", `    add: {headers: [x-a]}`, "invalid value: x-a"},
		{"header name", `    remove: {headers: ["x a"]}`, "'x a' is not a valid header"},
		{"renamed header", `    rename: {headers: ["x-a:y z"]}`, "'y z' is not a valid header"},
		{"argument without value", `    add: {querystring: [a]}`, "key 'a' has no value"},
		{"Lua", `    add: {headers: ["x-a:$(os.time())"]}`, "other Lua does not run here"},
		{"Lua in the path", `    replace: {uri: "/$(uri_captures.id:upper())"}`, "other Lua does not run here"},
		{"open expression", `    add: {body: ["a:$(headers.x"]}`, "other Lua does not run here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, "    {}")
			_, err := g.Load(route + c.config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"text", "$(headers.x)", `a$(headers["x-y"] or 'z')b`, "$(uri_captures[1])", "$(", "$()", "$$(shared.a or shared.b)"} {
		f.Add(seed)
	}
	ctx := &plugin.Context{Request: &http.Request{Header: http.Header{}}, ForwardedURI: "/?a=b"}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseTemplate(text)
		if err != nil {
			return
		}
		got := parsed.render(ctx)
		if !strings.Contains(text, "$(") && got != text {
			t.Errorf("got %q of %q", got, text)
		}
	})
}

func BenchmarkAccess(b *testing.B) {
	t := &transformer{}
	for _, pair := range []string{"x-a:1", "x-b:$(headers.x_c)"} {
		c, err := newChange(pair)
		if err != nil {
			b.Fatal(err)
		}
		t.headers.add = append(t.headers.add, c)
	}
	ctx := &plugin.Context{Request: &http.Request{Header: http.Header{}}, ForwardedURI: "/?a=b"}
	b.ReportAllocs()
	for b.Loop() {
		clear(ctx.Request.Header)
		if err := t.Access(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
