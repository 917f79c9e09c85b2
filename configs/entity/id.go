package entity

import "github.com/google/uuid"

// Namespace of the ids that Kong derives from names. Kong: kong/db/declarative/init.lua DECLARATIVE_UUID_NAMESPACE
var idNamespace = uuid.MustParse("fd02801f-0957-4a15-a55a-c8d9606f30b5")

// ID is the stable id that Kong gives to a named entity of a declarative configuration. kind is "services", "routes" …
// Kong: kong/db/schema/others/declarative_config.lua generate_uuid
func ID(kind, name string) string {
	return uuid.NewSHA1(uuid.NewSHA1(idNamespace, []byte(kind)), []byte(name)).String()
}
