package declarative

import (
	"fmt"
	"slices"
	"strings"

	"sidekong/configs/entity"
)

// builder turns the values of all inputs into a Document.
type builder struct {
	*report
	schemas *entity.Schemas
	pause   func()

	items      map[*kind][]*item
	byID       map[*kind]map[string]*item
	byKey      map[*kind]map[string]*item
	others     map[string][]*unserved
	unhonoured map[*Unhonoured]*tally
	tallies    map[string]*tally // by kind of what is not served
	twins      map[string]int    // how often the same content has asked for an id
	values     int               // in all items, with defaults and shared configs filled in
	manifests  manifests
}

// tally is the first of several places that share a warning.
type tally struct {
	at    Position
	count int
}

func (t *tally) more() string {
	if t.count == 1 {
		return ""
	}
	return fmt.Sprintf(" (%d times)", t.count)
}

// item is an entity on its way from the file into the document.
type item struct {
	kind    *kind
	file    *file
	path    string // services[0].routes[1]
	at      Position
	own     *value // its fields, without nested entities and what is for the reader alone
	parent  *item
	object  entity.Object
	id      string
	givenID bool   // the id was written
	group   *value // what a plugin of a consumer group has in that field
}

// unserved is an entity of a kind that is not served.
type unserved struct {
	Entity
	parent *item
}

func newBuilder(r *report, options Options) *builder {
	b := &builder{
		report: r, schemas: options.Schemas, pause: options.Pause,
		items: map[*kind][]*item{}, byID: map[*kind]map[string]*item{}, byKey: map[*kind]map[string]*item{},
		others: map[string][]*unserved{}, unhonoured: map[*Unhonoured]*tally{}, tallies: map[string]*tally{},
		twins: map[string]int{},
	}
	for _, k := range kinds {
		b.byID[k], b.byKey[k] = map[string]*item{}, map[string]*item{}
	}
	return b
}

// collect gathers a list of entities and what is nested in them.
func (b *builder) collect(f *file, k *kind, list *value, path string, parent *item) {
	if list.isNull() {
		return
	}
	if list.shape != listShape {
		b.fault(list.at, path, "expected a list of %s, found %s", k.name, list.describe())
		return
	}
	for i, v := range list.items {
		if b.values > maxValues {
			return // the fault is reported
		}
		path := index(path, i)
		if _, ok := v.text(); ok && k.name == "snis" && parent != nil {
			// The short form of names under a certificate.
			v = &value{at: v.at, shape: mapShape, fields: []field{{name: "name", at: v.at, val: v}}}
		}
		if v.shape != mapShape {
			b.fault(v.at, path, "expected %s as a map, found %s", article(k.one), v.describe())
			continue
		}
		b.pause()
		it := b.add(f, k, v, path, parent)
		if it == nil {
			return
		}
		for _, entry := range v.fields {
			if _, ok := k.children[entry.name]; ok {
				b.collect(f, kindByName[entry.name], entry.val, member(path, entry.name), it)
			} else if k.nests(entry.name) {
				b.other(entry.name, entry, member(path, entry.name), it)
			}
		}
	}
}

// add takes an entity in, or gives nil where there is no room for it.
func (b *builder) add(f *file, k *kind, v *value, path string, parent *item) *item {
	if b.values > maxValues {
		return nil // the fault is reported
	}
	it := &item{kind: k, file: f, path: path, at: v.at, parent: parent}
	it.own = &value{at: v.at, shape: mapShape, fields: f.withDefaults(k, b.ownFields(it, v))}
	if b.values += it.own.expandedSize(); b.values > maxValues {
		b.fault(it.at, path, "aliases, references to plugins, _info.defaults and _plugin_configs expand to more than %d values", maxValues)
		return nil
	}
	b.items[k] = append(b.items[k], it)
	return it
}

// ownFields is an entity's fields without those of the reader.
func (b *builder) ownFields(it *item, v *value) []field {
	fields := make([]field, 0, len(v.fields))
	for _, entry := range v.fields {
		switch path := member(it.path, entry.name); {
		case it.kind.nests(entry.name):
		case entry.name == "_comment":
			if _, ok := entry.val.text(); !ok && !entry.val.isNull() {
				b.fault(entry.val.at, path, "expected a string, found %s", entry.val.describe())
			}
		case entry.name == "_ignore":
			if !entry.val.isNull() && entry.val.shape != listShape {
				b.fault(entry.val.at, path, "expected a list, found %s", entry.val.describe())
			}
		case entry.name == "ws_id": // Kong's exports have it; there is one workspace
		case it.kind.name == "plugins" && entry.name == "_config":
			fields = b.sharedConfig(it, fields, v, entry)
		case it.kind.name == "plugins" && entry.name == "consumer_group":
			if !entry.val.isNull() {
				it.group = entry.val
			}
		case it.kind.name == "plugins" && entry.name == "config" && hasField(v, "_config"):
			// sharedConfig has taken it
		default:
			fields = append(fields, entry)
		}
	}
	return fields
}

func hasField(v *value, name string) bool {
	_, ok := v.field(name)
	return ok
}

// sharedConfig joins a plugin's config with the one of _plugin_configs that it names. Its own fields win.
//
// decK: go-database-reconciler pkg/file/builder.go
func (b *builder) sharedConfig(it *item, fields []field, v *value, source field) []field {
	path := member(it.path, "_config")
	name, _ := source.val.text()
	shared := b.mapOf(it.file.configs.orEmpty(), name, "_plugin_configs")
	if shared == nil {
		hint := ""
		if len(b.faults) <= hinted {
			hint = "; " + choice(name, it.file.configs.orEmpty().names())
		}
		b.fault(source.val.at, path, "no such entry in _plugin_configs%s", hint)
		shared = &value{}
	}
	own, written := v.field("config")
	if written && !own.val.isNull() && own.val.shape != mapShape {
		return append(fields, own) // the schema says what is wrong with it
	}
	joined := &value{at: source.val.at, shape: mapShape}
	if written {
		joined.at = own.val.at
		joined.fields = slices.Clone(own.val.fields)
	}
	for _, s := range shared.fields {
		if !hasField(own.val, s.name) {
			joined.fields = append(joined.fields, s)
		}
	}
	return append(fields, field{name: "config", at: source.at, val: joined})
}

// other keeps entities that are not served, and counts them for one warning by kind.
func (b *builder) other(name string, entry field, path string, parent *item) {
	if entry.val.isNull() {
		return
	}
	if entry.val.shape != listShape {
		b.fault(entry.val.at, path, "expected a list, found %s", entry.val.describe())
		return
	}
	for i, v := range entry.val.items {
		if v.shape != mapShape {
			b.fault(v.at, index(path, i), "expected a map, found %s", v.describe())
			continue
		}
		object, _ := v.plain().(entity.Object)
		b.others[name] = append(b.others[name], &unserved{Entity{Object: object, Position: v.at}, parent})
		if t := b.tallies[name]; t != nil {
			t.count++
		} else {
			b.tallies[name] = &tally{at: entry.at, count: 1}
		}
	}
}

// build gives ids, resolves references, checks every entity and then the whole.
func (b *builder) build() *Document {
	b.translate()
	if b.values > maxValues {
		return nil
	}
	for _, k := range kinds {
		for _, it := range b.items[k] {
			b.pause()
			b.prepare(it)
		}
	}
	document := &Document{Entities: map[string][]Entity{}, Others: map[string][]Entity{}}
	for name, list := range b.others {
		for _, other := range list {
			if other.parent != nil { // written flat it needs a reference
				other.Object[other.parent.kind.one] = other.parent.id
			}
			document.Others[name] = append(document.Others[name], other.Entity)
		}
	}
	for _, k := range kinds {
		unique := newUniqueness(b, k)
		for _, it := range b.items[k] {
			b.pause()
			b.resolve(it)
			checked, served := b.check(it)
			if checked == nil {
				unique.add(it, it.object)
				continue
			}
			unique.add(it, checked)
			if !served {
				document.Others[k.name] = append(document.Others[k.name], Entity{Object: checked, Position: it.at})
				continue
			}
			document.Entities[k.name] = append(document.Entities[k.name], Entity{Object: checked, Position: it.at})
			b.noteUnhonoured(it)
		}
	}
	b.checkCAs()
	for name, t := range b.tallies {
		b.warn(t.at, "%s%s: not served by Sidekong; %s", name, t.more(), others[name].kong)
	}
	for u, t := range b.unhonoured {
		b.warn(t.at, "%s.%s%s: not honoured by Sidekong; %s", u.Kind, u.Field, t.more(), u.Says)
	}
	return document
}

// prepare makes an item's object and id, and enters it among those that references may name.
func (b *builder) prepare(it *item) {
	it.object, _ = it.own.plain().(entity.Object)
	if it.kind.name == "routes" && (it.file.version == "1.1" || it.file.version == "2.1") {
		if paths, ok := it.object["paths"].([]any); ok {
			for i := range paths {
				if path, ok := paths[i].(string); ok {
					paths[i] = migratePath(path)
				}
			}
		}
	}
	if it.object["id"] == nil {
		delete(it.object, "id")
	}
	it.id, it.givenID = it.object["id"].(string)
	if !it.givenID {
		it.id = b.identify(it)
		if _, ok := it.object["id"]; !ok {
			it.object["id"] = it.id
		}
	}
	if first, taken := b.byID[it.kind][it.id]; !taken {
		b.byID[it.kind][it.id] = it
	} else if it.givenID || first.givenID {
		b.fault(it.where("id"), member(it.path, "id"),
			"uniqueness violation: '%s' entity with primary key set to '%s' already declared at %s", it.kind.name, it.id, first.at)
	} // else both have the same key, which uniqueness reports
	if key, ok := it.object[it.kind.key].(string); ok && it.kind.name != "targets" {
		if _, taken := b.byKey[it.kind][key]; !taken {
			b.byKey[it.kind][key] = it
		}
	}
}

// where is the place of a field's value, or of the entity if it has no such field.
func (it *item) where(name string) Position {
	if f, ok := it.own.field(name); ok {
		return f.val.at
	}
	return it.at
}

// noteUnhonoured counts fields whose wishes are not followed.
func (b *builder) noteUnhonoured(it *item) {
	for i := range NotHonoured {
		u := &NotHonoured[i]
		if u.Kind != it.kind.name || !u.When(it.object[u.Field]) {
			continue
		}
		if t := b.unhonoured[u]; t != nil {
			t.count++
		} else {
			b.unhonoured[u] = &tally{at: it.where(u.Field), count: 1}
		}
	}
}

// canonical is an object as text that is the same whenever its content is.
func canonical(object entity.Object) string {
	return string(entity.AppendJSON(nil, object))
}

func article(noun string) string {
	if strings.IndexByte("aeiouS", noun[0]) >= 0 {
		return "an " + noun
	}
	return "a " + noun
}
