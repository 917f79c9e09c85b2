package configs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
	"sidekong/configs/settings"
)

func load(sources ...configs.Source) (*configs.Snapshot, []declarative.Warning, error) {
	return configs.Loader{Schemas: schemas()}.Load(context.Background(), sources...)
}

func mustLoad(t *testing.T, sources ...configs.Source) *configs.Snapshot {
	t.Helper()
	snapshot, _, err := load(sources...)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return snapshot
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSample(t *testing.T) {
	snapshot, warnings, err := load(configs.Files("kong.yaml"))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load = %v, %v", warnings, err)
	}
	if len(snapshot.ActiveRoutes) != 1 || len(snapshot.ActivePlugins) != 1 {
		t.Fatalf("%d routes and %d plugins, want one of each", len(snapshot.ActiveRoutes), len(snapshot.ActivePlugins))
	}
	route := snapshot.ActiveRoutes[0]
	service, ok := snapshot.Service(route.Service.ID)
	if !ok || service.Host != "127.0.0.1" || service.Port != 3000 || route.Paths[0] != "/hello" {
		t.Errorf("route %+v leads to %+v", route, service)
	}
	plugin := snapshot.ActivePlugins[0]
	want := entity.Object{
		"traces_endpoint":     "http://127.0.0.1:4318/v1/traces",
		"headers":             entity.Object{"X-Auth-Token": "secret-token"},
		"resource_attributes": entity.Object{"service.name": "kong-dev"},
	}
	if diff := cmp.Diff(want, plugin.Config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/20.yaml", "_format_version: \"3.0\"\nroutes:\n- {name: r, paths: [/], service: s}\n")
	write(t, dir+"/10.json", `{"_format_version": "3.0", "services": [{"name": "s", "host": "a.test"}]}`)
	write(t, dir+"/30.yml", "_format_version: \"3.0\"\nconsumers:\n- username: u\n")
	write(t, dir+"/README.md", "not configuration")
	write(t, dir+"/.hidden.yaml", "not configuration")
	write(t, dir+"/sub.yaml/inner.yaml", "not configuration")
	// As Kubernetes mounts a ConfigMap.
	write(t, dir+"/..2026/40.yaml", "_format_version: \"3.0\"\nconsumers:\n- username: v\n")
	if err := os.Symlink("..2026", dir+"/..data"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..data/40.yaml", dir+"/40.yaml"); err != nil {
		t.Fatal(err)
	}
	snapshot := mustLoad(t, configs.Files(dir))
	if len(snapshot.Services) != 1 || len(snapshot.Routes) != 1 || len(snapshot.Consumers) != 2 {
		t.Errorf("%d services, %d routes, %d consumers; want 1, 1, 2", len(snapshot.Services), len(snapshot.Routes), len(snapshot.Consumers))
	}
	files := mustLoad(t, configs.Files(dir+"/30.yml", dir+"/40.yaml"), configs.Files(dir+"/20.yaml", dir+"/10.json"))
	if files.Hash != snapshot.Hash {
		t.Errorf("hash %s for the same content in another order, want %s", files.Hash, snapshot.Hash)
	}
}

func TestUnreadableSources(t *testing.T) {
	dir := t.TempDir()
	for name, source := range map[string]configs.Source{
		"missing file": configs.Files(dir + "/none.yaml"),
		"empty folder": configs.Files(dir),
	} {
		if _, _, err := load(source); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: Load = %v, want an error that names it", name, err)
		}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := configs.Loader{Schemas: schemas()}.Load(canceled, configs.Files("kong.yaml"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Load = %v, want context.Canceled", err)
	}
}

func TestText(t *testing.T) {
	snapshot := mustLoad(t, configs.Text("declarative_config_string", `{"_format_version":"3.0","services":[{"name":"s","host":"a.test"}]}`))
	if len(snapshot.Services) != 1 {
		t.Errorf("%d services, want 1", len(snapshot.Services))
	}
	_, _, err := load(configs.Text("declarative_config_string", "_format_version: \"3.0\"\nservice: []\n"))
	if want := "declarative_config_string:2:1: service: unknown field; did you mean services?"; err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
}

func TestUpstream(t *testing.T) {
	for _, c := range []struct {
		address string
		want    entity.Service
	}{
		{"http://localhost:3000", entity.Service{Protocol: "http", Host: "localhost", Port: 3000}},
		{"https://backend.test", entity.Service{Protocol: "https", Host: "backend.test", Port: 443}},
		{"http://backend.test/base", entity.Service{Protocol: "http", Host: "backend.test", Port: 80, Path: "/base"}},
		{"http://[::1]:8080/", entity.Service{Protocol: "http", Host: "::1", Port: 8080}},
	} {
		source, err := configs.Upstream(c.address)
		if err != nil {
			t.Errorf("Upstream(%s): %v", c.address, err)
			continue
		}
		snapshot := mustLoad(t, source)
		service, route := snapshot.Services[0], snapshot.ActiveRoutes[0]
		got := entity.Service{Protocol: service.Protocol, Host: service.Host, Port: service.Port, Path: strings.TrimSuffix(service.Path, "/")}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("Upstream(%s) (-want +got):\n%s", c.address, diff)
		}
		if service.ID != entity.ID("services", "upstream") || route.ID != entity.ID("routes", "default") {
			t.Errorf("Upstream(%s): ids %s, %s follow no name", c.address, service.ID, route.ID)
		}
		if route.StripPath || !route.PreserveHost || route.Paths[0] != "/" {
			t.Errorf("Upstream(%s): route %+v touches host or path", c.address, route)
		}
	}
	for address, want := range map[string]string{
		"localhost:3000":                "not an address",
		"backend.test":                  "not an address",
		"ftp://backend.test":            "allowed: http, https",
		"http://":                       "not an address",
		"http://u:hidden@backend.test":  "user name or password",
		"u:hidden@backend.test":         "not an address",
		"http://u:hidden@bad host.test": "not an address",
		"http://backend.test/?a=b":      "query",
	} {
		_, err := configs.Upstream(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("Upstream(%s) = %v, want %q", address, err, want)
		}
	}
}

func TestSampleSettings(t *testing.T) {
	data, err := os.ReadFile("kong.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range settings.CheckFile("kong.conf", data) {
		t.Error(fault)
	}
}
