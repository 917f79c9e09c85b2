package traces

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// keepOnce copies what is in the store to a keeper, as Keep does when its context has ended.
func keepOnce(t *testing.T, s *Store, k Keeper) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Keep(ctx, k, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if fault := s.State().Fault; fault != "" {
		t.Fatal(fault)
	}
}

func openFile(t *testing.T, path string, limit int64) *SQLite {
	t.Helper()
	k, err := OpenSQLite(t.Context(), path, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// TestKeep: traces are there again after a restart, as they were.
func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "it's a store?#%.db")
	first := newStore(t, 0)
	k := openFile(t, path, 0)
	if err := first.Restore(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	id := request{path: "/kept", try: spanOf(3), note: Note{Sampled: true, Sampling: "rate"}}.add(t, first)
	first.TakeSpans(sentBy("backend", backendSpan(id, spanOf(4), spanOf(3), "work", 2, 3, 5)))
	keepOnce(t, first, k)
	first.TakeLogs(logged("backend", id, 4, "later"))
	keepOnce(t, first, k)
	keepOnce(t, first, k)
	if err := k.SaveDocument(t.Context(), "inventory", []byte("v1")); err != nil {
		t.Fatal(err)
	}
	if err := k.SaveDocument(t.Context(), "inventory", []byte("v2")); err != nil {
		t.Fatal(err)
	}
	_ = k.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}

	second := newStore(t, 0)
	again := openFile(t, path, 0)
	if err := second.Restore(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	want, _ := first.Get(hexID(id))
	got, _ := second.Get(hexID(id))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	if state := second.State(); state.File != path || state.Traces != 1 {
		t.Errorf("state %+v", state)
	}
	if document, err := again.LoadDocument(t.Context(), "inventory"); err != nil || string(document) != "v2" {
		t.Errorf("document %q, %v", document, err)
	}
	if document, err := again.LoadDocument(t.Context(), "other"); err != nil || document != nil {
		t.Errorf("document %q, %v", document, err)
	}
	keepOnce(t, second, again) // nothing is written twice
	if rows := count(t, again); rows != 3 {
		t.Errorf("%d records, want 3", rows)
	}
	second.Clear()
	keepOnce(t, second, again)
	if rows := count(t, again); rows != 0 {
		t.Errorf("%d records after clearing", rows)
	}
}

func count(t *testing.T, k *SQLite) (rows int) {
	t.Helper()
	if err := k.db.QueryRowContext(t.Context(), "SELECT count(*) FROM records").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestKeepWithExpand: what is written does not depend on how the gateway has its spans.
func TestKeepWithExpand(t *testing.T) {
	s := New(Options{Expand: func(spans []byte) []byte { return spans[len("raw:"):] }})
	t.Cleanup(s.Close)
	plain := newStore(t, 0)
	id := request{}.add(t, plain)
	found, _ := plain.find(hexID(id))
	_, frames := splitOwn(found.parts[0].body)
	s.Add(&Request{TraceID: id, Spans: append([]byte("raw:"), frames...)})
	if row := s.List(nil, "", 1).Traces[0]; row.Spans != 2 || row.Path != "/a" {
		t.Errorf("row %+v", row)
	}
	k := openFile(t, filepath.Join(t.TempDir(), "db"), 0)
	keepOnce(t, s, k)
	if err := plain.Restore(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if trace, _ := plain.Get(hexID(id)); len(trace.Spans) != 2 || len(trace.Requests) != 2 {
		t.Errorf("%d spans, %d requests", len(trace.Spans), len(trace.Requests))
	}
}

// TestKeepIsBounded: the file holds the newest traces, whole ones, and does not grow beyond its limit.
func TestKeepIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	const limit = 200_000
	k := openFile(t, path, limit)
	s := newStore(t, 0)
	if err := s.Restore(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		id := request{path: fmt.Sprintf("/%d", i), attributes: map[string]string{"pad": strings.Repeat("x", 500)}}.add(t, s)
		s.TakeLogs(logged("x", id, 1, "line"))
		if i%20 == 0 {
			keepOnce(t, s, k)
		}
	}
	keepOnce(t, s, k)
	var bytes int64
	if err := k.db.QueryRowContext(t.Context(), "SELECT sum(length(body)) FROM records").Scan(&bytes); err != nil {
		t.Fatal(err)
	}
	if bytes > limit || bytes < limit/2 {
		t.Errorf("%d bytes are kept, limit %d", bytes, limit)
	}
	var halves int
	if err := k.db.QueryRowContext(t.Context(), "SELECT count(*) FROM (SELECT trace FROM records GROUP BY trace HAVING count(*) <> 2)").Scan(&halves); err != nil {
		t.Fatal(err)
	}
	if halves != 0 {
		t.Errorf("%d traces are kept in part", halves)
	}
	again := newStore(t, 0)
	if err := again.Restore(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if row := again.List(nil, "", 1).Traces[0]; row.Path != "/599" {
		t.Errorf("the newest trace is %s", row.Path)
	}
}

// TestOpenSQLiteFaults: a file of others, or of a later program, is left alone.
func TestOpenSQLiteFaults(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	made := func(name, statement string) string {
		path := filepath.Join(folder, name)
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, path := range []string{
		text, made("other", "CREATE TABLE x (y)"), made("later", "PRAGMA user_version = 9"), filepath.Join(folder, "none", "db"), folder,
	} {
		if k, err := OpenSQLite(t.Context(), path, 0); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", path, k, err)
		}
	}
}

// failing is a keeper that cannot write.
type failing struct{ *SQLite }

func (failing) Put(context.Context, []Record) error { return errors.New("the disk is full") }

// TestKeepFails: the store says so, and what could not be written is written later.
func TestKeepFails(t *testing.T) {
	k := openFile(t, filepath.Join(t.TempDir(), "db"), 0)
	s := newStore(t, 0)
	request{}.add(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Keep(ctx, failing{k}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if fault := s.State().Fault; fault != "the disk is full" {
		t.Errorf("fault %q", fault)
	}
	keepOnce(t, s, k)
	if rows := count(t, k); rows != 1 {
		t.Errorf("%d records, want 1", rows)
	}
}
