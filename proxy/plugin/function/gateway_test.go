package function_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/function"
	"sidekong/tracing"
)

// gateway starts a real gateway in front of a backend with a kong.yaml whose plugins are given.
func gateway(t *testing.T, options function.Options, kinds tracing.Instrumentation, backend http.HandlerFunc, plugins string, more ...*plugin.Definition) string {
	t.Helper()
	upstream := httptest.NewServer(backend)
	t.Cleanup(upstream.Close)
	registry := plugin.NewRegistry(append(function.Define(options), more...)...)
	resolver, err := dns.New(dns.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	g, err := proxy.New(proxy.Options{
		Tracer: tracing.NewTracer(kinds, 1), Registry: registry, Resolver: resolver, Logger: slog.New(slog.DiscardHandler),
		RedactedQuery: []string{"token"}, Conventions: proxy.KongConventions, Keepalive: proxy.Keepalive{PoolSize: 16, IdleTimeout: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	snapshot, _, err := configs.Loader{Schemas: entity.NewSchemas(registry.Configs())}.Load(t.Context(), configs.Text("test", `
_format_version: "3.0"
services:
- name: backend
  url: `+upstream.URL+`
  routes:
  - paths: [/]
plugins:
`+plugins))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(snapshot); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(g)
	server.Config.ConnContext = g.ConnContext
	server.Start()
	t.Cleanup(func() { server.Close(); g.Close() })
	return server.URL
}

// fetch sends a request and reads its answer whole. It may run on any goroutine.
func fetch(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return &http.Response{}, ""
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return &http.Response{}, ""
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res, string(content)
}

// Scripts act on real requests: what goes up, what comes back, an early answer, an error.
func TestGateway(t *testing.T) {
	url := gateway(t, function.Options{}, tracing.All, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Method", r.Method)
		fmt.Fprintf(w, "%s|%s", r.Header.Get("X-Up"), body)
	}, `
- name: pre-function
  config:
    access:
    - |
      if kong.request.get_path() == "/exit" then kong.response.exit(402, {n = 1}, {["X-E"] = "e"}) end
      if kong.request.get_path() == "/error" then error("on purpose") end
      kong.service.request.set_header("X-Up", kong.request.get_query_arg("q") .. #kong.request.get_raw_body())
    header_filter:
    - kong.response.set_header("X-Source", kong.response.get_source()) kong.response.clear_header("Content-Length")
    body_filter:
    - if ngx.arg[1] and not ngx.arg[2] then ngx.arg[1] = ngx.arg[1]:upper() end
`)
	res, body := fetch(t, "POST", url+"/x?q=v", "sent")
	if got, want := fmt.Sprint(res.StatusCode, res.Header.Get("X-Method"), res.Header.Get("X-Source"), body), "200POSTserviceV4|SENT"; got != want {
		t.Errorf("proxied: got %s, want %s", got, want)
	}
	res, body = fetch(t, "GET", url+"/exit", "")
	if got, want := fmt.Sprint(res.StatusCode, res.Header.Get("X-E"), res.Header.Get("X-Source"), body), `402eexit{"N":1}`; got != want {
		t.Errorf("exit: got %s, want %s", got, want)
	}
	res, body = fetch(t, "GET", url+"/error", "")
	if got, want := fmt.Sprint(res.StatusCode, res.Header.Get("X-Source")), "500error"; got != want || !strings.Contains(strings.ToLower(body), "an unexpected error occurred") {
		t.Errorf("error: got %s %s, want %s", got, body, want)
	}
}

// A body that streams keeps streaming through a body filter, whether that changes it or looks on: the client has each
// TestGatewayLogsAfterTheAnswer: a client does not wait for the log phase, where it knows how long the answer is.
func TestGatewayLogsAfterTheAnswer(t *testing.T) {
	const long = 3 * time.Second
	url := gateway(t, function.Options{Time: long}, tracing.All, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "hello")
	}, `
- name: post-function
  config:
    log: [while true do end]
`)
	began := time.Now()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := make([]byte, len("hello"))
	if _, err := io.ReadFull(res.Body, body); err != nil || string(body) != "hello" {
		t.Fatalf("got %q, error %v", body, err)
	}
	if took := time.Since(began); took >= long {
		t.Errorf("answered after %v, when the log phase had ended", took)
	}
}

// piece before the upstream sends the next.
func TestGatewayStreams(t *testing.T) {
	for _, c := range []struct{ name, kind, filter, want string }{
		{"changed", "text/plain", `ngx.arg[1] = ngx.arg[1]:gsub('line', 'piece')`, "data: piece %d\n"},
		{"observed", "text/event-stream", `kong.ctx.plugin.n = (kong.ctx.plugin.n or 0) + #ngx.arg[1]`, "data: line %d\n"},
		{"answered with a length", "text/event-stream", `kong.ctx.plugin.n = (kong.ctx.plugin.n or 0) + #ngx.arg[1]`, "data: line %d\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := make(chan struct{})
			url := gateway(t, function.Options{}, tracing.All, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				if c.name == "answered with a length" {
					w.Header().Set("Content-Length", fmt.Sprint(3*len("data: line 0\n\n")))
				}
				for i := range 3 {
					fmt.Fprintf(w, "data: line %d\n\n", i)
					w.(http.Flusher).Flush()
					<-next
				}
			}, `
- name: post-function
  config:
    header_filter: ["kong.response.set_header('X-Seen', 'yes')"]
    body_filter: ["`+c.filter+`"]
`)
			res, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			lines := bufio.NewReader(res.Body)
			for i := range 3 {
				line, err := lines.ReadString('\n')
				if want := fmt.Sprintf(c.want, i); err != nil || line != want {
					t.Fatalf("got %q, error %v, want %q", line, err, want)
				}
				if _, err := lines.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				next <- struct{}{}
			}
		})
	}
}

// The two plugins share kong.ctx.shared and the request's other state over all phases, and log what they like.
func TestGatewayShared(t *testing.T) {
	logged := make(chan string, 1)
	spy := &plugin.Definition{Name: "spy", Priority: 1, Config: &entity.Record{}, New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) {
		return logs(func(ctx *plugin.Context) {
			color, _ := ctx.Shared("color")
			_, missing := ctx.Shared("none")
			values := ""
			for _, v := range ctx.LogValues() {
				values += v.Key + "=" + string(v.Value) + " "
			}
			logged <- fmt.Sprint(color, missing, values)
		}), nil
	}}
	url := gateway(t, function.Options{}, tracing.All, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Color"))
	}, `
- name: spy
- name: pre-function
  config:
    rewrite: ["kong.ctx.shared.color = kong.request.get_query_arg('color') kong.ctx.plugin.own = 'pre'"]
    log: ["kong.log.set_serialize_value('recipe.own', kong.ctx.plugin.own)"]
- name: post-function
  config:
    access: ["kong.service.request.set_header('X-Color', kong.ctx.shared.color)"]
    header_filter: ["kong.response.set_header('X-Own', tostring(kong.ctx.plugin.own))"]
    log: ["kong.log.set_serialize_value('status', kong.log.serialize().response.status)"]
`, spy)
	for _, color := range []string{"red", "blue"} {
		res, body := fetch(t, "GET", url+"/?color="+color, "")
		if body != color || res.Header.Get("X-Own") != "nil" {
			t.Errorf("got %q, X-Own %q, want %q and nil", body, res.Header.Get("X-Own"), color)
		}
		if got, want := <-logged, color+"false"+`recipe.own="pre" `; got != want {
			t.Errorf("logged %s, want %s", got, want)
		}
	}
}

// What a script asks of others shows in the trace, the secrets in its URL do not.
func TestGatewayAsks(t *testing.T) {
	var asked, shown string
	spy := &plugin.Definition{Name: "spy", Priority: 1, Config: &entity.Record{}, New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) {
		return filters(func(ctx *plugin.Context) error {
			for i := range ctx.Trace.Len() {
				for attr := range ctx.Trace.Attrs(i) {
					if ctx.Trace.Record(i).Name == "kong.internal.request" && attr.Key == "http.url" {
						shown = attr.Value.Any().(string)
					}
				}
			}
			return nil
		}), nil
	}}
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.RequestURI() }))
	defer other.Close()
	address := other.Listener.Addr().String()
	url := gateway(t, function.Options{SandboxRequires: []string{"resty.http"}, Client: other.Client()}, tracing.All, func(http.ResponseWriter, *http.Request) {}, `
- name: spy
- name: pre-function
  config:
    access: ["local _, err = require('resty.http').new():request_uri('http://`+address+`/a?token=s3cret&b=1') if err then kong.response.exit(502, err) end"]
`, spy)
	res, body := fetch(t, "GET", url+"/", "")
	if want := "http://" + address + "/a?token=REDACTED&b=1"; res.StatusCode != 200 || asked != "/a?token=s3cret&b=1" || shown != want {
		t.Errorf("status %d %s, asked %s, shown %s, want %s", res.StatusCode, body, asked, shown, want)
	}
}

// A script names the consumer: what runs after it is chosen by that.
func TestGatewayAuthenticates(t *testing.T) {
	scoped := &plugin.Definition{Name: "scoped", Priority: 1, Config: &entity.Record{}, New: func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
		return filters(func(ctx *plugin.Context) error {
			ctx.Response.Header.Set("X-For", map[bool]string{true: "somebody", false: "everybody"}[p.Consumer != nil])
			return nil
		}), nil
	}}
	url := gateway(t, function.Options{}, tracing.All, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }, `
- name: pre-function
  config:
    access:
    - |
      local ann = kong.client.load_consumer(kong.request.get_query_arg("who"), true)
      if ann then kong.client.authenticate(ann) end
    header_filter:
    - |
      local consumer = kong.client.get_consumer()
      kong.response.set_header("X-Who", consumer and consumer.username or "nobody")
- name: scoped
- name: scoped
  consumer: ann
consumers:
- username: ann
`, scoped)
	for who, want := range map[string]string{"ann": "somebody, ann", "bob": "everybody, nobody"} {
		res, _ := fetch(t, "GET", url+"/?who="+who, "")
		if got := res.Header.Get("X-For") + ", " + res.Header.Get("X-Who"); got != want {
			t.Errorf("%s: got %d and %s, want %s", who, res.StatusCode, got, want)
		}
	}
}

type filters func(*plugin.Context) error

func (f filters) FilterHeader(ctx *plugin.Context) error { return f(ctx) }

type logs func(*plugin.Context)

func (f logs) Log(ctx *plugin.Context) { f(ctx) }

// Many requests at once, some of which are stopped: each gets its own answer.
func TestGatewayTogether(t *testing.T) {
	url := gateway(t, function.Options{Time: 20 * time.Millisecond}, tracing.All, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Id"))
	}, `
- name: pre-function
  config:
    access:
    - |
      local id = kong.request.get_query_arg("id")
      if tonumber(id) % 20 == 0 then while true do end end
      kong.ctx.plugin.id = id
      kong.service.request.set_header("X-Id", id)
      kong.tracing.active_span():set_attribute("id", id)
    header_filter: ['kong.response.set_header("X-Id", kong.ctx.plugin.id or "none")']
`)
	var wait sync.WaitGroup
	for worker := range 6 {
		wait.Go(func() {
			for n := range 30 {
				id := fmt.Sprint(worker*1000 + n)
				res, body := fetch(t, "GET", url+"/?id="+id, "")
				if n%20 == 0 {
					if res.StatusCode != 500 {
						t.Errorf("request %s: got status %d, want 500", id, res.StatusCode)
					}
					continue
				}
				if res.StatusCode != 200 || body != id || res.Header.Get("X-Id") != id {
					t.Errorf("request %s: got %d, %q, %q", id, res.StatusCode, body, res.Header.Get("X-Id"))
				}
			}
		})
	}
	wait.Wait()
}
