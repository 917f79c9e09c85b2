package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sidekong/internal/collector"
)

// recordedWrite is a request to Kong's Admin API with Kong's answer.
type recordedWrite struct {
	ID      string
	Request struct{ Method, Path string }
	Given   []struct {
		Path string
		Body json.RawMessage
	}
	Input  json.RawMessage
	Status int
	Output map[string]any
}

// readWrites finds recorded writes by their ids.
func readWrites(t *testing.T, ids ...string) map[string]recordedWrite {
	t.Helper()
	file, err := os.Open("../../admin/api/testdata/admin.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all := map[string]recordedWrite{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		for _, id := range ids {
			if strings.Contains(lines.Text(), `"id": "`+id+`"`) {
				var w recordedWrite
				if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
					t.Fatal(err)
				}
				all[id] = w
			}
		}
	}
	if err := lines.Err(); err != nil || len(all) != len(ids) {
		t.Fatalf("found %d of %d recorded writes (%v)", len(all), len(ids), err)
	}
	return all
}

// holds reports whether got has what want has; what differs from one run to the next is not compared.
func holds(want, got any) bool {
	switch want := want.(type) {
	case map[string]any:
		got, _ := got.(map[string]any)
		for name, value := range want {
			if !holds(value, got[name]) {
				return false
			}
		}
		return true
	case string:
		return want == "<TS>" || want == "<UUID>" || got == want
	default:
		return fmt.Sprint(want) == fmt.Sprint(got)
	}
}

// TestIsolation: what Kong stores although it cannot work with it is stored here too, is told of, and keeps nothing else
// from being served or changed; nor does it keep the program from starting.
func TestIsolation(t *testing.T) {
	backend, receiver := echo(t), collector.Start(t)
	environ := []string{"KONG_PREFIX=" + t.TempDir(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + receiver.Address()}
	c := startControlled(t, environ...)
	c.must("POST", "/services", "name=good&url="+backend.URL, http.StatusCreated)
	c.must("POST", "/services/good/routes", "name=good&paths[]=/good", http.StatusCreated)
	ids := []string{
		"services.insert.full.1", "targets.insert.target.3", "certificates.insert.ok.8",
		"opentelemetry.insert.traces_endpoint.10", "opentelemetry.insert.traces_endpoint.12", "opentelemetry.insert.traces_endpoint.13",
	}
	wantFault := map[string]string{ // by the entity's type
		"services.insert.full.1":                  "service: ca_certificates: 00000000-0000-4000-8000-000000000033 holds no certificate",
		"targets.insert.target.3":                 "target: port is not between 1 and 65535",
		"certificates.insert.ok.8":                "", // nothing shows it
		"opentelemetry.insert.traces_endpoint.10": "plugin: traces: make OTLP client: endpoint is not a URL",
		"opentelemetry.insert.traces_endpoint.12": "plugin: traces: make OTLP client: endpoint is not a URL",
		"opentelemetry.insert.traces_endpoint.13": "plugin: traces: make OTLP client: endpoint is not a URL with the scheme http or https",
	}
	writes := readWrites(t, ids...)
	for _, id := range ids {
		w := writes[id]
		for _, given := range w.Given {
			if status, answer := c.call("POST", given.Path, "application/json", string(given.Body)); status != http.StatusCreated {
				t.Fatalf("%s: POST %s: %d %v", id, given.Path, status, answer)
			}
		}
		status, answer := c.call(w.Request.Method, w.Request.Path, "application/json", string(w.Input))
		if status != w.Status || !holds(w.Output, answer) {
			t.Fatalf("%s: got %d %v, want %d %v", id, status, answer, w.Status, w.Output)
		}
		got := ""
		faults, _ := c.statusJSON()["configuration_faults"].([]any)
		for _, fault := range faults {
			fault := fault.(map[string]any)
			if fault["entity_id"] == answer["id"] {
				got = fmt.Sprint(fault["entity_type"], ": ", fault["message"])
			}
		}
		if got != wantFault[id] {
			t.Errorf("%s: /status tells of the fault %q, want %q", id, got, wantFault[id])
		}
		// The rest is served, and the next change takes effect.
		path := "/after-" + id
		c.must("POST", "/services/good/routes", "paths[]="+path, http.StatusCreated)
		for _, path := range []string{"/good", path} {
			if res, _ := c.get(path); res.StatusCode != http.StatusOK {
				t.Errorf("%s: GET %s: %d", id, path, res.StatusCode)
			}
		}
		if strings.HasPrefix(id, "opentelemetry.") {
			c.eventually("the spans are counted as lost", func() bool {
				for _, e := range c.statusJSON()["tracing"].(map[string]any)["exporters"].([]any) {
					e := e.(map[string]any)
					if e["endpoint"] != receiver.URL() && e["rejected"].(float64) > 0 && strings.Contains(fmt.Sprint(e["last_error"]), "endpoint is not a URL") {
						return true
					}
				}
				return false
			})
			c.must("DELETE", "/plugins/"+answer["id"].(string), "", http.StatusNoContent)
		}
	}
	if n := strings.Count(c.stderr.String(), "an entity cannot be served"); n != 5 {
		t.Errorf("%d lines of the log tell of 5 faults:\n%s", n, &c.stderr)
	}
	if res, err := http.Get("http://" + c.status + "/metrics"); err != nil {
		t.Error(err)
	} else {
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if want := "\nsidekong_configuration_faults 2\n"; err != nil || !strings.Contains(string(text), want) {
			t.Errorf("/metrics lacks %q (%v)", want, err)
		}
	}
	health := c.must("GET", "/upstreams/up1/health", "", http.StatusOK)["data"].([]any)
	if len(health) != 1 || health[0].(map[string]any)["health"] != "DNS_ERROR" {
		t.Errorf("health of the upstream without a usable target: %v", health)
	}
	c.stop()

	again := startControlled(t, environ...)
	if res, _ := again.get("/good"); res.StatusCode != http.StatusOK {
		t.Errorf("after a restart: GET /good: %d", res.StatusCode)
	}
	if faults, _ := again.statusJSON()["configuration_faults"].([]any); len(faults) != 2 {
		t.Errorf("after a restart: faults %v", faults)
	}
	again.must("POST", "/services", "name=up1&host=up1", http.StatusCreated)
	again.must("POST", "/services/up1/routes", "paths[]=/up1", http.StatusCreated)
	if res, body := again.get("/up1"); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "failure to get a peer") {
		t.Errorf("GET /up1: %d %s", res.StatusCode, body)
	}
	if code, out, errs := again.ask(environ, "explain", "GET", "http://a.test/up1"); code != exitOK || !strings.Contains(out, "fault      target a.example:0 (") {
		t.Errorf("explain: exit code %d\n%s%s", code, out, errs)
	}
	again.stop()
	if code, out, errs := again.ask(append(environ, "KONG_DNS_RESOLVER=127.0.0.1:1"), "doctor"); code != exitFailure ||
		!strings.Contains(out, "FAIL  target a.example:0: port is not between 1 and 65535") || !strings.Contains(out, "FAIL  service s: ca_certificates: ") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
	}
}

// TestIsolationOfKongs: a Kong behind us serves on with what we cannot work with, and so do we.
func TestIsolationOfKongs(t *testing.T) {
	kong := echo(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := "[]"
		if r.URL.Path == "/plugins" {
			data = `[{"id":"31111111-1111-4111-8111-111111111111","name":"opentelemetry","enabled":true,"protocols":["http","https"],"config":{"traces_endpoint":"{vault://env/endpoint}"}}]`
		}
		io.WriteString(w, `{"data":`+data+`,"next":null}`)
	}))
	t.Cleanup(api.Close)
	p := start(t, nil, "--upstream", kong.URL, "--kong-admin", api.URL)
	if res, body := p.get("/a"); res.StatusCode != http.StatusOK || !strings.Contains(body, " /a 00-") {
		t.Errorf("GET /a: %d %q, want Kong's answer with a trace", res.StatusCode, body)
	}
	if faults, _ := p.statusJSON()["configuration_faults"].([]any); len(faults) != 1 {
		t.Errorf("faults %v, want that of the plugin", faults)
	}
}

// TestFaultsInFiles: whoever wrote a file is told of every entity that cannot be served, and the old configuration stays.
func TestFaultsInFiles(t *testing.T) {
	backend := echo(t)
	const faulty = `_format_version: "3.0"
services: [{name: s, url: "https://a.test", ca_certificates: [00000000-0000-4000-8000-000000000033]}]
upstreams: [{name: up, targets: [{target: "a.test:0"}]}]
`
	file := filepath.Join(t.TempDir(), "kong.yaml")
	replaceFile(t, file, []byte(faulty))
	environ := []string{"KONG_PREFIX=" + t.TempDir(), "KONG_ADMIN_GUI_LISTEN=off", "KONG_STATUS_LISTEN=off", "KONG_PROXY_LISTEN=127.0.0.1:0", "KONG_ADMIN_LISTEN=off"}
	p := &program{t: t}
	lines := []string{"target a.test:0 (", "service s ("}
	for _, command := range []string{"check", "run"} {
		args := []string{command, file}
		if command == "run" {
			args = []string{command, "--declarative-config", file}
		}
		code, out, errs := p.ask(environ, args...)
		for _, want := range lines {
			if command == "check" {
				want = file + ": " + want
			}
			if code != exitConfig || !strings.Contains(out+errs, want) {
				t.Errorf("%s: exit code %d, want %d with %q:\n%s%s", command, code, exitConfig, want, out, errs)
			}
		}
	}

	c := startControlled(t, "KONG_PREFIX="+t.TempDir(),
		`KONG_DECLARATIVE_CONFIG_STRING={_format_version: "3.0", services: [{name: a, url: "`+backend.URL+`", routes: [{paths: [/a]}]}]}`)
	status, answer := c.call("POST", "/config", "application/json", `{"config": `+string(quoted(t, faulty))+`}`)
	for _, want := range lines {
		if status != http.StatusBadRequest || !strings.Contains(fmt.Sprint(answer), want) {
			t.Errorf("POST /config: %d %v, want %d with %q", status, answer, http.StatusBadRequest, want)
		}
	}
	if res, _ := c.get("/a"); res.StatusCode != http.StatusOK {
		t.Errorf("after a refused configuration: GET /a: %d", res.StatusCode)
	}
}

func quoted(t *testing.T, text string) []byte {
	t.Helper()
	json, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return json
}
