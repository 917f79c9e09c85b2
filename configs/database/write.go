package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"sidekong/configs/entity"
)

// writer is one transaction that writes.
type writer struct {
	*sqlDB
	ctx context.Context // of the method that the transaction is in
	tx  *sql.Tx
}

const (
	countChange  = `UPDATE sidekong_state SET version = version + 1 WHERE schema_version <= $1`
	purgeExpired = `DELETE FROM sidekong_entities WHERE expires_at <= $1`
)

// errUnchanged ends a transaction that had nothing to do.
var errUnchanged = errors.New("nothing to change")

// change runs one transaction that writes.
func (d *sqlDB) change(ctx context.Context, what string, write func(*writer) error) error {
	var refused error // by write, for a reason of its own
	limited, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	err := d.transaction(limited, func(ctx context.Context, tx *sql.Tx) error {
		if d.begin != "" {
			if _, err := tx.ExecContext(ctx, d.begin); err != nil {
				return err
			}
		}
		result, err := tx.ExecContext(ctx, countChange, len(migrations))
		if err != nil {
			return err
		}
		switch n, err := result.RowsAffected(); {
		case err != nil:
			return err
		case n == 0:
			refused = errors.New("a newer Sidekong has migrated the database; this one can only read")
			return refused
		}
		if err := exec(ctx, tx, purgeExpired, d.now().UnixMilli()); err != nil {
			return err
		}
		w := &writer{d, ctx, tx}
		if err := write(w); err != nil {
			var failure *failure
			if !errors.As(err, &failure) {
				refused = err
			}
			return err
		}
		if d.notify != "" {
			return exec(ctx, tx, d.notify)
		}
		return nil
	})
	switch {
	case err == nil:
		d.changed.send()
		return nil
	case errors.Is(refused, errUnchanged):
		return nil
	case refused != nil:
		return refused
	}
	return d.failed(ctx, what, err)
}

// failure marks an error of the database, as opposed to a refusal.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failing(err error) error {
	if err == nil {
		return nil
	}
	return &failure{err}
}

// transaction waits for its turn and runs do, all of whose changes hold or none.
func (d *sqlDB) transaction(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	select {
	case d.writing <- struct{}{}:
		defer func() { <-d.writing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after Commit
	if err := do(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (d *sqlDB) Insert(ctx context.Context, kind string, object entity.Object) error {
	k, err := d.model.kind(kind)
	if err != nil {
		return err
	}
	return d.change(ctx, "insert into "+kind, func(w *writer) error { return w.insert(k, object) })
}

func (d *sqlDB) Update(ctx context.Context, kind, id string, change func(entity.Object) (entity.Object, error)) (created bool, err error) {
	k, err := d.model.kind(kind)
	if err != nil {
		return false, err
	}
	id = strings.ToLower(id)
	err = d.change(ctx, "update "+kind, func(w *writer) error {
		found, err := d.get(w.ctx, w.tx, k, id)
		if err != nil {
			return failing(err)
		}
		if len(found) == 0 {
			created = true
			found = []entity.Object{nil}
		}
		object, err := change(found[0])
		if err != nil {
			return err
		}
		if idOf(object) != id {
			return fmt.Errorf("update %s: the id changes from %s to %s", kind, id, idOf(object))
		}
		if created {
			return w.insert(k, object)
		}
		return w.replace(k, object)
	})
	return created && err == nil, err
}

func (d *sqlDB) Delete(ctx context.Context, kind, id string) (found bool, err error) {
	k, err := d.model.kind(kind)
	if err != nil {
		return false, err
	}
	err = d.change(ctx, "delete from "+kind, func(w *writer) error {
		objects, err := d.get(w.ctx, w.tx, k, strings.ToLower(id))
		if err != nil {
			return failing(err)
		}
		if found = len(objects) > 0; !found {
			return errUnchanged
		}
		return w.remove(k, strings.ToLower(id))
	})
	return found && err == nil, err
}

func (w *writer) exec(statement string, args ...any) error {
	return failing(exec(w.ctx, w.tx, statement, args...))
}

func (w *writer) column(statement string, args ...any) ([]string, error) {
	values, err := column(w.ctx, w.tx, statement, args...)
	return values, failing(err)
}

func (w *writer) insert(k *collection, object entity.Object) error {
	stored := k.stored(object)
	id := idOf(stored)
	taken, err := w.exists(k.name, id)
	if err != nil {
		return err
	}
	if taken {
		return &UniqueError{k.name, entity.Object{"id": id}}
	}
	if err := w.check(k, stored); err != nil {
		return err
	}
	document, expires, err := w.encode(k, stored, object)
	if err != nil {
		return err
	}
	err = w.exec(`INSERT INTO sidekong_entities (kind, id, document, expires_at) VALUES ($1, $2, $3, $4)`, k.name, id, document, expires)
	if err != nil {
		return err
	}
	if err := w.index(k, stored); err != nil {
		return err
	}
	return w.name(k, object)
}

func (w *writer) replace(k *collection, object entity.Object) error {
	stored := k.stored(object)
	id := idOf(stored)
	if err := w.check(k, stored); err != nil {
		return err
	}
	document, expires, err := w.encode(k, stored, object)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		`DELETE FROM sidekong_uniques WHERE kind = $1 AND id = $2`,
		`DELETE FROM sidekong_references WHERE kind = $1 AND id = $2`,
		`DELETE FROM sidekong_tags WHERE kind = $1 AND id = $2`,
	} {
		if err := w.exec(statement, k.name, id); err != nil {
			return err
		}
	}
	err = w.exec(`UPDATE sidekong_entities SET document = $3, expires_at = $4 WHERE kind = $1 AND id = $2`, k.name, id, document, expires)
	if err != nil {
		return err
	}
	if err := w.index(k, stored); err != nil {
		return err
	}
	return w.name(k, object)
}

// encode writes a document, and when it is to be gone.
func (w *writer) encode(k *collection, stored, object entity.Object) (document string, expires sql.NullInt64, err error) {
	text, err := json.Marshal(stored)
	if err != nil {
		return "", expires, fmt.Errorf("encode %s: %w", k.name, err)
	}
	if ttl, ok := object["ttl"].(float64); ok && ttl > 0 && k.name == "keyauth_credentials" {
		expires = sql.NullInt64{Valid: true, Int64: w.now().UnixMilli() + int64(ttl*1000)}
	}
	return string(text), expires, nil
}

func (w *writer) exists(kind, id string) (bool, error) {
	found, err := w.column(`SELECT id FROM sidekong_entities WHERE kind = $1 AND id = $2`, kind, id)
	return len(found) > 0, err
}

// check wants unique values that no other entity has, and references that lead somewhere.
func (w *writer) check(k *collection, stored entity.Object) error {
	for _, c := range k.claims(stored) {
		owners, err := w.column(`SELECT id FROM sidekong_uniques WHERE kind = $1 AND field = $2 AND digest = $3`, k.name, c.field, c.digest)
		if err != nil {
			return err
		}
		if len(owners) > 0 && owners[0] != idOf(stored) {
			return &UniqueError{k.name, c.fields}
		}
	}
	for _, l := range k.links(stored) {
		found, err := w.exists(l.to, l.id)
		if err != nil {
			return err
		}
		if !found {
			return &ReferenceError{Kind: k.name, Field: l.field, ID: l.id}
		}
	}
	return nil
}

// index enters an entity under what it is found by.
func (w *writer) index(k *collection, stored entity.Object) error {
	id := idOf(stored)
	for _, c := range k.claims(stored) {
		err := w.exec(`INSERT INTO sidekong_uniques (kind, field, digest, id) VALUES ($1, $2, $3, $4)`, k.name, c.field, c.digest, id)
		if err != nil {
			return err
		}
	}
	for _, l := range k.links(stored) {
		err := w.exec(`INSERT INTO sidekong_references (kind, field, to_kind, to_id, id) VALUES ($1, $2, $3, $4, $5)`,
			k.name, l.field, l.to, l.id, id)
		if err != nil {
			return err
		}
	}
	for _, tag := range tagsOf(stored) {
		err := w.exec(`INSERT INTO sidekong_tags (id, kind, digest, tag) VALUES ($1, $2, $3, $4)`, id, k.name, digest(tag), tag)
		if err != nil {
			return err
		}
	}
	return nil
}

// remove deletes an entity and what belongs to it.
func (w *writer) remove(k *collection, id string) error {
	type dependant struct{ kind, field, id string }
	var dependants []dependant
	err := query(w.ctx, w.tx, `SELECT kind, field, id FROM sidekong_references WHERE to_kind = $1 AND to_id = $2 ORDER BY kind, id`,
		[]any{k.name, id}, func(rows *sql.Rows) error {
			var d dependant
			err := rows.Scan(&d.kind, &d.field, &d.id)
			dependants = append(dependants, d)
			return err
		})
	if err != nil {
		return failing(err)
	}
	for _, d := range dependants {
		if !slices.Contains(belongs[d.kind], d.field) {
			return &ReferencedError{k.name, d.kind, d.id}
		}
	}
	if k.name == "ca_certificates" {
		if err := w.trusted(id); err != nil {
			return err
		}
	}
	for _, d := range dependants {
		dependant, err := w.model.kind(d.kind)
		if err != nil {
			return err
		}
		if err := w.remove(dependant, d.id); err != nil {
			return err
		}
	}
	return w.exec(`DELETE FROM sidekong_entities WHERE kind = $1 AND id = $2`, k.name, id)
}

// trusted refuses to remove a CA certificate that a service names.
func (w *writer) trusted(id string) error {
	documents, err := w.column(`SELECT document FROM sidekong_entities WHERE kind = 'services' AND LOWER(document) LIKE $1 ORDER BY id`, "%"+id+"%")
	if err != nil {
		return err
	}
	for _, document := range documents {
		service, err := decode(w.model["services"], "", document)
		if err != nil {
			return err
		}
		if usesAuthority(service, id) {
			return &ReferencedError{"ca_certificates", "services", idOf(service)}
		}
	}
	return nil
}

// name gives a certificate the SNIs that its snis list. Kong: kong/db/dao/snis.lua update_list
func (w *writer) name(k *collection, certificate entity.Object) error {
	wanted, given := wantedNames(certificate)
	if k.name != "certificates" || !given {
		return nil
	}
	snis := w.model["snis"]
	id := idOf(certificate)
	found, err := w.objects(w.ctx, w.tx, snis, `SELECT e.id, e.document, e.expires_at FROM sidekong_references r
		JOIN sidekong_entities e ON e.kind = r.kind AND e.id = r.id
		WHERE r.kind = 'snis' AND r.field = 'certificate' AND r.to_id = $1 ORDER BY e.id`, id)
	if err != nil {
		return failing(err)
	}
	for _, sni := range found {
		name, _ := sni["name"].(string)
		if i := slices.Index(wanted, name); i >= 0 {
			wanted = slices.Delete(wanted, i, i+1)
		} else if err := w.remove(snis, idOf(sni)); err != nil {
			return err
		}
	}
	for _, name := range wanted {
		sni, err := newSNI(snis.schema, name, id, w.now().Unix())
		if err != nil {
			return err
		}
		if err := w.insert(snis, sni); err != nil {
			return err
		}
	}
	return nil
}

func newSNI(schema *entity.Schema, name, certificate string, now int64) (entity.Object, error) {
	sni, err := schema.Insert(entity.Object{"name": name, "certificate": entity.Object{"id": certificate}})
	if err != nil {
		return nil, err
	}
	sni["id"] = uuid.NewString()
	sni["created_at"], sni["updated_at"] = float64(now), float64(now)
	return sni, nil
}
