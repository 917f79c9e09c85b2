package declarative

import (
	"slices"
	"strings"
)

// versions are the formats that Kong 3.9 reads.
var versions = []string{"1.1", "2.1", "3.0"}

// file is what one input says besides its entities.
type file struct {
	version   string
	transform bool // passwords are plain text that is yet to be hashed
	configs   *value
	defaults  *value
	tags      []*value
}

// metaFields may stand at the top of a file beside the entities.
var metaFields = []string{"_comment", "_format_version", "_ignore", "_info", "_konnect", "_plugin_configs", "_transform", "_workspace"}

// file reads the top of an input and collects its entities.
func (b *builder) file(name string, root *value) {
	f := &file{transform: true}
	f.version = b.version(name, root)
	b.meta(f, root)
	for _, entry := range root.fields {
		switch {
		case kindByName[entry.name] != nil:
			b.collect(f, kindByName[entry.name], entry.val, entry.name, nil)
		case others[entry.name].kong != "":
			b.other(entry.name, entry, entry.name, nil)
		case slices.Contains(metaFields, entry.name):
		default:
			b.fault(entry.at, entry.name, "unknown field; %s", choice(entry.name, topLevel()))
		}
	}
}

func topLevel() []string {
	names := slices.Clone(metaFields)
	for _, k := range kinds {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return names
}

func (b *builder) version(name string, root *value) string {
	const field = "_format_version"
	v := root.get(field)
	if v.isNull() {
		b.fault(Position{name, 1, 1}, field, "required field missing; allowed: %s", strings.Join(versions, ", "))
		return ""
	}
	version, ok := v.text()
	switch {
	case !ok && v.bare:
		b.fault(v.at, field, `expected a string; put it in quotes: "1.1", "2.1" or "3.0"`)
	case !ok:
		b.fault(v.at, field, "expected a string, found %s; allowed: %s", v.describe(), strings.Join(versions, ", "))
	case !slices.Contains(versions, version):
		b.fault(v.at, field, "%q is unknown; allowed: %s", version, strings.Join(versions, ", "))
	}
	return version
}

// meta reads the fields that begin with an underscore: Kong's own, and decK's.
//
// decK: go-database-reconciler pkg/file/types.go Content
func (b *builder) meta(f *file, root *value) {
	if v := root.get("_transform"); !v.isNull() {
		transform, ok := v.scalar.(bool)
		if !ok || v.shape != scalarShape {
			b.fault(v.at, "_transform", "expected a boolean, found %s", v.describe())
		} else {
			f.transform = transform
		}
	}
	if v := root.get("_comment"); !v.isNull() {
		if _, ok := v.text(); !ok {
			b.fault(v.at, "_comment", "expected a string, found %s", v.describe())
		}
	}
	if v := root.get("_ignore"); !v.isNull() && v.shape != listShape {
		b.fault(v.at, "_ignore", "expected a list, found %s", v.describe())
	}
	if entry, ok := root.field("_konnect"); ok {
		b.warn(entry.at, "_konnect: decK would choose a control plane of Konnect by this; it changes nothing here")
	}
	if entry, ok := root.field("_workspace"); ok {
		if name, _ := entry.val.text(); name != "default" {
			b.warn(entry.at, "_workspace: Kong Enterprise would keep these entities in a workspace of their own; here all share one")
		}
	}
	f.configs = b.mapOf(root, "_plugin_configs", "")
	info := b.mapOf(root, "_info", "")
	if info == nil {
		return
	}
	f.defaults = b.mapOf(info, "defaults", "_info")
	if tags := info.get("select_tags"); !tags.isNull() {
		if tags.shape != listShape {
			b.fault(tags.at, "_info.select_tags", "expected a list, found %s", tags.describe())
		}
		f.tags = tags.items
	}
}

// mapOf is the map under a name, or nil.
func (b *builder) mapOf(parent *value, name, path string) *value {
	v := parent.get(name)
	if v.isNull() {
		return nil
	}
	if v.shape != mapShape {
		b.fault(v.at, member(path, name), "expected a map, found %s", v.describe())
		return nil
	}
	return v
}

// withDefaults is an entity with what decK adds to it: _info.defaults for fields that it does not have,
// _plugin_configs under its config, select_tags.
func (f *file) withDefaults(k *kind, fields []field) []field {
	has := func(name string) int { return slices.IndexFunc(fields, func(f field) bool { return f.name == name }) }
	for _, d := range f.defaults.get(strings.TrimSuffix(k.name, "s")).orEmpty().fields {
		if has(d.name) < 0 {
			fields = append(fields, d)
		}
	}
	if len(f.tags) > 0 {
		if i := has("tags"); i < 0 {
			fields = append(fields, field{name: "tags", at: f.tags[0].at, val: &value{at: f.tags[0].at, shape: listShape, items: f.tags}})
		} else if own := fields[i].val; own.shape == listShape {
			fields[i].val = &value{at: own.at, shape: listShape, items: slices.Concat(own.items, f.tags)}
		}
	}
	return fields
}

func (v *value) orEmpty() *value {
	if v == nil {
		return &value{}
	}
	return v
}
