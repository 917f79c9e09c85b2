package declarative_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

func mustRead(t testing.TB, name string) declarative.Input {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return declarative.Input{Name: name, Data: data}
}

func mustParse(t testing.TB, inputs ...declarative.Input) (*declarative.Document, []declarative.Warning) {
	t.Helper()
	document, warnings, err := parse(inputs...)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return document, warnings
}

func text(s string) declarative.Input { return declarative.Input{Name: "kong.yaml", Data: []byte(s)} }

// only returns the single entity of a kind with a field of that value.
func only(t *testing.T, d *declarative.Document, kind, field string, want any) declarative.Entity {
	t.Helper()
	var found []declarative.Entity
	for _, e := range d.Entities[kind] {
		if e.Object[field] == want {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d %s with %s = %v, want 1", len(found), kind, field, want)
	}
	return found[0]
}

func TestTutorialAsYAMLAndJSON(t *testing.T) {
	fromYAML, warnings := mustParse(t, mustRead(t, "../kong.yaml"))
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	service := only(t, fromYAML, "services", "name", "hello")
	for field, want := range map[string]any{
		"host": "127.0.0.1", "port": 3000.0, "protocol": "http", "retries": 5.0, "enabled": true,
		"id": entity.ID("services", "hello"),
	} {
		if got := service.Object[field]; got != want {
			t.Errorf("service.%s = %v, want %v", field, got, want)
		}
	}
	if got, want := service.Position.String(), "../kong.yaml:5:5"; got != want {
		t.Errorf("position %s, want %s", got, want)
	}
	route := only(t, fromYAML, "routes", "name", "hello")
	if diff := cmp.Diff(entity.Object{"id": entity.ID("services", "hello")}, route.Object["service"]); diff != "" {
		t.Errorf("route.service (-want +got):\n%s", diff)
	}
	config := only(t, fromYAML, "plugins", "name", "opentelemetry").Object["config"].(entity.Object)
	if got, want := config["traces_endpoint"], "http://127.0.0.1:4318/v1/traces"; got != want {
		t.Errorf("traces_endpoint = %v, want %v", got, want)
	}
	fromJSON, _ := mustParse(t, mustRead(t, "testdata/tutorial.json"))
	if diff := cmp.Diff(objects(fromYAML), objects(fromJSON)); diff != "" {
		t.Errorf("JSON differs (-yaml +json):\n%s", diff)
	}
}

func objects(d *declarative.Document) map[string][]entity.Object {
	all := map[string][]entity.Object{}
	for kind := range d.Entities {
		all[kind] = d.Objects(kind)
	}
	for kind, list := range d.Others {
		for _, e := range list {
			all["other "+kind] = append(all["other "+kind], e.Object)
		}
	}
	return all
}

func TestDeck(t *testing.T) {
	d, warnings := mustParse(t, mustRead(t, "testdata/deck.yaml"))
	service := only(t, d, "services", "name", "a").Object
	want := entity.Object{
		"host": "from-env.test", "port": 8080.0, "retries": 1.0, "connect_timeout": 20.0, "enabled": true,
		"tags": []any{"own", "team-a"},
	}
	for field := range want {
		if diff := cmp.Diff(want[field], service[field]); diff != "" {
			t.Errorf("service.%s (-want +got):\n%s", field, diff)
		}
	}
	paths := []any{"/plain/~y", `~/re/\d+`, `~/a%2Fb%5B[0-9]`}
	for _, name := range []string{"plain", "merged"} {
		route := only(t, d, "routes", "name", name).Object
		if diff := cmp.Diff(paths, route["paths"]); diff != "" {
			t.Errorf("route %s: paths (-want +got):\n%s", name, diff)
		}
		if route["strip_path"] != false {
			t.Errorf("route %s: strip_path = %v, want the default of _info", name, route["strip_path"])
		}
	}
	if diff := cmp.Diff([]any{"from-env.test"}, only(t, d, "routes", "name", "merged").Object["hosts"]); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	config := only(t, d, "plugins", "name", "opentelemetry").Object["config"].(entity.Object)
	if got, want := config["connect_timeout"], 7.0; got != want {
		t.Errorf("connect_timeout = %v, want the plugin's own %v", got, want)
	}
	if got, want := config["traces_endpoint"], "http://collector.test:4318/v1/traces"; got != want {
		t.Errorf("traces_endpoint = %v, want %v from _plugin_configs", got, want)
	}
	attributes := entity.Object{"service.name": "x-word-word", "tricky": "a: \"b\"\n# c"}
	if diff := cmp.Diff(attributes, config["resource_attributes"]); diff != "" {
		t.Errorf("resource_attributes (-want +got):\n%s", diff)
	}
	if got, want := only(t, d, "basicauth_credentials", "username", "bu").Object["password"], "5f4dcc3b5aa765d61d8327deb882cf995f4dcc3b"; got != want {
		t.Errorf("password = %v, want it as written, since _transform is false", got)
	}
	if got, want := only(t, d, "targets", "target", "b.test:8000").Object["weight"], 8.0; got != want {
		t.Errorf("weight = %v, want %v: 0_10 is octal to Kong", got, want)
	}
	if got := fmt.Sprint(warnings); !strings.Contains(got, "acls: not served") || !strings.Contains(got, "_konnect") {
		t.Errorf("warnings: %v", got)
	}
}

func TestTransformHashesPasswords(t *testing.T) {
	d, _ := mustParse(t, text(`{_format_version: "3.0", consumers: [{username: u, basicauth_credentials: [{username: bu, password: p}]}]}`))
	got, _ := only(t, d, "basicauth_credentials", "username", "bu").Object["password"].(string)
	if len(got) != 40 {
		t.Errorf("password %q, want a digest of 40 digits", got)
	}
}

func TestWarnings(t *testing.T) {
	_, warnings := mustParse(t, mustRead(t, "testdata/warnings.yaml"))
	var got strings.Builder
	for _, w := range warnings {
		fmt.Fprintln(&got, strings.TrimPrefix(w.String(), "testdata/"))
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("testdata/warnings.txt", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/warnings.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestSeveralInputs(t *testing.T) {
	d, _ := mustParse(t,
		declarative.Input{Name: "b.yaml", Data: []byte("_format_version: \"2.1\"\nroutes:\n- {name: r, service: s, paths: [\"/a(b)\"]}\n")},
		declarative.Input{Name: "a.json", Data: []byte(`{"_format_version": "3.0", "services": [{"name": "s", "host": "a.test"}], "routes": [{"name": "q", "paths": ["/plain"]}]}`)})
	route := only(t, d, "routes", "name", "r")
	if diff := cmp.Diff([]any{"~/a(b)"}, route.Object["paths"]); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if got, want := route.Position.String(), "b.yaml:3:3"; got != want {
		t.Errorf("position %s, want %s", got, want)
	}
	_, _, err := parse(
		declarative.Input{Name: "z.yaml", Data: []byte("_format_version: \"3.0\"\nservices:\n- {name: s, host: b.test}\n")},
		declarative.Input{Name: "a.yaml", Data: []byte("_format_version: \"3.0\"\nservices:\n- {name: s, host: b.test}\n- {name: t}\n")})
	want := `a.yaml:3:10: services[0].name: uniqueness violation: 'services' entity with name set to 's' already declared at z.yaml:3:3
a.yaml:4:3: services[1].host: required field missing`
	if err == nil || err.Error() != want {
		t.Errorf("Parse = %v, want\n%s", err, want)
	}
}

// Ids that Kong gives to the same configuration.
func TestKongIDs(t *testing.T) {
	d, _ := mustParse(t, text(`
_format_version: "3.0"
routes:
- {name: tie-a, paths: [/]}
upstreams:
- {name: up, targets: [{target: "a.test:80"}]}
plugins:
- {name: empty}
- {name: empty, route: tie-a}
`))
	// The first is recorded from Kong; the others follow Kong's source.
	if got, want := only(t, d, "routes", "name", "tie-a").Object["id"], "875800fd-0a8b-5889-ac32-333703423835"; got != want {
		t.Errorf("route id %v, want %v", got, want)
	}
	upstream := entity.ID("upstreams", "up")
	if got, want := only(t, d, "targets", "target", "a.test:80").Object["id"], entity.ID("targets", "targets:*:"+upstream+":a.test:80"); got != want {
		t.Errorf("target id %v, want %v", got, want)
	}
	var got []any
	for _, p := range d.Objects("plugins") {
		got = append(got, p["id"])
	}
	want := []any{entity.ID("plugins", "plugins:*:empty:::"), entity.ID("plugins", "plugins:*:empty:tie-a::")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plugin ids (-want +got):\n%s", diff)
	}
}

// Where Kong draws a random id, ours depends on the content and on nothing else.
func TestContentIDs(t *testing.T) {
	const before = `
_format_version: "3.0"
services:
- name: s
  host: a.test
  routes:
  - {paths: [/a]}
  - {paths: [/b]}
  - {paths: [/b]}
`
	ids := func(config string) map[string][]any {
		d, _ := mustParse(t, text(config))
		byPath := map[string][]any{}
		for _, r := range d.Objects("routes") {
			path := fmt.Sprint(r["paths"])
			byPath[path] = append(byPath[path], r["id"])
		}
		return byPath
	}
	want := ids(before)
	if want["[/b]"][0] == want["[/b]"][1] {
		t.Errorf("two routes of the same content share the id %v", want["[/b]"][0])
	}
	got := ids(strings.Replace(before, "  - {paths: [/a]}", "  - {paths: [/new]}\n  - {paths:   ['/a']}", 1))
	delete(got, "[/new]")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids after an insertion (-want +got):\n%s", diff)
	}
}

func TestEnvironmentInJSON(t *testing.T) {
	d, _ := mustParse(t, declarative.Input{Name: "kong.json", Data: []byte(
		`{"_format_version": "3.0", "services": [{"name": "${{ env "DECK_WORD" }}", "host": "${{ env \"DECK_HOST\" }}"}]}`)})
	if got, want := only(t, d, "services", "name", "word").Object["host"], "from-env.test"; got != want {
		t.Errorf("host = %v, want %v", got, want)
	}
	// What stands in for an expression cannot be confused with the file's own text.
	_, _, err := parse(text("_format_version: \"3.0\"\n# \U000F0000\nservices: [{name: '${{ env `DECK_WORD` }}', host: a.test}]\n"))
	if want := "kong.yaml:1:1: U+F0000 cannot stand in a file that uses ${{ env … }}"; err == nil || err.Error() != want {
		t.Errorf("Parse = %v, want %s", err, want)
	}
}

// Many fields are looked up through an index, whose places have to be the fields' own.
func TestPlacesInLargeConfigs(t *testing.T) {
	var config strings.Builder
	config.WriteString("_format_version: \"3.0\"\n_plugin_configs:\n  shared:\n    sampling_rate: 2\n    connect_timeout: x\n")
	config.WriteString("plugins:\n- name: opentelemetry\n  _config: shared\n  config:\n    connect_timeout: y\n")
	for i := range 20 {
		fmt.Fprintf(&config, "    unknown%d: 1\n", i)
	}
	_, _, err := parse(text(config.String()))
	for _, want := range []string{
		"kong.yaml:4:20: plugins[0].config.sampling_rate: value should be between 0 and 1\n",
		"kong.yaml:10:22: plugins[0].config.connect_timeout: expected an integer\n",
		"kong.yaml:30:5: plugins[0].config.unknown19: unknown field",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in\n%v", want, err)
		}
	}
}

// A JSON configuration may be one line of any length.
func TestPlacesOnOneLine(t *testing.T) {
	config := `{"_format_version": "3.0", "consumers": [` + strings.Repeat(`{"username": "é"}, `, 2) + `{"usrname": "x"}]}`
	_, _, err := parse(declarative.Input{Name: "kong.json", Data: []byte(config)})
	const want = "kong.json:1:74: consumers[1].username: uniqueness violation: 'consumers' entity with username set to 'é' already declared at kong.json:1:42\n" +
		"kong.json:1:80: consumers[2]: at least one of these fields must be non-empty: 'custom_id', 'username'\n" +
		"kong.json:1:81: consumers[2].usrname: unknown field; did you mean username?"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v, want\n%s", err, want)
	}
}

func TestSharedConfigsAreBounded(t *testing.T) {
	var config strings.Builder
	config.WriteString("_format_version: \"3.0\"\n_plugin_configs:\n  big:\n")
	for i := range 5000 {
		fmt.Fprintf(&config, "    f%d: 1\n", i)
	}
	config.WriteString("plugins:\n")
	for range 5000 {
		config.WriteString("- {name: own, _config: big}\n")
	}
	_, _, err := parse(text(config.String()))
	if err == nil || !strings.Contains(err.Error(), "_plugin_configs expand to more than 2000000 values") {
		t.Errorf("Parse = %v, want it to stop", err)
	}
}

func TestIDThatFollowsFromAnotherName(t *testing.T) {
	_, _, err := parse(text(fmt.Sprintf(
		`{_format_version: "3.0", services: [{name: a, id: %s, host: a.test}, {name: b, host: a.test}]}`, entity.ID("services", "b"))))
	if err == nil || !strings.Contains(err.Error(), "services[1].id: uniqueness violation: 'services' entity with primary key") {
		t.Errorf("Parse = %v, want a uniqueness violation", err)
	}
}

func TestNullIsNoID(t *testing.T) {
	d, _ := mustParse(t, text(`{_format_version: "3.0", services: [{name: s, id: ~, host: a.test, routes: ~}], plugins: }`))
	if got, want := only(t, d, "services", "name", "s").Object["id"], entity.ID("services", "s"); got != want {
		t.Errorf("id %v, want %v", got, want)
	}
}

func TestCertificatesWithNames(t *testing.T) {
	_, _, err := parse(text(`
_format_version: "3.0"
certificates:
- cert: x
  key: y
  snis: [a.test, {name: b.test}, {nam: c.test}]
`))
	var faults declarative.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("Parse = %v, want Faults", err)
	}
	if !strings.Contains(err.Error(), "kong.yaml:6:35: certificates[0].snis[2].nam: unknown field") ||
		strings.Contains(err.Error(), "snis[0]") || strings.Contains(err.Error(), "snis[1]") {
		t.Errorf("faults:\n%v", err)
	}
}

func TestMarshalRoundTrip(t *testing.T) {
	for _, name := range []string{"../kong.yaml", "testdata/deck.yaml", "testdata/warnings.yaml"} {
		t.Run(name, func(t *testing.T) {
			first, _ := mustParse(t, mustRead(t, name))
			written, err := declarative.Marshal(first, schemas())
			if err != nil {
				t.Fatal(err)
			}
			second, _ := mustParse(t, declarative.Input{Name: "export.yaml", Data: written})
			if diff := cmp.Diff(objects(first), objects(second)); diff != "" {
				t.Errorf("what was written reads differently (-want +got):\n%s\n%s", diff, written)
			}
			again, err := declarative.Marshal(second, schemas())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(written), string(again)); diff != "" {
				t.Errorf("written again (-first +second):\n%s", diff)
			}
		})
	}
}

func TestMarshalKeepsTextAndNulls(t *testing.T) {
	d, _ := mustParse(t, text(`
_format_version: "3.0"
services:
- {name: "on", host: a.test, retries: ~, tags: ["012", "12:30", "null", "1e3", "_1", "# x", "a: b"]}
`))
	written, err := declarative.Marshal(d, schemas())
	if err != nil {
		t.Fatal(err)
	}
	again, _ := mustParse(t, declarative.Input{Name: "export.yaml", Data: written})
	if diff := cmp.Diff(objects(d), objects(again)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, written)
	}
	service := only(t, again, "services", "name", "on").Object
	if value, ok := service["retries"]; !ok || value != nil {
		t.Errorf("retries = %v, want the null that was written in place of the default 5", value)
	}
}

// The tables of kinds say what the schemas say.
func TestKindsAgreeWithSchemas(t *testing.T) {
	if diff := cmp.Diff(declarative.ReferencesOfSchemas(schemas()), declarative.References()); diff != "" {
		t.Errorf("references (-schemas +kinds):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{
		"../kong.yaml", "testdata/deck.yaml", "testdata/warnings.yaml", "testdata/tutorial.json", "testdata/fields.bad.yml",
		"testdata/references.bad.yml", "testdata/unique.bad.yml", "testdata/env.bad.yml", "testdata/bomb.bad.yml", "testdata/cycle.bad.yml",
		"testdata/manifests.yaml", "testdata/manifests.bad.yml",
	} {
		f.Add(mustRead(f, name).Data)
	}
	known := schemas()
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"kong.yaml", "kong.json"} {
			options := declarative.Options{Schemas: known, LookupEnv: lookup}
			d, _, err := declarative.Parse([]declarative.Input{{Name: name, Data: data}}, options)
			if err != nil {
				var faults declarative.Faults
				if !errors.As(err, &faults) || len(faults) == 0 {
					t.Fatalf("Parse = %v, want Faults", err)
				}
				continue
			}
			written, err := declarative.Marshal(d, known)
			if err != nil {
				t.Fatal(err)
			}
			again, _, err := declarative.Parse([]declarative.Input{{Name: "export.yaml", Data: written}}, options)
			if err != nil {
				t.Fatalf("what Marshal wrote is at fault: %v\n%s", err, written)
			}
			if diff := cmp.Diff(objects(d), objects(again)); diff != "" {
				t.Fatalf("what Marshal wrote reads differently (-want +got):\n%s\n%s", diff, written)
			}
		}
	})
}

// BenchmarkParseOneLine reads JSON without line breaks, as programs write it.
func BenchmarkParseOneLine(b *testing.B) {
	for _, routes := range []int{100, 5000} {
		b.Run(fmt.Sprintf("routes=%d", routes), func(b *testing.B) {
			config := `{"_format_version": "3.0", "routes": [{"paths": ["/"]}`
			for i := range routes {
				config += fmt.Sprintf(`, {"name": "r%d", "paths": ["/path/%d"], "hosts": ["h%d.test"]}`, i, i, i%50)
			}
			inputs := []declarative.Input{{Name: "kong.json", Data: []byte(config + "]}")}}
			options := declarative.Options{Schemas: schemas()}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := declarative.Parse(inputs, options); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, routes := range []int{100, 5000} {
		b.Run(fmt.Sprintf("routes=%d", routes), func(b *testing.B) {
			var config strings.Builder
			config.WriteString("_format_version: \"3.0\"\nservices:\n- name: s\n  host: a.test\n  routes:\n")
			for i := range routes {
				fmt.Fprintf(&config, "  - name: r%d\n    paths: [/path/%d]\n    hosts: [h%d.test]\n", i, i, i%50)
			}
			inputs := []declarative.Input{text(config.String())}
			options := declarative.Options{Schemas: schemas()}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := declarative.Parse(inputs, options); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
