package opentelemetry_test

import (
	"log/slog"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
)

// run passes a request through the phases of one instance that exports nothing, and looks at it after each.
func run(t testing.TB, config entity.Object, rate float64, header http.Header, look func(phase string, ctx *plugin.Context)) {
	t.Helper()
	exporters := opentelemetry.NewExporters(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { exporters.Close(t.Context()) })
	configured := opentelemetry.Implicit("", opentelemetry.Defaults{})
	maps.Copy(configured.Config, config)
	plan, faulty := plugin.NewPlan(plugin.NewRegistry(opentelemetry.Define(exporters, opentelemetry.Defaults{})),
		[]*entity.Plugin{configured}, plugin.Env{})
	if faulty != nil {
		t.Fatal(faulty)
	}
	trace := tracing.NewTracer(tracing.All, rate).Start(time.Now())
	root := trace.StartSpan("kong", tracing.KindServer, tracing.Span{})
	ctx := &plugin.Context{
		Request: &http.Request{Header: header}, RequestID: "r", Logger: slog.New(slog.DiscardHandler),
		Trace: trace, Root: root, Span: root, Outbound: tracing.NewSpanID(), Notes: &plugin.Notes{},
		Response: plugin.Response{Header: http.Header{}},
	}
	chain := plan.Chain(nil, nil)
	if err := chain.Access(ctx); err != nil {
		t.Fatal(err)
	}
	look("access", ctx)
	if err := chain.FilterHeader(ctx); err != nil {
		t.Fatal(err)
	}
	look("header_filter", ctx)
	root.End()
	chain.Log(ctx)
	look("log", ctx)
}

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestNotes: what came, what goes and why it is sampled.
func TestNotes(t *testing.T) {
	for _, test := range []struct {
		config   entity.Object
		rate     float64
		header   http.Header
		sampling string
	}{
		{nil, 1, http.Header{}, "sampled: rate 1"},
		{nil, 0, http.Header{"Traceparent": {parent}}, "not sampled: rate 0"},
		{entity.Object{"sampling_rate": 0.25}, 0, http.Header{"Traceparent": {parent}}, "not sampled: rate 0.25"},
		{entity.Object{"sampling_strategy": "parent_probability_fallback"}, 0, http.Header{"Traceparent": {parent}}, "sampled: the caller records"},
		{nil, 1, http.Header{"Traceparent": {parent[:len(parent)-1] + "0"}}, "not sampled: the caller does not record"},
		{nil, 0, http.Header{"B3": {"4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-d"}}, "sampled: the caller demands it"},
	} {
		in := test.header.Clone()
		in.Set("Accept", "*/*")
		run(t, test.config, test.rate, in, func(phase string, ctx *plugin.Context) {
			if phase != "access" {
				return
			}
			var came [][2]string
			for name, values := range test.header {
				came = append(came, [2]string{name, values[0]})
			}
			if diff := cmp.Diff(came, ctx.Notes.TraceIn); diff != "" {
				t.Errorf("in: -want +got\n%s", diff)
			}
			name := "Traceparent"
			if test.header["B3"] != nil {
				name = "B3"
			}
			if diff := cmp.Diff([][2]string{{name, in.Get(name)}}, ctx.Notes.TraceOut); diff != "" {
				t.Errorf("out: -want +got\n%s", diff)
			}
			if ctx.Notes.Sampling != test.sampling {
				t.Errorf("got %q, want %q", ctx.Notes.Sampling, test.sampling)
			}
		})
	}
}

// TestTraceIDs: by the formats that are injected, as they are injected.
func TestTraceIDs(t *testing.T) {
	config := entity.Object{"propagation": entity.Object{
		"extract": []any{"w3c"}, "inject": []any{"preserve", "b3-single", "datadog", "aws", "ot"}, "default_format": "w3c",
	}}
	want := map[string]string{
		"w3c": "4bf92f3577b34da6a3ce929d0e0e4736", "b3": "4bf92f3577b34da6a3ce929d0e0e4736",
		"datadog": "11803532876627986230", "aws": "4bf92f3577b34da6a3ce929d0e0e4736", "ot": "4bf92f3577b34da6a3ce929d0e0e4736",
	}
	run(t, config, 1, http.Header{"Traceparent": {parent}}, func(phase string, ctx *plugin.Context) {
		if phase == "log" { // the plugin has let go of the request
			return
		}
		if diff := cmp.Diff(want, ctx.TraceIDs()); diff != "" {
			t.Errorf("%s: -want +got\n%s", phase, diff)
		}
	})
}

// TestCostOfNothing: what is not configured costs no allocation; those that there are write the headers.
func TestCostOfNothing(t *testing.T) {
	exporters := opentelemetry.NewExporters(slog.New(slog.DiscardHandler))
	defer exporters.Close(t.Context())
	plan, faulty := plugin.NewPlan(plugin.NewRegistry(opentelemetry.Define(exporters, opentelemetry.Defaults{})),
		[]*entity.Plugin{opentelemetry.Implicit("", opentelemetry.Defaults{})}, plugin.Env{})
	if faulty != nil {
		t.Fatal(faulty)
	}
	chain, tracer, logger := plan.Chain(nil, nil), tracing.NewTracer(tracing.Request, 1), slog.New(slog.DiscardHandler)
	ctx, request := &plugin.Context{}, &http.Request{Header: http.Header{"Traceparent": {parent}}}
	response := plugin.Response{Header: http.Header{}}
	at := time.Now()
	if n := testing.AllocsPerRun(200, func() {
		trace := tracer.Start(at)
		root := trace.StartSpanAt("kong", tracing.KindServer, tracing.Span{}, 0)
		ctx.Request, ctx.Logger, ctx.Trace, ctx.Root, ctx.Span, ctx.Outbound = request, logger, trace, root, root, root.ID()
		ctx.Response = response
		_ = chain.Access(ctx)
		_ = chain.FilterHeader(ctx)
		root.EndAt(1)
		chain.Log(ctx)
		trace.Release()
		ctx.Reset()
	}); n > 2+poolLosses {
		t.Errorf("%v allocations", n)
	}
}
