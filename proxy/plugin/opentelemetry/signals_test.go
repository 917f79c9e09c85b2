package opentelemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/internal/collector"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// TestEndpoints: any of the four is enough, none is not; what later Kongs brought is in no output unless given.
func TestEndpoints(t *testing.T) {
	schema, _ := entity.NewSchemas(map[string]*entity.Record{Name: Config()}).Of("plugins")
	for config, ok := range map[string]bool{
		`{}`: false, `{"metrics": {"push_interval": 5}}`: false, `{"access_logs": {}}`: false,
		`{"traces_endpoint": "http://a.test/"}`: true, `{"logs_endpoint": "http://a.test/"}`: true,
		`{"metrics": {"endpoint": "http://a.test/"}}`: true, `{"access_logs": {"endpoint": "http://a.test/"}}`: true,
		`{"traces_endpoint": "http://a.test/", "tail_sampling": {"keep_statuses": ["404", "5xx", "200-299"]}}`: true,
		`{"traces_endpoint": "http://a.test/", "tail_sampling": {"keep_statuses": ["ok"]}}`:                    false,
		`{"traces_endpoint": "http://a.test/", "tail_sampling": {"keep_all": true}}`:                           false,
		`{"traces_endpoint": "http://a.test/", "metrics": {"push_interval": null}}`:                            false,
		`{"traces_endpoint": "http://a.test/", "metrics": {"push_interval": 0}}`:                               false,
	} {
		given := entity.Object{"name": Name, "config": decodeJSON(t, config)}
		filled, fault := schema.Insert(given)
		if (fault == nil) != ok {
			t.Errorf("%s: %v", config, fault)
		}
		if fault != nil {
			continue
		}
		for _, name := range []string{"metrics", "access_logs", "tail_sampling"} {
			_, there := filled["config"].(entity.Object)[name]
			if there != strings.Contains(config, name) {
				t.Errorf("%s: %s is there: %v", config, name, there)
			}
		}
	}
	m := checked(t, `{"metrics": {"endpoint": "http://a.test/"}}`).Metrics
	if diff := cmp.Diff(metricsOptions{Endpoint: "http://a.test/", PushInterval: 60}, m); diff != "" {
		t.Errorf("defaults: -want +got\n%s", diff)
	}
}

func decodeJSON(t *testing.T, text string) entity.Object {
	t.Helper()
	var object entity.Object
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestParseStatuses(t *testing.T) {
	for text, want := range map[string]statusRange{
		"404": {404, 404}, "4xx": {400, 499}, "5XX": {500, 599}, "500-503": {500, 503},
		"": {}, "x": {}, "6xx": {}, "xx": {}, "99": {}, "600": {}, "503-500": {}, "400-": {}, "-1": {}, "4x": {},
	} {
		got, err := parseStatuses(text)
		if got != want || (err == nil) != (want != statusRange{}) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
}

func FuzzParseStatuses(f *testing.F) {
	for _, text := range []string{"404", "4xx", "500-503", "-", "xx"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := parseStatuses(text); err == nil && (r.from < 100 || r.to > 599 || r.from > r.to) {
			t.Errorf("%q: %v", text, r)
		}
	})
}

// TestImplicitStorage: the plugin that nobody configured keeps its spans on disk by setting.
func TestImplicitStorage(t *testing.T) {
	p := Implicit("http://a.test/", Defaults{Storage: "disk"})
	c, err := decode(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.storage(c.client(Defaults{}, c.TracesEndpoint), "/root"); err != nil || s == nil {
		t.Errorf("got %v, %v", s, err)
	}
}

// TestStorageOfSignals: signals for one receiver do not share a folder.
func TestStorageOfSignals(t *testing.T) {
	c := checked(t, `{"traces_endpoint": "http://a.test/", "queue": {"storage": "disk"}}`)
	folders := map[string]bool{}
	for _, kind := range []otlp.Config{{}, {Signal: otlp.Logs}, {Signal: otlp.Logs, Scope: accessScope}, {Signal: otlp.Metrics}} {
		client := c.client(Defaults{}, c.TracesEndpoint)
		client.Signal, client.Scope = kind.Signal, kind.Scope
		s, err := c.storage(client, "/root")
		if err != nil {
			t.Fatal(err)
		}
		folders[s.Folder] = true
	}
	if len(folders) != 4 {
		t.Errorf("%d folders", len(folders))
	}
}

// TestResolveWith: receivers are found by the resolver that is given; its failure is the post's.
func TestResolveWith(t *testing.T) {
	receiver := collector.Start(t)
	var asked atomic.Value
	var fail atomic.Bool
	fail.Store(true)
	e := NewExporters(slog.New(slog.DiscardHandler))
	e.ResolveWith(func(_ context.Context, host string, port int) (netip.AddrPort, error) {
		asked.Store(net.JoinHostPort(host, strconv.Itoa(port)))
		if fail.Swap(false) {
			return netip.AddrPort{}, errors.New("no such name")
		}
		return netip.ParseAddrPort(receiver.Address())
	})
	c := checked(t, `{"traces_endpoint": "http://receiver.internal:4318/v1/traces"}`)
	x, err := e.acquire(signalTraces, c.client(Defaults{}, c.TracesEndpoint), c.queue(), nil)
	if err != nil {
		t.Fatal(err)
	}
	trace := tracing.NewTracer(tracing.All, 1).Start(time.Now())
	trace.StartSpan("kong", tracing.KindServer, tracing.Span{}).End()
	x.queue.Append(otlp.Frames{Trace: trace})
	if _, err := receiver.Wait(1, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != "receiver.internal:4318" || receiver.Requests()[0].Host != "receiver.internal:4318" {
		t.Errorf("asked for %v, posted to %s", asked.Load(), receiver.Requests()[0].Host)
	}
	e.Close(t.Context())
	if got := e.Stats(); len(got) != 1 || got[0].Retries != 1 || got[0].Delivered != 1 {
		t.Errorf("at the end: %+v", got)
	}
}

// TestAccountOfSignals: each signal has its own row, and the counts are exact where the receiver refuses some.
func TestAccountOfSignals(t *testing.T) {
	receiver := collector.Start(t)
	receiver.Behave(collector.PartialSuccess(1, "not this one"))
	e := NewExporters(slog.New(slog.DiscardHandler))
	config := Implicit(receiver.URL(), Defaults{})
	config.Config["logs_endpoint"] = receiver.LogsURL()
	config.Config["access_logs"] = entity.Object{"endpoint": receiver.LogsURL()}
	config.Config["metrics"] = entity.Object{"endpoint": receiver.MetricsURL(), "push_interval": 3600.0, "enable_request_metrics": true, "enable_latency_metrics": true}
	log := slog.New(e.LogHandler(slog.DiscardHandler))
	made, err := Define(e, Defaults{}).New(config, plugin.Env{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	o := made.(*instance)
	for range 3 {
		trace := tracing.NewTracer(tracing.All, 1).Start(time.Now())
		root := trace.StartSpan("kong", tracing.KindServer, tracing.Span{})
		root.End()
		o.exporter.queue.Append(otlp.Frames{Trace: trace})
		o.logs.queue.Append(&otlp.LogRecord{Time: time.Now(), Body: "line"})
		ctx := &plugin.Context{
			Request: &http.Request{Method: "GET", Header: http.Header{}}, Trace: trace, Root: root,
			Response: plugin.Response{Status: 200, Header: http.Header{}}, Summary: plugin.Summary{Upstream: -1},
		}
		o.access.log(ctx, trace.ID(), true, nil)
		o.metrics.meter.record(ctx)
	}
	rows := map[string]bool{}
	for _, s := range e.Stats() {
		rows[s.Signal] = true
	}
	if diff := cmp.Diff(map[string]bool{"traces": true, "logs": true, "access_logs": true, "metrics": true}, rows); diff != "" {
		t.Errorf("rows: -want +got\n%s", diff)
	}
	closing := map[string]*exporter{"traces": o.exporter, "logs": o.logs, "access_logs": o.access.to, "metrics": o.metrics}
	e.Close(t.Context())
	for signal, x := range closing {
		s := x.queue.Stats()
		want := uint64(3)
		if signal == "logs" {
			want = s.Created // the other exporters' last lines too
		}
		if s.Created != want || s.Rejected != s.Posts || s.Delivered+s.Rejected != s.Created || s.Queued != 0 {
			t.Errorf("%s: %+v", signal, s)
		}
	}
	if created := o.logs.queue.Stats().Created; created < 3 {
		t.Errorf("%d lines", created)
	}
}

// TestLinesAreBounded: lines of requests that nobody claims neither pile up nor vanish.
func TestLinesAreBounded(t *testing.T) {
	receiver := collector.Start(t)
	e := NewExporters(slog.New(slog.DiscardHandler))
	log := slog.New(e.LogHandler(slog.DiscardHandler))
	c := checked(t, `{"logs_endpoint": "`+receiver.LogsURL()+`"}`)
	client := c.client(Defaults{}, c.LogsEndpoint)
	client.Signal = otlp.Logs
	x, err := e.acquire(signalLogs, client, c.queue(), nil)
	if err != nil {
		t.Fatal(err)
	}
	e.lines.add(x, true)
	handler := log.Handler().(*lineHandler)
	handle := func(request string, n int) {
		record := slog.NewRecord(time.Now(), slog.LevelWarn, fmt.Sprint(request, " ", n), 0)
		record.AddAttrs(slog.String("request_id", request))
		if err := handler.Handle(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	for request := range 2 * maxWaitingRequests {
		handle(fmt.Sprint("r", request), 0)
	}
	last := fmt.Sprint("r", 2*maxWaitingRequests-1)
	for n := range 2 * maxWaitingLines {
		handle(last, n+1)
	}
	e.lines.mu.Lock()
	requests, lines := len(e.lines.waiting), len(e.lines.waiting[last])
	e.lines.mu.Unlock()
	if requests != maxWaitingRequests || lines != maxWaitingLines {
		t.Errorf("%d requests wait, one with %d lines", requests, lines)
	}
	id := tracing.NewTraceID()
	e.lines.claim(last, &claim{to: x, trace: id})
	e.lines.release(last)
	e.Close(t.Context())
	var bodies []string
	claimed := 0
	for _, record := range receiver.Logs() {
		if bytes.Equal(record.TraceId, id[:]) {
			claimed++
			bodies = append(bodies, record.Body.GetStringValue())
		}
	}
	if claimed != maxWaitingLines || bodies[0] != fmt.Sprint(last, " ", maxWaitingLines+1) {
		t.Errorf("%d lines of the claimed request, the first %q", claimed, slices.Concat(bodies, []string{""})[0])
	}
	if want := maxWaitingRequests + 2*maxWaitingLines + 1; len(receiver.Logs()) != want {
		t.Errorf("%d lines arrived, want %d", len(receiver.Logs()), want)
	}
	e.lines.remove(x, true)
	if len(e.lines.waiting) != 0 || len(e.lines.uses) != 0 {
		t.Errorf("%d requests and %d exporters are left", len(e.lines.waiting), len(e.lines.uses))
	}
}

// TestMeterIsBounded: what is too much is counted under one set of attributes; in all, nothing is missing. Counting
// what is known already costs no memory.
func TestMeterIsBounded(t *testing.T) {
	m := newMeter(measure{Interval: time.Hour, Requests: true, Latency: true, Bandwidth: true, Consumer: true}, nil, nil)
	ctx := &plugin.Context{
		Request: &http.Request{Method: "GET"}, Route: &entity.Route{}, Service: &entity.Service{Name: "s"},
		Consumer: &entity.Consumer{}, Response: plugin.Response{Status: 200},
	}
	for i := range 2 * maxSeries {
		ctx.Route.Name, ctx.Consumer.Username = fmt.Sprint("r", i), fmt.Sprint("c", i)
		m.record(ctx)
	}
	for _, metric := range m.read(time.Now()) {
		if metric.Gauge {
			continue
		}
		total, overflow := uint64(0), uint64(0)
		for _, p := range metric.Points {
			total += p.Count
			if p.Attributes[0].Key == attrOverflow {
				overflow += p.Count
			}
		}
		if len(metric.Points) != maxSeries+1 || total != 2*maxSeries || overflow != maxSeries {
			t.Errorf("%s: %d points, %d requests, %d of them beyond", metric.Name, len(metric.Points), total, overflow)
		}
	}
	ctx.Route.Name, ctx.Consumer.Username = "r1", "c1"
	if n := testing.AllocsPerRun(100, func() { m.record(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMeter(b *testing.B) {
	m := newMeter(measure{Interval: time.Hour, Requests: true, Latency: true, Bandwidth: true}, nil, nil)
	ctx := &plugin.Context{
		Request: &http.Request{Method: "GET"}, Route: &entity.Route{Name: "r"}, Service: &entity.Service{Name: "s"}, Response: plugin.Response{Status: 200},
	}
	b.ReportAllocs()
	for b.Loop() {
		m.record(ctx)
	}
}
