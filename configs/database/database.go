// Package database keeps configuration entities where they outlive the program.
//
// Entities are Objects that a Schema has checked: every default present, ids and times set. The databases see to
// what needs a look at other entities: unique fields, references, cascades.
//
// There are three: OpenSQLite (a file), OpenPostgres (shared by several sidecars) and Memory (a configuration that was
// read from files, which cannot be written). Two kinds have a field that is more than it seems:
//
//   - certificates have snis, the sorted names of the SNIs that refer to them. Insert and Update make and remove those
//     SNIs; an object without the field leaves them alone. Kong: kong/db/dao/certificates.lua
//   - keyauth_credentials have ttl, in seconds: what was given when they are written, what is left when they are read.
//     After that time they are gone. 0 and null are for ever. In a Document it counts from created_at.
package database

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// DB is one database. Its methods are safe for use by several goroutines and see their context's end. Objects that
// they return belong to the caller, those of Document are for reading alone. Ids are stored in lower case, in whatever
// case they are given.
//
// kind is the entity's plural as Kong's tables have it: services, routes, plugins, consumers, upstreams, targets,
// certificates, ca_certificates, snis, keyauth_credentials, basicauth_credentials.
type DB interface {
	// Get finds an entity by its id, nil if there is none.
	Get(ctx context.Context, kind, id string) (entity.Object, error)
	// Find finds an entity by a unique field other than its id (name, username, custom_id, key, …), nil if there is none.
	Find(ctx context.Context, kind, field, value string) (entity.Object, error)
	// List gives a page of entities in the order of their ids. next is where the following page begins, "" after the
	// last. An offset that is none of ours is an *OffsetError.
	List(ctx context.Context, kind string, q Query) (items []entity.Object, next string, err error)
	// Tagged gives a page of what carries a tag, or with tag "" any: all pairs of entity and tag.
	Tagged(ctx context.Context, tag string, size int, offset string) (items []Tagged, next string, err error)

	// Insert writes a new entity. Where its id or a unique field is taken: *UniqueError; where a reference leads
	// nowhere: *ReferenceError.
	Insert(ctx context.Context, kind string, object entity.Object) error
	// Update calls change with what is there (nil if nothing) and writes what it returns in the same transaction; an
	// error of change's ends it and comes back as it is. created tells whether there was nothing before. What it
	// returns must have that id. change may read from the database, and then sees what was there before the
	// transaction; it must not write.
	Update(ctx context.Context, kind, id string, change func(old entity.Object) (entity.Object, error)) (created bool, err error)
	// Delete removes an entity and what belongs to it, as Kong does. Where something refers to it that must not be
	// left alone: *ReferencedError. found is false where there was none.
	Delete(ctx context.Context, kind, id string) (found bool, err error)

	// Document is everything, as one consistent picture, with the number of its version, which grows with each change.
	Document(ctx context.Context) (document *declarative.Document, version int64, err error)
	// Watch calls changed once when it begins and after every change by whomever, until ctx ends; several changes may
	// be one call. Where changed fails it is called again, soon. Watch goes on through an outage, and tells of one by
	// calling reachable with the error, and with nil afterwards. Both are called on Watch's own goroutine. It returns
	// ctx's error.
	Watch(ctx context.Context, changed func() error, reachable func(error)) error

	// System is db.system of OpenTelemetry's conventions: sqlite or postgresql, "" for Memory.
	System() string
	Close() error
}

// Query says which entities to list.
type Query struct {
	Field, ID string   // those whose reference Field (service, route, consumer, upstream, certificate) is ID
	Tags      []string // those that carry all of the tags, or with AnyTag one of them
	AnyTag    bool
	Size      int // at most; 0 is 100
	Offset    string
}

// Tagged is one tag of one entity. Kong: kong/db/dao/tags.lua
type Tagged struct{ EntityName, EntityID, Tag string }

// OffsetError says that an offset is not one that List or Tagged gave. Kong: kong/db/errors.lua invalid_offset
type OffsetError struct{ Offset, Reason string }

func (e *OffsetError) Error() string {
	return fmt.Sprintf("'%s' is not a valid offset: %s", e.Offset, e.Reason)
}

// ErrUnreachable is wrapped by errors that mean that the database cannot be asked, or cannot write, now.
var ErrUnreachable = errors.New("database unreachable")

// ErrReadOnly is what Memory answers to every write.
var ErrReadOnly = errors.New("the configuration comes from files, not from a database")

// UniqueError says that a value that only one entity may have is taken.
type UniqueError struct {
	Kind string
	// Fields are the field or fields with the value that is taken: {"id": …} where it is the id, {"name": …}, or all
	// parts of a combination, null where they are not set: {"upstream": {"id": …}, "target": …} for targets and
	// {"name": …, "route": …, "service": …, "consumer": …} for plugins. The value may be a secret.
	Fields entity.Object
}

// Error names the fields, not their values.
func (e *UniqueError) Error() string {
	return fmt.Sprintf("%s: %s is taken", e.Kind, strings.Join(slices.Sorted(maps.Keys(e.Fields)), ", "))
}

// ReferenceError says that a reference leads nowhere.
type ReferenceError struct {
	Kind, Field string
	ID          string
}

func (e *ReferenceError) Error() string {
	return fmt.Sprintf("%s: its %s %s does not exist", e.Kind, e.Field, e.ID)
}

// ReferencedError says that an entity cannot be removed while another kind refers to it. ID is one that does.
type ReferencedError struct{ Kind, By, ID string }

func (e *ReferencedError) Error() string {
	return fmt.Sprintf("an existing '%s' entity references this '%s' entity", e.By, e.Kind)
}
