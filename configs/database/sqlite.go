package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"sidekong/configs/entity"
)

const (
	sqliteReaders = 4
	sqlitePoll    = 250 * time.Millisecond
	sqliteTimeout = 5 * time.Second // to wait for another program that writes, too
)

// OpenSQLite opens a database that is a file, and makes it where there is none; its folder must be there. Only its
// owner may read it, for it holds keys. Several programs on one machine may share it.
//
// What is written is on the disk before a write returns. The log beside the file (-wal, -shm) belongs to it.
func OpenSQLite(ctx context.Context, path string, schemas *entity.Schemas) (DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	file.Close()
	open := func(connections int, lock string, pragmas ...string) (*sql.DB, error) {
		u := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
			"_txlock": {lock},
			"_pragma": append(pragmas,
				fmt.Sprintf("busy_timeout(%d)", sqliteTimeout.Milliseconds()),
				"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)", "trusted_schema(OFF)"),
		}.Encode()}
		db, err := sql.Open("sqlite", u.String())
		if err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		return db, nil
	}
	write, err := open(1, "immediate")
	if err != nil {
		return nil, err
	}
	read, err := open(sqliteReaders, "deferred", "query_only(ON)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	d := &sqlDB{
		dialect: dialect{
			system: "sqlite", text: "TEXT",
			tableExists: `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'sidekong_state'`,
			timeout:     sqliteTimeout, poll: sqlitePoll,
			unreachable: sqliteUnreachable,
		},
		model: newModel(schemas), read: read, write: write, writing: make(chan struct{}, 1), now: time.Now,
	}
	if err := write.PingContext(ctx); err != nil { // makes the file one of SQLite's, with a log
		return nil, errors.Join(d.failed(ctx, "open database", err), d.Close())
	}
	return d.opened(ctx)
}

// sqliteUnreachable says which errors may pass: another program writes for long, the disk is full or broken.
func sqliteUnreachable(err error) bool {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return errors.Is(err, sql.ErrConnDone)
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}
