package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// sqlDB is DB on a database that speaks SQL. All statements but those of a dialect are the same for all.
//
// One transaction writes at a time, whichever program it is of: its first statement counts up the version in
// sidekong_state, which locks that row. What it checks therefore stays true until it commits, and the version that a
// reader sees tells exactly which changes it sees.
type sqlDB struct {
	dialect
	model   model
	read    *sql.DB
	write   *sql.DB       // the same as read, unless writes need a connection of their own
	writing chan struct{} // holds the turn to write, so that waiting writers hold no connections
	changed signal        // by this program
	now     func() time.Time
}

// dialect is where databases differ.
type dialect struct {
	system      string
	text        string        // the type of texts that are compared byte by byte
	tableExists string        // counts the tables named sidekong_state
	prepare     []string      // what a migration begins with
	begin       string        // what a writing transaction begins with, or ""
	notify      string        // what tells others of a change, as part of it; "" where nothing does
	isolation   sql.TxOptions // of a transaction that reads one consistent picture
	timeout     time.Duration // of one operation
	poll        time.Duration // how often to look for changes by others that nothing tells of
	listen      func(ctx context.Context, heard func(works bool))
	unreachable func(error) bool
	close       func()
}

// documentTimeout bounds the read of everything.
const documentTimeout = time.Minute

func (d *sqlDB) System() string { return d.system }

func (d *sqlDB) Close() error {
	err := d.read.Close()
	if d.write != d.read {
		err = errors.Join(d.write.Close(), err)
	}
	if d.close != nil {
		d.close()
	}
	return err
}

// failed names what was tried and tells whether the database is away. Errors of drivers name statements and tables, no
// values.
func (d *sqlDB) failed(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	case d.unreachable(err) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w: %w", what, ErrUnreachable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// query runs a statement that gives rows and hands each to row.
func query(ctx context.Context, q querier, statement string, args []any, row func(*sql.Rows) error) (err error) {
	end := observed(ctx, statement)
	defer func() { end(err) }()
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what matters
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, statement string, args ...any) (*sql.Rows, error)
}

func exec(ctx context.Context, tx *sql.Tx, statement string, args ...any) (err error) {
	end := observed(ctx, statement)
	defer func() { end(err) }()
	_, err = tx.ExecContext(ctx, statement, args...)
	return err
}

// column collects the single text column of a statement.
func column(ctx context.Context, q querier, statement string, args ...any) ([]string, error) {
	var values []string
	err := query(ctx, q, statement, args, func(rows *sql.Rows) error {
		var value string
		err := rows.Scan(&value)
		values = append(values, value)
		return err
	})
	return values, err
}

const (
	// The first two are on spans: on one line.
	selectByID = "SELECT id, document, expires_at FROM sidekong_entities" +
		" WHERE kind = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)"
	selectByUnique = "SELECT e.id, e.document, e.expires_at FROM sidekong_uniques u" +
		" JOIN sidekong_entities e ON e.kind = u.kind AND e.id = u.id" +
		" WHERE u.kind = $1 AND u.field = $2 AND u.digest = $3 AND (e.expires_at IS NULL OR e.expires_at > $4)"
	selectNames = `SELECT r.to_id, e.document FROM sidekong_references r
		JOIN sidekong_entities e ON e.kind = r.kind AND e.id = r.id
		WHERE r.kind = 'snis' AND r.field = 'certificate' AND r.to_id >= $1 AND r.to_id <= $2`
)

func (d *sqlDB) Get(ctx context.Context, kind, id string) (entity.Object, error) {
	return d.one(ctx, kind, func(ctx context.Context, k *collection) ([]entity.Object, error) {
		return d.get(ctx, d.read, k, strings.ToLower(id))
	})
}

func (d *sqlDB) Find(ctx context.Context, kind, field, value string) (entity.Object, error) {
	if field == "id" {
		return d.Get(ctx, kind, value)
	}
	return d.one(ctx, kind, func(ctx context.Context, k *collection) ([]entity.Object, error) {
		return d.objects(ctx, d.read, k, selectByUnique, kind, field, digest(value), d.now().UnixMilli())
	})
}

// one reads what may be there.
func (d *sqlDB) one(ctx context.Context, name string, read func(context.Context, *collection) ([]entity.Object, error)) (entity.Object, error) {
	k, err := d.model.kind(name)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	objects, err := read(limited, k)
	if err != nil || len(objects) == 0 {
		return nil, d.failed(ctx, "read "+name, err)
	}
	return objects[0], nil
}

func (d *sqlDB) get(ctx context.Context, q querier, k *collection, id string) ([]entity.Object, error) {
	return d.objects(ctx, q, k, selectByID, k.name, id, d.now().UnixMilli())
}

// objects reads entities of one kind, in the order in which the statement gives them, sorted by id where it gives many.
func (d *sqlDB) objects(ctx context.Context, q querier, k *collection, statement string, args ...any) ([]entity.Object, error) {
	var objects []entity.Object
	err := query(ctx, q, statement, args, func(rows *sql.Rows) error {
		var id, document string
		var expires sql.NullInt64
		if err := rows.Scan(&id, &document, &expires); err != nil {
			return err
		}
		object, err := decode(k, id, document)
		if err != nil {
			return err
		}
		if k.name == "keyauth_credentials" {
			object["ttl"] = nil
			if expires.Valid {
				object["ttl"] = math.Ceil(float64(expires.Int64-d.now().UnixMilli()) / 1000)
			}
		}
		objects = append(objects, object)
		return nil
	})
	if err != nil || k.name != "certificates" || len(objects) == 0 {
		return objects, err
	}
	names := map[string][]string{}
	err = query(ctx, q, selectNames, []any{idOf(objects[0]), idOf(objects[len(objects)-1])}, func(rows *sql.Rows) error {
		var certificate, document string
		if err := rows.Scan(&certificate, &document); err != nil {
			return err
		}
		var sni struct{ Name string }
		err := json.Unmarshal([]byte(document), &sni)
		names[certificate] = append(names[certificate], sni.Name)
		return err
	})
	for _, object := range objects {
		object["snis"] = sortedNames(names[idOf(object)])
	}
	return objects, err
}

// decode reads a document, with defaults for what it lacks.
func decode(k *collection, id, document string) (entity.Object, error) {
	var object entity.Object
	if err := json.Unmarshal([]byte(document), &object); err != nil {
		return nil, fmt.Errorf("decode %s %s: %w", k.name, id, err)
	}
	k.schema.Complete(object)
	return object, nil
}

func (d *sqlDB) List(ctx context.Context, kind string, q Query) ([]entity.Object, string, error) {
	k, err := d.model.kind(kind)
	if err != nil {
		return nil, "", err
	}
	from, err := decodeOffset(q.Offset, 1)
	if err != nil {
		return nil, "", err
	}
	args := []any{kind, from[0], d.now().UnixMilli()}
	arg := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	statement := `SELECT e.id, e.document, e.expires_at FROM sidekong_entities e
		WHERE e.kind = $1 AND e.id >= $2 AND (e.expires_at IS NULL OR e.expires_at > $3)`
	if q.Field != "" {
		if err := k.refers(q.Field); err != nil {
			return nil, "", err
		}
		statement += ` AND e.id IN (SELECT r.id FROM sidekong_references r WHERE r.kind = $1 AND r.field = ` + arg(q.Field) +
			` AND r.to_id = ` + arg(strings.ToLower(q.ID)) + `)`
	}
	if len(q.Tags) > 0 {
		tags := slices.Compact(slices.Sorted(slices.Values(q.Tags)))
		digests := make([]string, len(tags))
		for i, tag := range tags {
			digests[i] = arg(digest(tag))
		}
		least := len(tags)
		if q.AnyTag {
			least = 1
		}
		statement += ` AND e.id IN (SELECT t.id FROM sidekong_tags t WHERE t.kind = $1 AND t.digest IN (` +
			strings.Join(digests, ", ") + `) GROUP BY t.id HAVING COUNT(*) >= ` + arg(least) + `)`
	}
	statement += ` ORDER BY e.id LIMIT ` + arg(q.size()+1)

	limited, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	objects, err := d.objects(limited, d.read, k, statement, args...)
	if err != nil {
		return nil, "", d.failed(ctx, "list "+kind, err)
	}
	if len(objects) <= q.size() {
		return objects, "", nil
	}
	return objects[:q.size()], encodeOffset(idOf(objects[q.size()])), nil
}

func (d *sqlDB) Tagged(ctx context.Context, tag string, size int, offset string) ([]Tagged, string, error) {
	from, err := decodeOffset(offset, 3)
	if err != nil {
		return nil, "", err
	}
	size = pageSize(size)
	statement := `SELECT t.kind, t.id, t.tag FROM sidekong_tags t
		JOIN sidekong_entities e ON e.kind = t.kind AND e.id = t.id
		WHERE (t.id, t.kind, t.tag) >= ($1, $2, $3) AND (e.expires_at IS NULL OR e.expires_at > $4)`
	args := []any{from[0], from[1], from[2], d.now().UnixMilli(), size + 1}
	if tag != "" {
		statement += ` AND t.digest = $6`
		args = append(args, digest(tag))
	}
	statement += ` ORDER BY t.id, t.kind, t.tag LIMIT $5`

	limited, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	var items []Tagged
	err = query(limited, d.read, statement, args, func(rows *sql.Rows) error {
		var item Tagged
		err := rows.Scan(&item.EntityName, &item.EntityID, &item.Tag)
		items = append(items, item)
		return err
	})
	if err != nil {
		return nil, "", d.failed(ctx, "list tags", err)
	}
	if len(items) <= size {
		return items, "", nil
	}
	next := items[size]
	return items[:size], encodeOffset(next.EntityID, next.EntityName, next.Tag), nil
}

const (
	selectVersion = `SELECT version FROM sidekong_state`
	selectAll     = `SELECT kind, id, document, expires_at FROM sidekong_entities
		WHERE expires_at IS NULL OR expires_at > $1 ORDER BY kind, id`
)

// version is the number of the last change.
func (d *sqlDB) version(ctx context.Context) (int64, error) {
	limited, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	version, err := versionIn(limited, d.read)
	return version, d.failed(ctx, "read version", err)
}

func versionIn(ctx context.Context, q querier) (int64, error) {
	version, found := int64(0), false
	err := query(ctx, q, selectVersion, nil, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&version)
	})
	if err == nil && !found {
		err = errors.New("sidekong_state has no row")
	}
	return version, err
}

// pauseKey is where a context has what WithPause gave it.
type pauseKey struct{}

// WithPause has Document call pause for every entity that it reads: it may take a rest, in which requests are served. It
// is not nil.
func WithPause(ctx context.Context, pause func()) context.Context {
	return context.WithValue(ctx, pauseKey{}, pause)
}

func (d *sqlDB) Document(ctx context.Context) (*declarative.Document, int64, error) {
	limited, cancel := context.WithTimeout(ctx, documentTimeout)
	defer cancel()
	document, version, err := d.document(limited)
	if err != nil {
		return nil, 0, d.failed(ctx, "read configuration", err)
	}
	return document, version, nil
}

func (d *sqlDB) document(ctx context.Context) (*declarative.Document, int64, error) {
	tx, err := d.read.BeginTx(ctx, &d.isolation)
	if err != nil {
		return nil, 0, err
	}
	defer tx.Rollback() //nolint:errcheck // it only read
	version, err := versionIn(ctx, tx)
	if err != nil {
		return nil, 0, err
	}
	pause, ok := ctx.Value(pauseKey{}).(func())
	if !ok {
		pause = func() {}
	}
	document := &declarative.Document{Entities: map[string][]declarative.Entity{}, Others: map[string][]declarative.Entity{}}
	err = query(ctx, tx, selectAll, []any{d.now().UnixMilli()}, func(rows *sql.Rows) error {
		pause()
		var name, id, text string
		var expires sql.NullInt64
		if err := rows.Scan(&name, &id, &text, &expires); err != nil {
			return err
		}
		k := d.model[name]
		if k == nil {
			return nil // of a program that serves more than this one
		}
		object, err := decode(k, id, text)
		if err != nil {
			return err
		}
		e := declarative.Entity{Object: object, Position: declarative.Position{File: d.system}}
		switch name {
		case "certificates":
			object["snis"] = []any{}
		case "keyauth_credentials":
			object["ttl"] = nil
			if created, ok := object["created_at"].(float64); ok && expires.Valid {
				object["ttl"] = math.Ceil(float64(expires.Int64)/1000 - created)
			}
		case "plugins":
			if plugin, _ := object["name"].(string); !known(k, plugin) {
				document.Others[name] = append(document.Others[name], e)
				return nil
			}
		}
		document.Entities[name] = append(document.Entities[name], e)
		return nil
	})
	return document, version, err
}

// known reports whether this program has the plugin's schema.
func known(plugins *collection, name string) bool {
	_, ok := plugins.schema.Variant(name)
	return ok
}
