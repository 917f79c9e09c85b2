package opentelemetry_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"sidekong/configs/entity"
	"sidekong/internal/collector"
	"sidekong/proxy/plugin"
)

// talk logs in every phase.
var talk = &plugin.Definition{
	Name: "talk", Priority: 1000, Config: &entity.Record{},
	New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) { return talker{}, nil },
}

type talker struct{}

func (talker) say(ctx *plugin.Context, phase string) {
	ctx.Logger.Warn("in "+phase, "request_id", ctx.RequestID, slog.Group("about", "path", ctx.ForwardedURI))
}

func (t talker) Rewrite(ctx *plugin.Context) error      { t.say(ctx, "rewrite"); return nil }
func (t talker) Access(ctx *plugin.Context) error       { t.say(ctx, "access"); return nil }
func (t talker) FilterHeader(ctx *plugin.Context) error { t.say(ctx, "header_filter"); return nil }
func (t talker) Log(ctx *plugin.Context)                { t.say(ctx, "log") }

func lines(logs []collector.Log) (bodies []string) {
	for _, log := range logs {
		bodies = append(bodies, log.Body.GetStringValue())
	}
	return bodies
}

// TestLogs: a request's lines, those from before its trace was settled too, bear its ids; the process's do not.
func TestLogs(t *testing.T) {
	for _, rate := range []float64{0, 1} {
		t.Run(fmt.Sprint("rate ", rate), func(t *testing.T) {
			var into bytes.Buffer
			h := start(t, setting{
				rate: rate, plugins: []*plugin.Definition{talk}, into: slog.NewTextHandler(&into, nil),
				config: "- {name: talk}\n- {name: opentelemetry, config: {traces_endpoint: TRACES, logs_endpoint: LOGS}}",
			})
			h.get("/x", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
			h.log.With("module", "test").WithGroup("g").Error("own", "n", 1, "f", 0.5, "b", true, "s", "t", "none", nil)
			h.log.Debug("not to be seen")
			h.export()
			var ofRequest, own []collector.Log
			for _, log := range h.Logs() {
				if log.Attribute("request.id") != nil {
					ofRequest = append(ofRequest, log)
				} else {
					own = append(own, log)
				}
			}
			want := []string{"in rewrite", "in access", "in header_filter", "in log"}
			if diff := cmp.Diff(want, lines(ofRequest)); diff != "" {
				t.Fatalf("-want +got\n%s\nin all: %q", diff, lines(h.Logs()))
			}
			for _, log := range ofRequest {
				id := fmt.Sprintf("%x", log.TraceId)
				if id != "4bf92f3577b34da6a3ce929d0e0e4736" || len(log.SpanId) != 8 || float64(log.Flags) != rate {
					t.Errorf("%s: trace %s, span %x, flags %d", log.Body, id, log.SpanId, log.Flags)
				}
				if log.SeverityNumber != logspb.SeverityNumber_SEVERITY_NUMBER_WARN || log.SeverityText != "WARN" {
					t.Errorf("severity %v %s", log.SeverityNumber, log.SeverityText)
				}
				if log.Attribute("about.path") != "/x" || log.Attribute("introspection.source") != "logs_gateway_test.go" {
					t.Errorf("attributes %v", log.Attributes)
				}
				if log.Scope != "kong-internal" || log.Resource["service.name"] != "kong" || log.TimeUnixNano == 0 {
					t.Errorf("scope %s, resource %v, at %d", log.Scope, log.Resource, log.TimeUnixNano)
				}
			}
			for _, span := range h.roots() {
				if !slices.Equal(span.SpanId, ofRequest[0].SpanId) {
					t.Errorf("the lines belong to span %x, the root is %x", ofRequest[0].SpanId, span.SpanId)
				}
			}
			i := slices.Index(lines(own), "own")
			if i < 0 {
				t.Fatalf("own lines %q", lines(own))
			}
			got := map[string]any{}
			for _, name := range []string{"module", "g.n", "g.f", "g.b", "g.s", "g.none"} {
				got[name] = own[i].Attribute(name)
			}
			attributes := map[string]any{"module": "test", "g.n": int64(1), "g.f": 0.5, "g.b": true, "g.s": "t", "g.none": "<nil>"}
			if diff := cmp.Diff(attributes, got); diff != "" || len(own[i].TraceId) > 0 || own[i].SeverityNumber != 17 {
				t.Errorf("own line: %v\n%s", own[i], diff)
			}
			if strings.Count(into.String(), "in access") != 1 {
				t.Errorf("the log has\n%s", into.String())
			}
		})
	}
}

// TestLogsOfScopes: a request's lines go where its own instance says, and nowhere where that one says nothing.
func TestLogsOfScopes(t *testing.T) {
	h := start(t, setting{
		rate: 1, plugins: []*plugin.Definition{talk},
		config: `
- {name: talk}
- {name: opentelemetry, config: {traces_endpoint: TRACES, logs_endpoint: LOGS, resource_attributes: {scope: global}}}
- {name: opentelemetry, route: captured, config: {traces_endpoint: TRACES, logs_endpoint: LOGS, resource_attributes: {scope: route}}}
- {name: opentelemetry, route: nowhere, config: {traces_endpoint: TRACES}}`,
	})
	h.get("/")
	h.get("/of/acme/1")
	h.get("/gone")
	h.log.Warn("own")
	h.export()
	got := map[string]map[string]bool{}
	for _, log := range h.Logs() {
		about := fmt.Sprint(log.Attribute("about.path"))
		if log.Body.GetStringValue() == "own" {
			about = "own"
		}
		if got[about] == nil {
			got[about] = map[string]bool{}
		}
		got[about][fmt.Sprint(log.Resource["scope"])] = true
	}
	delete(got, "<nil>") // the exporters' and the gateway's own
	want := map[string]map[string]bool{"/": {"global": true}, "/of/acme/1": {"route": true}, "own": {"global": true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestGatewayLines: what the gateway itself says of a request goes out too.
func TestGatewayLines(t *testing.T) {
	h := start(t, setting{rate: 1, config: "- {name: opentelemetry, config: {traces_endpoint: TRACES, logs_endpoint: LOGS}}"})
	if status := h.get("/gone"); status != 502 && status != 503 {
		t.Fatalf("status %d", status)
	}
	h.export()
	var trace []byte
	for _, span := range h.Spans() {
		trace = span.TraceId
	}
	for _, log := range h.Logs() {
		if log.Attribute("request.id") != nil && bytes.Equal(log.TraceId, trace) {
			return
		}
	}
	t.Errorf("none of %q belongs to the request", lines(h.Logs()))
}

// TestLogsOfManyRequests: under load every line bears the ids of its own request.
func TestLogsOfManyRequests(t *testing.T) {
	h := start(t, setting{
		rate: 1, plugins: []*plugin.Definition{talk},
		config: "- {name: talk}\n- {name: opentelemetry, config: {traces_endpoint: TRACES, logs_endpoint: LOGS}}",
	})
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			for i := range 20 {
				h.get(fmt.Sprintf("/?n=%d", client*100+i))
			}
		})
	}
	clients.Wait()
	traces := map[string]string{} // by request id
	for _, root := range h.roots() {
		traces[root.Attribute("kong.request.id").(string)] = string(root.TraceId)
	}
	count := 0
	for _, log := range h.Logs() {
		if id, ok := log.Attribute("request.id").(string); ok {
			count++
			if string(log.TraceId) != traces[id] {
				t.Errorf("request %s: trace %x, want %x", id, log.TraceId, traces[id])
			}
		}
	}
	if count != 8*20*4 {
		t.Errorf("%d lines of requests", count)
	}
}
