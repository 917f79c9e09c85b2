// Package database keeps configuration entities where they outlive the program.
//
// Entities are Objects that a Schema has checked: every default present, ids and times set. The databases see to
// what needs a look at other entities: unique fields, references, cascades.
package database

import (
	"context"
	"errors"
	"fmt"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// DB is one database. Its methods are safe for use by several goroutines and see their context's end. kind is the
// entity's plural as Kong's tables have it: services, routes, plugins, consumers, upstreams, targets, certificates,
// ca_certificates, snis, keyauth_credentials, basicauth_credentials.
type DB interface {
	// Get finds an entity by its id, nil if there is none.
	Get(ctx context.Context, kind, id string) (entity.Object, error)
	// Find finds an entity by a unique field other than its id (name, username, custom_id, key, …), nil if there is none.
	Find(ctx context.Context, kind, field, value string) (entity.Object, error)
	// List gives a page of entities in the order of their ids. next is where the following page begins, "" after the
	// last. An offset that is none of ours is ErrOffset.
	List(ctx context.Context, kind string, q Query) (items []entity.Object, next string, err error)
	// Tagged gives a page of what carries a tag, or with tag "" any: all pairs of entity and tag.
	Tagged(ctx context.Context, tag string, size int, offset string) (items []Tagged, next string, err error)

	// Insert writes a new entity. Where its id or a unique field is taken: *UniqueError; where a reference leads
	// nowhere: *ReferenceError.
	Insert(ctx context.Context, kind string, object entity.Object) error
	// Update calls change with what is there (nil if nothing) and writes what it returns in the same transaction; an
	// error of change's ends it and comes back as it is. created tells whether there was nothing before.
	Update(ctx context.Context, kind, id string, change func(old entity.Object) (entity.Object, error)) (created bool, err error)
	// Delete removes an entity and what belongs to it, as Kong does. Where something refers to it that must not be
	// left alone: *ReferencedError. found is false where there was none.
	Delete(ctx context.Context, kind, id string) (found bool, err error)

	// Document is everything, as one consistent picture, with the number of its version, which grows with each change.
	Document(ctx context.Context) (document *declarative.Document, version int64, err error)
	// Watch calls changed after every change by whomever, until ctx ends; several changes may be one call. It goes on
	// through an outage, and tells of one by calling reachable with the error, and with nil afterwards.
	Watch(ctx context.Context, changed func(), reachable func(error)) error

	// System is db.system of OpenTelemetry's conventions: sqlite or postgresql.
	System() string
	Close() error
}

// Query says which entities to list.
type Query struct {
	Field, ID string   // those whose reference Field (service, route, consumer, upstream, certificate) is ID
	Tags      []string // those that carry all of the tags, or with AnyTag one of them
	AnyTag    bool
	Size      int // at most
	Offset    string
}

// Tagged is one tag of one entity. Kong: kong/db/dao/tags.lua
type Tagged struct{ EntityName, EntityID, Tag string }

// ErrOffset says that an offset is not one that List gave.
var ErrOffset = errors.New("invalid offset")

// ErrUnreachable is wrapped by errors that mean that the database cannot be asked now.
var ErrUnreachable = errors.New("database unreachable")

// UniqueError says that a value that only one entity may have is taken.
type UniqueError struct {
	Kind   string
	Fields entity.Object // the field or fields with the value that is taken
}

func (e *UniqueError) Error() string { return fmt.Sprintf("%s: %v is taken", e.Kind, e.Fields) }

// ReferenceError says that a reference leads nowhere.
type ReferenceError struct {
	Kind, Field string
	ID          string
}

func (e *ReferenceError) Error() string {
	return fmt.Sprintf("%s: its %s %s does not exist", e.Kind, e.Field, e.ID)
}

// ReferencedError says that an entity cannot be removed while another kind refers to it.
type ReferencedError struct{ Kind, By string }

func (e *ReferencedError) Error() string {
	return fmt.Sprintf("an existing '%s' entity references this '%s' entity", e.By, e.Kind)
}
