package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekong/internal/collector"
	"sidekong/internal/loopback"
)

// controlled is a running sidecar with its Admin API and its page.
type controlled struct {
	*program
	admin, page string // addresses
}

func startControlled(t *testing.T, environ ...string) *controlled {
	t.Helper()
	c := &controlled{admin: loopback.Address(t), page: loopback.Address(t)}
	environ = append([]string{"KONG_ADMIN_LISTEN=" + c.admin, "KONG_ADMIN_GUI_LISTEN=" + c.page}, environ...)
	c.program = start(t, environ)
	return c
}

// call sends a request to the Admin API and gives status and body.
func (c *controlled) call(method, path, contentType, body string) (int, map[string]any) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.admin+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var answer map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			c.t.Fatalf("%s %s: %d %s: %v", method, path, res.StatusCode, text, err)
		}
	}
	return res.StatusCode, answer
}

func (c *controlled) must(method, path, body string, want int) map[string]any {
	c.t.Helper()
	status, answer := c.call(method, path, "application/x-www-form-urlencoded", body)
	if status != want {
		c.t.Fatalf("%s %s: %d %v, want %d", method, path, status, answer, want)
	}
	return answer
}

// TestFreshSidecar: with no file at all, the calls that Kong's documentation prints configure it, and the very next
// request is served and traced as they say. What was configured outlives the program.
func TestFreshSidecar(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer backend.Close()
	receiver := collector.Start(t)
	prefix := "KONG_PREFIX=" + t.TempDir()
	c := startControlled(t, prefix)
	if res, _ := c.get("/hello"); res.StatusCode != http.StatusNotFound {
		t.Errorf("before: %d, want 404", res.StatusCode)
	}
	c.must("POST", "/services/", "name=hello&url="+backend.URL, http.StatusCreated)
	c.must("POST", "/services/hello/routes", "paths[]=/hello&name=hello", http.StatusCreated)
	status, plugin := c.call("POST", "/plugins/", "application/json",
		`{"name":"opentelemetry","config":{"endpoint":"`+receiver.URL()+`","resource_attributes":{"service.name":"kong-dev"}}}`)
	if status != http.StatusCreated {
		t.Fatalf("POST /plugins: %d %v", status, plugin)
	}
	if config := plugin["config"].(map[string]any); config["traces_endpoint"] != receiver.URL() {
		t.Errorf("traces_endpoint: %v", config["traces_endpoint"])
	}
	if res, body := c.get("/hello"); res.StatusCode != http.StatusOK || body != "hello" {
		t.Errorf("the next request: %d %q", res.StatusCode, body)
	}
	spans, err := receiver.Wait(9, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if name := spans[0].Resource["service.name"]; name != "kong-dev" {
		t.Errorf("service.name: %v", name)
	}

	c.must("PATCH", "/plugins/"+plugin["id"].(string), "enabled=false", http.StatusOK)
	c.get("/hello")
	c.must("PATCH", "/plugins/"+plugin["id"].(string), "enabled=true", http.StatusOK)
	if res, _ := c.get("/hello"); res.StatusCode != http.StatusOK {
		t.Errorf("with the plugin on again: %d", res.StatusCode)
	}
	if spans, err = receiver.Wait(18, 10*time.Second); err != nil || len(spans) != 18 {
		t.Errorf("%d spans, want 18: none while the plugin was off (%v)", len(spans), err)
	}
	if code := c.stop(); code != exitOK {
		t.Errorf("exit code %d\n%s", code, &c.stderr)
	}

	again := startControlled(t, prefix)
	if res, body := again.get("/hello"); res.StatusCode != http.StatusOK || body != "hello" {
		t.Errorf("after a restart: %d %q", res.StatusCode, body)
	}
}

// TestWritesUnderLoad: changes by the Admin API take effect without a failed request.
func TestWritesUnderLoad(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer backend.Close()
	c := startControlled(t, "KONG_PREFIX="+t.TempDir())
	c.must("POST", "/services", "name=hello&url="+backend.URL, http.StatusCreated)
	c.must("POST", "/services/hello/routes", "paths[]=/hello&name=hello", http.StatusCreated)
	done := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					if n == 0 {
						t.Error("no request was sent")
					}
					return
				default:
				}
				res, err := http.Get("http://" + c.proxy + "/hello")
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK || string(body) != "hello" {
					t.Errorf("%d %q %v", res.StatusCode, body, err)
					return
				}
			}
		})
	}
	for i := range 20 {
		path := "/other" + string(rune('a'+i))
		c.must("POST", "/services/hello/routes", "paths[]="+path, http.StatusCreated)
		if res, _ := c.get(path); res.StatusCode != http.StatusOK {
			t.Errorf("the request after route %d was made: %d", i, res.StatusCode)
		}
	}
	close(done)
	load.Wait()
}

// TestReadOnly: without a database the Admin API shows what the file says, and takes a whole new configuration.
func TestReadOnly(t *testing.T) {
	c := startControlled(t, "KONG_PREFIX="+t.TempDir(), "KONG_DECLARATIVE_CONFIG_STRING={_format_version: '3.0', services: [{name: a, host: a.test}]}")
	if status, body := c.call("POST", "/services", "application/json", `{"host":"b.test"}`); status != http.StatusMethodNotAllowed {
		t.Errorf("POST /services: %d %v", status, body)
	}
	if a := c.must("GET", "/services/a", "", http.StatusOK); a["host"] != "a.test" {
		t.Errorf("got %v", a)
	}
	if status, body := c.call("POST", "/config", "application/json", `{"_format_version":"3.0","services":[{"name":"b","host":"b.test"}]}`); status != http.StatusCreated {
		t.Errorf("POST /config: %d %v", status, body)
	}
	if b := c.must("GET", "/services/b", "", http.StatusOK); b["host"] != "b.test" {
		t.Errorf("got %v", b)
	}
	c.must("GET", "/services/a", "", http.StatusNotFound)
	if status, body := c.call("POST", "/config", "application/json", `{"_format_version":"3.0","services":[{"nme":"b"}]}`); status != http.StatusBadRequest {
		t.Errorf("POST /config with a fault: %d %v", status, body)
	}
	c.must("GET", "/services/b", "", http.StatusOK)
}

// TestPage: the page and its API are there, show the request that has passed, and take spans of others.
func TestPage(t *testing.T) {
	backend := httptest.NewServer(http.NotFoundHandler())
	defer backend.Close()
	c := startControlled(t, "KONG_PREFIX="+t.TempDir(), "KONG_DECLARATIVE_CONFIG_STRING={_format_version: '3.0', services: [{name: a, url: '"+backend.URL+"', routes: [{name: r, paths: [/a]}]}]}")
	c.get("/a?token=s3cret")
	ask := func(path string) (*http.Response, string) {
		t.Helper()
		res, err := http.Get("http://" + c.page + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var text bytes.Buffer
		if _, err := text.ReadFrom(res.Body); err != nil {
			t.Fatal(err)
		}
		return res, text.String()
	}
	res, page := ask("/")
	if res.StatusCode != http.StatusOK || !strings.Contains(page, "<!doctype html>") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page: %d %v %.200s", res.StatusCode, res.Header, page)
	}
	var list struct {
		Traces []struct {
			ID, Method, Path, Service string
			RouteName                 string `json:"route_name"`
			Status                    int
		}
	}
	c.eventually("the trace is in the list", func() bool {
		_, text := ask("/api/traces")
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return len(list.Traces) == 1
	})
	if got := list.Traces[0]; got.Method != "GET" || got.Path != "/a?token=REDACTED" || got.Service != "a" || got.RouteName != "r" || got.Status != 404 {
		t.Errorf("got %+v", got)
	}
	if _, text := ask("/api/traces/" + list.Traces[0].ID); strings.Contains(text, "s3cret") || !strings.Contains(text, "kong.balancer") {
		t.Errorf("the trace: %s", text)
	}
	if res, text := ask("/admin/services/a"); res.StatusCode != http.StatusOK {
		t.Errorf("the Admin API on the page: %d %s", res.StatusCode, text)
	}
}

// TestControlListeners: what others can reach wants a token, and an address that nobody asked for may be taken.
func TestControlListeners(t *testing.T) {
	for _, setting := range []string{"admin_listen", "admin_gui_listen"} {
		var stderr output
		environ := []string{"KONG_PREFIX=" + t.TempDir(), "KONG_" + strings.ToUpper(setting) + "=0.0.0.0:0", "KONG_STATUS_LISTEN=off", "KONG_PROXY_LISTEN=127.0.0.1:0"}
		code := run(t.Context(), system{args: []string{"run"}, environ: environ, stdout: io.Discard, stderr: &stderr})
		if want := setting + ": an address that is not on loopback needs admin_token"; code != exitConfig || !strings.Contains(stderr.String(), want) {
			t.Errorf("exit code %d, want %d with %q\n%s", code, exitConfig, want, &stderr)
		}
	}

	for _, address := range []string{"127.0.0.1:8001", "127.0.0.1:8002"} {
		listen := func() (net.Listener, error) { return net.Listen("tcp", address) }
		taken, err := listen()
		for end := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(end); taken, err = listen() {
			time.Sleep(10 * time.Millisecond) // another program on this machine has it
		}
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
	}
	p := start(t, []string{"KONG_PREFIX=" + t.TempDir()})
	if log := p.stderr.String(); strings.Count(log, "an address is taken: nothing listens there") != 2 {
		t.Errorf("log:\n%s", log)
	}

	public := startControlled(t, "KONG_PREFIX="+t.TempDir(), "KONG_ADMIN_TOKEN=t0ken", "KONG_ADMIN_LISTEN=0.0.0.0:0")
	if code := public.stop(); code != exitOK {
		t.Errorf("with a token: exit code %d\n%s", code, &public.stderr)
	}
	if strings.Contains(public.stderr.String(), "t0ken") {
		t.Error("the token is in the log")
	}
}

// TestAdminClientCertificates: over TLS the Admin API may be for those alone who show a certificate.
func TestAdminClientCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(t.TempDir(), "ca.pem")
	replaceFile(t, authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))

	address := loopback.Address(t)
	verify := []string{"KONG_NGINX_ADMIN_SSL_VERIFY_CLIENT=on", "KONG_ADMIN_GUI_LISTEN=off"}
	withCA := append([]string{"KONG_NGINX_ADMIN_SSL_CLIENT_CERTIFICATE=" + authority}, verify...)
	start(t, append([]string{"KONG_PREFIX=" + t.TempDir(), "KONG_ADMIN_LISTEN=" + address + " ssl"}, withCA...))
	for _, known := range []bool{true, false} {
		config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the server's certificate is not what this is about
		if known {
			config.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
		}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/services", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if (err == nil) != known {
			t.Errorf("with a certificate %v: %v", known, err)
		}
		if err == nil {
			res.Body.Close()
		}
	}

	plain := start(t, append([]string{"KONG_PREFIX=" + t.TempDir(), "KONG_ADMIN_LISTEN=" + loopback.Address(t)}, withCA...))
	if !strings.Contains(plain.stderr.String(), "nginx_admin_ssl_verify_client has no effect") {
		t.Errorf("nothing says that there is no TLS:\n%s", &plain.stderr)
	}

	var stderr output
	environ := append([]string{"KONG_PREFIX=" + t.TempDir(), "KONG_ADMIN_LISTEN=127.0.0.1:0 ssl", "KONG_STATUS_LISTEN=off", "KONG_PROXY_LISTEN=127.0.0.1:0"}, verify...)
	code := run(t.Context(), system{args: []string{"run"}, environ: environ, stdout: io.Discard, stderr: &stderr})
	if want := "nginx_admin_ssl_verify_client: on needs nginx_admin_ssl_client_certificate"; code != exitConfig || !strings.Contains(stderr.String(), want) {
		t.Errorf("exit code %d, want %d with %q\n%s", code, exitConfig, want, &stderr)
	}
}

// TestAccessLog: each request leaves a line of JSON, without secrets.
func TestAccessLog(t *testing.T) {
	backend := httptest.NewServer(http.NotFoundHandler())
	defer backend.Close()
	file := filepath.Join(t.TempDir(), "access.log")
	p := start(t, []string{
		"KONG_PREFIX=" + t.TempDir(), "KONG_ADMIN_LISTEN=off", "KONG_ADMIN_GUI_LISTEN=off", "KONG_PROXY_ACCESS_LOG=" + file,
		"KONG_DECLARATIVE_CONFIG_STRING={_format_version: '3.0', services: [{name: a, url: '" + backend.URL + "', routes: [{name: r, paths: [/a]}]}]}",
	})
	p.get("/a?token=s3cret", "Authorization", "Bearer s3cret")
	p.get("/nowhere")
	p.stop()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for line := range strings.Lines(string(text)) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		lines = append(lines, record)
	}
	if len(lines) != 2 || strings.Contains(string(text), "s3cret") {
		t.Fatalf("got %s", text)
	}
	if service, _ := lines[0]["service"].(map[string]any); service["name"] != "a" {
		t.Errorf("got %s", text)
	}
}

// TestInventory: what has passed is in the inventory, as a table, as OpenAPI, and beside a document; it outlives the
// program where traces are kept.
func TestInventory(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id": 7, "email": "ann@example.com"}`)
	}))
	defer backend.Close()
	kept := filepath.Join(t.TempDir(), "traces.db")
	environ := []string{
		"KONG_PREFIX=" + t.TempDir(), "KONG_TRACES_STORE=" + kept, "KONG_DECLARATIVE_CONFIG_STRING={_format_version: '3.0', services: [{name: a, url: '" + backend.URL +
			"', routes: [{name: r, paths: [/orders]}]}], plugins: [{name: sidekong-capture}]}",
	}
	c := startControlled(t, environ...)
	page := "http://" + c.page
	order := 1000
	c.eventually("the calls are in the inventory", func() bool { // which learns what it has the time for
		order++
		c.get("/orders/" + strconv.Itoa(order))
		code, out, _ := c.ask(nil, "inventory", "--address", page)
		return code == exitOK && regexp.MustCompile(`(?m)^GET +/orders/\{\w+\} .* \d+ +200 `).MatchString(out)
	})
	code, document, errs := c.ask(nil, "inventory", "--address", page, "--openapi")
	if code != exitOK || !strings.Contains(document, `"openapi":"3.1`) && !strings.Contains(document, `"openapi": "3.1`) || !strings.Contains(document, "email") {
		t.Errorf("exit code %d %s\n%s", code, errs, document)
	}
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte("openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n  /customers:\n    get: {responses: {'200': {description: ok}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, out, errs := c.ask(nil, "inventory", "--address", page, "--compare", file); !strings.Contains(out, "undocumented") || !strings.Contains(out, "unseen") || !strings.Contains(out, "/customers") {
		t.Errorf("got %s%s", out, errs)
	}
	c.stop()

	again := startControlled(t, environ...)
	if _, out, _ := again.ask(nil, "inventory", "--address", "http://"+again.page); !strings.Contains(out, "/orders/{") {
		t.Errorf("after a restart: %s", out)
	}
}
