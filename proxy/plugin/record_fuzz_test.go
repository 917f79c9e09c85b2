package plugin

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzEdit: whatever a key is like, the record stays one, and a value that is set is where the key leads.
func FuzzEdit(f *testing.F) {
	for _, key := range []string{"", "a", "a.b", `a\.b`, `a\\.b.c`, ".", `\.`, "..", "list.1", "raw.x.y", "raw.new", "text.x"} {
		f.Add(key, `{"v":[1]}`, "set")
		f.Add(key, "null", "add")
		f.Add(key, "2", "replace")
	}
	f.Fuzz(func(t *testing.T, key, value, mode string) {
		if len(key) > 1<<10 || !json.Valid([]byte(value)) {
			return
		}
		record := map[string]any{"raw": json.RawMessage(`{"x":{"y":1}}`), "text": "t", "list": []any{1}}
		edit(record, LogValue{key, json.RawMessage(value), mode})
		if _, err := EncodeJSON(record); err != nil {
			t.Fatal(err)
		}
		names := keyNames(key)
		escaped := make([]string, len(names))
		for i, name := range names {
			escaped[i] = strings.ReplaceAll(name, ".", `\.`)
		}
		if got := strings.Join(escaped, "."); got != key {
			t.Errorf("%q becomes %q", key, names)
		}
		if first := names[0]; mode == "set" && value != "null" && first != "raw" && first != "text" && first != "list" {
			var node any = record
			for _, name := range names {
				node = node.(map[string]any)[name]
			}
			if got, _ := node.(json.RawMessage); string(got) != value {
				t.Errorf("%q: got %v, want %s", key, node, value)
			}
		}
	})
}
