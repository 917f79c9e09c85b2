package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"sidekong/configs/database"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin/function"
	"sidekong/proxy/plugin/opentelemetry"
)

func TestCompilable(t *testing.T) {
	silent := slog.New(slog.DiscardHandler)
	exporters, logs := opentelemetry.NewExporters(silent), newSinks(silent, nil)
	defer exporters.Close(t.Context())
	defer logs.close(t.Context(), silent)
	registry := plugins(exporters, opentelemetry.Defaults{}, function.Options{}, logs)
	schemas := entity.NewSchemas(registry.Configs())
	authority := entity.Object{"id": "00000000-0000-4000-8000-000000000001"}
	a := &app{registry: registry, db: database.NewMemory(&declarative.Document{
		Entities: map[string][]declarative.Entity{"ca_certificates": {{Object: authority}}},
	}, schemas)}
	list := func(items ...any) []any { return items }
	tests := []struct {
		name, kind string
		in         entity.Object
		want       string // "" for none
	}{
		{"route", "routes", entity.Object{"paths": list(`~/a/\d+$`)}, ""},
		{"service", "services", entity.Object{"host": "h", "protocol": "https", "ca_certificates": list(authority["id"])}, ""},
		{
			"service of an unknown authority", "services",
			entity.Object{"host": "h", "protocol": "https", "ca_certificates": list("00000000-0000-4000-8000-000000000002")},
			"ca_certificates: there is no CA certificate 00000000-0000-4000-8000-000000000002",
		},
		{"target", "targets", entity.Object{"target": "::1", "upstream": authority}, ""},
		{"target without a port", "targets", entity.Object{"target": "a.test:0", "upstream": authority}, "target a.test:0: its port is not between 1 and 65535"},
		{
			"certificate in a vault", "certificates",
			entity.Object{"cert": "{vault://env/cert}", "key": "{vault://env/key}"},
			"certificate and key are no pair that can be used; references to vaults are not",
		},
		{"plugin", "plugins", entity.Object{"name": "opentelemetry", "config": entity.Object{"endpoint": "http://c.test:4318/v1/traces"}}, ""},
		{
			"plugin that cannot start", "plugins",
			entity.Object{"name": "opentelemetry", "config": entity.Object{"endpoint": "ftp://c.test/"}},
			"config: make OTLP client: endpoint is not a URL with the scheme http or https",
		},
		{
			"plugin that is off", "plugins",
			entity.Object{"name": "opentelemetry", "enabled": false, "config": entity.Object{"endpoint": "ftp://c.test/"}},
			"",
		},
		{"file-log", "plugins", entity.Object{"name": "file-log", "config": entity.Object{"path": filepath.Join(t.TempDir(), "log")}}, ""},
		{"consumer", "consumers", entity.Object{"username": "u"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			schema, _ := schemas.Of(test.kind)
			object, err := schema.Insert(test.in)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := a.compilable(t.Context(), test.kind, object); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	a.db = away{a.db}
	service := entity.Object{"ca_certificates": list(authority["id"])}
	if err := a.compilable(t.Context(), "services", service); !errors.Is(err, database.ErrUnreachable) {
		t.Errorf("database away: got %v, want %v", err, database.ErrUnreachable)
	}
}

// away is a database that cannot be asked.
type away struct{ database.DB }

func (away) Get(context.Context, string, string) (entity.Object, error) {
	return nil, database.ErrUnreachable
}
