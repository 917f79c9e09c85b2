package proxy_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sidekong/internal/collector"
	"sidekong/internal/upstream"
	"sidekong/proxy"
	"sidekong/proxy/plugin"
)

var update = flag.Bool("update", false, "write the golden files anew")

// tree writes spans as indented text, children in the order of their beginning below their parent.
func (s spans) tree() string {
	var out strings.Builder
	ids := map[string]bool{}
	for _, span := range s {
		ids[string(span.SpanId)] = true
	}
	var below func(parent []byte, indent string)
	below = func(parent []byte, indent string) {
		var children []collector.Span
		for _, span := range s {
			if string(span.ParentSpanId) == string(parent) || parent == nil && !ids[string(span.ParentSpanId)] {
				children = append(children, span)
			}
		}
		slices.SortStableFunc(children, func(a, b collector.Span) int {
			return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano))
		})
		for _, span := range children {
			kind := strings.TrimPrefix(span.Kind.String(), "SPAN_KIND_")
			fmt.Fprintf(&out, "%s%s %s%s\n", indent, span.Name, kind, map[bool]string{true: " ERROR"}[failed(span)])
			if parent == nil && len(span.ParentSpanId) > 0 {
				fmt.Fprintf(&out, "%s  in trace %x below %x\n", indent, span.TraceId, span.ParentSpanId)
			}
			attributes := map[string]any{}
			for _, pair := range span.Attributes {
				if _, twice := attributes[pair.Key]; twice {
					fmt.Fprintf(&out, "%s  TWICE %s\n", indent, pair.Key)
				}
				attributes[pair.Key] = span.Attribute(pair.Key)
			}
			for _, key := range slices.Sorted(maps.Keys(attributes)) {
				fmt.Fprintf(&out, "%s  %s = %#v\n", indent, key, attributes[key])
			}
			for _, event := range span.Events {
				fmt.Fprintf(&out, "%s  ! %s: %s\n", indent, event.Name, event.Attributes[0].Value.GetStringValue())
			}
			below(span.SpanId, indent+"    ")
		}
	}
	below(nil, "")
	return out.String()
}

// changing are the parts of a tree that differ from run to run.
var changing = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`"[0-9a-f]{32}"`), `"ID"`},
	{regexp.MustCompile(`(port = )\d+`), `${1}PORT`},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), `127.0.0.1:PORT`},
}

// TestSpanTrees compares whole traces with testdata/*.golden. "go test -run SpanTrees -update" writes them anew.
func TestSpanTrees(t *testing.T) {
	const parent = "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ok := upstream.Answer("ok")
	refuse := []*plugin.Definition{define("guard", 1000, accessor(func(c *plugin.Context) error {
		c.Exit(plugin.Answer{Status: 401})
		return nil
	}))}
	stable := func(c proxy.Conventions) func(*proxy.Options) {
		return func(o *proxy.Options) { o.Conventions = c }
	}
	for _, c := range []struct {
		name   string
		setup  setup
		behave upstream.Behaviour // nil: nobody listens
		more   string             // of the service
		target string
	}{
		{"normal", setup{}, ok, "", "/api/v1/x?a=1"},
		{"normal_hosts_only", setup{}, ok, "", "/other"},
		{"unmatched", setup{}, ok, "", "/nowhere?token=abc"},
		{"refused", setup{plugins: refuse}, ok, "", "/api"},
		{"retry", setup{}, upstream.Sequence(upstream.Closing(""), ok), "", "/api"},
		{"no_upstream", setup{}, nil, "  retries: 1\n", "/api"},
		{"upstream_500", setup{}, upstream.Status(500, "no"), "", "/api"},
		{"request_only", setup{instrumentations: "request"}, ok, "", "/api"},
		{"http_client_only", setup{instrumentations: "http_client"}, ok, "", "/api"},
		{"balancer_only", setup{instrumentations: "balancer"}, ok, "", "/api"},
		{"upstream_without_balancer", setup{instrumentations: "upstream"}, ok, "", "/api"},
		{"off", setup{instrumentations: "off"}, ok, "", "/api"},
		{"unsampled", setup{rate: -1}, ok, "", "/api"},
		{"redacted", setup{}, ok, "", "/api?token=abc&x=1;API%5Fkey=s;&token&y=token=2"},
		{"stable", setup{options: stable(proxy.StableConventions)}, upstream.Status(503, ""), "", "/api?token=abc&b"},
		{"dup", setup{options: stable(proxy.KongConventions | proxy.StableConventions)}, ok, "", "/api?b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, c.behave)
			if c.behave == nil {
				up.Stop()
			}
			c.setup.config = `
services:
- name: backend
  url: ` + up.URL() + "\n" + c.more + `  routes:
  - {name: api, paths: [/first, ~/api/v\d+, /api]}
  - {name: named, hosts: [other.test]}
` + global
			if c.setup.plugins != nil {
				c.setup.config += "- name: guard\n"
			}
			e := start(t, c.setup)
			host := "Host: a.test:1234"
			if c.name == "normal_hosts_only" {
				host = "Host: other.test"
			}
			e.get(c.target, host, parent)
			got := e.spans().tree()
			for _, part := range changing {
				got = part.re.ReplaceAllString(got, part.with)
			}
			file := filepath.Join("testdata", c.name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTraceIDHeader: http_response_header_for_traceid, also where the gateway answers by itself and where the trace
// is not sampled or not recorded.
func TestTraceIDHeader(t *testing.T) {
	up := upstream.Start(t, nil)
	config := "services:\n- url: " + up.URL() + "\n  routes:\n  - paths: [/in]\n" +
		strings.Replace(global, "config:", "config:\n    http_response_header_for_traceid: X-Trace", 1)
	for _, c := range []struct {
		name  string
		setup setup
	}{{"sampled", setup{}}, {"unsampled", setup{rate: -1}}, {"off", setup{instrumentations: "off"}}} {
		c.setup.config = config
		e := start(t, c.setup)
		for _, target := range []string{"/in", "/out"} {
			got := e.get(target, "X-B3-Traceid: a3ce929d0e0e4736", "X-B3-Spanid: 00f067aa0ba902b7").Header.Values("X-Trace")
			if len(got) != 1 || got[0] != "0000000000000000a3ce929d0e0e4736" {
				t.Errorf("%s %s: %q", c.name, target, got)
			}
			fresh := e.get(target).Header.Get("X-Trace")
			if !regexp.MustCompile("^[0-9a-f]{32}$").MatchString(fresh) {
				t.Errorf("%s %s: %q", c.name, target, fresh)
			}
		}
		if all := e.spans(); (len(all) > 0) != (c.name == "sampled") {
			t.Errorf("%s: exported %s", c.name, all.names())
		}
	}
}

// TestURLIsRecordedWithoutSecrets: no user information, and nothing of a secret parameter's value.
func TestURLIsRecordedWithoutSecrets(t *testing.T) {
	up := upstream.Start(t, nil)
	e := start(t, setup{config: service(up.URL())})
	e.raw("GET http://user:secret@a.test/x?token=secret HTTP/1.1\r\nHost: a.test\r\n\r\n")
	root := e.spans().named(t, "kong")
	if got := root.Attribute("http.url"); got != "http://a.test/x?token=REDACTED" {
		t.Errorf("http.url %v", got)
	}
	if strings.Contains(root.String(), "secret") {
		t.Errorf("root tells the secret: %v", root)
	}
}
