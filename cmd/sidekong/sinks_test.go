package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestLogs: a configuration with logging plugins is checked without opening anything, and what they hold when the
// program ends is written and posted.
func TestLogs(t *testing.T) {
	var posted atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posted.Add(int64(strings.Count(string(body), `"started_at":1,`)))
	}))
	t.Cleanup(receiver.Close)
	dir := t.TempDir()
	file, log := filepath.Join(dir, "kong.yaml"), filepath.Join(dir, "requests.log")
	config := `_format_version: "3.0"
services:
- {name: a, url: "` + echo(t).URL + `", routes: [{paths: [/]}]}
plugins:
- {name: file-log, config: {path: ` + log + `, custom_fields_by_lua: {app.tier: return "gold"}}}
- {name: http-log, config: {custom_fields_by_lua: {started_at: return 1}, http_endpoint: "` + receiver.URL + `", queue: {max_batch_size: 100, max_coalescing_delay: 600}}}
`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out output
	if code := run(t.Context(), system{args: []string{"check", file}, stdout: &out, stderr: &out}); code != exitOK {
		t.Fatalf("check: %d\n%s", code, &out)
	}
	if _, err := os.Stat(log); err == nil {
		t.Error("check has opened the log")
	}
	p := start(t, nil, "--declarative-config", file)
	for range 5 {
		p.get("/")
	}
	if code := p.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	written, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(written), `"app":{"tier":"gold"}`); n != 5 {
		t.Errorf("%d lines with the custom field", n)
	}
	if n := strings.Count(string(written), "\n"); n != 5 || posted.Load() != 5 {
		t.Errorf("%d lines written, %d records posted", n, posted.Load())
	}
}
