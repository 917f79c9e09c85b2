package inventory

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/openapi.json")

// TestOpenAPI: the document of a small API, which the program in ./validate accepts as well (make openapi).
func TestOpenAPI(t *testing.T) {
	const golden = "testdata/openapi.json"
	got, err := fill(New(), 100).OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestOpenAPIRules: what JSON Schema does not say of a document.
func TestOpenAPIRules(t *testing.T) {
	v := fill(New(), 30)
	v.Observe(seen("GET /a/1"))
	v.Observe(seen("GET /a/1", func(o *Observation) { o.Host, o.RoutePattern = "c.test", `~/a/(?<other>\d)` }))
	v.Observe(seen("GET /a/-/b"))
	v.Observe(seen("GET /a/b"))
	text, err := v.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []struct{ Name, In string }
			Security    []map[string]any
		}
		Components struct{ SecuritySchemes map[string]any }
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	ids, bare := map[string]bool{}, map[string]bool{}
	for path, item := range doc.Paths {
		structure := captureNames.ReplaceAllString(path, "{}")
		if bare[structure] || !strings.HasPrefix(path, "/") {
			t.Errorf("path %s is there twice, or none", path)
		}
		bare[structure] = true
		for method, op := range item {
			if ids[op.OperationID] {
				t.Errorf("operationId %s is there twice", op.OperationID)
			}
			ids[op.OperationID] = true
			known := map[string]bool{}
			inPath := 0
			for _, p := range op.Parameters {
				if known[p.In+" "+p.Name] {
					t.Errorf("%s %s: parameter %s is there twice", method, path, p.Name)
				}
				known[p.In+" "+p.Name] = true
				if p.In == "path" {
					inPath++
				}
			}
			for _, name := range captureNames.FindAllStringSubmatch(path, -1) {
				if !known["path "+name[1]] {
					t.Errorf("%s %s: parameter %s is missing", method, path, name[1])
				}
				inPath--
			}
			if inPath != 0 {
				t.Errorf("%s %s: %d parameters are not in the path", method, path, inPath)
			}
			for _, requirement := range op.Security {
				for scheme := range requirement {
					if doc.Components.SecuritySchemes[scheme] == nil {
						t.Errorf("%s %s: security scheme %s is missing", method, path, scheme)
					}
				}
			}
		}
	}
	own, err := v.Compare(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range own.Undocumented {
		if d.Method != "PROPFIND" { // OpenAPI has no place for it
			t.Errorf("its own document lacks %v", d)
		}
	}
	if len(own.Unseen) > 0 {
		t.Errorf("its own document has too much: %v", own.Unseen)
	}
}

const oldDocument = `
openapi: 3.0.3
info: {title: x, version: "1"}
servers: [{url: https://a.test/api/}, {url: /api}]
paths:
  /users/{id}:
    parameters: [{$ref: "#/components/parameters/page"}]
    get:
      responses:
        200: {description: ok}
        4XX: {description: bad}
    delete: {responses: {default: {description: any}}}
  /users/me:
    get: {responses: {"200": {description: ok}}}
  /old: {$ref: "#/components/pathItems/old"}
components:
  parameters:
    page: {name: page, in: query, schema: {type: integer}}
  pathItems:
    old: {post: {responses: {default: {description: any}}}}
`

func TestCompare(t *testing.T) {
	v := New()
	for _, o := range []Observation{
		seen("GET /api/users/1?page=1"), seen("GET /api/users/2?sort=up"), seen("GET /api/users/2", answered(404)),
		seen("GET /api/users/2", answered(503)), seen("GET /api/users/me"), seen("PUT /api/users/2"), seen("GET /new"),
	} {
		v.Observe(o)
	}
	want := Comparison{
		Undocumented: []Difference{
			{"GET", "/api/users/{userId}", "a.test", "query parameter sort"},
			{"GET", "/api/users/{userId}", "a.test", "status 503"},
			{"PUT", "/api/users/{userId}", "a.test", "the path is in the document, the method is not"},
			{"GET", "/new", "a.test", ""},
		},
		Unseen: []Difference{{Method: "POST", Path: "/api/old"}, {Method: "DELETE", Path: "/api/users/{id}"}},
	}
	got, err := v.Compare([]byte(oldDocument))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("YAML (-want +got)\n%s", diff)
	}
	two := `{"swagger":"2.0","basePath":"/api","paths":{"/users/{x}":{"get":{"parameters":[{"in":"query","name":"page"},{"in":"query","name":"sort"}],
		"responses":{"default":{}}},"put":{"responses":{"200":{}}}},"/users/me":{"get":{"responses":{"200":{}}}}}}`
	if got, err = v.Compare([]byte(two)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Comparison{[]Difference{{"GET", "/new", "a.test", ""}}, []Difference{}}, got); diff != "" {
		t.Errorf("version 2 (-want +got)\n%s", diff)
	}
	for _, broken := range []string{"", "a", "[]", "{", `{"openapi":"3.1.0"}`, "a: &a [*a]", `{"paths":{}}`, "openapi: 3.1.0\npaths: 7"} {
		if got, err := v.Compare([]byte(broken)); err == nil {
			t.Errorf("%q: %v", broken, got)
		}
	}
	loop := `{"openapi":"3.1.0","paths":{"/a":{"$ref":"#/paths/~1a"},"/b":{"get":{"$ref":"#/paths/~1b/get"}},"/c":{"$ref":"http://x/"},"/d":7}}`
	if _, err := v.Compare([]byte(loop)); err != nil {
		t.Error(err)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add([]byte(oldDocument))
	f.Add([]byte(`{"swagger":"2.0","basePath":"/v1","paths":{"/a":{"get":{}}}}`))
	v := fill(New(), 3)
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		got, err := v.Compare(text)
		if err == nil && (got.Undocumented == nil || got.Unseen == nil) {
			t.Error("null in the answer")
		}
	})
}
