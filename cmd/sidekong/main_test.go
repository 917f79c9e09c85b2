package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sidekong/internal/collector"
	"sidekong/internal/loopback"
)

// output is a writer that several goroutines may use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", "_format_version: \"3.0\"\nservices: [{name: a, host: a.test, routes: [{paths: [/a]}]}]\n")
	bad := write("bad.yaml", "_format_version: \"3.0\"\nservices:\n- name: a\n  hots: a.test\n  port: 99999\n")
	badConf := write("bad.conf", "proxy_listen = nowhere\n")
	warned := write("warned.yaml", "_format_version: \"3.0\"\nplugins: [{name: rate-limiting, config: {minute: 5}}]\n")
	tests := []struct {
		name           string
		args, environ  []string
		code           int
		stdout, stderr string // must occur
	}{
		{name: "no command", code: exitOK, stdout: "sidekong demo"},
		{name: "unknown command", args: []string{"fly"}, code: exitUsage, stderr: `unknown command "fly"`},
		{name: "unknown flag", args: []string{"run", "--fly"}, code: exitUsage, stderr: "unknown flag: --fly"},
		{name: "too many arguments", args: []string{"run", "now"}, code: exitUsage},
		{name: "version", args: []string{"version"}, code: exitOK, stdout: "sidekong "},
		{name: "check without a file", args: []string{"check"}, code: exitUsage},
		{name: "check a good file", args: []string{"check", good}, code: exitOK},
		{name: "check a bad file", args: []string{"check", good, bad}, code: exitConfig, stdout: bad + ":4:3: services[0].hots: unknown field; did you mean host?"},
		{name: "check finds every fault", args: []string{"check", bad}, code: exitConfig, stdout: bad + ":5:9: services[0].port: value should be between 0 and 65535"},
		{name: "check a kong.conf", args: []string{"check", badConf}, code: exitConfig, stdout: badConf + ":1:16: proxy_listen:"},
		{name: "check a missing file", args: []string{"check", filepath.Join(dir, "none.yaml")}, code: exitFailure, stderr: "no such file"},
		{name: "check warns of what does not run here", args: []string{"check", warned}, code: exitOK, stderr: "rate-limiting"},
		{name: "settings", args: []string{"settings"}, environ: []string{"KONG_LOG_LEVEL=info"}, code: exitOK, stdout: "environment KONG_LOG_LEVEL"},
		{name: "settings hide secrets", args: []string{"settings"}, environ: []string{"KONG_ADMIN_TOKEN=s3cret"}, code: exitOK, stdout: "admin_token"},
		{name: "run with a bad setting", args: []string{"run"}, environ: []string{"KONG_TRACING_INSTRUMENTATIONS=reqest"}, code: exitConfig, stderr: "reqest"},
		{name: "run with a bad configuration", args: []string{"run", "--declarative-config", bad}, code: exitConfig, stderr: bad + ":4:3:"},
		{name: "run with a bad upstream", args: []string{"run", "--upstream", "nowhere"}, code: exitUsage, stderr: "--upstream"},
		{name: "run with a database", args: []string{"run"}, environ: []string{"KONG_DATABASE=cassandra"}, code: exitConfig, stderr: "database"},
		{name: "kong-admin without upstream", args: []string{"run", "--kong-admin", "http://127.0.0.1:1"}, code: exitUsage, stderr: "--upstream"},
		{name: "as in Kong's image", args: []string{"kong", "docker-start"}, environ: []string{"KONG_DATABASE=cassandra"}, code: exitConfig, stderr: "database"},
		{name: "health of nobody", args: []string{"health", "--status-listen", "127.0.0.1:1"}, code: exitFailure, stderr: "not healthy"},
		{name: "health switched off", args: []string{"health", "--status-listen", "off"}, code: exitConfig, stderr: "status_listen is off"},
		{name: "completion", args: []string{"completion", "bash"}, code: exitOK, stdout: "bash completion"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr output
			code := run(t.Context(), system{args: tt.args, environ: tt.environ, stdout: &stdout, stderr: &stderr})
			if code != tt.code {
				t.Errorf("exit code: got %d, want %d\n%s%s", code, tt.code, &stdout, &stderr)
			}
			if !strings.Contains(stdout.String(), tt.stdout) {
				t.Errorf("stdout lacks %q:\n%s", tt.stdout, &stdout)
			}
			if !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("stderr lacks %q:\n%s", tt.stderr, &stderr)
			}
			if strings.Contains(stdout.String()+stderr.String(), "s3cret") {
				t.Error("a secret is shown")
			}
		})
	}
}

// program is a running sidekong.
type program struct {
	t      *testing.T
	stderr output
	cancel context.CancelFunc
	done   chan int
	proxy  string // address
	status string
}

func start(t *testing.T, environ []string, args ...string) *program {
	t.Helper()
	p := &program{t: t, proxy: loopback.Address(t), status: loopback.Address(t), done: make(chan int, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	args = append([]string{"run", "--proxy-listen", p.proxy, "--status-listen", p.status}, args...)
	go func() {
		p.done <- run(ctx, system{args: args, environ: environ, stdout: io.Discard, stderr: &p.stderr})
	}()
	t.Cleanup(func() { p.stop() })
	p.eventually("ready", func() bool {
		return run(t.Context(), system{args: []string{"health", "--status-listen", p.status}, stdout: io.Discard, stderr: io.Discard}) == exitOK
	})
	return p
}

// stop ends the program and gives its exit code.
func (p *program) stop() int {
	p.cancel()
	select {
	case code := <-p.done:
		p.done <- code
		return code
	case <-time.After(15 * time.Second):
		p.t.Fatalf("sidekong does not end:\n%s", &p.stderr)
		return -1
	}
}

func (p *program) eventually(what string, ok func() bool) {
	p.t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatalf("never %s; log:\n%s", what, &p.stderr)
}

func (p *program) get(path string, header ...string) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.proxy+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res, string(body)
}

func (p *program) statusJSON() map[string]any {
	p.t.Helper()
	res, err := http.Get("http://" + p.status + "/status")
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		p.t.Fatal(err)
	}
	return body
}

// echo answers with the path and what the caller said of its trace.
func echo(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Host, r.RequestURI, r.Header.Get("traceparent"))
	}))
	t.Cleanup(s.Close)
	return s
}

func wait(t *testing.T, c *collector.Collector, n int) []collector.Span {
	t.Helper()
	spans, err := c.Wait(n, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return spans
}

// The tutorial's configuration, as it stands in configs/kong.yaml, with the addresses of this test.
func TestTutorial(t *testing.T) {
	backend, receiver := echo(t), collector.Start(t)
	text, err := os.ReadFile("../../configs/kong.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.ReplaceAll(string(text), "http://127.0.0.1:3000", backend.URL)
	config = strings.ReplaceAll(config, "http://127.0.0.1:4318/v1/traces", receiver.URL())
	p := start(t, []string{"KONG_DECLARATIVE_CONFIG_STRING=" + config})

	res, body := p.get("/hello/you?x=1", "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if res.StatusCode != http.StatusOK || !strings.Contains(body, "/you?x=1 00-4bf92f3577b34da6a3ce929d0e0e4736-") {
		t.Errorf("got %d %q, want the backend's answer with the caller's trace", res.StatusCode, body)
	}
	spans := wait(t, receiver, 9)
	names := map[string]bool{}
	for _, s := range spans {
		names[s.GetName()] = true
		if got := s.Resource["service.name"]; got != "kong-dev" {
			t.Errorf("service.name: got %q, want kong-dev", got)
		}
	}
	for _, name := range []string{"kong", "kong.router", "kong.dns", "kong.balancer", "kong.access.plugin.opentelemetry", "kong.read_body_from_upstream"} {
		if !names[name] {
			t.Errorf("no span %s among %v", name, names)
		}
	}
	if got := receiver.Requests()[0].Header.Get("X-Auth-Token"); got != "secret-token" {
		t.Errorf("X-Auth-Token: got %q", got)
	}
	if code := p.stop(); code != exitOK {
		t.Errorf("exit code: got %d, want 0", code)
	}
	if log := p.stderr.String(); strings.Contains(log, "secret-token") {
		t.Errorf("the log holds a secret:\n%s", log)
	}
}

// With --upstream everything goes there untouched, and OTEL_ variables say where spans go.
func TestUpstreamMode(t *testing.T) {
	backend, receiver := echo(t), collector.Start(t)
	p := start(t, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + receiver.Address(), "OTEL_EXPORTER_OTLP_HEADERS=api-key=s3cret", "OTEL_SERVICE_NAME=edge",
	}, "--upstream", backend.URL)
	_, body := p.get("/a/../b%2fc?x=1;y=2")
	want := p.proxy + " /a/../b%2fc?x=1;y=2 00-"
	if !strings.HasPrefix(body, want) {
		t.Errorf("got %q, want %q…", body, want)
	}
	spans := wait(t, receiver, 9)
	if got := spans[0].Resource["service.name"]; got != "edge" {
		t.Errorf("service.name: got %q, want edge", got)
	}
	request := receiver.Requests()[0]
	if got := request.Header.Get("api-key"); got != "s3cret" {
		t.Errorf("api-key: got %q", got)
	}
	exporters := p.statusJSON()["tracing"].(map[string]any)["exporters"].([]any)
	if created := exporters[0].(map[string]any)["created"].(float64); created != 9 {
		t.Errorf("created: got %v, want 9", created)
	}
	p.stop()
	if strings.Contains(p.stderr.String(), "s3cret") {
		t.Error("the log holds a secret")
	}
}

// A broken file keeps the old configuration, says where the fault is, and a mended one takes effect.
func TestReload(t *testing.T) {
	backend := echo(t)
	file := filepath.Join(t.TempDir(), "kong.yaml")
	write := func(path string) {
		text := "_format_version: \"3.0\"\nservices:\n- {name: a, url: \"" + backend.URL + "\", routes: [{paths: [" + path + "]}]}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hangup := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	status := func(p *program, path string) int {
		res, _ := p.get(path)
		return res.StatusCode
	}
	write("/one")
	p := start(t, nil, "--declarative-config", file)
	if got := status(p, "/one"); got != http.StatusOK {
		t.Fatalf("/one: got %d", got)
	}

	write("one")
	hangup()
	p.eventually("told of the fault", func() bool {
		fault, _ := p.statusJSON()["configuration_error"].(string)
		return strings.Contains(fault, file+":3:")
	})
	if got := status(p, "/one"); got != http.StatusOK {
		t.Errorf("/one while the file is broken: got %d", got)
	}

	write("/two")
	hangup()
	p.eventually("reloaded", func() bool { return status(p, "/two") == http.StatusOK })
	if got := status(p, "/one"); got != http.StatusNotFound {
		t.Errorf("/one after the reload: got %d", got)
	}
	if fault := p.statusJSON()["configuration_error"]; fault != nil {
		t.Errorf("configuration_error: got %v, want none", fault)
	}
}

// The routes of a Kong behind us name spans; where requests go is --upstream's to say.
func TestInFrontOfKong(t *testing.T) {
	kong, receiver := echo(t), collector.Start(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s: only GET is allowed", r.Method, r.URL.Path)
		}
		switch r.URL.Path {
		case "/services":
			io.WriteString(w, `{"data":[{"id":"11111111-1111-4111-8111-111111111111","name":"orders","host":"192.0.2.1","port":80,"protocol":"http","enabled":true}],"next":null}`)
		case "/routes":
			io.WriteString(w, `{"data":[{"id":"21111111-1111-4111-8111-111111111111","name":"orders-route","paths":["/orders"],"protocols":["https"],"strip_path":true,"service":{"id":"11111111-1111-4111-8111-111111111111"}}],"next":null}`)
		case "/plugins":
			io.WriteString(w, `{"data":[{"id":"31111111-1111-4111-8111-111111111111","name":"key-auth","enabled":true,"protocols":["http","https"],"config":{}}],"next":null}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(api.Close)
	p := start(t, nil, "--upstream", kong.URL, "--kong-admin", api.URL, "--otlp-endpoint", receiver.URL())

	_, body := p.get("/orders/7?a=1")
	if want := p.proxy + " /orders/7?a=1 00-"; !strings.HasPrefix(body, want) {
		t.Errorf("got %q, want %q…: the request goes on as it came", body, want)
	}
	if res, _ := p.get("/unknown"); res.StatusCode != http.StatusOK {
		t.Errorf("a request that matches no route: got %d, want Kong's own answer", res.StatusCode)
	}
	if about, _ := p.statusJSON()["kong_admin"].(map[string]any); about["read_at"] == nil {
		t.Errorf("kong_admin in /status: got %v", about)
	}
	roots := map[string]bool{}
	for _, s := range wait(t, receiver, 18) {
		if s.GetName() != "kong" {
			continue
		}
		if name, ok := s.Attribute("kong.route.name").(string); ok {
			roots[name] = true
		}
	}
	if !roots["orders-route"] || len(roots) != 1 {
		t.Errorf("kong.route.name: got %v, want orders-route on one of two", roots)
	}
}

// A Kong behind us continues our trace: the span of our try is its root's parent, in whatever format the client speaks.
// The Kong here is a second sidecar with Kong's default propagation, which the recorded vectors hold to Kong's.
func TestTraceGoesOnBehindUs(t *testing.T) {
	backend, receiver := echo(t), collector.Start(t)
	kong := start(t, []string{"KONG_DECLARATIVE_CONFIG_STRING=" + fmt.Sprintf(`
_format_version: "3.0"
services: [{name: a, url: "%s", routes: [{paths: [/]}]}]
plugins: [{name: opentelemetry, config: {traces_endpoint: "%s", resource_attributes: {service.name: behind}}}]
`, backend.URL, receiver.URL())})
	front := start(t, []string{"OTEL_SERVICE_NAME=front"}, "--upstream", "http://"+kong.proxy, "--otlp-endpoint", receiver.URL())
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for n, header := range [][]string{
		{"traceparent", "00-" + trace + "-" + span + "-01"},
		{"b3", trace + "-" + span + "-1"},
		{"x-b3-traceid", trace, "x-b3-spanid", span, "x-b3-sampled", "1"},
		{"uber-trace-id", trace + ":" + span + ":0:01"},
		{"ot-tracer-traceid", trace, "ot-tracer-spanid", span, "ot-tracer-sampled", "true"},
		{"accept", "*/*"}, // no context at all
	} {
		front.get("/", header...)
		spans := wait(t, receiver, 18*(n+1))[18*n:]
		var try, root collector.Span
		for _, s := range spans {
			switch s.GetName() + " " + fmt.Sprint(s.Resource["service.name"]) {
			case "kong.balancer front":
				try = s
			case "kong behind":
				root = s
			}
		}
		if try.Span == nil || !bytes.Equal(root.GetParentSpanId(), try.GetSpanId()) || !bytes.Equal(root.GetTraceId(), try.GetTraceId()) {
			t.Errorf("%v: the root behind us has parent %x in trace %x, want our try %x in %x", header,
				root.GetParentSpanId(), root.GetTraceId(), try.GetSpanId(), try.GetTraceId())
		}
		if n < 5 && fmt.Sprintf("%x", try.GetTraceId()) != trace {
			t.Errorf("%v: the trace is %x, want the client's", header, try.GetTraceId())
		}
	}
}

func TestDemo(t *testing.T) {
	var stdout, stderr output
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, system{args: []string{"demo", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0"}, stdout: &stdout, stderr: &stderr})
	}()
	for range 1000 {
		if strings.Contains(stdout.String(), "Ctrl-C ends") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit code: got %d\n%s", code, &stderr)
	}
	for _, want := range []string{
		"├─ sidekong  kong.router", "│  ├─ backend  GET /world", "sidekong  kong ✗", "└─ sidekong  kong.header_filter.plugin.opentelemetry", "curl http://127.0.0.1:",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the demo's output lacks %q:\n%s%s", want, &stdout, &stderr)
		}
	}
}
