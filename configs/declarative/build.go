package declarative

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sidekong/configs/entity"
)

// builder turns the values of all inputs into a Document.
type builder struct {
	*report
	schemas *entity.Schemas

	items      map[*kind][]*item
	byID       map[*kind]map[string]*item
	byKey      map[*kind]map[string]*item
	others     map[string][]*unserved
	unhonoured map[*Unhonoured]*tally
	tallies    map[string]*tally // by kind of what is not served
	twins      map[string]int    // how often the same content has asked for an id
	sizes      map[*value]int
	values     int // in all items, with defaults and shared configs filled in
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
	kind   *kind
	file   *file
	path   string // services[0].routes[1]
	at     Position
	own    *value // its fields, without nested entities and what is for the reader alone
	parent *item
	object entity.Object
	id     string
	group  *value // what a plugin of a consumer group has in that field
}

// unserved is an entity of a kind that is not served.
type unserved struct {
	Entity
	parent *item
}

func newBuilder(r *report, schemas *entity.Schemas) *builder {
	b := &builder{
		report: r, schemas: schemas,
		items: map[*kind][]*item{}, byID: map[*kind]map[string]*item{}, byKey: map[*kind]map[string]*item{},
		others: map[string][]*unserved{}, unhonoured: map[*Unhonoured]*tally{}, tallies: map[string]*tally{},
		twins: map[string]int{}, sizes: map[*value]int{},
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
		it := &item{kind: k, file: f, path: path, at: v.at, parent: parent}
		it.own = &value{at: v.at, shape: mapShape, fields: f.withDefaults(k, b.ownFields(it, v))}
		if b.values += expandedSize(it.own, b.sizes); b.values > maxValues {
			b.fault(it.at, path, "aliases, _info.defaults and _plugin_configs expand to more than %d values", maxValues)
			return
		}
		b.items[k] = append(b.items[k], it)
		for _, entry := range v.fields {
			if _, ok := k.children[entry.name]; ok {
				b.collect(f, kindByName[entry.name], entry.val, member(path, entry.name), it)
			} else if k.nests(entry.name) {
				b.other(entry.name, entry, member(path, entry.name), it)
			}
		}
	}
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
	if b.values > maxValues {
		return nil
	}
	for _, k := range kinds {
		for _, it := range b.items[k] {
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

// checkCAs looks for the CA certificates that services name. Kong does not, and fails later.
func (b *builder) checkCAs() {
	for _, it := range b.items[kindByName["services"]] {
		list := it.own.get("ca_certificates").orEmpty()
		for i, v := range list.items {
			if id, ok := v.text(); ok && b.byID[kindByName["ca_certificates"]][id] == nil {
				b.warn(v.at, "%s: no CA certificate has the id %s; Kong would answer requests to this service with errors",
					index(member(it.path, "ca_certificates"), i), id)
			}
		}
	}
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
	given, hasID := it.object["id"].(string)
	it.id = given
	if !hasID {
		it.id = b.identify(it)
		if _, ok := it.object["id"]; !ok {
			it.object["id"] = it.id
		}
	}
	if first, taken := b.byID[it.kind][it.id]; !taken {
		b.byID[it.kind][it.id] = it
	} else if hasID {
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

// resolve replaces references by ids.
func (b *builder) resolve(it *item) {
	var back string // the field that points to the entity around it
	if it.parent != nil {
		back = it.parent.kind.children[it.kind.name]
	}
	for name, target := range it.kind.refs {
		to := kindByName[target]
		written, present := it.own.field(name)
		if !present || written.val.isNull() {
			if name == back {
				it.object[name] = entity.Object{"id": it.parent.id}
			}
			continue
		}
		found := b.find(it, to, written.val, member(it.path, name), name)
		if found == nil {
			// The fault is reported; an id in the right form keeps the schema from reporting it again.
			it.object[name] = entity.Object{"id": entity.ID(to.name, it.path)}
			continue
		}
		if name == back && found != it.parent {
			b.fault(written.val.at, member(it.path, name), "%s nested in %s belongs to it; remove this field", article(it.kind.one), it.parent.path)
		}
		it.object[name] = entity.Object{"id": found.id}
	}
}

// find looks up what a reference names: "name or id", {id: …} or {name: …}.
func (b *builder) find(it *item, to *kind, ref *value, path, name string) *item {
	var key string
	var ok bool
	fields := []string{"id", "name", to.key}
	if ref.shape == mapShape {
		for _, f := range fields {
			if key, ok = ref.get(f).text(); ok {
				break
			}
		}
	} else {
		key, ok = ref.text()
	}
	if !ok {
		b.fault(ref.at, path, "expected the name or id of %s, found %s%s", article(to.one), ref.describe(), quoteHint(ref))
		return nil
	}
	if found := b.byKey[to][key]; found != nil {
		return found
	}
	if found := b.byID[to][key]; found != nil {
		return found
	}
	b.fault(ref.at, path, "invalid reference '%s: %s' (no such entry in '%s')%s", name, key, to.name, b.known(to, key))
	return nil
}

// hinted is the number of faults after which no more is said about what could have been meant: to find it takes a
// look at every name, and nobody reads that far.
const hinted = 100

// known says which entities a reference could have named.
func (b *builder) known(to *kind, key string) string {
	switch {
	case len(b.faults) > hinted:
		return ""
	case len(b.byKey[to]) > 0:
		return "; " + choice(key, slices.Sorted(maps.Keys(b.byKey[to])))
	case len(b.byID[to]) > 0:
		return "; use an id, since they have no names"
	}
	return "; there are none"
}

// check has the schema look at an item and gives the whole entity, or nil with faults. served is false for a plugin
// that does not run.
func (b *builder) check(it *item) (checked entity.Object, served bool) {
	schema, _ := b.schemas.Of(it.kind.name)
	var config *entity.Record // of a plugin that runs
	served = true
	if name, ok := it.object["name"].(string); ok && it.kind.name == "plugins" {
		config, served = schema.Variant(name)
		served = served && it.group == nil
		if !served {
			schema = b.schemas.AnyPlugin()
		}
	}
	checked, err := schema.Insert(it.object)
	var violation *entity.Error
	switch {
	case err == nil && served:
		return checked, b.finish(it, checked)
	case err == nil:
		b.notRun(it, checked)
		return checked, false
	case errors.As(err, &violation):
		b.violations(it, whole(it.kind, schema, config), violation.Fields)
	}
	if len(b.faults) == 0 { // whatever was refused, it is a fault
		b.fault(it.at, it.path, "%v", err)
	}
	return nil, false
}

// finish settles what the schema leaves open about credentials. served is false for one that cannot be used.
func (b *builder) finish(it *item, checked entity.Object) (served bool) {
	switch it.kind.name {
	case "basicauth_credentials":
		if !it.file.transform {
			checked["password"] = it.object["password"] // hashed when it was written
		}
	case "keyauth_credentials":
		if checked["key"] == nil {
			b.warn(it.at, "key-auth credential without a key: not served by Sidekong; Kong would make up a new key, which nobody knows, at every load")
			return false
		}
	}
	return true
}

// whole is the schema of an entity as it may stand in a file: with what may be nested in it, and for a plugin with its
// own config.
func whole(k *kind, schema *entity.Schema, config *entity.Record) *entity.Field {
	record := *schema.Record()
	record.Fields = slices.Clone(record.Fields)
	for child := range k.children {
		record.Fields = append(record.Fields, entity.Field{Name: child})
	}
	if config != nil {
		record.Fields = slices.Concat(config.Fields, record.Fields)
	}
	return &entity.Field{Record: &record}
}

// notRun warns of a plugin that would do something in Kong.
func (b *builder) notRun(it *item, checked entity.Object) {
	name, _ := checked["name"].(string)
	if it.group != nil { // without it the plugin would seem to be global
		checked["consumer_group"] = it.group.plain()
	}
	switch {
	case checked["enabled"] == false:
	case it.group != nil:
		b.warn(it.at, "plugin %s (consumer group): not run by Sidekong; %s", name, withoutPlugin(name))
	default:
		b.warn(it.at, "plugin %s (%s): not run by Sidekong; %s", name, b.scope(it), withoutPlugin(name))
	}
}

// scope says in words what a plugin applies to.
func (b *builder) scope(it *item) string {
	var parts []string
	for _, name := range []string{"consumer", "route", "service"} {
		ref, _ := it.object[name].(entity.Object)
		id, ok := ref["id"].(string)
		if !ok {
			continue
		}
		k := kindByName[it.kind.refs[name]]
		if target := b.byID[k][id]; target != nil {
			if key, ok := target.object[k.key].(string); ok {
				id = key
			}
		}
		parts = append(parts, name+" "+id)
	}
	if len(parts) == 0 {
		return "global"
	}
	return strings.Join(parts, ", ")
}

// violations reports a schema's complaints, each at the value that it is about.
func (b *builder) violations(it *item, whole *entity.Field, complaints entity.Object) {
	for _, name := range slices.Sorted(maps.Keys(complaints)) {
		v := it.own
		if _, ok := v.field(name); !ok {
			switch config := v.get("config"); {
			case it.kind.name == "plugins" && config != nil && hasField(config, name):
				// Kong reports a deprecated name in a config without the path to it.
				b.violation(member(it.path, "config"), config, config.at, fieldSchema(whole, "config"), entity.Object{name: complaints[name]})
				continue
			case it.kind.name == "services" && slices.Contains([]string{"protocol", "host", "port", "path"}, name) && hasField(v, "url"):
				// url stands for these four.
				b.fault(v.get("url").at, member(it.path, name), "%v; url is protocol://host[:port][/path]", complaints[name])
				continue
			}
		}
		b.violation(it.path, v, it.at, whole, entity.Object{name: complaints[name]})
	}
}

// violation walks a complaint together with the value that it mirrors and the schema of that value, either of which
// may be missing. at is the place for what has none of its own.
func (b *builder) violation(path string, v *value, at Position, schema *entity.Field, complaint any) {
	switch complaint := complaint.(type) {
	case nil:
	case entity.Object:
		for _, name := range slices.Sorted(maps.Keys(complaint)) {
			c := complaint[name]
			if name == "@entity" {
				b.violation(path, v, at, schema, c)
				continue
			}
			f, present := v.orEmpty().field(name)
			switch {
			case present && c == entity.UnknownField:
				b.fault(f.at, member(path, name), "%s%s", c, allowed(name, schema))
			case present:
				b.violation(member(path, name), f.val, f.val.at, fieldSchema(schema, name), c)
			default:
				b.violation(member(path, name), nil, at, fieldSchema(schema, name), c)
			}
		}
	case []any:
		for i, c := range complaint {
			if v != nil && v.shape == listShape && i < len(v.items) {
				b.violation(index(path, i), v.items[i], v.items[i].at, elements(schema), c)
			} else {
				b.violation(path, nil, at, nil, c)
			}
		}
	default:
		text := fmt.Sprint(complaint)
		if v != nil && v.shape == mapShape && schema != nil && schema.Values != nil && text == "expected a string" {
			// Of a map Kong names neither key nor value.
			for _, f := range v.fields {
				if _, ok := f.val.text(); !ok {
					path, v, at = member(path, f.name), f.val, f.val.at
					break
				}
			}
		}
		b.fault(at, path, "%s%s", text, typeHint(text, v))
	}
}

// fieldSchema is the schema of a record's field or of a map's values.
func fieldSchema(schema *entity.Field, name string) *entity.Field {
	switch {
	case schema == nil:
	case schema.Record != nil:
		for i := range schema.Record.Fields {
			if schema.Record.Fields[i].Name == name {
				return &schema.Record.Fields[i]
			}
		}
	case schema.Values != nil:
		return schema.Values
	}
	return nil
}

// allowed says what could stand in the place of a name that the schema does not know.
func allowed(name string, schema *entity.Field) string {
	if schema == nil || schema.Record == nil {
		return ""
	}
	var names []string
	for _, f := range schema.Record.Fields {
		names = append(names, f.Name)
	}
	for _, s := range schema.Record.Shorthands {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return "; " + choice(name, slices.Compact(names))
}

func elements(schema *entity.Field) *entity.Field {
	if schema == nil {
		return nil
	}
	return schema.Elements
}

// quoteHint explains a bare word or number that YAML does not read as text.
func quoteHint(v *value) string {
	if v == nil || !v.bare {
		return ""
	}
	switch v.scalar.(type) {
	case bool, float64:
		return "; YAML reads this as " + v.describe() + " unless it is in quotes"
	}
	return ""
}

// typeHint adds to a complaint about a type what the quotes have to do with it.
func typeHint(complaint string, v *value) string {
	if complaint == "expected a string" {
		return quoteHint(v)
	}
	text, ok := v.text()
	if !ok || v.bare {
		return ""
	}
	_, isNumber := resolveScalar(text).(float64)
	_, isBool := resolveScalar(text).(bool)
	if isNumber && (complaint == "expected an integer" || complaint == "expected a number") || isBool && complaint == "expected a boolean" {
		return "; leave the quotes out"
	}
	return ""
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
	text, _ := json.Marshal(object) // strings, finite numbers, booleans, lists and maps always marshal
	return string(text)
}

func article(noun string) string {
	if strings.IndexByte("aeiouSA", noun[0]) >= 0 {
		return "an " + noun
	}
	return "a " + noun
}
