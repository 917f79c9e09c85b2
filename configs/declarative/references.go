package declarative

import (
	"maps"
	"slices"

	"sidekong/configs/entity"
)

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
