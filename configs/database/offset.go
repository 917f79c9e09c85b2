package database

import (
	"encoding/base64"
	"encoding/json"
)

// encodeOffset writes the key of the entity that the next page begins with, as Kong does: a list in JSON in base64.
func encodeOffset(key ...string) string {
	text, _ := json.Marshal(key) // strings always marshal
	return base64.RawStdEncoding.EncodeToString(text)
}

// decodeOffset gives the parts of a key, all "" for the first page.
func decodeOffset(offset string, parts int) ([]string, error) {
	if offset == "" {
		return make([]string, parts), nil
	}
	text, err := base64.RawStdEncoding.DecodeString(offset)
	if err != nil {
		return nil, &OffsetError{offset, "bad base64 encoding"}
	}
	var key []string
	if json.Unmarshal(text, &key) != nil || len(key) != parts {
		return nil, &OffsetError{offset, "bad json encoding"}
	}
	return key, nil
}
