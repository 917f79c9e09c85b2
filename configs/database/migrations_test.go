package database_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sidekong/configs/database"
)

func TestManyOpenAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		open := b.fresh(t)
		var nodes sync.WaitGroup
		dbs := make([]database.DB, 8)
		for i := range dbs {
			nodes.Go(func() { dbs[i] = open(t) })
		}
		nodes.Wait()
		for i, db := range dbs {
			if err := db.Insert(t.Context(), "consumers", consumer(t, 1+i)); err != nil {
				t.Errorf("node %d: %v", i, err)
			}
		}
		document, version, err := dbs[0].Document(t.Context())
		if err != nil || len(document.Entities["consumers"]) != len(dbs) || version != int64(1+len(dbs)) {
			t.Errorf("got %d consumers, version %d, %v", len(document.Entities["consumers"]), version, err)
		}
	})
}

// raw opens SQLite's file without our code.
func raw(t *testing.T, path string) *sql.DB {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sidekong.db")
	db, err := database.OpenSQLite(t.Context(), path, schemas)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Insert(t.Context(), "consumers", consumer(t, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, path).ExecContext(t.Context(), `UPDATE sidekong_state SET schema_version = 1000`); err != nil {
		t.Fatal(err)
	}
	const text = "the database has schema version 1000, and this program knows versions up to 1: it was written by a newer Sidekong"
	if again, err := database.OpenSQLite(t.Context(), path, schemas); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, %v, want %s", again, err, text)
	}
	// One that is open already reads on and writes no more.
	if got, err := db.Get(t.Context(), "consumers", id(1)); got == nil || err != nil {
		t.Errorf("get: %v, %v", got, err)
	}
	if err := db.Insert(t.Context(), "consumers", consumer(t, 2)); err == nil || !strings.Contains(err.Error(), "newer Sidekong") {
		t.Errorf("insert: %v", err)
	}
}

func TestOpenSQLiteRefuses(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, folder, filepath.Join(folder, "missing", "sidekong.db")} {
		if db, err := database.OpenSQLite(t.Context(), path, schemas); err == nil {
			db.Close()
			t.Errorf("%s was opened", path)
		}
	}
	content, err := os.ReadFile(text)
	if err != nil || !strings.HasPrefix(string(content), "no database") {
		t.Errorf("a file of another kind was changed: %q, %v", content, err)
	}
}

func TestOnlyTheOwnerReadsSQLitesFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sidekong.db")
	db, err := database.OpenSQLite(t.Context(), path, schemas)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Insert(t.Context(), "consumers", consumer(t, 1)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestContentOutlivesTheProgram(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		open := b.fresh(t)
		first := open(t)
		if err := first.Insert(t.Context(), "consumers", consumer(t, 1)); err != nil {
			t.Fatal(err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := open(t).Get(t.Context(), "consumers", id(1)); got == nil || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// A writer that holds the file for longer than we wait makes writes fail for now; reads go on.
func TestSQLiteIsBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sidekong.db")
	db, err := database.OpenSQLite(t.Context(), path, schemas)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	holder := raw(t, path)
	holder.SetMaxOpenConns(1)
	if _, err := holder.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Document(t.Context()); err != nil {
		t.Errorf("document: %v", err)
	}
	if err := db.Insert(t.Context(), "consumers", consumer(t, 1)); !unreachable(err) {
		t.Errorf("insert: %v", err)
	}
	if _, err := holder.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := db.Insert(t.Context(), "consumers", consumer(t, 1)); err != nil {
		t.Errorf("insert: %v", err)
	}
}
