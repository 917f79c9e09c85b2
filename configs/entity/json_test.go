package entity_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
)

// FuzzAppendJSON: the text is that of encoding/json.
func FuzzAppendJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `null`, `{"b":1,"a":[true,false,null,-0,0.5,1e21,1e15,999999999999999,-7]}`,
		`{"<&>":"\u2028\u0000\"\\é\ud800","":{"x":[{}]}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			return
		}
		want, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if got := entity.AppendJSON([]byte("x"), value); string(got) != "x"+string(want) {
			t.Errorf("got %s, want x%s", got, want)
		}
	})
}

// TestDecodeAsJSON: what the schemas make of the recorded entities is decoded as encoding/json would.
func TestDecodeAsJSON(t *testing.T) {
	structs := map[string]any{
		"services": entity.Service{}, "routes": entity.Route{}, "upstreams": entity.Upstream{}, "targets": entity.Target{},
		"plugins": entity.Plugin{}, "consumers": entity.Consumer{}, "certificates": entity.Certificate{},
		"ca_certificates": entity.CACertificate{}, "snis": entity.SNI{},
		"keyauth_credentials": entity.KeyAuthCredential{}, "basicauth_credentials": entity.BasicAuthCredential{},
	}
	seen := 0
	readLines(t, "testdata/admin.jsonl", func(line []byte) {
		var v vector
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		kind, known := structs[v.Entity]
		if !known || len(v.Output) == 0 {
			return
		}
		object := v.Output
		for _, name := range []string{"created_at", "updated_at"} {
			if at, ok := object[name].(float64); ok {
				object[name] = float64(int64(at))
			} else {
				delete(object, name) // a placeholder
			}
		}
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		want, got := reflect.New(reflect.TypeOf(kind)).Interface(), reflect.New(reflect.TypeOf(kind)).Interface()
		if err := json.Unmarshal(text, want); err != nil {
			return // no whole entity
		}
		if err := entity.Decode(object, got); err != nil {
			t.Errorf("%s: %v", v.ID, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", v.ID, diff)
		}
		seen++
	})
	if seen < 250 {
		t.Errorf("%d entities", seen)
	}
}

func TestDecodeUntagged(t *testing.T) {
	type own struct {
		Greeting string
		Times    int    `json:"times_said"`
		Left     string `json:"-"`
		hidden   string
		entity.Ref
	}
	object := entity.Object{"greeting": "hi", "times_said": 2.0, "left": "x", "-": "x", "hidden": "x", "id": "a", "ref": "x"}
	var got own
	if err := entity.Decode(object, &got); err != nil {
		t.Fatal(err)
	}
	if want := (own{Greeting: "hi", Times: 2, Ref: entity.Ref{ID: "a"}}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.hidden != "" {
		t.Error("an unexported field is set")
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := map[string]struct {
		object entity.Object
		want   string
	}{
		"text for a number":   {entity.Object{"port": "secret"}, "decode entity: port: string does not go into int"},
		"fraction":            {entity.Object{"port": 1.5}, "decode entity: port: float64 does not go into int"},
		"beyond":              {entity.Object{"port": 1e30}, "decode entity: port: float64 does not go into int"},
		"number in a list":    {entity.Object{"ca_certificates": []any{"a", 1.0}}, "decode entity: ca_certificates: 1: float64 does not go into string"},
		"list for a text":     {entity.Object{"name": []any{}}, "decode entity: name: []interface {} does not go into string"},
		"text for a record":   {entity.Object{"client_certificate": "secret"}, "decode entity: client_certificate: string does not go into entity.Ref"},
		"object for a switch": {entity.Object{"enabled": entity.Object{}}, "decode entity: enabled: map[string]interface {} does not go into bool"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := entity.Decode(test.object, new(entity.Service)); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	if err := entity.Decode(entity.Object{}, entity.Service{}); err == nil {
		t.Error("decoded into a copy")
	}
}
