package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/internal/upstream"
	"sidekong/proxy"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// TestContext: what plugins are told of a request.
func TestContext(t *testing.T) {
	up := upstream.Start(t, nil)
	var seen map[string]any
	e := start(t, setup{
		config: "services:\n- {name: backend, url: '" + up.URL() + "/base', routes: [{name: r, paths: ['~/(?<kind>[a-z]+)/(\\d+)$'], strip_path: false}]}\n" + global + "- name: look\n",
		options: func(o *proxy.Options) {
			o.TrustedIPs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		},
		plugins: []*plugin.Definition{define("look", 1000, accessor(func(c *plugin.Context) error {
			seen = map[string]any{
				"arrived": !c.Arrived.IsZero() && time.Since(c.Arrived) < time.Minute, "client": c.Client.String(),
				"client port": c.ClientPort, "peer": c.Peer.String(), "peer port": c.PeerPort != 0, "local port": c.LocalPort,
				"captures": c.Captures, "upstream path": c.UpstreamPath, "notes": c.Notes == nil,
			}
			return nil
		}))},
	})
	e.get("/users/12?q=1", "X-Real-Ip: 192.0.2.1:1234")
	want := map[string]any{
		"arrived": true, "client": "192.0.2.1", "client port": uint16(1234), "peer": "127.0.0.1", "peer port": true,
		"local port":    netip.MustParseAddrPort(e.server.Listener.Addr().String()).Port(),
		"captures":      map[string]string{"0": "/users/12", "kind": "users", "1": "users", "2": "12"},
		"upstream path": "/base/users/12", "notes": true,
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestSummary: how a request went is complete in the log phase, and for the observer after it.
func TestSummary(t *testing.T) {
	refused := upstream.Start(t, nil)
	refused.Stop()
	up := upstream.Start(t, upstream.Answer("hello"))
	failing, working := "'"+refused.Address()+"'", "'"+up.Address()+"'"
	config := func(target string) string {
		return "upstreams:\n- {name: pool, targets: [{target: " + target + "}]}\n" +
			"services:\n- {name: backend, url: 'http://pool/svc', retries: 1, routes: [{paths: [/a]}]}\n" + global + "- name: look\n"
	}
	type outcome struct {
		Status, UpstreamStatus, Tries  int
		URI                            string
		Proxied, Received, Sent, Fault bool // Received and Sent: at least what there was of them
		States                         string
	}
	describe := func(c *plugin.Context) outcome {
		s := &c.Summary
		o := outcome{
			Status: c.Response.Status, UpstreamStatus: s.UpstreamStatus, Tries: len(s.Tries), URI: s.UpstreamURI,
			Proxied: s.Upstream >= 0 && s.Receive >= 0, Received: s.BytesReceived >= 100, Sent: s.BytesSent >= 50, Fault: s.Fault != nil,
		}
		for _, try := range s.Tries {
			o.States += fmt.Sprint(try.State, try.Code, " ")
			if try.IP == "" || try.Port == 0 || try.Began.IsZero() || try.Duration < 0 {
				t.Errorf("try %+v", try)
			}
		}
		if s.Request <= 0 || s.Gateway < 0 || s.Gateway > s.Request {
			t.Errorf("latencies %v, %v", s.Request, s.Gateway)
		}
		return o
	}
	for _, c := range []struct {
		name, config, target string
		want                 outcome
	}{
		{"proxied", config(working), "/a/b?c", outcome{200, 200, 1, "/svc/b?c", true, true, true, false, "0 "}},
		{"refused", config(failing), "/a", outcome{502, 0, 2, "/svc", false, true, true, true, "failed502 failed502 "}},
		{"no route", config(working), "/none", outcome{404, 0, 0, "", false, true, true, false, ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			var order []string
			var logged, observed outcome
			e := start(t, setup{
				config: c.config,
				options: func(o *proxy.Options) {
					o.Observer = func(c *plugin.Context) {
						mu.Lock()
						defer mu.Unlock()
						order, observed = append(order, "observer"), describe(c)
						if c.Notes == nil || c.Notes.Sampling != "because" || !c.Trace.Settled() {
							t.Errorf("notes %+v, settled %v", c.Notes, c.Trace.Settled())
						}
					}
				},
				plugins: []*plugin.Definition{define("look", 1000, logger(func(c *plugin.Context) {
					mu.Lock()
					defer mu.Unlock()
					order, logged = append(order, "log"), describe(c)
					c.Notes.Sampling = "because"
				}))},
			})
			e.get(c.target, "X-Long: "+strings.Repeat("x", 100))
			e.idle()
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff([]outcome{c.want, c.want}, []outcome{logged, observed}); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if got := strings.Join(order, ","); got != "log,observer" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// every is a plugin with every phase, each of which is a function of the same form.
type every func(phase string, c *plugin.Context) error

func (f every) Rewrite(c *plugin.Context) error      { return f("rewrite", c) }
func (f every) Access(c *plugin.Context) error       { return f("access", c) }
func (f every) FilterHeader(c *plugin.Context) error { return f("header_filter", c) }
func (f every) Log(c *plugin.Context)                { _ = f("log", c) }

func (f every) FilterBody(c *plugin.Context, chunk []byte, eof bool) ([]byte, error) {
	if eof {
		return chunk, f("body_filter", c)
	}
	return chunk, nil
}

// TestState: what a plugin keeps of a request lasts from its first phase to its last, also where another of its
// instances runs after routing; what another plugin keeps is its own. Values are everybody's.
func TestState(t *testing.T) {
	up := upstream.Start(t, upstream.Answer("ok"))
	type key struct{}
	keep := func(name string) plugin.Instance {
		return every(func(phase string, c *plugin.Context) error {
			state, _ := c.State().(string)
			c.SetState(state + name + " " + phase + ",")
			shared, _ := c.Value(key{}).(string)
			c.SetValue(key{}, shared+name[:1])
			return nil
		})
	}
	var mu sync.Mutex
	var got []string
	result := func(name string) plugin.Instance {
		inner := keep(name).(every)
		return every(func(phase string, c *plugin.Context) error {
			err := inner(phase, c)
			if phase == "log" {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, c.State().(string), fmt.Sprint(c.Value(key{})))
			}
			return err
		})
	}
	// The route's instance of "a" takes the global one's place after routing.
	made := map[string]int{}
	a := &plugin.Definition{Name: "a", Priority: 20, Config: &entity.Record{}, New: func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
		made["a"]++
		if p.Route != nil {
			return result("route's"), nil
		}
		return keep("global"), nil
	}}
	e := start(t, setup{
		config:  "services:\n- {name: backend, url: '" + up.URL() + "', routes: [{paths: [/], plugins: [{name: a}]}]}\n" + global + "- name: a\n- name: b\n",
		plugins: []*plugin.Definition{a, define("b", 10, result("second"))},
	})
	e.get("/")
	e.idle()
	want := []string{
		"global rewrite,route's access,route's header_filter,route's body_filter,route's log,", "gsrsrsrsr",
		"second rewrite,second access,second header_filter,second body_filter,second log,", "gsrsrsrsrs",
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestPhaseSpans: each phase that a plugin has is one span below the root, the body's from its first piece to its end.
// Plugins that lack a phase have no span of it, and nobody sees more than was asked for.
func TestPhaseSpans(t *testing.T) {
	pieces := upstream.Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
	for _, c := range []struct{ kinds, want string }{
		{"all", "access body_filter header_filter log rewrite"},
		{"plugin_body_filter", "body_filter"},
		{"plugin_log", "log"},
		{"request", ""},
	} {
		t.Run(c.kinds, func(t *testing.T) {
			up := upstream.Start(t, pieces)
			e := start(t, setup{instrumentations: c.kinds, config: with(up.URL(), "work"), plugins: []*plugin.Definition{
				define("work", 10, every(func(phase string, c *plugin.Context) error {
					c.Span.SetBool("in "+phase, true)
					return nil
				})),
			}})
			e.get("/")
			all := e.spans()
			root := all.named(t, "kong")
			for phase := range strings.FieldsSeq("access body_filter header_filter log rewrite") {
				of := root
				if strings.Contains(" "+c.want+" ", " "+phase+" ") {
					of = all.named(t, "kong."+phase+".plugin.work")
					if string(of.ParentSpanId) != string(root.SpanId) || of.EndTimeUnixNano < of.StartTimeUnixNano {
						t.Errorf("%s: %v", phase, of.Span)
					}
				} else if n := len(all.all("kong." + phase + ".plugin.work")); n != 0 {
					t.Errorf("%d spans of %s", n, phase)
				}
				if of.Attribute("in "+phase) != true && phase != "log" {
					t.Errorf("%s: the plugin's attribute is not on %s", phase, of.Name)
				}
			}
			for _, phase := range []string{"rewrite", "body_filter", "log"} {
				if n := len(all.all("kong." + phase + ".plugin.opentelemetry")); n != 0 {
					t.Errorf("%d spans of opentelemetry's %s", n, phase)
				}
			}
		})
	}
}

// TestBodyBreaksOff: the span of a body filter ends with a body that never does.
func TestBodyBreaksOff(t *testing.T) {
	up := upstream.Start(t, upstream.Closing("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"))
	e := start(t, setup{config: with(up.URL(), "work"), plugins: []*plugin.Definition{
		define("work", 10, every(func(string, *plugin.Context) error { return nil })),
	}})
	e.get("/")
	if span := e.spans().named(t, "kong.body_filter.plugin.work"); span.EndTimeUnixNano == 0 {
		t.Errorf("%v", span.Span)
	}
}

// TestActiveSpan: a plugin's span is active while its phase lasts; one that a plugin made active stays so.
func TestActiveSpan(t *testing.T) {
	up := upstream.Start(t, nil)
	e := start(t, setup{config: with(up.URL(), "work"), plugins: []*plugin.Definition{
		define("work", 10, every(func(phase string, c *plugin.Context) error {
			if active, ok := c.ActiveSpan(); !ok || active != c.Span && phase != "header_filter" {
				t.Errorf("%s: another span is active, %v", phase, ok)
			}
			if phase == "access" {
				c.SetActiveSpan(c.Trace.StartSpan("mine", tracing.KindInternal, c.Span), true)
			}
			return nil
		})),
	}})
	e.get("/")
	all := e.spans()
	if mine, filter := all.named(t, "mine"), all.named(t, "kong.header_filter.plugin.work"); string(filter.ParentSpanId) != string(mine.SpanId) {
		t.Errorf("the header filter's parent is %x, want %x", filter.ParentSpanId, mine.SpanId)
	}
}

// TestAnswer: the ways in which plugins answer.
func TestAnswer(t *testing.T) {
	up := upstream.Start(t, upstream.Answer("upstream", "X-Early: upstream's"))
	for _, c := range []struct {
		name, method string
		do           func(*plugin.Context)
		want         string // status, Content-Length, Transfer-Encoding, Content-Type, X-Early, body; "": the connection is closed
	}{
		{"exit", "GET", func(c *plugin.Context) { c.Exit(plugin.Answer{Status: 402, Body: []byte("pay")}) }, "402 3 []  early pay"},
		{"own header", "GET", func(c *plugin.Context) {
			c.Exit(plugin.Answer{Status: 200, Header: http.Header{"X-Early": {"own"}, "Content-Type": {"a/b"}}, Body: []byte("x")})
		}, "200 1 [] a/b own x"},
		{"chunked", "GET", func(c *plugin.Context) { c.Exit(plugin.Answer{Status: 200, Body: []byte("x"), Chunked: true}) }, "200  [chunked]  early x"},
		{"too long", "GET", func(c *plugin.Context) {
			c.Exit(plugin.Answer{Status: 200, Header: http.Header{"Content-Length": {"1"}}, Body: []byte("xyz")})
		}, "200 1 []  early x"},
		{"no status", "GET", func(c *plugin.Context) { c.Exit(plugin.Answer{}) }, ""},
		{"informational status", "GET", func(c *plugin.Context) { c.Exit(plugin.Answer{Status: 103}) }, ""},
		{"abort", "GET", func(c *plugin.Context) { c.Exit(plugin.Answer{Abort: true}) }, ""},
		{"proxied", "GET", func(*plugin.Context) {}, "200 8 []  early upstream"},
		{"HEAD", "HEAD", func(c *plugin.Context) { c.Exit(plugin.Answer{Status: 200, Body: []byte("four")}) }, "200 4 []  early "},
	} {
		t.Run(c.name, func(t *testing.T) {
			logged := make(chan plugin.Source, 1)
			e := start(t, setup{config: with(up.URL(), "work"), plugins: []*plugin.Definition{define("work", 10, every(func(phase string, ctx *plugin.Context) error {
				switch phase {
				case "access":
					ctx.Early = http.Header{"X-Early": {"early"}, "Content-Length": {"99"}}
					c.do(ctx)
				case "body_filter":
					if c.method == "HEAD" {
						t.Error("a body filter runs for HEAD")
					}
				case "log":
					logged <- ctx.Response.Source
				}
				return nil
			}))}})
			conn := e.dial()
			fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", c.method)
			raw, _ := io.ReadAll(conn)
			source := <-logged
			if c.want == "" {
				if len(raw) != 0 {
					t.Errorf("got %q, want a closed connection", raw)
				}
				status := int64(500)
				if c.name == "abort" {
					status = 444
				}
				if root := e.spans().named(t, "kong"); root.Attribute("http.status_code") != status {
					t.Errorf("root %v", root.Attributes)
				}
				return
			}
			res, body := readAnswer(t, c.method, raw)
			got := fmt.Sprint(res.StatusCode, " ", res.Header.Get("Content-Length"), " ", res.TransferEncoding, " ",
				res.Header.Get("Content-Type"), " ", res.Header.Get("X-Early"), " ", body)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if proxied := c.name == "proxied"; proxied != (source == plugin.FromService) {
				t.Errorf("source %v", source)
			}
		})
	}
}

func readAnswer(t *testing.T, method string, raw []byte) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%q: %v", raw, err)
	}
	return res, string(body)
}

// teller tells trace ids.
type teller map[string]string

func (teller) Access(*plugin.Context) error                 { return nil }
func (n teller) TraceIDs(*plugin.Context) map[string]string { return n }

// TestTold: what plugins tell those that log: trace ids, further values, the consumer.
func TestTold(t *testing.T) {
	up := upstream.Start(t, nil)
	var ids map[string]string
	var values []plugin.LogValue
	done := make(chan struct{})
	e := start(t, setup{config: with(up.URL(), "work") + "- name: first\n- name: second\n", plugins: []*plugin.Definition{
		define("first", 30, teller{"w3c": "1", "b3": "2"}), define("second", 20, teller{"w3c": "3", "datadog": "4"}),
		define("work", 10, every(func(phase string, c *plugin.Context) error {
			switch phase {
			case "access":
				c.SetLogValue("a.b", json.RawMessage(`1`), "set")
				c.Consumer = &entity.Consumer{Meta: entity.Meta{ID: "c1"}, Username: "ann"}
			case "log":
				ids, values = c.TraceIDs(), c.LogValues()
				close(done)
			}
			return nil
		})),
	}})
	e.get("/")
	<-done
	if diff := cmp.Diff(map[string]string{"w3c": "1", "b3": "2", "datadog": "4"}, ids); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]plugin.LogValue{{Key: "a.b", Value: json.RawMessage(`1`), Mode: "set"}}, values); diff != "" {
		t.Error(diff)
	}
	root := e.spans().named(t, "kong")
	if root.Attribute("kong.consumer.id") != "c1" || root.Attribute("kong.consumer.username") != "ann" {
		t.Errorf("root %v", root.Attributes)
	}
}
