//go:build unix

package filelog

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHangs: a file that takes nothing delays nobody, what waits for it is bounded, and what is lost is counted.
func TestHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	files := NewFiles(slog.New(slog.NewTextHandler(&log, nil)))
	f, err := files.acquire(path, false)
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte{'x'}, 1<<20)
	for range 40 {
		f.append(line) // nobody reads the pipe
	}
	s := files.Stats()
	if s.Dropped < 40-2*maxPending>>20 || s.Pending > maxPending>>20 {
		t.Errorf("%+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := files.Close(ctx); err == nil {
		t.Error("Close waited for nothing")
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	n, err := io.Copy(io.Discard, reader)
	if err != nil || n == 0 {
		t.Errorf("read %d, %v", n, err)
	}
	closeFiles(t, files)
	s = files.Stats()
	if s.Written+s.Dropped != 40 || int64(s.Written)*(1<<20+1) != n {
		t.Errorf("%+v, %d bytes read", s, n)
	}
	f.append([]byte("late"))
	if !strings.Contains(log.String(), "requests are not logged") {
		t.Errorf("log %q", log.String())
	}
}
