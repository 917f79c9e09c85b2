package responsetransformer

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/internal/gateway"
	"sidekong/internal/upstream"
	"sidekong/proxy/plugin"
)

func start(t *testing.T, config string, answer upstream.Behaviour) *gateway.Gateway {
	t.Helper()
	return gateway.Start(t, gateway.Setup{
		Config: gateway.Service + "plugins:\n- name: response-transformer\n  config:\n" + config,
		Answer: answer, Plugins: []*plugin.Definition{Define()},
	})
}

func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		name, config string
		header       []string
		want         map[string][]string // by name; nil: not there
	}{
		{"remove", `    remove: {headers: [x-a, "x-b:ignored"]}`, []string{"X-A: 1", "X-B: 2", "X-C: 3"}, map[string][]string{"X-A": nil, "X-B": nil, "X-C": {"3"}}},
		{"rename", `    rename: {headers: ["x-a:x-b", "x-none:x-c"]}`, []string{"X-A: 1", "X-A: 2", "X-B: 3"}, map[string][]string{"X-A": nil, "X-B": {"1", "2"}, "X-C": nil}},
		{"replace", `    replace: {headers: ["x-a:new", "x-none:new", "x-b:"]}`, []string{"X-A: 1", "X-B: 2"}, map[string][]string{"X-A": {"new"}, "X-None": nil, "X-B": {"2"}}},
		{"add", `    add: {headers: ["x-a:new", "x-b:http://h:1/"]}`, []string{"X-A: 1"}, map[string][]string{"X-A": {"1"}, "X-B": {"http://h:1/"}}},
		{"append", `    append: {headers: ["x-a:new", "x-b:new"]}`, []string{"X-A: 1"}, map[string][]string{"X-A": {"1", "new"}, "X-B": {"new"}}},
		// Kong asks the headers as they were before.
		{"removed and added", "    remove: {headers: [x-a]}\n    add: {headers: [\"x-a:2\"]}", []string{"X-A: 1"}, map[string][]string{"X-A": nil}},
		{"removed and replaced", "    remove: {headers: [x-a]}\n    replace: {headers: [\"x-a:2\"]}", []string{"X-A: 1"}, map[string][]string{"X-A": {"2"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, c.config, upstream.Answer("body", c.header...))
			got := g.Get("/")
			for name, want := range c.want {
				if diff := cmp.Diff(want, got.Header[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if got.Body != "body" || got.Header.Get("Content-Length") != "4" {
				t.Errorf("body %q, Content-Length %q", got.Body, got.Header.Get("Content-Length"))
			}
		})
	}
}

func TestBody(t *testing.T) {
	const all = `    remove: {json: [gone]}
    rename: {json: ["old:new"]}
    replace: {json: ["there:2", "none:2", "flag:true"], json_types: [number, number, boolean]}
    add: {json: ["there:3", "n:1.50", "s:a/b \"c\"", "not:a"], json_types: [number, number, string, number]}
    append: {json: ["list:4"], json_types: [number]}`
	in := `{"gone":1,"old":{"x":1.0},"there":1,"flag":1,"list":["a"]}`
	const out = `{"new":{"x":1.0},"there":2,"flag":true,"list":["a",4],"n":1.50,"s":"a/b \"c\""}`
	for _, c := range []struct{ name, kind, body, want string }{
		{"JSON", "application/json", in, out},
		{"JSON with a charset", "application/json; charset=utf-8", in, out},
		{"other JSON", "application/problem+json", in, in},
		{"text", "text/plain", in, in},
		{"broken", "application/json", in[:20], in[:20]},
		{"list", "application/json", "[1]", "[1]"},
		{"empty", "application/json", "", ""},
		{"too long", "application/json", `{"gone":"` + strings.Repeat("x", maxBody) + `"}`, `{"gone":"` + strings.Repeat("x", maxBody) + `"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, all, upstream.Answer(c.body, "Content-Type: "+c.kind))
			got := g.Get("/")
			if got.Status != 200 || got.Body != c.want {
				t.Errorf("got %d %.200s, want %.200s", got.Status, got.Body, c.want)
			}
		})
	}
}

// TestOwnAnswer: an answer that no upstream gave is changed too.
func TestOwnAnswer(t *testing.T) {
	g := start(t, "    add: {json: [\"a:b\"], headers: [\"x-a:1\"]}", nil)
	g.Upstream.Stop()
	got := g.Get("/", "Accept: application/json")
	if got.Status != 502 || got.Header.Get("X-A") != "1" || !strings.HasSuffix(got.Body, `,"a":"b"}`) {
		t.Errorf("got %d %q %s", got.Status, got.Header, got.Body)
	}
}

// TestStreams: what is not changed goes on as it comes, also where the plugin would change JSON.
func TestStreams(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() {
		select {
		case <-release:
		default:
			close(release)
		}
	})
	g := start(t, `    add: {json: ["a:b"]}`, func(conn net.Conn, _ *upstream.Request) bool {
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"))
		<-release
		_, _ = conn.Write([]byte("0\r\n\r\n"))
		return true
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	var seen []byte
	buf := make([]byte, 4096)
	for !strings.Contains(string(seen), "first") {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, seen)
		}
		seen = append(seen, buf[:n]...)
	}
	close(release)
}

func TestTyped(t *testing.T) {
	for _, c := range []struct{ value, kind, want string }{
		{"a", "", `"a"`},
		{"1", "string", `"1"`},
		{"true", "boolean", "true"},
		{"yes", "boolean", "false"},
		{"12", "number", "12"},
		{"-1.5e3", "number", "-1.5e3"},
		{".5", "number", "0.5"},
		{"0x10p0", "number", "16"},
		{"true", "number", ""},
		{"1e999", "number", "1e999"},
		{"inf", "number", ""},
	} {
		if got := string(typed(c.value, c.kind)); got != c.want {
			t.Errorf("%s as %s: got %s, want %s", c.value, c.kind, got, c.want)
		}
	}
}

func TestConfig(t *testing.T) {
	g := start(t, "    {}", nil)
	for config, want := range map[string]string{
		`    add: {headers: [x-a]}`:                       "invalid value: x-a",
		`    rename: {headers: ["x-a:y z"]}`:              "'y z' is not a valid header",
		`    add: {json: ["a:1"], json_types: [integer]}`: "expected one of",
	} {
		_, err := g.Load(gateway.Service + "plugins:\n- name: response-transformer\n  config:\n" + config)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
}
