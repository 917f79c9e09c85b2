package declarative

import "sidekong/configs/entity"

var (
	ResolveScalar = resolveScalar
	MigratePath   = migratePath
	Evaluate      = evaluate
	Nearest       = nearest
)

// References lists what the tables of this package know: kind and field → kind.
func References() map[string]string {
	refs := map[string]string{}
	for _, k := range kinds {
		for field, to := range k.refs {
			refs[k.name+"."+field] = to
			if kindByName[to].children[k.name] != field {
				refs[k.name+"."+field] = to + " lacks the children"
			}
		}
	}
	return refs
}

// ReferencesOfSchemas lists the same from the schemas.
func ReferencesOfSchemas(schemas *entity.Schemas) map[string]string {
	refs := map[string]string{}
	for _, k := range kinds {
		schema, ok := schemas.Of(k.name)
		if !ok {
			refs[k.name] = "has no schema"
			continue
		}
		for _, f := range schema.Fields() {
			if f.Type == entity.Foreign {
				refs[k.name+"."+f.Name] = f.Reference
			}
		}
	}
	return refs
}
