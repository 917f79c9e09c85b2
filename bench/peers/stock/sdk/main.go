// httputil.ReverseProxy with the seven spans of a request as Kong makes them, by the OpenTelemetry SDK with its batch
// processor and its OTLP/HTTP exporter, all at their defaults.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type proxy struct {
	tracer  trace.Tracer
	context propagation.TraceContext
	inner   httputil.ReverseProxy
	next    http.RoundTripper
}

func (p *proxy) span(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	return p.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := p.context.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, root := p.span(ctx, "kong", trace.SpanKindServer)
	defer root.End()
	_, router := p.span(ctx, "kong.router", trace.SpanKindInternal)
	router.End()
	_, access := p.span(ctx, "kong.access.plugin.opentelemetry", trace.SpanKindInternal)
	access.End()
	root.SetAttributes(attribute.String("http.method", r.Method), attribute.String("http.url", "http://"+r.Host+r.RequestURI),
		attribute.String("http.host", r.Host), attribute.String("http.scheme", "http"), attribute.String("http.flavor", "1.1"),
		attribute.String("http.client_ip", "127.0.0.1"), attribute.String("net.peer.ip", "127.0.0.1"),
		attribute.String("http.route", "/"), attribute.String("kong.request.id", "0123456789abcdef0123456789abcdef"))
	p.inner.ServeHTTP(w, r.WithContext(ctx))
	root.SetAttributes(attribute.Int("http.status_code", http.StatusOK))
}

// RoundTrip records the try. The body's span is left out: it would need one more wrapper than the others.
func (p *proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	_, dns := p.span(r.Context(), "kong.dns", trace.SpanKindClient, attribute.String("dns.record.domain", "127.0.0.1"),
		attribute.Int("dns.record.port", 80), attribute.String("dns.record.ip", "127.0.0.1"))
	dns.End()
	ctx, try := p.span(r.Context(), "kong.balancer", trace.SpanKindClient, attribute.Int("try_count", 1),
		attribute.String("net.peer.ip", "127.0.0.1"), attribute.Int("net.peer.port", 80), attribute.String("net.peer.name", "127.0.0.1"))
	defer try.End()
	p.context.Inject(ctx, propagation.HeaderCarrier(r.Header))
	_, send := p.span(ctx, "kong.send_request_to_upstream", trace.SpanKindInternal)
	send.End()
	_, read := p.span(ctx, "kong.read_headers_from_upstream", trace.SpanKindInternal)
	defer read.End()
	return p.next.RoundTrip(r)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "address")
	upstream := flag.String("upstream", "", "URL")
	endpoint := flag.String("otlp", "", "URL of the receiver's traces")
	flag.Parse()
	target, err := url.Parse(*upstream)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(*endpoint))
	if err != nil {
		log.Fatal(err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	p := &proxy{tracer: provider.Tracer("bench"), next: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}
	p.inner = httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: p,
	}
	server := &http.Server{Addr: *listen, Handler: p}
	go func() { log.Print(server.ListenAndServe()) }()
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = server.Shutdown(ctx)
	_ = provider.Shutdown(ctx)
}
