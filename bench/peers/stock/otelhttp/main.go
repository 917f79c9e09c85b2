// httputil.ReverseProxy with otelhttp around the handler and the transport: a server and a client span per request.
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

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

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
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: otelhttp.NewTransport(&http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}),
	}
	server := &http.Server{Addr: *listen, Handler: otelhttp.NewHandler(proxy, "proxy")}
	go func() { log.Print(server.ListenAndServe()) }()
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = server.Shutdown(ctx)
	_ = provider.Shutdown(ctx)
}
