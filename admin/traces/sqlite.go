package traces

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

// sqliteFormat is the user_version of the files; a file of another one is refused.
const sqliteFormat = 1

const sqliteSchema = `
CREATE TABLE records (id INTEGER PRIMARY KEY, trace BLOB NOT NULL, kind INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX records_trace ON records (trace);
CREATE TABLE documents (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
PRAGMA user_version = 1;`

// SQLite keeps traces in a file of SQLite's. One process at a time writes to it.
type SQLite struct {
	db    *sql.DB
	name  string
	limit int64 // bytes of all bodies
	bytes int64 // as far as it is known: never less than there are
}

// OpenSQLite opens a file, and makes it where there is none: readable for its owner alone, since traces may hold what is
// nobody else's business. limit bounds the traces in it in bytes, 0: DefaultLimit.
func OpenSQLite(ctx context.Context, path string, limit int64) (*SQLite, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	k := &SQLite{name: path, limit: limit}
	if err := k.open(ctx, path); err != nil {
		_ = k.Close() // the first error says more
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return k, nil
}

func (k *SQLite) open(ctx context.Context, path string) error {
	full, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(full, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	file.Close()
	options := url.Values{"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)", "auto_vacuum(INCREMENTAL)"}}
	k.db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", Path: full, RawQuery: options.Encode()}).String())
	if err != nil {
		return err
	}
	k.db.SetMaxOpenConns(1)
	var format int
	if err := k.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&format); err != nil {
		return err
	}
	switch format {
	case 0:
		var tables int
		if err := k.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
			return err
		}
		if tables > 0 {
			return errors.New("it holds something else")
		}
		if _, err := k.db.ExecContext(ctx, sqliteSchema); err != nil {
			return err
		}
	case sqliteFormat:
	default:
		return fmt.Errorf("it is of format %d, this program knows %d", format, sqliteFormat)
	}
	return k.measure(ctx)
}

func (k *SQLite) measure(ctx context.Context) error {
	return k.db.QueryRowContext(ctx, "SELECT coalesce(sum(length(body)), 0) FROM records").Scan(&k.bytes)
}

// Name implements Keeper.
func (k *SQLite) Name() string { return k.name }

// Close implements Keeper.
func (k *SQLite) Close() error {
	if k.db == nil {
		return nil
	}
	return k.db.Close()
}

// Load implements Keeper.
func (k *SQLite) Load(ctx context.Context, take func(Record)) error {
	rows, err := k.db.QueryContext(ctx, "SELECT trace, kind, body FROM records ORDER BY id")
	if err != nil {
		return fmt.Errorf("load traces: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what went wrong
	for rows.Next() {
		var id, body []byte
		var kind uint8
		if err := rows.Scan(&id, &kind, &body); err != nil {
			return fmt.Errorf("load traces: %w", err)
		}
		if len(id) == 16 {
			take(Record{TraceID: [16]byte(id), Kind: kind, Body: body})
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("load traces: %w", err)
	}
	return nil
}

// Put implements Keeper.
func (k *SQLite) Put(ctx context.Context, records []Record) error {
	added := int64(0)
	err := k.transact(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT INTO records (trace, kind, body) VALUES (?, ?, ?)")
		if err != nil {
			return err
		}
		defer insert.Close() //nolint:errcheck // the transaction tells what went wrong
		for _, r := range records {
			if _, err := insert.ExecContext(ctx, r.TraceID[:], r.Kind, r.Body); err != nil {
				return err
			}
			added += int64(len(r.Body))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep traces: %w", err)
	}
	if k.bytes += added; k.bytes > k.limit {
		return k.trim(ctx)
	}
	return nil
}

// trim drops the oldest traces, a tenth more than is needed so that it need not be done each time.
func (k *SQLite) trim(ctx context.Context) error {
	excess := k.bytes - k.limit + k.limit/10
	err := k.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `
			DELETE FROM records WHERE trace IN (
				SELECT trace FROM (SELECT id, trace, sum(length(body)) OVER (ORDER BY id) AS upto FROM records)
				WHERE upto <= ?)`, excess)
		return err
	})
	if err == nil {
		_, err = k.db.ExecContext(ctx, "PRAGMA incremental_vacuum")
	}
	if err == nil {
		err = k.measure(ctx)
	}
	if err != nil {
		return fmt.Errorf("drop old traces: %w", err)
	}
	return nil
}

// Clear implements Keeper.
func (k *SQLite) Clear(ctx context.Context) error {
	if _, err := k.db.ExecContext(ctx, "DELETE FROM records"); err != nil {
		return fmt.Errorf("clear traces: %w", err)
	}
	k.bytes = 0
	return nil
}

// LoadDocument implements Keeper.
func (k *SQLite) LoadDocument(ctx context.Context, name string) (document []byte, err error) {
	err = k.db.QueryRowContext(ctx, "SELECT body FROM documents WHERE name = ?", name).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	return document, nil
}

// SaveDocument implements Keeper.
func (k *SQLite) SaveDocument(ctx context.Context, name string, document []byte) error {
	_, err := k.db.ExecContext(ctx, "INSERT INTO documents (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body", name, document)
	if err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	return nil
}

func (k *SQLite) transact(ctx context.Context, body func(*sql.Tx) error) error {
	tx, err := k.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := body(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
