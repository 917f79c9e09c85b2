package proxy_test

import (
	"net/netip"
	"strings"
	"testing"

	"sidekong/internal/upstream"
	"sidekong/proxy"
)

// TestEdge: a stranger's trace is linked to and goes no further; that of a trusted peer is continued.
func TestEdge(t *testing.T) {
	const caller, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for _, c := range []struct {
		name             string
		edge             bool
		trusted          string
		headers          []string
		continues        bool
		linked           bool
		state            string
		format, vanishes string // headers that go upstream, and one that doesn't
	}{
		{name: "no edge", headers: []string{"Traceparent: 00-" + caller + "-" + span + "-01"}, continues: true, format: "Traceparent"},
		{
			name: "stranger", edge: true, linked: true, state: "a=b", format: "Traceparent", vanishes: "X-Datadog-Trace-Id",
			headers: []string{"Traceparent: 00-" + caller + "-" + span + "-01", "Tracestate: a=b", "X-Datadog-Trace-Id: 17"},
		},
		{
			name: "stranger who forbids recording", edge: true, linked: true, format: "Traceparent",
			headers: []string{"Traceparent: 00-" + caller + "-" + span + "-00"},
		},
		{
			name: "stranger in b3", edge: true, linked: true, format: "X-B3-Traceid", vanishes: "Traceparent",
			headers: []string{"X-B3-Traceid: " + caller, "X-B3-Spanid: " + span, "X-B3-Sampled: 0"},
		},
		{name: "stranger without a trace", edge: true, format: "Traceparent"},
		{name: "stranger with nonsense", edge: true, format: "Traceparent", headers: []string{"Traceparent: what"}},
		{name: "trusted", edge: true, trusted: "127.0.0.0/8", headers: []string{"Traceparent: 00-" + caller + "-" + span + "-01"}, continues: true, format: "Traceparent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, nil)
			e := start(t, setup{config: service(up.URL()), options: func(o *proxy.Options) {
				o.Edge = c.edge
				if c.trusted != "" {
					o.TrustedIPs = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
				}
			}})
			e.get("/", c.headers...)
			header := received(t, up).Header
			all := e.spans()
			root := all.named(t, "kong")
			if continues := hexID(root.TraceId) == caller; continues != c.continues || continues != (hexID(root.ParentSpanId) == span) || !continues && len(root.ParentSpanId) > 0 {
				t.Errorf("trace %s below %s", hexID(root.TraceId), hexID(root.ParentSpanId))
			}
			if !c.linked {
				if len(root.Links) > 0 {
					t.Errorf("links %v", root.Links)
				}
			} else if len(root.Links) != 1 || hexID(root.Links[0].TraceId) != caller || hexID(root.Links[0].SpanId) != span || root.Links[0].TraceState != c.state {
				t.Errorf("links %v", root.Links)
			}
			if told := header.Get(c.format); !strings.Contains(told, hexID(root.TraceId)) {
				t.Errorf("upstream was told %s: %q", c.format, told)
			}
			if !c.continues {
				for name, values := range header {
					if strings.Contains(strings.Join(values, ","), caller) || name == c.vanishes || name == "Tracestate" {
						t.Errorf("upstream got the stranger's %s: %q", name, values)
					}
				}
			}
		})
	}
}
