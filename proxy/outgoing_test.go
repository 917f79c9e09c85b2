package proxy_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/internal/upstream"
	"sidekong/proxy"
	"sidekong/proxy/plugin"
)

// altering is a gateway whose one plugin changes requests.
func altering(t *testing.T, config string, change func(*plugin.Context)) *env {
	t.Helper()
	return start(t, setup{config: config + "- name: change\n", plugins: []*plugin.Definition{
		define("change", 1000, accessor(func(c *plugin.Context) error { change(c); return nil })),
	}})
}

// TestOutgoing: what plugins change of the request is what goes upstream; the client's view stays.
func TestOutgoing(t *testing.T) {
	text := func(s string) *string { return &s }
	for _, c := range []struct {
		name   string
		change func(*plugin.Outgoing)
		want   string // method, target, Host, Content-Length, body
	}{
		{"nothing", func(*plugin.Outgoing) {}, "POST /svc/a?q=1 backend.test 4 body"},
		{"method", func(o *plugin.Outgoing) { o.Method = "PUT" }, "PUT /svc/a?q=1 backend.test 4 body"},
		{"path", func(o *plugin.Outgoing) { o.Path = text("/p%20q") }, "POST /p%20q?q=1 backend.test 4 body"},
		{"query", func(o *plugin.Outgoing) { o.Query = text("r=2&s") }, "POST /svc/a?r=2&s backend.test 4 body"},
		{"no query", func(o *plugin.Outgoing) { o.Query = text("") }, "POST /svc/a backend.test 4 body"},
		{"path and query", func(o *plugin.Outgoing) { o.Path, o.Query = text("/"), text("x") }, "POST /?x backend.test 4 body"},
		{"host", func(o *plugin.Outgoing) { o.Host = "other.test" }, "POST /svc/a?q=1 other.test 4 body"},
		{"body", func(o *plugin.Outgoing) { b := []byte("a longer body"); o.Body = &b }, "POST /svc/a?q=1 backend.test 13 a longer body"},
		{"no body", func(o *plugin.Outgoing) { o.Body = &[]byte{} }, "POST /svc/a?q=1 backend.test 0 "},
		{"no body, not even an empty one", func(o *plugin.Outgoing) { o.Body = new([]byte) }, "POST /svc/a?q=1 backend.test 0 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, upstream.Answer("ok"))
			// backend.test is the host_header of an upstream whose only target is up.
			e := altering(t, "upstreams:\n- {name: pool, targets: [{target: '"+up.Address()+"'}]}\n"+
				"services:\n- {name: backend, url: 'http://pool/svc', routes: [{paths: [/], strip_path: false}]}\n"+global,
				func(x *plugin.Context) {
					c.change(&x.Outgoing)
					if x.Outgoing.Host == "" {
						x.Outgoing.Host = "backend.test"
					}
				})
			if got := e.do(e.request("POST", "/a?q=1", strings.NewReader("body"))); got.body != "ok" {
				t.Fatalf("got %d %q", got.StatusCode, got.body)
			}
			r := up.Requests()[0]
			got := fmt.Sprintf("%s %s %s %s %s", r.Method, r.Target, r.Header.Get("Host"), r.Header.Get("Content-Length"), r.Body)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			root := e.spans().named(t, "kong")
			if method, url := root.Attribute("http.method"), root.Attribute("http.url"); method != "POST" || !strings.HasSuffix(url.(string), "/a?q=1") {
				t.Errorf("root says %v %v, want what the client asked for", method, url)
			}
		})
	}
}

// TestOutgoingMethodHead: an answer to HEAD has no body, whatever its length; the client that sent GET has to know.
func TestOutgoingMethodHead(t *testing.T) {
	up := upstream.Start(t, upstream.Raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
	e := altering(t, service(up.URL()), func(x *plugin.Context) { x.Outgoing.Method = "HEAD" })
	if got := e.get("/"); got.err != nil || got.body != "" {
		t.Errorf("got %q, %v, want an empty answer", got.body, got.err)
	}
}

// TestOutgoingBodies: a chunked body that was read whole goes up with its length; one of which more is there than was
// asked for goes up as it is.
func TestOutgoingBodies(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit int64
		sent  string
		want  string
	}{
		{"whole", 10, "0123456789", "Content-Length 0123456789"},
		{"no limit", 0, strings.Repeat("x", 100_000), "Content-Length " + strings.Repeat("x", 100_000)},
		{"too long", 9, "0123456789", "chunked 0123456789"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, upstream.Answer("ok"))
			e := altering(t, service(up.URL()), func(x *plugin.Context) {
				for range 2 {
					body, n, err := x.Body(c.limit)
					if c.limit == 9 && (!errors.Is(err, plugin.ErrBodyTooLarge) || n != 10) {
						t.Errorf("got %d bytes, error %v, want %v", n, err, plugin.ErrBodyTooLarge)
					}
					if c.limit != 9 && (string(body) != c.sent || n != int64(len(c.sent)) || err != nil) {
						t.Errorf("got %d bytes, error %v", n, err)
					}
				}
			})
			if got := e.do(e.request("POST", "/", io.MultiReader(strings.NewReader(c.sent)))); got.body != "ok" {
				t.Fatalf("got %d %q", got.StatusCode, got.body)
			}
			r := up.Requests()[0]
			framing := "chunked"
			if r.Header.Get("Content-Length") == fmt.Sprint(len(c.sent)) {
				framing = "Content-Length"
			}
			if got := framing + " " + r.Body; got != c.want {
				t.Errorf("got %.40q, want %.40q", got, c.want)
			}
		})
	}
}

// TestBodySeen: whoever wraps the request's body sees it, whether another plugin reads it before, after or not at all.
func TestBodySeen(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after bool
	}{{"nobody reads", false, false}, {"before", true, false}, {"after", false, true}, {"both", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			var seen strings.Builder
			read := func(wanted bool) plugin.Instance {
				return accessor(func(x *plugin.Context) error {
					if wanted {
						if body, _, err := x.Body(0); string(body) != "sent" || err != nil {
							t.Errorf("got %q, %v", body, err)
						}
					}
					return nil
				})
			}
			up := upstream.Start(t, upstream.Answer("ok"))
			e := start(t, setup{config: with(up.URL(), "first") + "- name: look\n- name: last\n", plugins: []*plugin.Definition{
				define("first", 30, read(c.before)), define("last", 10, read(c.after)),
				define("look", 20, accessor(func(x *plugin.Context) error {
					r := x.Request
					r.Body = struct {
						io.Reader
						io.Closer
					}{io.TeeReader(r.Body, &seen), r.Body}
					return nil
				})),
			}})
			e.do(e.request("POST", "/", strings.NewReader("sent")))
			e.idle()
			if got := up.Requests()[0].Body; got != "sent" || seen.String() != "sent" {
				t.Errorf("upstream got %q, the one that looks on %q", got, seen.String())
			}
		})
	}
}

// TestOutgoingBodyFails: a plugin that reads a body which is too long, or breaks off, is not what is at fault.
func TestOutgoingBodyFails(t *testing.T) {
	up := upstream.Start(t, upstream.Answer("ok"))
	e := start(t, setup{
		config: service(up.URL()) + "- name: change\n", options: func(o *proxy.Options) { o.MaxBodySize = 10 },
		plugins: []*plugin.Definition{define("change", 1000, accessor(func(c *plugin.Context) error {
			_, _, err := c.Body(0)
			return err
		}))},
	})
	if got := e.do(e.request("POST", "/", io.MultiReader(strings.NewReader("01234567890")))); got.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d, want 413", got.StatusCode)
	}
	conn := e.dial()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nab")
	conn.Close()
	eventually(t, "both requests are over", func() bool { return e.gateway.Stats().Total == 2 })
	if n := len(up.Requests()); n != 0 {
		t.Errorf("%d requests went upstream", n)
	}
	if roots := e.spans().all("kong"); len(roots) != 2 || roots[1].Attribute("http.status_code") != int64(499) {
		t.Errorf("roots %v, want the second to say 499", roots)
	}
}

// TestOutgoingTarget: a plugin sends the request to another address, to an upstream, by another scheme.
func TestOutgoingTarget(t *testing.T) {
	first, other := upstream.Start(t, upstream.Answer("first")), upstream.Start(t, upstream.Answer("other"))
	secret := upstream.Start(t, upstream.Answer("secret"), upstream.TLS(selfSigned(t)))
	host, port := hostPort(other)
	_, secretPort := hostPort(secret)
	config := "upstreams:\n- {name: pool, targets: [{target: '" + other.Address() + "'}]}\n" +
		"services:\n- {name: backend, url: '" + first.URL() + "', routes: [{paths: [/]}]}\n" + global
	for _, c := range []struct {
		name, want, host string
		change           func(*plugin.Outgoing)
	}{
		{"nothing", "first", first.Address(), func(*plugin.Outgoing) {}},
		{"target", "other", host, func(o *plugin.Outgoing) { o.TargetHost, o.TargetPort = host, port }},
		{"target and host", "other", "h.test", func(o *plugin.Outgoing) { o.TargetHost, o.TargetPort, o.Host = host, port, "h.test" }},
		{"upstream", "other", other.Address(), func(o *plugin.Outgoing) { o.Upstream = "pool" }},
		{"scheme", "secret", "127.0.0.1", func(o *plugin.Outgoing) {
			o.Scheme, o.TargetHost, o.TargetPort = "https", "127.0.0.1", secretPort
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := altering(t, config, func(x *plugin.Context) { c.change(&x.Outgoing) })
			for range 2 {
				if got := e.get("/"); got.body != c.want {
					t.Errorf("got %d %q, want %q", got.StatusCode, got.body, c.want)
				}
			}
			asked := map[string]*upstream.Upstream{"first": first, "other": other, "secret": secret}[c.want].Requests()
			if got := asked[len(asked)-1].Header.Get("Host"); got != c.host {
				t.Errorf("Host %q, want %q", got, c.host)
			}
			if peer := e.spans().all("kong.balancer")[0].Attribute("net.peer.port"); peer == nil {
				t.Error("the try does not say where it went")
			}
		})
	}
	t.Run("unknown upstream", func(t *testing.T) {
		e := altering(t, config, func(x *plugin.Context) { x.Outgoing.Upstream = "none" })
		if got := e.get("/"); got.StatusCode != 500 {
			t.Errorf("got %d, want 500", got.StatusCode)
		}
	})
}

// hostPort is where an upstream listens.
func hostPort(up *upstream.Upstream) (host string, port int) {
	at := netip.MustParseAddrPort(up.Address())
	return at.Addr().String(), int(at.Port())
}

// selfSigned is the TLS of an upstream that nobody verifies.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{newAuthority(t, "test CA", nil).issue(false, "upstream.test")}}
}

// TestOutgoingTimeouts: a plugin's time-outs and retries count for its request alone.
func TestOutgoingTimeouts(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("secure ", secure), func(t *testing.T) {
			var options []upstream.Option
			scheme := "http://"
			if secure {
				options, scheme = append(options, upstream.TLS(selfSigned(t))), "https://"
			}
			up := upstream.Start(t, upstream.Hang(""), options...)
			retries := 1
			e := altering(t, "services:\n- {name: backend, url: '"+scheme+up.Address()+"', retries: 0, routes: [{paths: [/]}]}\n"+global, func(x *plugin.Context) {
				x.Outgoing.ReadTimeout, x.Outgoing.Retries = 100*time.Millisecond, &retries
			})
			begun := time.Now()
			got := e.get("/")
			if got.StatusCode != 504 || time.Since(begun) > 30*time.Second {
				t.Errorf("got %d after %v, want 504", got.StatusCode, time.Since(begun))
			}
			if n := len(e.spans().all("kong.balancer")); n != 2 {
				t.Errorf("%d tries, want 2", n)
			}
		})
	}
}

// TestBuffered: the answer is read whole before its header filter phase, and comes to the body filters as one piece.
func TestBuffered(t *testing.T) {
	type both struct {
		accessor
		headerFilter
		bodyFilter
	}
	for _, c := range []struct{ name, answer string }{
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"},
		{"with a length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, upstream.Raw(c.answer))
			var pieces []string
			e := start(t, setup{config: with(up.URL(), "buffer"), plugins: []*plugin.Definition{define("buffer", 1, both{
				func(c *plugin.Context) error { c.Outgoing.Buffered = true; return nil },
				func(c *plugin.Context) error { c.Response.Header.Set("X-Body", string(c.Response.Body)); return nil },
				func(chunk []byte, eof bool) ([]byte, error) {
					pieces = append(pieces, fmt.Sprint(string(chunk), eof))
					return chunk, nil
				},
			})}})
			got := e.get("/")
			if got.body != "abcd" || got.Header.Get("X-Body") != "abcd" || got.err != nil {
				t.Errorf("got %q, X-Body %q, %v", got.body, got.Header.Get("X-Body"), got.err)
			}
			e.idle()
			if diff := cmp.Diff([]string{"abcdtrue"}, pieces); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("breaks off", func(t *testing.T) {
		up := upstream.Start(t, upstream.Closing("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"))
		e := altering(t, service(up.URL()), func(c *plugin.Context) { c.Outgoing.Buffered = true })
		if got := e.get("/"); got.StatusCode != 502 {
			t.Errorf("got %d %q, want 502", got.StatusCode, got.body)
		}
	})
}
