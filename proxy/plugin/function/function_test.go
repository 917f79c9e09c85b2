package function

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

func config(pairs ...any) entity.Object {
	object := entity.Object{}
	for i := 0; i < len(pairs); i += 2 {
		list, _ := object[pairs[i].(string)].([]any)
		object[pairs[i].(string)] = append(list, pairs[i+1])
	}
	return object
}

func makeInstance(t testing.TB, definition *plugin.Definition, object entity.Object) *instance {
	t.Helper()
	made, err := definition.New(&entity.Plugin{Name: definition.Name, Config: object}, plugin.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return unwrap(made)
}

func tracedFlow(t *testing.T, kinds []string, object entity.Object, message string, up *reply) *tracing.Trace {
	t.Helper()
	set, err := tracing.ParseInstrumentations(kinds)
	if err != nil {
		t.Fatal(err)
	}
	d := testDriver(t, message)
	one := step{PreName, makeInstance(t, Define(Options{SandboxRequires: []string{"cjson"}})[0], object)}
	out := d.serve(&settings{}, tracing.NewTracer(set, 1), []step{one}, up, true)
	if out.Client == nil {
		t.Fatal("got no answer")
	}
	return d.trace
}

func attribute(t *testing.T, trace *tracing.Trace, span, key string) any {
	t.Helper()
	for i := range trace.Len() {
		if trace.Record(i).Name != span {
			continue
		}
		for attr := range trace.Attrs(i) {
			if attr.Key == key {
				return attr.Value.Any()
			}
		}
	}
	return nil
}

// The recipe that people put on their traces for an API inventory, written for Kong.
const (
	recipeAccess = `
local span = kong.tracing.active_span()
local cjson = require "cjson"
span:set_attribute("net.sock.peer.addr", kong.client.get_ip())
span:set_attribute("http.target", kong.request.get_path_with_query())
local headers = {}
for name, value in pairs(kong.request.get_headers()) do
  if type(value) == "table" then value = table.concat(value, ", ") end
  headers[name] = value
end
span:set_attribute("http.request.headers", cjson.encode(headers))
local body = kong.request.get_raw_body()
if body and #body > 0 then span:set_attribute("http.request.body", body) end`

	recipeHeaderFilter = `
local headers = {}
for name, value in pairs(kong.response.get_headers()) do
  if type(value) == "table" then value = table.concat(value, ", ") end
  headers[name] = value
end
kong.tracing.active_span():set_attribute("http.response.headers", require("cjson").encode(headers))`

	recipeBodyFilter = `
local limit = 1024 * 1024
local ctx = kong.ctx.plugin
local chunk, eof = ngx.arg[1], ngx.arg[2]
ctx.size = (ctx.size or 0) + #(chunk or "")
if ctx.size <= limit then
  ctx.pieces = ctx.pieces or {}
  ctx.pieces[#ctx.pieces + 1] = chunk
else
  ctx.pieces = nil
end
if eof then
  kong.tracing.active_span():set_attribute("http.response.body", ctx.pieces and table.concat(ctx.pieces) or "")
end`
)

// Each attribute is on the root where only http_client is recorded, and on the plugin's own span where its phase is;
// the body filter's is always on the root, as in Kong.
func TestRecipe(t *testing.T) {
	recipe := config("access", recipeAccess, "header_filter", recipeHeaderFilter, "body_filter", recipeBodyFilter)
	message := "POST /inventory?x=1 HTTP/1.1\r\nHost: example.test\r\nX-Multi: a\r\nX-Multi: b\r\nContent-Length: 7\r\n\r\n{\"a\":1}"
	big := strings.Repeat("x", 1<<20)
	tests := []struct {
		name   string
		kinds  []string
		access string // the span that access attributes are on
		header string
		chunks []raw
		want   string // the answer's body as recorded
	}{
		{"on the root", []string{"http_client"}, "kong", "kong", []raw{"one", "two"}, "onetwo"},
		{"on the plugin's spans", []string{"all"}, "kong.access.plugin.pre-function", "kong.header_filter.plugin.pre-function", []raw{"one"}, "one"},
		{"just as much as fits", []string{"http_client"}, "kong", "kong", []raw{raw(big[:1<<19]), raw(big[:1<<19])}, big},
		{"too much", []string{"http_client"}, "kong", "kong", []raw{raw(big), "x", "y"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			up := &reply{Status: 200, Headers: [][2]string{{"Content-Type", "text/plain"}, {"Set-Cookie", "a=1"}, {"Set-Cookie", "b=2"}}, Chunks: test.chunks}
			trace := tracedFlow(t, test.kinds, recipe, message, up)
			for _, one := range []struct {
				span, key string
				want      any
			}{
				{test.access, "net.sock.peer.addr", "127.0.0.1"},
				{test.access, "http.target", "/inventory?x=1"},
				{test.access, "http.request.body", `{"a":1}`},
				{"kong", "http.response.body", test.want},
			} {
				if got := attribute(t, trace, one.span, one.key); got != one.want {
					t.Errorf("%s on %s: got %.60v, want %.60v", one.key, one.span, got, one.want)
				}
			}
			for _, one := range []struct {
				span, key string
				want      any
			}{
				{test.access, "http.request.headers", map[string]any{"host": "example.test", "x-multi": "a, b", "content-length": "7"}},
				{test.header, "http.response.headers", map[string]any{"content-type": "text/plain", "set-cookie": "a=1, b=2", "transfer-encoding": "chunked"}},
			} {
				if diff := cmp.Diff(one.want, parsed(attribute(t, trace, one.span, one.key))); diff != "" {
					t.Errorf("%s on %s (-want +got)\n%s", one.key, one.span, diff)
				}
			}
		})
	}
}

// Requests that share an instance see their own kong.ctx, ngx.ctx and upvalues of their own run only.
func TestIsolation(t *testing.T) {
	definitions := Define(Options{})
	pre := makeInstance(t, definitions[0], config(
		"access", `local id = kong.request.get_header("x-id")
			if next(kong.ctx.plugin) or next(kong.ctx.shared) or ngx.ctx.id then error("state of another request") end
			kong.ctx.plugin.id, kong.ctx.shared.id, ngx.ctx.id = id, id, id
			COUNT = (COUNT or 0) + 1
			kong.response.set_header("X-Seen", id)`,
		"header_filter", `kong.response.set_header("X-Id", kong.ctx.plugin.id .. kong.ctx.shared.id .. ngx.ctx.id .. kong.request.get_header("x-id"))`,
		"body_filter", `local c = kong.ctx.plugin c.b = (c.b or c.id) .. (ngx.arg[1] or "") ngx.arg[1] = ngx.arg[2] and c.b or nil`))
	post := makeInstance(t, definitions[1], config("access", `if next(kong.ctx.plugin) then error("the other plugin's state") end kong.ctx.plugin.x = kong.ctx.shared.id`))
	steps := []step{{PreName, pre}, {PostName, post}}
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for n := range 100 {
				id := strconv.Itoa(worker*1000 + n)
				d := testDriver(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Id: "+id+"\r\n\r\n")
				out := d.serve(&settings{}, nil, steps, &reply{Status: 200, Chunks: []raw{"a", "b"}}, true)
				client, ok := out.Client.(map[string]any)
				if !ok {
					t.Errorf("request %s: got no answer", id)
					return
				}
				if got, want := client["body"], id+"ab"; got != want {
					t.Errorf("request %s: got body %v, want %v", id, got, want)
				}
				if got, want := d.response.Header.Get("X-Id"), strings.Repeat(id, 4); got != want {
					t.Errorf("request %s: got %q, want %q", id, got, want)
				}
			}
		})
	}
	wait.Wait()
	total := 0
	for _, w := range pre.workers.all {
		for c, p := range w.ready {
			if c == pre.access[0] {
				n, _ := p.env.RawGetString("COUNT").(lua.LNumber)
				total += int(n)
			}
		}
	}
	if total != 800 {
		t.Errorf("got a count of %d in all workers, want 800", total)
	}
}

// A run that waits for the network lets others use its worker, and its wait is not on its account.
func TestWaiting(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		w.Header().Set("X-Answer", "yes")
		fmt.Fprint(w, r.Method, " ", r.URL.RequestURI(), " ", r.Header.Get("X-H"))
	}))
	defer server.Close()
	options := Options{SandboxRequires: []string{"resty.http"}, Client: server.Client()}
	object := config("access", `local res, err = require("resty.http").new():request_uri(kong.request.get_header("x-url"),
		{method = "POST", body = "b", headers = {["X-H"] = "v"}, query = {q = 1}})
		if not res then kong.response.exit(502, err) end
		kong.response.exit(res.status, res.body .. " " .. res.headers["x-answer"])`)
	definitions := Define(options)
	one := makeInstance(t, definitions[0], object)
	one.workers.all = one.workers.all[:1]
	set, _ := tracing.ParseInstrumentations([]string{"http_client"})
	serve := func(path string) (*driver, outcome) {
		d := testDriver(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Url: "+server.URL+path+"\r\n\r\n")
		return d, d.serve(&settings{}, tracing.NewTracer(set, 1), []step{{PreName, one}}, nil, true)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		_, out := serve("/slow")
		if got, want := out.Client.(map[string]any)["body"], "POST /slow?q=1 v yes"; got != want {
			t.Errorf("slow: got %v, want %v", got, want)
		}
	})
	time.Sleep(250 * time.Millisecond) // longer than the time budget
	d, out := serve("/fast")
	close(release)
	wait.Wait()
	if got, want := out.Client.(map[string]any)["body"], "POST /fast?q=1 v yes"; got != want {
		t.Errorf("fast: got %v, want %v", got, want)
	}
	for key, want := range map[string]any{
		"http.url": server.URL + "/fast?q=1", "http.method": "POST", "http.flavor": "1.1", "http.user_agent": userAgent,
		"http.status_code": int64(200),
	} {
		if got := attribute(t, d.trace, "kong.internal.request", key); got != want {
			t.Errorf("%s: got %v, want %v", key, got, want)
		}
	}
	if got := d.trace.Record(1); got.Kind != tracing.KindClient || got.Parent != d.root.ID() || !got.Ended {
		t.Errorf("got span %+v, want an ended client span below the root", got)
	}
	server.Close()
	if _, out := serve("/gone"); out.Client.(map[string]any)["body"] != "connection refused" {
		t.Errorf("gone: got %v, want connection refused", out.Client)
	}
}

// A syntax error names chunk and line, and which of the configured chunks it is.
func TestSyntaxErrors(t *testing.T) {
	tests := []struct{ script, want string }{
		{"return 7//2", `compile config.access[1]: [string "return 7//2"]:1: unexpected symbol near '/'`},
		{"local a = 1\nlocal b = = 2", `compile config.access[1]: [string "local a = 1..."]:2: unexpected symbol near '='`},
		{"\x1bLua", "compile config.access[1]: [string \"...\"]: bytecode is not allowed"},
		{"goto nowhere", `compile config.access[1]: [string "goto nowhere"]:`},
	}
	for _, test := range tests {
		_, err := Define(Options{})[0].New(&entity.Plugin{Name: PreName, Config: config("access", test.script)}, plugin.Env{})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: got error %v, want %s", test.script, err, test.want)
		}
	}
}

func TestUntrustedOff(t *testing.T) {
	one := oneStep(t, Options{UntrustedLua: Off}, "access", "return 1")
	d := testDriver(t, plainRequest)
	if err := one.instance.run(d, accessing, one.instance.access); !errors.Is(err, errUntrusted) {
		t.Errorf("got error %v, want %v", err, errUntrusted)
	}
}

func TestSandboxEnvironment(t *testing.T) {
	t.Setenv("SIDEKONG_TEST", "there")
	var got []any
	options := Options{SandboxEnvironment: []string{"os.getenv", "print", "setmetatable"}}
	options.observe = func(_ string, p phase, values []lua.LValue, err error) {
		got = append(got, record(p, values, err)["returns"])
	}
	one := oneStep(t, options, "access", `return os.getenv("SIDEKONG_TEST"), type(os.time), type(print), type(setmetatable), type(rawset),
		(pcall(function() os.x = 1 end))`)
	d := testDriver(t, plainRequest)
	d.phase = accessing
	if err := one.instance.run(d, accessing, one.instance.access); err != nil {
		t.Fatal(err)
	}
	want := []any{[]any{"there", "function", "function", "function", "nil", false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// The plugin as the gateway runs it, on plugin.Context.
func TestContext(t *testing.T) {
	registry := plugin.NewRegistry(Define(Options{})...)
	plan, faulty := plugin.NewPlan(registry, []*entity.Plugin{
		{
			Meta: entity.Meta{ID: "1"}, Name: PreName, Enabled: true, Protocols: []string{"http"},
			Config: config("access", `kong.ctx.plugin.b = kong.request.get_raw_body()
				kong.service.request.set_header("X-Up", "1")
				kong.response.set_header("X-Early", "e")
				kong.service.request.set_raw_body("changed")
				kong.service.request.set_method("PUT")
				if kong.request.get_path() == "/no" then kong.response.exit(403, {message = "no"}, {["X-E"] = "e"}) end`,
				"header_filter", `kong.response.set_header("X-Peer", kong.client.get_ip())`,
				"body_filter", `if ngx.arg[2] then ngx.arg[1] = kong.ctx.plugin.b else ngx.arg[1] = ngx.arg[1]:upper() end`),
		},
	}, plugin.Env{})
	if faulty != nil {
		t.Fatal(faulty)
	}
	defer plan.Close()
	chain := plan.Chain(nil, nil)
	newContext := func(target string) *plugin.Context {
		return &plugin.Context{
			Request: httptest.NewRequest("POST", target, strings.NewReader("sent")), RequestID: testRequestID,
			Logger: slog.New(slog.DiscardHandler), Peer: netip.MustParseAddr("192.0.2.7"), Client: netip.MustParseAddr("192.0.2.7"),
			Scheme: "http", Host: "h", ForwardedURI: target,
		}
	}
	ctx := newContext("/yes")
	if err := chain.Access(ctx); err != nil || ctx.Answer() != nil {
		t.Fatalf("got error %v, answer %v", err, ctx.Answer())
	}
	if got := ctx.Request.Header.Get("X-Up"); got != "1" {
		t.Errorf("got %q upstream, want 1", got)
	}
	ctx.Response = plugin.Response{Status: 200, Header: http.Header{}}
	if err := chain.FilterHeader(ctx); err != nil {
		t.Fatal(err)
	}
	if got := ctx.Response.Header.Get("X-Peer") + ctx.Early.Get("X-Early"); got != "192.0.2.7e" {
		t.Errorf("got headers %v, early ones %v", ctx.Response.Header, ctx.Early)
	}
	if sent, ok := ctx.HeldBody(); !ok || string(sent) != "changed" || ctx.Outgoing.Method != "PUT" {
		t.Errorf("got %s %q upstream, want PUT changed", ctx.Outgoing.Method, sent)
	}
	body, err := chain.FilterBody(ctx, []byte("body "), true)
	if got, want := string(body), "BODY sent"; err != nil || got != want {
		t.Errorf("got body %q, error %v, want %q", got, err, want)
	}
	chain.Log(ctx)

	ctx = newContext("/no")
	if err := chain.Access(ctx); err != nil {
		t.Fatal(err)
	}
	want := &plugin.Answer{Status: 403, Header: http.Header{"Content-Type": {jsonType}, "X-E": {"e"}}, Body: []byte(`{"message":"no"}`)}
	got := ctx.Answer()
	if got == nil || got.Status != want.Status || string(got.Body) != string(want.Body) || got.Header.Get("X-E") != "e" {
		t.Errorf("got answer %+v, want %+v", got, want)
	}
}

// Coroutines work across the run's bookkeeping.
func TestCoroutines(t *testing.T) {
	var got []any
	options := Options{observe: func(_ string, p phase, values []lua.LValue, err error) {
		got = append(got, record(p, values, err)["returns"])
	}}
	one := oneStep(t, options, "access", `
		local out = {}
		local co = coroutine.create(function(a, b)
			out[#out + 1] = a + b
			local c = coroutine.yield(a * b)
			out[#out + 1] = c
			error("in " .. c)
		end)
		local product = select(2, coroutine.resume(co, 3, 4))
		out[#out + 1] = product
		out[#out + 1] = coroutine.status(co)
		local ok, err = coroutine.resume(co, "x")
		out[#out + 1] = tostring(ok) .. " " .. err:gsub("^.*: ", "")
		out[#out + 1] = coroutine.status(co)
		out[#out + 1] = select(2, coroutine.resume(co))
		for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do out[#out + 1] = v end
		out[#out + 1] = tostring(pcall(coroutine.wrap(function() error({}) end)))
		return table.concat(out, "|")`)
	d := testDriver(t, plainRequest)
	d.phase = accessing
	if err := one.instance.run(d, accessing, one.instance.access); err != nil {
		t.Fatal(err)
	}
	want := []any{[]any{"7|12|suspended|x|false in x|dead|cannot resume dead coroutine|1|2|3|false"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A span that a script keeps beyond its request records nothing for the next, though its trace may be used again.
func TestKeptSpan(t *testing.T) {
	one := step{PreName, makeInstance(t, Define(Options{})[0], config("access", `
		KEPT = KEPT or kong.tracing.active_span()
		KEPT:set_attribute("leak", kong.request.get_header("x-id"))
		kong.tracing.set_active_span(KEPT)`))}
	tracer := tracing.NewTracer(tracing.HTTPClient, 1)
	for i, want := range []any{"0", nil, nil} {
		d := testDriver(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Id: "+strconv.Itoa(i)+"\r\n\r\n")
		d.serve(&settings{}, tracer, []step{one}, &reply{Status: 200}, true)
		if got := attribute(t, d.trace, "kong", "leak"); got != want {
			t.Errorf("request %d: got %v, want %v", i, got, want)
		}
		d.trace.Release()
	}
}
