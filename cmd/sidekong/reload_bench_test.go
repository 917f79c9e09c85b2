package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin/function"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
)

// BenchmarkReload reads, checks and compiles a configuration of 5,000 routes, each of which differs from the one before.
func BenchmarkReload(b *testing.B) {
	text := func(n int) string {
		var b strings.Builder
		b.WriteString("_format_version: \"3.0\"\nservices:\n- {name: backend, url: http://127.0.0.1:1}\nroutes:\n")
		for i := range 5000 {
			fmt.Fprintf(&b, "- {name: other-%d, paths: [/other/%d/v%d], methods: [GET, POST], service: backend}\n", i, i, n)
		}
		return b.String()
	}
	silent := slog.New(slog.DiscardHandler)
	exporters, logs := opentelemetry.NewExporters(silent), newSinks(silent, nil)
	defer exporters.Close(b.Context())
	defer logs.close(b.Context(), silent)
	registry := plugins(exporters, opentelemetry.Defaults{}, function.Options{}, logs)
	loader := configs.Loader{Schemas: entity.NewSchemas(registry.Configs())}
	resolver, err := dns.New(dns.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	gateway, err := proxy.New(proxy.Options{Tracer: tracing.NewTracer(0, 1), Registry: registry, Resolver: resolver, Logger: silent})
	if err != nil {
		b.Fatal(err)
	}
	defer gateway.Close()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		snapshot, _, err := loader.Load(b.Context(), configs.Text("kong.yaml", text(n)))
		if err != nil {
			b.Fatal(err)
		}
		if err := gateway.Apply(snapshot); err != nil {
			b.Fatal(err)
		}
	}
}
