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

	"sidekong/internal/gateway"
	"sidekong/internal/upstream"
	"sidekong/proxy/plugin"
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
		Config: config(path, ""), Plugins: []*plugin.Definition{Define(files)}, Answer: upstream.Answer("ok"),
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
