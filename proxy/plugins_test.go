package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidekong/configs/entity"
	"sidekong/internal/upstream"
	"sidekong/proxy"
	"sidekong/proxy/plugin"
)

// define makes a plugin of one instance that is the same for every configured one.
func define(name string, priority int, instance plugin.Instance) *plugin.Definition {
	return &plugin.Definition{
		Name: name, Priority: priority, Config: &entity.Record{},
		New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) { return instance, nil },
	}
}

type (
	rewriter     func(*plugin.Context) error
	accessor     func(*plugin.Context) error
	headerFilter func(*plugin.Context) error
	bodyFilter   func(chunk []byte, eof bool) ([]byte, error)
	logger       func(*plugin.Context)
)

func (f rewriter) Rewrite(c *plugin.Context) error          { return f(c) }
func (f accessor) Access(c *plugin.Context) error           { return f(c) }
func (f headerFilter) FilterHeader(c *plugin.Context) error { return f(c) }
func (f logger) Log(c *plugin.Context)                      { f(c) }

func (f bodyFilter) FilterBody(_ *plugin.Context, chunk []byte, eof bool) ([]byte, error) {
	return f(chunk, eof)
}

// with adds a global plugin to the usual configuration.
func with(url, name string) string { return service(url) + "- name: " + name + "\n" }

// TestPluginFails: an error or a panic of a plugin, in each phase. The request's spans are exported in the caller's
// trace all the same, with the exception on the plugin's own.
func TestPluginFails(t *testing.T) {
	broken := errors.New("out of order")
	fail := func(*plugin.Context) error { return broken }
	panics := func(*plugin.Context) error { panic("out of order") }
	for _, c := range []struct {
		name, span string
		instance   plugin.Instance
		status     int // 0: the connection is closed
	}{
		{"rewrite error", "kong.rewrite.plugin.broken", rewriter(fail), 500},
		{"rewrite panic", "kong.rewrite.plugin.broken", rewriter(panics), 500},
		{"access error", "kong.access.plugin.broken", accessor(fail), 500},
		{"access panic", "kong.access.plugin.broken", accessor(panics), 500},
		{"header_filter error", "kong.header_filter.plugin.broken", headerFilter(fail), 0},
		{"header_filter panic", "kong.header_filter.plugin.broken", headerFilter(panics), 0},
		{"body_filter error", "kong.body_filter.plugin.broken", bodyFilter(func([]byte, bool) ([]byte, error) { return nil, broken }), -1},
		{"body_filter panic", "kong.body_filter.plugin.broken", bodyFilter(func([]byte, bool) ([]byte, error) { panic("out of order") }), -1},
		{"log panic", "kong.log.plugin.broken", logger(func(*plugin.Context) { panic("out of order") }), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, upstream.Answer("ok"))
			var logged bytes.Buffer // by the goroutine that serves the request, which ends before its spans are there
			e := start(t, setup{
				config: with(up.URL(), "broken"), plugins: []*plugin.Definition{define("broken", 1000, c.instance)},
				options: func(o *proxy.Options) { o.Logger = slog.New(slog.NewTextHandler(&logged, nil)) },
			})
			conn := e.dial()
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n"+
				"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n")
			raw, _ := io.ReadAll(conn)
			got := string(raw)
			switch c.status {
			case 0:
				if got != "" {
					t.Errorf("got %q, want a closed connection", got)
				}
			case -1:
				if !strings.HasPrefix(got, "HTTP/1.1 200") || strings.HasSuffix(got, "ok") {
					t.Errorf("got %q, want a body that breaks off", got)
				}
			case 500:
				page := `"message":"An unexpected error occurred"`
				if strings.HasPrefix(c.name, "rewrite") {
					page = "An unexpected error occurred\nrequest_id: "
				}
				if !strings.HasPrefix(got, "HTTP/1.1 500") || !strings.Contains(got, page) {
					t.Errorf("got %q", got)
				}
			case 200:
				if !strings.HasPrefix(got, "HTTP/1.1 200") {
					t.Errorf("got %q", got)
				}
			}
			all := e.spans()
			if log := logged.String(); !strings.Contains(log, "plugin=broken") || !strings.Contains(log, "out of order") {
				t.Errorf("logged %q", log)
			}
			root := all.named(t, "kong")
			if hexID(root.TraceId) != "4bf92f3577b34da6a3ce929d0e0e4736" || failed(root) != (c.status != 200) {
				t.Errorf("root: trace %x, status %v", root.TraceId, root.Status)
			}
			if c.span == "" {
				return
			}
			span := all.named(t, c.span)
			if !failed(span) || len(span.Events) != 1 || span.Events[0].Name != "exception" || !strings.Contains(span.Events[0].Attributes[0].Value.GetStringValue(), "out of order") {
				t.Errorf("%s: %v", c.span, span)
			}
		})
	}
}

// TestEarlyExit: a plugin answers; later access phases don't run, the phases after do, and the caller's trace is kept.
func TestEarlyExit(t *testing.T) {
	for _, phase := range []string{"rewrite", "access"} {
		t.Run(phase, func(t *testing.T) {
			exit := func(c *plugin.Context) error {
				c.Exit(plugin.Answer{Status: 401, Header: map[string][]string{"X-Why": {"no key"}}, Body: []byte("no")})
				return nil
			}
			var instance plugin.Instance = accessor(exit)
			if phase == "rewrite" {
				instance = rewriter(exit)
			}
			var ran atomic.Int64
			up := upstream.Start(t, nil)
			e := start(t, setup{config: with(up.URL(), "guard") + "- name: later\n- name: filter\n", plugins: []*plugin.Definition{
				define("guard", 1000, instance),
				define("later", 500, accessor(func(*plugin.Context) error { ran.Add(1); return nil })),
				define("filter", 400, headerFilter(func(c *plugin.Context) error {
					c.Response.Header.Set("X-Filtered", "yes")
					if c.Response.Source != plugin.FromExit {
						t.Errorf("source %v", c.Response.Source)
					}
					return nil
				})),
			}})
			got := e.get("/", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
			if got.StatusCode != 401 || got.body != "no" || got.Header.Get("X-Why") != "no key" || got.Header.Get("X-Filtered") != "yes" {
				t.Errorf("got %d %q %v", got.StatusCode, got.body, got.Header)
			}
			if ran.Load() != 0 || len(up.Requests()) != 0 {
				t.Errorf("%d later plugins ran, %d requests went upstream", ran.Load(), len(up.Requests()))
			}
			all := e.spans()
			root := all.named(t, "kong")
			if hexID(root.TraceId) != "4bf92f3577b34da6a3ce929d0e0e4736" || hexID(root.ParentSpanId) != "00f067aa0ba902b7" || failed(root) {
				t.Errorf("root %v", root)
			}
			all.named(t, "kong."+phase+".plugin.guard")
			if n := len(all.all("kong.balancer")); n != 0 {
				t.Errorf("%d tries", n)
			}
		})
	}
}

// TestBodyFilter: plugins see the body piece by piece and its end, and what they return is what is sent.
func TestBodyFilter(t *testing.T) {
	body := strings.Repeat("abc", 50_000)
	for _, c := range []struct {
		name, method string
		filter       bodyFilter
		want         string
	}{
		{"as it is", "GET", func(chunk []byte, _ bool) ([]byte, error) { return chunk, nil }, body},
		{"upper case", "GET", func(chunk []byte, _ bool) ([]byte, error) { return bytes.ToUpper(chunk), nil }, strings.ToUpper(body)},
		{"twice as long", "GET", func(chunk []byte, eof bool) ([]byte, error) {
			out := bytes.Repeat(chunk, 2)
			if eof {
				out = append(out, '.')
			}
			return out, nil
		}, ""},
		{"held back", "GET", func() bodyFilter {
			var held []byte
			return func(chunk []byte, eof bool) ([]byte, error) {
				held = append(held, chunk...)
				if eof {
					return held, nil
				}
				return nil, nil
			}
		}(), body},
		{"no body", "HEAD", func([]byte, bool) ([]byte, error) { return []byte("x"), nil }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, upstream.Answer(body))
			type both struct {
				headerFilter
				bodyFilter
			}
			e := start(t, setup{config: with(up.URL(), "filter"), plugins: []*plugin.Definition{define("filter", 1, both{
				func(ctx *plugin.Context) error { ctx.Response.Header.Del("Content-Length"); return nil }, c.filter,
			})}})
			got := e.do(e.request(c.method, "/", nil))
			if c.name == "twice as long" {
				if len(got.body) != 2*len(body)+1 || !strings.HasSuffix(got.body, ".") || got.err != nil {
					t.Errorf("%d bytes, %v", len(got.body), got.err)
				}
				return
			}
			if got.body != c.want || got.err != nil {
				t.Errorf("%d bytes, want %d; %v", len(got.body), len(c.want), got.err)
			}
		})
	}
}

// closing counts how often it was closed.
type closing struct {
	headerFilter
	closed *atomic.Int64
}

func (c closing) Close() error { c.closed.Add(1); return nil }

// TestApply: requests end with the configuration that they began with; it is closed after the last of them. A
// configuration that cannot be made leaves the old one in force, and nothing of it open.
func TestApply(t *testing.T) {
	release := make(chan struct{})
	up := upstream.Start(t, upstream.Answer("old"))
	slow := upstream.Start(t, func(conn net.Conn, r *upstream.Request) bool {
		<-release
		return upstream.Answer("slow")(conn, r)
	})
	var made, closed atomic.Int64
	tracked := &plugin.Definition{Name: "tracked", Priority: 2, Config: &entity.Record{}, New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) {
		made.Add(1)
		return closing{func(*plugin.Context) error { return nil }, &closed}, nil
	}}
	refuses := &plugin.Definition{Name: "refuses", Priority: 1, Config: &entity.Record{}, New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) {
		return nil, errors.New("not today")
	}}
	e := start(t, setup{config: with(slow.URL(), "tracked"), plugins: []*plugin.Definition{tracked, refuses}})

	var old sync.WaitGroup
	old.Go(func() {
		if got := e.get("/"); got.body != "slow" {
			t.Errorf("old request got %q", got.body)
		}
	})
	if _, err := slow.Wait(1, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	e.apply(service(up.URL()))
	if got := e.get("/"); got.body != "old" {
		t.Errorf("new request got %q", got.body)
	}
	e2 := closed.Load()
	close(release)
	old.Wait()
	if e2 != 0 {
		t.Error("closed while in use")
	}
	eventually(t, "the old configuration is closed", func() bool { return closed.Load() == 1 })

	err := e.gateway.Apply(e.load(with(slow.URL(), "tracked") + "- name: refuses\n"))
	if err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("Apply: %v", err)
	}
	if made.Load() != closed.Load() {
		t.Errorf("%d instances made, %d closed", made.Load(), closed.Load())
	}
	if got := e.get("/"); got.body != "old" {
		t.Errorf("after a failed Apply got %q", got.body)
	}

	// Under load: every request is answered, by one configuration or the other.
	var load sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if got := e.get("/"); got.StatusCode != 200 {
						t.Errorf("status %d under load", got.StatusCode)
					}
				}
			}
		})
	}
	for range 20 {
		e.apply(with(up.URL(), "tracked"))
	}
	close(stop)
	load.Wait()
	e.apply(service(up.URL()))
	eventually(t, "all configurations but the last are closed", func() bool { return made.Load() == closed.Load() })
}
