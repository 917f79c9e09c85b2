package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/configs/settings"
	"sidekong/proxy/plugin/opentelemetry"
)

// TestSameFile: a file is parsed again when it has changed, and only then; one at fault is never taken for the last.
func TestSameFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kong.yaml")
	steps := 0
	a := &app{
		settings: &settings.Settings{}, logger: slog.New(slog.DiscardHandler), sources: []configs.Source{configs.Files(path)},
		loader:   configs.Loader{Schemas: entity.NewSchemas(nil), Pause: func() { steps++ }},
		implicit: opentelemetry.Implicit("", opentelemetry.Defaults{}),
	}
	const one, other = "_format_version: \"3.0\"\nconsumers: [{username: ada}]\n", "_format_version: \"3.0\"\nconsumers: [{username: eve}]\n"
	for i, c := range []struct {
		text, user string
		parsed     bool
	}{
		{one, "ada", true},
		{one, "ada", false},
		{other, "eve", true},
		{other + "unknown: 1\n", "", true},
		{other, "eve", false},
		{one, "ada", true},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := steps
		snapshot, _, err := a.load(t.Context())
		if (err != nil) != (c.user == "") {
			t.Fatalf("%d: error %v", i, err)
		}
		if err == nil && snapshot.Consumers[0].Username != c.user {
			t.Errorf("%d: got %s, want %s", i, snapshot.Consumers[0].Username, c.user)
		}
		if parsed := steps > before; parsed != c.parsed {
			t.Errorf("%d: parsed %v, want %v", i, parsed, c.parsed)
		}
	}
}
