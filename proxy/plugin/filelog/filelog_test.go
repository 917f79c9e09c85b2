package filelog

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/internal/gateway"
	"sidekong/internal/upstream"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/function"
)

func closeFiles(t *testing.T, files *Files) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := files.Close(ctx); err != nil {
		t.Error(err)
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}

func config(path, more string) string {
	return gateway.Service + "plugins:\n- name: file-log\n  config: {path: " + path + more + "}\n"
}

// TestRequests: one line of JSON for each request, over a reload and with several instances.
func TestRequests(t *testing.T) {
	files := NewFiles(slog.New(slog.DiscardHandler))
	path := filepath.Join(t.TempDir(), "log")
	g := gateway.Start(t, gateway.Setup{
		Config: config(path, ""), Plugins: []*plugin.Definition{Define(files, function.New(function.Options{}))}, Answer: upstream.Answer("ok"),
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { g.Get("/a?b=1") })
	}
	all.Wait()
	g.Apply(config(path, "") + "  instance_name: again\n")
	g.Get("/after")
	waitIdle(t, files, 21)
	closeFiles(t, files)
	got := lines(t, path)
	if len(got) != 21 {
		t.Fatalf("%d lines", len(got))
	}
	for _, line := range got {
		var record struct {
			Request  struct{ URI, Method string }
			Response struct{ Status int }
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Request.Method != "GET" || record.Response.Status != 200 {
			t.Errorf("%v in %s", err, line)
		}
	}
	if s := files.Stats(); s.Written != 21 || s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

// TestCustomFields: what expressions give is in the line, nested, in the place of what was there, or takes it out. One that
// fails or does not end leaves its field out, and the gateway serves on. Values that functions set are there too.
func TestCustomFields(t *testing.T) {
	const custom = `, custom_fields_by_lua: {
      tenant: 'return kong.request.get_header("x-tenant")', "app.tier": 'return "gold"', "app.name\\.version": return 2,
      service: return nil, "request.headers": return, "response.status": return kong.response.get_status() + 1,
      kept: 'return 1, {mode = "add"}', faulty: return nothing.at.all, endless: while true do end}`
	const functions = `
- name: pre-function
  config:
    access: ["kong.ctx.shared.user = 'ada' kong.log.set_serialize_value('kept', 'by a function')"]
    log: ["kong.log.set_serialize_value('user', kong.ctx.shared.user)"]
`
	for _, test := range []struct {
		mode   function.Mode
		want   map[string]any
		errors []string
	}{
		{function.Sandbox, map[string]any{
			"tenant": "acme", "app": map[string]any{"tier": "gold", "name.version": 2.0}, "service": nil, "headers": nil, "status": 201.0,
			"kept": "by a function", "user": "ada", "faulty": nil, "endless": nil,
		}, []string{"expression=faulty", "expression=endless"}},
		{function.Off, map[string]any{
			"tenant": nil, "app": nil, "service": "backend", "headers": "here.test", "status": 500.0,
			"kept": nil, "user": nil, "faulty": nil, "endless": nil,
		}, []string{"what is computed by Lua is left out"}},
	} {
		t.Run(string(test.mode), func(t *testing.T) {
			var log bytes.Buffer
			files := NewFiles(slog.New(slog.DiscardHandler))
			path := filepath.Join(t.TempDir(), "log")
			lua := function.New(function.Options{UntrustedLua: test.mode, Time: 50 * time.Millisecond})
			g := gateway.Start(t, gateway.Setup{
				Config: config(path, custom) + functions, Plugins: append(lua.Definitions(), Define(files, lua)),
				Answer: upstream.Answer("ok"), Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			for range 3 {
				g.Get("/", "X-Tenant: acme", "Host: here.test")
			}
			waitIdle(t, files, 3)
			closeFiles(t, files)
			got := lines(t, path)
			if len(got) != 3 {
				t.Fatalf("%d lines", len(got))
			}
			for _, line := range got {
				var record map[string]any
				if err := json.Unmarshal([]byte(line), &record); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
				request, _ := record["request"].(map[string]any)
				response, _ := record["response"].(map[string]any)
				service, _ := record["service"].(map[string]any)
				headers, _ := request["headers"].(map[string]any)
				record["status"], record["service"], record["headers"] = response["status"], service["name"], headers["host"]
				for name, want := range test.want {
					if diff := cmp.Diff(want, record[name]); diff != "" {
						t.Errorf("%s: -want +got\n%s", name, diff)
					}
				}
			}
			for _, want := range test.errors {
				if !strings.Contains(log.String(), want) {
					t.Errorf("no %q in the log:\n%s", want, log.String())
				}
			}
		})
	}
}

// waitIdle waits until n lines are accounted for: a client may have its answer before it is logged.
func waitIdle(t *testing.T, files *Files, n uint64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if s := files.Stats(); s.Written+s.Dropped >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, want %d lines", files.Stats(), n)
		}
	}
}

// TestReopen: with reopen, a file that was moved away gets no more lines.
func TestReopen(t *testing.T) {
	for _, reopen := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "log")
		files := NewFiles(slog.New(slog.DiscardHandler))
		f, err := files.acquire(path, reopen)
		if err != nil {
			t.Fatal(err)
		}
		f.append([]byte("1"))
		waitIdle(t, files, 1)
		if err := os.Rename(path, path+".old"); err != nil {
			t.Fatal(err)
		}
		f.append([]byte("2"))
		waitIdle(t, files, 2)
		closeFiles(t, files)
		old, want := lines(t, path+".old"), 2
		if reopen {
			want = 1
		}
		if len(old) != want {
			t.Errorf("reopen %t: %q in the old file", reopen, old)
		}
	}
}

// TestCannotOpen: the fault is in the log, the lines are counted as lost.
func TestCannotOpen(t *testing.T) {
	var log bytes.Buffer
	files := NewFiles(slog.New(slog.NewTextHandler(&log, nil)))
	f, err := files.acquire(filepath.Join(t.TempDir(), "none", "log"), false)
	if err != nil {
		t.Fatal(err)
	}
	f.append([]byte("1"))
	waitIdle(t, files, 1)
	closeFiles(t, files)
	if s := files.Stats(); s.Dropped != 1 || s.Written != 0 {
		t.Errorf("%+v", s)
	}
	if strings.Count(log.String(), "no such file") != 1 {
		t.Errorf("log %q", log.String())
	}
	if _, err := files.acquire("x", false); err == nil {
		t.Error("acquired after Close")
	}
}

func BenchmarkAppend(b *testing.B) {
	files := NewFiles(slog.New(slog.DiscardHandler))
	f, err := files.acquire(filepath.Join(b.TempDir(), "log"), false)
	if err != nil {
		b.Fatal(err)
	}
	line := bytes.Repeat([]byte{'x'}, 1500)
	b.ReportAllocs()
	for b.Loop() {
		f.append(line)
	}
	if err := files.Close(b.Context()); err != nil {
		b.Error(err)
	}
}
