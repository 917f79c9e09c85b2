package opentelemetry

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
	"sidekong/tracing/queue"
)

// none takes everything at once.
type none struct{}

func (none) Send(context.Context, []byte, int) (int64, error) { return 0, nil }

func drained(b *testing.B) *exporter {
	b.Helper()
	q := queue.New("bench", queue.DefaultSettings(), none{}, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = q.Run(context.Background())
	}()
	b.Cleanup(func() {
		_ = q.Close(context.Background())
		<-done
	})
	return &exporter{queue: q}
}

// complete is a request as access logs and templates see it.
func complete() *plugin.Context {
	return &plugin.Context{
		Request: &http.Request{Method: "GET", Host: "shop.test", Header: http.Header{
			"Accept": {"*/*"}, "User-Agent": {"curl/8.5.0"}, "Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
			"Authorization": {"Bearer x"}, "X-App": {"shop"},
		}},
		RequestID: "319d1e4e7862095f704a7d6c60e63260", Client: netip.MustParseAddr("192.0.2.1"), Scheme: "http", Host: "shop.test",
		ForwardedURI: "/orders?page=1&token=x", Route: &entity.Route{Name: "orders", Protocols: []string{"http"}}, Service: &entity.Service{Name: "shop"},
		Response: plugin.Response{Status: 200, Header: http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"1024"}, "Date": {"now"}}},
		Summary: plugin.Summary{
			BytesReceived: 200, BytesSent: 1200, UpstreamStatus: 200, UpstreamURI: "/orders?page=1&token=x", Request: time.Millisecond,
			Tries: []plugin.Try{{Began: time.Unix(1, 0), IP: "192.0.2.2", Port: 80}},
		},
	}
}

func BenchmarkAccessLog(b *testing.B) {
	l := newAccessLog(drained(b), plugin.NewSecrets(plugin.Env{RedactedQuery: []string{"token"}}), nil)
	ctx, id := complete(), tracing.NewTraceID()
	b.ReportAllocs()
	for b.Loop() {
		l.log(ctx, id, true, nil)
	}
}

func BenchmarkResource(b *testing.B) {
	_, r := newResources(map[string]string{"app": "$(headers.x_app)", "page": "$(query_params.page)"}, noSecrets, slog.New(slog.DiscardHandler))
	ctx := complete()
	b.ReportAllocs()
	for b.Loop() {
		r.of(ctx)
	}
}

func BenchmarkTail(b *testing.B) {
	limit := 500.0
	t, err := newTail(&tailOptions{
		DropHealthChecks: true, DropPaths: []string{"/internal/*"}, KeepErrors: true, KeepSlowerThan: &limit,
		KeepStatuses: []string{"404", "5xx"}, KeepRoutes: []string{"checkout"}, KeepHeaders: map[string]string{"x-debug": "*"},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx := complete()
	b.ReportAllocs()
	for b.Loop() {
		t.decide(ctx)
	}
}

// BenchmarkLine is a request's line on its way to the receiver.
func BenchmarkLine(b *testing.B) {
	var lines logLines
	x := drained(b)
	lines.add(x, true)
	lines.claim("r", &claim{to: x, trace: tracing.NewTraceID()})
	record := slog.NewRecord(time.Unix(1, 0), slog.LevelWarn, "upstream fails", 0)
	record.AddAttrs(slog.String("request_id", "r"), slog.Int("try", 1))
	handler := &lineHandler{next: slog.DiscardHandler, lines: &lines}
	b.ReportAllocs()
	for b.Loop() {
		_ = handler.Handle(context.Background(), record)
	}
}

var _ queue.Shortener = (*otlp.LogRecord)(nil)
