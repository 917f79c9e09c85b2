package declarative_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// What testdata/manifests.yaml stands for, as kong.yaml, and what is said about it.
func TestManifests(t *testing.T) {
	document, warnings := mustParse(t, mustRead(t, "testdata/manifests.yaml"))
	text, err := declarative.Marshal(document, schemas())
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, w := range warnings {
		fmt.Fprintln(&got, "#", strings.TrimPrefix(w.String(), "testdata/"))
	}
	got.Write(text)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("testdata/manifests.txt", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/manifests.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Manifests stand beside kong.yaml and JSON, in any order and any number of files, and mean the same.
func TestManifestsBesideKongYAML(t *testing.T) {
	kong := declarative.Input{Name: "10-kong.yaml", Data: []byte("_format_version: \"3.0\"\nservices:\n- {name: s, host: h, routes: [{name: r, paths: [/]}]}\n")}
	plugin := declarative.Input{Name: "20-plugin.json", Data: []byte(`{"apiVersion": "configuration.konghq.com/v1", "kind": "KongClusterPlugin",
		"metadata": {"name": "otel", "labels": {"global": "true"}}, "plugin": "opentelemetry", "config": {"endpoint": "http://c:4318"}}`)}
	one := parsed(t, kong, plugin)
	other := parsed(t, plugin, kong)
	both := parsed(t, declarative.Input{Name: "all.yaml", Data: append(append([]byte{}, kong.Data...), "---\n"+string(plugin.Data)...)})
	for _, document := range []*declarative.Document{other, both} {
		for _, kind := range []string{"services", "routes", "plugins"} {
			if diff := cmp.Diff(one.Objects(kind), document.Objects(kind)); diff != "" {
				t.Errorf("%s (-one +other):\n%s", kind, diff)
			}
		}
	}
	plugins := one.Objects("plugins")
	if len(plugins) != 1 {
		t.Fatalf("%d plugins", len(plugins))
	}
	config, _ := plugins[0]["config"].(entity.Object)
	if plugins[0]["id"] != entity.ID("plugins", "plugins:*:opentelemetry:::") || config["traces_endpoint"] != "http://c:4318" {
		t.Errorf("got %v", plugins[0])
	}
}

func parsed(t *testing.T, inputs ...declarative.Input) *declarative.Document {
	t.Helper()
	document, warnings, err := declarative.Parse(inputs, declarative.Options{Schemas: schemas()})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Parse: %v, %v", warnings, err)
	}
	return document
}

// A second kong.yaml in one file is still left out, and what a template left empty is passed over.
func TestDocumentsInOneFile(t *testing.T) {
	const kong = "_format_version: \"3.0\"\nservices:\n- {name: %s, host: h}\n"
	text := fmt.Sprintf("---\n# nothing\n---\n"+kong, "first")
	if services := parsed(t, declarative.Input{Name: "a.yaml", Data: []byte(text)}).Objects("services"); len(services) != 1 {
		t.Errorf("got %v", services)
	}
	text = fmt.Sprintf(kong+"---\n"+kong, "first", "second")
	document, warnings, err := declarative.Parse([]declarative.Input{{Name: "a.yaml", Data: []byte(text)}}, declarative.Options{Schemas: schemas()})
	if err != nil || len(warnings) != 1 || len(document.Objects("services")) != 1 || document.Objects("services")[0]["name"] != "first" {
		t.Errorf("got %v, %v, %v", document, warnings, err)
	}
}

// Each of many consumers with each of many routes would be more than fits.
func TestCombinationsAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nmetadata: {name: p}\nplugin: opentelemetry\nconfig:\n  headers:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "    h%d: v\n", i)
	}
	for i := range 50 {
		fmt.Fprintf(&text, "---\n{apiVersion: configuration.konghq.com/v1, kind: KongConsumer, metadata: {name: c%d, annotations: {konghq.com/plugins: p}}, username: c%d}\n", i, i)
	}
	text.WriteString("---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, annotations: {konghq.com/plugins: p}}\nspec:\n  rules:\n")
	for i := range 50 {
		fmt.Fprintf(&text, "  - {host: h%d.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}\n", i)
	}
	_, _, err := declarative.Parse([]declarative.Input{{Name: "a.yaml", Data: []byte(text.String())}}, declarative.Options{Schemas: schemas()})
	if err == nil || !strings.Contains(err.Error(), "expand to more than 2000000 values") {
		t.Errorf("Parse = %v, want it to stop", err)
	}
}
