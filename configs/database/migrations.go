package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// migrations lead from an empty database to today's, each from the one before. What was released is never changed.
//
// All entities are in one table, each as the JSON that a schema checked; beside them is what they are found by. A new
// field or a new kind needs no migration. Values are known by their SHA-256.
var migrations = []string{
	`
	CREATE TABLE sidekong_entities (
		kind       TEXT NOT NULL,
		id         TEXT NOT NULL,
		document   TEXT NOT NULL,
		expires_at BIGINT, -- milliseconds since 1970
		PRIMARY KEY (kind, id)
	);
	CREATE INDEX sidekong_entities_expiry ON sidekong_entities (expires_at) WHERE expires_at IS NOT NULL;

	CREATE TABLE sidekong_uniques (
		kind   TEXT NOT NULL,
		field  TEXT NOT NULL,
		digest TEXT NOT NULL,
		id     TEXT NOT NULL,
		PRIMARY KEY (kind, field, digest),
		FOREIGN KEY (kind, id) REFERENCES sidekong_entities (kind, id) ON DELETE CASCADE
	);
	CREATE INDEX sidekong_uniques_entity ON sidekong_uniques (kind, id);

	CREATE TABLE sidekong_references (
		kind    TEXT NOT NULL,
		field   TEXT NOT NULL,
		to_kind TEXT NOT NULL,
		to_id   TEXT NOT NULL,
		id      TEXT NOT NULL,
		PRIMARY KEY (kind, field, to_id, id),
		FOREIGN KEY (kind, id) REFERENCES sidekong_entities (kind, id) ON DELETE CASCADE,
		FOREIGN KEY (to_kind, to_id) REFERENCES sidekong_entities (kind, id)
	);
	CREATE INDEX sidekong_references_entity ON sidekong_references (kind, id);
	CREATE INDEX sidekong_references_to ON sidekong_references (to_kind, to_id);

	CREATE TABLE sidekong_tags (
		id     TEXT NOT NULL,
		kind   TEXT NOT NULL,
		digest TEXT NOT NULL,
		tag    TEXT NOT NULL,
		PRIMARY KEY (id, kind, digest),
		FOREIGN KEY (kind, id) REFERENCES sidekong_entities (kind, id) ON DELETE CASCADE
	);
	CREATE INDEX sidekong_tags_digest ON sidekong_tags (digest, id);
	`,
}

// state has one row: how far the migrations got, and the number of the last change.
const createState = `CREATE TABLE IF NOT EXISTS sidekong_state (
	one            BIGINT PRIMARY KEY CHECK (one = 1),
	schema_version BIGINT NOT NULL,
	version        BIGINT NOT NULL
)`

// errNewer says that another program has taken the database further than this one knows.
func errNewer(found int) error {
	return fmt.Errorf("the database has schema version %d, and this program knows versions up to %d: it was written by a newer Sidekong",
		found, len(migrations))
}

// opened is the last step of opening a database.
func (d *sqlDB) opened(ctx context.Context) (DB, error) {
	if err := d.migrate(ctx); err != nil {
		return nil, errors.Join(d.failed(ctx, "open database", err), d.Close())
	}
	return d, nil
}

// migrate brings the database to today's schema. Several programs may do so at once: one does it, the others wait.
func (d *sqlDB) migrate(ctx context.Context) error {
	switch found, err := d.schemaVersion(ctx); {
	case err != nil || found > len(migrations):
		return err
	case found == len(migrations):
		return nil
	}
	return d.transaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, statement := range d.prepare {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		const insertState = `INSERT INTO sidekong_state (one, schema_version, version) VALUES (1, 0, 0) ON CONFLICT DO NOTHING`
		for _, statement := range []string{createState, insertState} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		var found int
		if err := tx.QueryRowContext(ctx, selectSchemaVersion).Scan(&found); err != nil {
			return err
		}
		switch {
		case found > len(migrations):
			return errNewer(found)
		case found == len(migrations):
			return nil // another program was first
		}
		for i, migration := range migrations[found:] {
			for statement := range strings.SplitSeq(migration, ";\n") {
				if strings.TrimSpace(statement) == "" {
					continue
				}
				if _, err := tx.ExecContext(ctx, strings.ReplaceAll(statement, "TEXT", d.text)); err != nil {
					return fmt.Errorf("to schema version %d: %w", found+i+1, err)
				}
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE sidekong_state SET schema_version = $1, version = version + 1`, len(migrations))
		return err
	})
}

const selectSchemaVersion = `SELECT schema_version FROM sidekong_state`

// schemaVersion is 0 for a database that has never been migrated, and an error where it is newer than this program.
func (d *sqlDB) schemaVersion(ctx context.Context) (int, error) {
	var found int
	err := d.read.QueryRowContext(ctx, d.tableExists).Scan(&found)
	if err != nil || found == 0 {
		return 0, err
	}
	err = d.read.QueryRowContext(ctx, selectSchemaVersion).Scan(&found)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil
	case err == nil && found > len(migrations):
		return found, errNewer(found)
	}
	return found, err
}
