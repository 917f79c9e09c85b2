package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ask runs a command beside a running sidecar and gives its exit code and what it printed.
func (p *program) ask(environ []string, args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	code = run(p.t.Context(), system{args: args, environ: environ, stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

const steered = `_format_version: "3.0"
services:
- name: %s
  url: %s
  routes:
  - {name: orders, paths: [/orders], methods: [GET]}
  - {name: items, paths: ["~/items/(?<id>\\d+)$"], hosts: [shop.test]}
consumers:
- username: ann
  keyauth_credentials: [{key: k3y}]
  plugins: [{name: correlation-id}]
`

// TestSteering: the commands that reach a running sidecar by its socket.
func TestSteering(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer backend.Close()
	prefix := t.TempDir()
	file := filepath.Join(t.TempDir(), "kong.yaml")
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(file, fmt.Appendf(nil, steered, name, backend.URL), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	environ := []string{"KONG_PREFIX=" + prefix, "KONG_ADMIN_LISTEN=off", "KONG_ADMIN_GUI_LISTEN=off"}
	p := start(t, environ, "--declarative-config", file)

	code, out, _ := p.ask(environ, "reload")
	if code != exitOK || !strings.HasPrefix(out, "nothing has changed: configuration ") {
		t.Errorf("reload without a change: exit code %d, %q", code, out)
	}

	// What is written is read by itself.
	write("second")
	p.eventually("the changed file is in force", func() bool {
		_, out, _ := p.ask(environ, "export")
		return strings.Contains(out, "name: second")
	})
	code, out, _ = p.ask(environ, "export")
	if code != exitOK || !strings.Contains(out, "key: k3y") {
		t.Errorf("export: exit code %d\n%s", code, out)
	}
	exported := filepath.Join(t.TempDir(), "exported.yaml")
	if err := os.WriteFile(exported, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := p.ask(nil, "check", exported); code != exitOK {
		t.Errorf("check what was exported: exit code %d\n%s", code, errs)
	}

	if err := os.WriteFile(file, []byte("_format_version: \"3.0\"\nservices:\n- nme: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := p.ask(environ, "reload")
	if code != exitConfig || !strings.Contains(errs, file+":3:3: services[0].nme:") {
		t.Errorf("reload of a broken file: exit code %d, %q", code, errs)
	}
	if res, body := p.get("/orders"); res.StatusCode != http.StatusOK || body != "hello" {
		t.Errorf("with a broken file: %d %q", res.StatusCode, body)
	}

	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"a route", []string{"POST", "http://shop.test/items/7?a=b"}, []string{
			"route      items (id ", "by its path ~/items/(?<id>\\d+)$", "captures id = 7", "service    second (id ",
			"upstream   " + backend.URL + "/?a=b, Host: ", "plugins    opentelemetry (global;", "trace out  Traceparent: 00-", "sampling   sampled",
			"not        route orders: the request does not meet its methods, paths",
		}},
		{"a caller's trace", []string{"GET", "http://shop.test/orders", "-H", "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1"}, []string{
			"route      orders", "trace in   B3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1", "trace out  B3: 463ac35c9f6413ad48485a3953bb6124-",
		}},
		{"a consumer", []string{"GET", "http://shop.test/orders", "--consumer", "ann"}, []string{"plugins    correlation-id (consumer; id "}},
		{"no route", []string{"DELETE", "http://other.test/orders"}, []string{
			"answer     404 no Route matched with those values (nothing is sent upstream)", "route      none",
			"route orders: the request does not meet its methods", "route items: the request does not meet its hosts, paths",
		}},
	}
	for _, tt := range tests {
		code, out, errs := p.ask(environ, append([]string{"explain"}, tt.args...)...)
		if code != exitOK {
			t.Errorf("%s: exit code %d: %s", tt.name, code, errs)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: lacks %q:\n%s", tt.name, want, out)
			}
		}
	}
	for _, args := range [][]string{{"explain", "GET", "/orders"}, {"explain", "GET", "http://a.test/", "-H", "nonsense"}, {"explain", "GET"}} {
		if code, _, _ := p.ask(environ, args...); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", args, code, exitUsage)
		}
	}

	if code, _, errs := p.ask(environ, "explain", "GET", "http://shop.test/orders", "--consumer", "eve"); code != exitFailure || !strings.Contains(errs, "there is no consumer eve") {
		t.Errorf("explain for nobody: exit code %d, %q", code, errs)
	}

	p.stop()
	if code, _, errs := p.ask(environ, "reload"); code != exitFailure || !strings.Contains(errs, "no sidecar answers at "+prefix) {
		t.Errorf("reload of nobody: exit code %d, %q", code, errs)
	}
}

// A folder is watched too, and a link that Kubernetes swaps.
func TestWatchedFolder(t *testing.T) {
	backend := httptest.NewServer(http.NotFoundHandler())
	defer backend.Close()
	folder := t.TempDir()
	version := func(name, service string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name, "kong.yaml"), fmt.Appendf(nil, steered, service, backend.URL), 0o600); err != nil {
			t.Fatal(err)
		}
		// As the kubelet does it: a new link takes the old one's place.
		if err := os.Symlink(name, filepath.Join(folder, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..2026_1", "first")
	if err := os.Symlink(filepath.Join("..data", "kong.yaml"), filepath.Join(folder, "kong.yaml")); err != nil {
		t.Fatal(err)
	}
	environ := []string{"KONG_PREFIX=" + t.TempDir(), "KONG_ADMIN_LISTEN=off", "KONG_ADMIN_GUI_LISTEN=off"}
	p := start(t, environ, "--declarative-config", folder)
	version("..2026_2", "second")
	p.eventually("the new version is in force", func() bool {
		_, out, _ := p.ask(environ, "export")
		return strings.Contains(out, "name: second")
	})
}

func TestDoctor(t *testing.T) {
	takes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("X-Token") != "s3cret" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer takes.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	configuration := func(text string) string {
		file := filepath.Join(t.TempDir(), "kong.yaml")
		if err := os.WriteFile(file, []byte("_format_version: \"3.0\"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	plugin := func(config string) string { return "plugins: [{name: opentelemetry, config: {" + config + "}}]\n" }
	good := `traces_endpoint: "` + takes.URL + `/v1/traces", headers: {X-Token: s3cret}`
	tests := []struct {
		name, yaml string
		environ    []string
		code       int
		want       []string
	}{
		{"all is well", "services: [{name: a, host: localhost}]\n" + plugin(good), nil, exitOK, []string{
			"the receiver takes an empty export (200, ", "ok    service a: localhost is ",
		}},
		{"no receiver", plugin(`traces_endpoint: "` + closed.URL + `/v1/traces"`), nil, exitFailure, []string{"FAIL  opentelemetry ", "connection refused"}},
		{"a receiver that refuses", plugin(`traces_endpoint: "` + takes.URL + `/v1/traces"`), nil, exitFailure, []string{"answers 403"}},
		{"a name that is not there", "services: [{name: a, host: nowhere.invalid}]\n" + plugin(good), nil, exitFailure, []string{"FAIL  service a: "}},
		{"few samples", plugin(good + ", sampling_rate: 0.01"), nil, exitOK, []string{"warn  opentelemetry ", "of 100 requests one or fewer is traced"}},
		{"formats that do not meet", plugin(good + ", propagation: {default_format: w3c, extract: [b3], inject: [w3c]}"), nil, exitOK, []string{
			"traces come in as b3 and go on as w3c",
		}},
		{"metrics that nothing is sent of", plugin(good + `, metrics: {endpoint: "` + takes.URL + `/v1/traces", enable_consumer_attribute: true}`), nil, exitOK, []string{
			"metrics.endpoint: the receiver takes", "warn  opentelemetry ", "no metric is sent",
		}},
		{"off", plugin(good), []string{"KONG_TRACING_INSTRUMENTATIONS=off"}, exitOK, []string{"warn  tracing_instrumentations: off"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			environ := append([]string{"KONG_PREFIX=" + t.TempDir(), "KONG_DNS_RESOLVER=127.0.0.1:1"}, tt.environ...)
			code := run(t.Context(), system{args: []string{"doctor", "--declarative-config", configuration(tt.yaml)}, environ: environ, stdout: &out, stderr: &errs})
			if code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, &errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("lacks %q:\n%s%s", want, &out, &errs)
				}
			}
			if strings.Contains(out.String()+errs.String(), "s3cret") {
				t.Errorf("a secret is shown:\n%s%s", &out, &errs)
			}
		})
	}
}
