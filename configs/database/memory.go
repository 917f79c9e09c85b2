package database

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// Memory is a DB without a database: a document, as it was read from files. All writes answer ErrReadOnly; Replace puts
// another document in its place.
type Memory struct {
	model     model
	replacing sync.Mutex
	current   atomic.Pointer[picture]
	replaced  signal
}

// picture is a document with what its entities are found by, which is made when the first is looked for: few files of
// thousands of entities are ever looked at in this way, and each of their changes makes a picture.
type picture struct {
	document *declarative.Document
	version  int64

	indexing sync.Once
	sorted   map[string][]entity.Object          // by kind, in the order of ids
	byID     map[string]map[string]entity.Object // by kind
	unique   map[string]entity.Object            // by kind, field and digest
	tagged   []Tagged                            // in order
}

// NewMemory makes a DB of a document, which it does not change.
func NewMemory(document *declarative.Document, schemas *entity.Schemas) *Memory {
	m := &Memory{model: newModel(schemas)}
	m.Replace(document)
	return m
}

// Replace puts another document in the place of the one before.
func (m *Memory) Replace(document *declarative.Document) {
	m.replacing.Lock()
	defer m.replacing.Unlock()
	next := &picture{document: document, version: 1}
	if old := m.current.Load(); old != nil {
		next.version = old.version + 1
	}
	m.current.Store(next)
	m.replaced.send()
}

// look gives the picture as it is now, with its index.
func (m *Memory) look() *picture {
	p := m.current.Load()
	p.indexing.Do(func() { p.index(m.model) })
	return p
}

func (p *picture) index(kinds model) {
	p.sorted, p.byID = map[string][]entity.Object{}, map[string]map[string]entity.Object{}
	p.unique = map[string]entity.Object{}
	document := p.document
	names := map[string][]string{} // of certificates
	for _, sni := range document.Objects("snis") {
		name, _ := sni["name"].(string)
		certificate, _ := sni["certificate"].(entity.Object)
		names[idOf(certificate)] = append(names[idOf(certificate)], name)
	}
	for name, k := range kinds {
		p.byID[name] = map[string]entity.Object{}
		objects := document.Objects(name)
		if name == "plugins" { // those that do not run can be looked at too
			for _, other := range document.Others[name] {
				objects = append(objects, other.Object)
			}
		}
		for _, object := range objects {
			id := idOf(object)
			if name == "certificates" {
				object = maps.Clone(object)
				object["snis"] = sortedNames(names[id])
			}
			p.sorted[name] = append(p.sorted[name], object)
			p.byID[name][id] = object
			for _, c := range k.claims(object) {
				p.unique[name+"\x00"+c.field+"\x00"+c.digest] = object
			}
			for _, tag := range tagsOf(object) {
				p.tagged = append(p.tagged, Tagged{EntityName: name, EntityID: id, Tag: tag})
			}
		}
		slices.SortFunc(p.sorted[name], func(a, b entity.Object) int { return strings.Compare(idOf(a), idOf(b)) })
	}
	slices.SortFunc(p.tagged, compareTagged)
}

func compareTagged(a, b Tagged) int {
	return slices.Compare([]string{a.EntityID, a.EntityName, a.Tag}, []string{b.EntityID, b.EntityName, b.Tag})
}

// Get is DB's.
func (m *Memory) Get(_ context.Context, kind, id string) (entity.Object, error) {
	if _, err := m.model.kind(kind); err != nil {
		return nil, err
	}
	return own(m.look().byID[kind][strings.ToLower(id)]), nil
}

// Find is DB's.
func (m *Memory) Find(ctx context.Context, kind, field, value string) (entity.Object, error) {
	if field == "id" {
		return m.Get(ctx, kind, value)
	}
	if _, err := m.model.kind(kind); err != nil {
		return nil, err
	}
	return own(m.look().unique[kind+"\x00"+field+"\x00"+digest(value)]), nil
}

// List is DB's.
func (m *Memory) List(_ context.Context, kind string, q Query) ([]entity.Object, string, error) {
	k, err := m.model.kind(kind)
	if err != nil {
		return nil, "", err
	}
	from, err := decodeOffset(q.Offset, 1)
	if err != nil {
		return nil, "", err
	}
	if q.Field != "" {
		if err := k.refers(q.Field); err != nil {
			return nil, "", err
		}
	}
	var items []entity.Object
	all := m.look().sorted[kind]
	begin, _ := slices.BinarySearchFunc(all, from[0], func(object entity.Object, id string) int { return strings.Compare(idOf(object), id) })
	for _, object := range all[begin:] {
		if !q.matches(object) {
			continue
		}
		if len(items) == q.size() {
			return items, encodeOffset(idOf(object)), nil
		}
		items = append(items, own(object))
	}
	return items, "", nil
}

func (q Query) matches(object entity.Object) bool {
	if q.Field != "" {
		if ref, _ := object[q.Field].(entity.Object); idOf(ref) != strings.ToLower(q.ID) {
			return false
		}
	}
	if len(q.Tags) == 0 {
		return true
	}
	tags := tagsOf(object)
	carried := func(tag string) bool { return slices.Contains(tags, tag) }
	if q.AnyTag {
		return slices.ContainsFunc(q.Tags, carried)
	}
	return !slices.ContainsFunc(q.Tags, func(tag string) bool { return !carried(tag) })
}

// Tagged is DB's.
func (m *Memory) Tagged(_ context.Context, tag string, size int, offset string) ([]Tagged, string, error) {
	from, err := decodeOffset(offset, 3)
	if err != nil {
		return nil, "", err
	}
	size = pageSize(size)
	all := m.look().tagged
	begin, _ := slices.BinarySearchFunc(all, Tagged{EntityID: from[0], EntityName: from[1], Tag: from[2]}, compareTagged)
	var items []Tagged
	for _, item := range all[begin:] {
		if tag != "" && item.Tag != tag {
			continue
		}
		if len(items) == size {
			return items, encodeOffset(item.EntityID, item.EntityName, item.Tag), nil
		}
		items = append(items, item)
	}
	return items, "", nil
}

// Insert answers ErrReadOnly.
func (m *Memory) Insert(context.Context, string, entity.Object) error { return ErrReadOnly }

// Update answers ErrReadOnly.
func (m *Memory) Update(context.Context, string, string, func(entity.Object) (entity.Object, error)) (bool, error) {
	return false, ErrReadOnly
}

// Delete answers ErrReadOnly.
func (m *Memory) Delete(context.Context, string, string) (bool, error) { return false, ErrReadOnly }

// Document is DB's.
func (m *Memory) Document(context.Context) (*declarative.Document, int64, error) {
	p := m.current.Load()
	return p.document, p.version, nil
}

// Watch is DB's: a change is a Replace. What changed returns does not matter: nothing here goes away.
func (m *Memory) Watch(ctx context.Context, changed func() error, _ func(error)) error {
	seen := int64(-1)
	for {
		replaced := m.replaced.wait()
		if version := m.current.Load().version; version != seen {
			seen = version
			_ = changed()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-replaced:
		}
	}
}

// System is "".
func (m *Memory) System() string { return "" }

// Close does nothing.
func (m *Memory) Close() error { return nil }

// own is a copy that its owner may change, nil of nil.
func own(object entity.Object) entity.Object {
	if object == nil {
		return nil
	}
	return ownValue(object).(entity.Object)
}

func ownValue(value any) any {
	switch value := value.(type) {
	case entity.Object:
		object := make(entity.Object, len(value))
		for name, item := range value {
			object[name] = ownValue(item)
		}
		return object
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = ownValue(item)
		}
		return list
	}
	return value
}
