package entity_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
)

// Kong's router reads ++ as a repeated repetition, RE2 not at all: these are refused here and nowhere else.
var possessive = []string{"poss", "poss2"}

// TestRouteTables wants the verdict of traditional_compatible on each route of the router's vectors.
func TestRouteTables(t *testing.T) {
	schemas := newSchemas()
	services, _ := schemas.Of("services")
	routes, _ := schemas.Of("routes")
	n := 0
	readLines(t, "testdata/router-config.jsonl", func(line []byte) {
		var table struct {
			ID       string
			Routes   []entity.Object
			Rejected []string
		}
		if err := json.Unmarshal(line, &table); err != nil {
			t.Fatal(err)
		}
		for _, given := range table.Routes {
			n++
			route := maps.Clone(given)
			name := route["name"].(string)
			var err error
			if service, ok := route["service"].(entity.Object); ok {
				_, err = services.Insert(service)
			}
			delete(route, "service")
			if err == nil {
				_, err = routes.Insert(route)
			}
			refuse := slices.Contains(table.Rejected, name) || slices.Contains(possessive, name)
			if got := err != nil; got != refuse {
				t.Errorf("%s: route %v: got error %v, want one: %v", table.ID, given, err, refuse)
			}
		}
	})
	if n == 0 {
		t.Error("no route was checked")
	}
}

func TestRouteRegex(t *testing.T) {
	routes, _ := newSchemas().Of("routes")
	tests := []struct {
		pattern string
		field   string // where the error stands, "" for none
		names   string // what it names
	}{
		{`/a/\d+$`, "", ""},
		{`/(?<id>[0-9a-f]{8})/(?P<rest>.*)`, "", ""},
		{`/(?i)a|[]a\]{}[:alpha:]]{2,3}?\{x\}\p{Greek}\x{e9}`, "", ""},
		{`/(?=a)`, "@entity", "look-around"},
		{`/(?<!a)b`, "@entity", "look-around"},
		{`/(a)\1`, "@entity", "backreference"},
		{`/(?<c>a)\k<c>`, "@entity", "backreference"},
		{`/a++b`, "@entity", "possessive quantifier"},
		{`/a{2}+b`, "@entity", "possessive quantifier"},
		{`/(?>a|b)`, "@entity", "atomic group"},
		{`/(?|a|b)`, "@entity", "branch reset"},
		{`/(a)?(?(1)b|c)`, "@entity", "conditional"},
		{`/(?R)`, "@entity", "recursion"},
		{`/a\K`, "@entity", `\K`},
		{`/\Qa.b\E`, "@entity", "quoting"},
		{`/(?x)a b`, "@entity", "free spacing"},
		{`/(?#note)a`, "@entity", "comment"},
		{`/(*SKIP)a`, "@entity", "verb"},
		{`/users/{id}`, "@entity", `{`},
		{`/[a&&b]`, "@entity", "set operation"},
		{`/[a[b]`, "@entity", "inside a character class"},
		{`/a{1001}`, "@entity", "repetition"},
		{`/a**`, "paths", "repeated quantifier"},
		{`/(a`, "paths", "missing closing )"},
		{`/a)`, "paths", "unexpected )"},
		{`/[a`, "paths", "missing closing ]"},
		{`/[z-a]`, "paths", "invalid character class range"},
	}
	for _, test := range tests {
		_, err := routes.Insert(entity.Object{"paths": []any{"~" + test.pattern}})
		var refused *entity.Error
		errors.As(err, &refused)
		switch {
		case test.field == "":
			if err != nil {
				t.Errorf("%s: got error %v, want none", test.pattern, err)
			}
		case refused == nil || refused.Fields[test.field] == nil || !strings.Contains(refused.Message, test.names):
			t.Errorf("%s: got error %v, want one at %s that names %s", test.pattern, err, test.field, test.names)
		}
	}
}

func TestHeaderRegex(t *testing.T) {
	routes, _ := newSchemas().Of("routes")
	insert := func(value string) error {
		_, err := routes.Insert(entity.Object{"headers": entity.Object{"x-a": []any{value}}})
		return err
	}
	if err := insert(`~*^a\d+$`); err != nil {
		t.Errorf("got error %v, want none", err)
	}
	want := `schema violation (Router Expression failed validation: header regex '(?P<v>b)': ` +
		`invalid or unsupported Perl syntax (?p)`
	// The router lower-cases the pattern first, so (?P<v>b) becomes (?p<v>b).
	if err := insert(`~*(?P<v>b)`); err == nil || err.Error() != want {
		t.Errorf("got error %v\nwant %s", err, want)
	}
}

func FuzzInsert(f *testing.F) {
	schemas := newSchemas()
	f.Add("services", `{"url":"http://u:p@[::1]:80/a?b#c","tags":["a","a"],"updated_at":null}`)
	f.Add("routes", `{"paths":["~/(?<a>b)[^]c]{1,2}"],"hosts":["*.a:80"],"headers":{"x":["~*a"]},"protocols":["grpc"]}`)
	f.Add("routes", `{"protocols":[[]],"sources":[{"ip":"::1/129"},1],"service":{"name":5}}`)
	f.Add("upstreams", `{"name":"u","hash_on":"ip","healthchecks":[1,{"active":null}]}`)
	f.Add("plugins", `{"name":"opentelemetry","config":{"endpoint":"x","queue":[]},"route":"r"}`)
	f.Add("plugins", `{"name":"pre-function","config":{"access":["x ="],"log":{"a":1}}}`)
	f.Add("certificates", `{"cert":"-----BEGIN CERTIFICATE-----","key":1,"snis":["a","a",2]}`)
	f.Add("targets", `{"target":"[::1]:","upstream":null}`)
	f.Add("keyauth_credentials", `{"ttl":-1,"consumer":{"id":null}}`)
	f.Fuzz(func(t *testing.T, kind, text string) {
		schema, ok := schemas.Of(kind)
		var in entity.Object
		if !ok || json.Unmarshal([]byte(text), &in) != nil || in == nil {
			return
		}
		before, _ := json.Marshal(in)
		out, err := schema.Insert(in)
		if after, _ := json.Marshal(in); string(after) != string(before) {
			t.Fatalf("the input was changed from %s to %s", before, after)
		}
		if err != nil {
			var refused *entity.Error
			if !errors.As(err, &refused) || refused.Message == "" {
				t.Fatalf("got error %#v, want an *entity.Error with a message", err)
			}
			return
		}
		if kind == "basicauth_credentials" {
			return // its password becomes a digest each time
		}
		again, err := schema.Insert(out)
		if err != nil {
			t.Fatalf("%s was accepted, what it became is refused: %v", text, err)
		}
		if diff := cmp.Diff(out, again); diff != "" {
			t.Fatalf("a second pass changes it (-once +twice):\n%s", diff)
		}
	})
}
