package proxy_test

import (
	"io"
	"net/netip"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sidekong/internal/upstream"
	"sidekong/proxy"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}

// TestForwardingHeaders: what the upstream is told of the client, by a stranger and by a trusted peer.
func TestForwardingHeaders(t *testing.T) {
	sent := []string{
		"Host: A.Test:99", "X-Forwarded-For: 1.1.1.1, 10.0.0.7", "X-Real-Ip: 2.2.2.2", "X-Forwarded-Proto: https",
		"X-Forwarded-Host: outer.test", "X-Forwarded-Port: 444", "X-Forwarded-Path: /outer", "X-Forwarded-Prefix: /pre",
		"Forwarded: for=1.1.1.1", "Via: 1.0 first",
	}
	for _, c := range []struct {
		name      string
		trusted   bool
		realIP    string
		recursive bool
		sent      []string
		want      map[string]string
	}{
		{name: "nothing sent", want: map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "127.0.0.1",
			"X-Forwarded-Port": "LISTENER", "X-Forwarded-Path": "/in/x", "X-Forwarded-Prefix": "/in", "Via": "1.1 sidekong", "Forwarded": "",
		}},
		{name: "stranger", sent: sent, want: map[string]string{
			"X-Forwarded-For": "1.1.1.1, 10.0.0.7, 127.0.0.1", "X-Real-Ip": "127.0.0.1", "X-Forwarded-Proto": "http",
			"X-Forwarded-Host": "a.test", "X-Forwarded-Port": "LISTENER", "X-Forwarded-Path": "/in/x", "X-Forwarded-Prefix": "/in",
			"Via": "1.0 first, 1.1 sidekong", "Forwarded": "for=1.1.1.1",
		}},
		{name: "trusted", trusted: true, realIP: "X-Real-Ip", sent: sent, want: map[string]string{
			"X-Forwarded-For": "1.1.1.1, 10.0.0.7, 127.0.0.1", "X-Real-Ip": "2.2.2.2", "X-Forwarded-Proto": "https",
			"X-Forwarded-Host": "outer.test", "X-Forwarded-Port": "444", "X-Forwarded-Path": "/outer", "X-Forwarded-Prefix": "/pre",
			"Via": "1.0 first, 1.1 sidekong", "Forwarded": "for=1.1.1.1",
		}},
		{name: "trusted list", trusted: true, realIP: "X-Forwarded-For", sent: sent, want: map[string]string{
			"X-Forwarded-For": "1.1.1.1, 10.0.0.7, 127.0.0.1", "X-Real-Ip": "10.0.0.7",
		}},
		{name: "trusted list, recursive", trusted: true, realIP: "X-Forwarded-For", recursive: true, sent: sent, want: map[string]string{
			"X-Real-Ip": "1.1.1.1",
		}},
		{name: "trusted, no X-Forwarded-For", trusted: true, realIP: "X-Real-Ip", sent: []string{"X-Real-Ip: [2001:db8::1]:55"}, want: map[string]string{
			"X-Forwarded-For": "2001:db8::1", "X-Real-Ip": "2001:db8::1",
		}},
		{name: "trusted, nonsense", trusted: true, realIP: "X-Real-Ip", sent: []string{"X-Real-Ip: unknown"}, want: map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, nil)
			config := "services:\n- url: " + up.URL() + "\n  routes:\n  - paths: [/in]\n" + global
			e := start(t, setup{config: config, options: func(o *proxy.Options) {
				o.RealIPHeader, o.RealIPRecursive = c.realIP, c.recursive
				if c.trusted {
					o.TrustedIPs = loopback
				}
			}})
			res := e.get("/in/x?y", c.sent...)
			_, port, _ := strings.Cut(e.server.Listener.Addr().String(), ":")
			header := received(t, up).Header
			for name, want := range c.want {
				if got := strings.Join(header.Values(name), "|"); got != strings.ReplaceAll(want, "LISTENER", port) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if got := header.Get("X-Kong-Request-Id"); len(got) != 32 || got != res.Header.Get("X-Kong-Request-Id") {
				t.Errorf("request id %q upstream, %q at the client", got, res.Header.Get("X-Kong-Request-Id"))
			}
			root := e.spans().named(t, "kong")
			if got := root.Attribute("http.client_ip"); got != strings.Trim(c.want["X-Real-Ip"], " ") {
				t.Errorf("http.client_ip %v, want %v", got, c.want["X-Real-Ip"])
			}
			if got := root.Attribute("net.peer.ip"); got != "127.0.0.1" {
				t.Errorf("net.peer.ip %v", got)
			}
		})
	}
}

// TestOwnHeaders: the headers setting, for answers of the upstream and of the gateway itself.
func TestOwnHeaders(t *testing.T) {
	up := upstream.Start(t, upstream.Sequence(upstream.Answer("ok", "Via: 1.1 inner", "Server: inner"), upstream.Answer("ok")))
	own := []string{
		"Server", "Via", "X-Kong-Proxy-Latency", "X-Kong-Request-Id", "X-Kong-Response-Latency", "X-Kong-Upstream-Latency",
		"X-Kong-Upstream-Status",
	}
	for _, c := range []struct {
		name    string
		headers proxy.Headers
		target  string
		want    string // which of own there are; those of proxied answers first
	}{
		{"default", proxy.DefaultHeaders, "/", "Server Via X-Kong-Proxy-Latency X-Kong-Request-Id X-Kong-Upstream-Latency"},
		{"default, own answer", proxy.DefaultHeaders, "/none", "Server X-Kong-Request-Id X-Kong-Response-Latency"},
		{"off", 0, "/", ""},
		{"off, own answer", 0, "/none", ""},
		{"status", proxy.HeaderUpstreamStatus | proxy.HeaderVia, "/", "Via X-Kong-Upstream-Status"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := "services:\n- url: " + up.URL() + "\n  routes:\n  - paths: [~/$]\n" + global
			e := start(t, setup{config: config, options: func(o *proxy.Options) { o.Headers = c.headers }})
			res := e.get(c.target)
			var got []string
			for _, name := range own {
				if res.Header.Get(name) != "" {
					got = append(got, name)
				}
			}
			if diff := gocmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
			if c.name == "default" && (res.Header.Get("Via") != "1.1 inner, 1.1 sidekong" || res.Header.Get("Server") != "inner") {
				t.Errorf("Via %q, Server %q", res.Header.Get("Via"), res.Header.Get("Server"))
			}
		})
	}
}

// TestDebugHeaders: Kong-Debug tells what matched where allow_debug_header is on.
func TestDebugHeaders(t *testing.T) {
	up := upstream.Start(t, nil)
	for _, on := range []bool{false, true} {
		e := start(t, setup{config: service(up.URL()), options: func(o *proxy.Options) { o.AllowDebugHeader = on }})
		got := e.get("/", "Kong-Debug: 1").Header
		if named := got.Get("Kong-Route-Name") == "all" && got.Get("Kong-Service-Name") == "backend" && len(got.Get("Kong-Route-Id")) == 36; named != on {
			t.Errorf("allowed %v: %v", on, got)
		}
		if got := e.get("/").Header.Get("Kong-Route-Name"); got != "" {
			t.Errorf("told without being asked: %q", got)
		}
	}
}

// TestErrorPages: the form of an error follows the Accept header, or the content type where there is none.
func TestErrorPages(t *testing.T) {
	e := start(t, setup{config: global})
	const text = "no Route matched with those values"
	for _, c := range []struct{ accept, contentType, wantType, wantBody string }{
		{"", "", "application/json; charset=utf-8", "{\n  \"message\":\"" + text + "\",\n  \"request_id\":\"ID\"\n}"},
		{"text/plain", "", "text/plain; charset=utf-8", text + "\nrequest_id: ID\n"},
		{"text/html,application/xhtml+xml;q=0.9", "", "text/html; charset=utf-8", "<p>" + text + ".</p>\n    <p>request_id: ID</p>"},
		{"application/json;q=0.2, application/xml;q=0.9", "", "application/xml; charset=utf-8", "<message>" + text + "</message>\n  <requestid>ID</requestid>"},
		{"*/*", "", "application/json; charset=utf-8", text},
		{"text/*", "", "text/plain; charset=utf-8", text},
		{"image/png", "", "application/json; charset=utf-8", text},
		{"", "text/plain", "text/plain; charset=utf-8", text},
	} {
		header := []string{"X: y"}
		if c.accept != "" {
			header = append(header, "Accept: "+c.accept)
		}
		if c.contentType != "" {
			header = append(header, "Content-Type: "+c.contentType)
		}
		got := e.get("/", header...)
		want := strings.ReplaceAll(c.wantBody, "ID", got.Header.Get("X-Kong-Request-Id"))
		if got.StatusCode != 404 || got.Header.Get("Content-Type") != c.wantType || !strings.Contains(got.body, want) {
			t.Errorf("Accept %q: %d, %s\n%s", c.accept, got.StatusCode, got.Header.Get("Content-Type"), got.body)
		}
	}
	got := e.get("/", "Content-Type: application/grpc")
	if got.Header.Get("Grpc-Status") != "5" || got.Header.Get("Grpc-Message") != text || got.body != "" {
		t.Errorf("gRPC: %d, %v, %q", got.StatusCode, got.Header, got.body)
	}
}

// TestDrain: answers tell that the connection ends with them.
func TestDrain(t *testing.T) {
	up := upstream.Start(t, nil)
	e := start(t, setup{config: service(up.URL())})
	e.gateway.Drain()
	for _, target := range []string{"/", "/../x"} {
		conn := e.dial()
		_, _ = io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: a.test\r\n\r\n")
		if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "\r\nConnection: close\r\n") {
			t.Errorf("%s: %q, %v", target, answer, err)
		}
	}
}
