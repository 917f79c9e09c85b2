package entity

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
)

// Decode turns a checked entity into its struct: *Service, *Route and so on, or the struct of a plugin's configuration.
// Null and missing fields leave the zero value. Fractions of the timestamps are dropped.
func Decode(obj Object, into any) error {
	obj = maps.Clone(obj)
	for _, name := range []string{"created_at", "updated_at"} {
		if at, ok := obj[name].(float64); ok {
			obj[name] = math.Floor(at)
		}
	}
	text, err := json.Marshal(obj)
	if err != nil {
		return fmt.Errorf("encode entity: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("decode entity: %w", err)
	}
	return nil
}
