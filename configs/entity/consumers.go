package entity

import (
	"crypto/sha1" // Kong's digest of basic-auth passwords, which must be the same here
	"encoding/hex"
	"math"
)

// Kong: kong/db/schema/entities/consumers.lua
func consumersSchema() *Schema {
	return &Schema{kind: "consumers", record: &Record{
		Fields: []Field{
			idField,
			createdAtField,
			updatedAtField,
			{Name: "username", Type: String, Unique: true},
			{Name: "custom_id", Type: String, Unique: true},
			tagsField,
		},
		Checks: []Check{AtLeastOneOf("custom_id", "username")},
	}}
}

// Kong: kong/plugins/key-auth/daos.lua
func keyAuthSchema() *Schema {
	return &Schema{
		kind: "keyauth_credentials",
		record: &Record{Fields: []Field{
			idField,
			createdAtField,
			required(referenceField("consumer", "consumers")),
			{Name: "key", Type: String, Unique: true, Auto: true, Encrypted: true},
			{Name: "ttl", Type: Any}, // prepare has checked it
			tagsField,
		}},
		prepare: prepareTTL,
	}
}

const maxTTL = 100000000 // seconds

// Kong takes the time to live for an option of the request. Kong: kong/db/dao/init.lua validate_options_value
func prepareTTL(_ *scope, data Object) *Error {
	ttl, given := data["ttl"]
	seconds, ok := ttl.(float64)
	if !given || ttl == nil || ok && seconds == math.Floor(seconds) && seconds >= 0 && seconds <= maxTTL {
		return nil
	}
	const text = "must be an integer between 0 and 100000000"
	return &Error{
		Code: CodeOptions, Name: "invalid options",
		Message: "invalid option (ttl: " + text + ")", Fields: Object{"ttl": text},
	}
}

// Kong: kong/plugins/basic-auth/daos.lua
func basicAuthSchema() *Schema {
	return &Schema{
		kind: "basicauth_credentials",
		record: &Record{
			Fields: []Field{
				idField,
				createdAtField,
				required(referenceField("consumer", "consumers")),
				{Name: "username", Type: String, Required: true, Unique: true},
				{Name: "password", Type: String, Required: true, Encrypted: true},
				tagsField,
			},
			Checks: []Check{passwordNeedsConsumer},
		},
		transform: digestPassword,
	}
}

// Kong: kong/db/schema/init.lua run_transformation_checks
var passwordNeedsConsumer = Check{"mutually_required", []string{"password", "consumer.id"}, func(s *subject) {
	fields := []string{"password", "consumer.id"}
	if password, _ := s.get("password"); nonempty(password) && s.filled(fields) != len(fields) {
		insertEntityError(s.errs, "all or none of these fields must be set: "+quoted(fields))
	}
}}

// digestPassword replaces a password that was given by its digest, salted with the consumer's id.
// Kong: kong/plugins/basic-auth/crypto.lua hash
func digestPassword(data, input Object) {
	password, given := input["password"].(string)
	consumer, ok := data["consumer"].(Object)
	id, _ := consumer["id"].(string)
	if given && ok {
		sum := sha1.Sum([]byte(password + id))
		data["password"] = hex.EncodeToString(sum[:])
	}
}
