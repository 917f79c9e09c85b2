package entity_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin/basicauth"
	"sidekong/proxy/plugin/correlationid"
	"sidekong/proxy/plugin/filelog"
	"sidekong/proxy/plugin/function"
	"sidekong/proxy/plugin/httplog"
	"sidekong/proxy/plugin/keyauth"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/proxy/plugin/requesttermination"
)

func newSchemas() *entity.Schemas {
	return entity.NewSchemas(map[string]*entity.Record{
		"opentelemetry":       opentelemetry.Config(),
		"key-auth":            keyauth.Config(),
		"basic-auth":          basicauth.Config(),
		"correlation-id":      correlationid.Config(),
		"file-log":            filelog.Config(),
		"http-log":            httplog.Config(),
		"request-termination": requesttermination.Config(),
		"pre-function":        function.Config(),
		"post-function":       function.Config(),
	})
}

// A vector is one request to Kong's Admin API and what it answered.
type vector struct {
	ID      string
	Entity  string
	Op      string
	Request struct{ Method, Path string }
	Given   []struct {
		Path string
		Body entity.Object
	}
	Input  any
	Flags  []string
	DBless bool

	Status  int
	OK      bool
	Output  entity.Object
	Errors  any
	Message string
	Code    int
	Name    string
	Other   entity.Object
}

func (v *vector) has(flag string) bool { return slices.Contains(v.Flags, flag) }

// store is as much of a database as the vectors need.
type store map[string][]entity.Object

func (s store) Find(kind, field, value string) (entity.Object, bool) {
	for _, object := range s[kind] {
		if object[field] == value {
			return object, true
		}
	}
	return nil, false
}

func (s store) Referring(kind, field, id string) []entity.Object {
	var found []entity.Object
	for _, object := range s[kind] {
		if ref, ok := object[field].(entity.Object); ok && ref["id"] == id {
			found = append(found, object)
		}
	}
	return found
}

func (s store) add(kind string, object entity.Object) {
	if object["id"] == nil {
		object["id"] = uuid.NewString()
	}
	s[kind] = append(s[kind], object)
	if names, ok := object["snis"].([]any); ok && kind == "certificates" {
		for _, name := range names {
			s["snis"] = append(s["snis"], entity.Object{"name": name, "certificate": entity.Object{"id": object["id"]}})
		}
	}
}

// byKey finds what a part of a path names: an id, or the name that the kind goes by.
func (s store) byKey(kind, key string) (entity.Object, bool) {
	for _, field := range []string{"id", "name", "username", "key", "instance_name", "target"} {
		if object, ok := s.Find(kind, field, key); ok {
			return object, true
		}
	}
	if kind == "certificates" {
		if sni, ok := s.Find("snis", "name", key); ok {
			return s.Find("certificates", "id", sni["certificate"].(entity.Object)["id"].(string))
		}
	}
	return nil, false
}

var (
	errNoParent = errors.New("the entity in the path does not exist")
	errOwnWay   = errors.New("the Admin API upserts this kind in a way of its own")
)

// address reads /services/NAME/routes[/NAME] and the like: the kind, the reference that the parent makes, and the key.
func (s store) address(path string) (kind string, parent entity.Object, key string, err error) {
	names := map[string]string{
		"key-auth": "keyauth_credentials", "key-auths": "keyauth_credentials",
		"basic-auth": "basicauth_credentials", "basic-auths": "basicauth_credentials",
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	kind = parts[0]
	if len(parts) > 2 {
		owner, ok := s.byKey(parts[0], parts[1])
		if !ok {
			return "", nil, "", errNoParent
		}
		parent = entity.Object{strings.TrimSuffix(parts[0], "s"): entity.Object{"id": owner["id"]}}
		kind, parts = parts[2], parts[2:]
	}
	if name, ok := names[kind]; ok {
		kind = name
	}
	if len(parts) > 1 {
		key = parts[1]
	}
	return kind, parent, key, nil
}

func with(body, parent entity.Object) entity.Object {
	object := entity.Object{}
	for _, source := range []entity.Object{body, parent} {
		maps.Copy(object, source)
	}
	return object
}

func (s store) insert(schemas *entity.Schemas, path string, body entity.Object) (entity.Object, error) {
	kind, parent, _, err := s.address(path)
	if err != nil {
		return nil, err
	}
	schema, ok := schemas.With(s).Of(kind)
	if !ok {
		return nil, fmt.Errorf("no schema of %q", kind)
	}
	object, err := schema.Insert(with(body, parent))
	if err != nil {
		return nil, err
	}
	return object, nil
}

func (s store) update(schemas *entity.Schemas, path string, body entity.Object) (entity.Object, error) {
	kind, parent, key, err := s.address(path)
	if err != nil {
		return nil, err
	}
	old, ok := s.byKey(kind, key)
	if !ok {
		return nil, errNoParent
	}
	schema, _ := schemas.With(s).Of(kind)
	return schema.Update(old, with(body, parent))
}

// upsert is an insert under the id or the name in the path, which beats the body's.
func (s store) upsert(schemas *entity.Schemas, path string, body entity.Object) (entity.Object, error) {
	kind, parent, key, err := s.address(path)
	if err != nil {
		return nil, err
	}
	object := with(body, parent)
	if uuid.Validate(key) == nil {
		object["id"] = key
	} else {
		field := map[string]string{"services": "name", "routes": "name", "consumers": "username"}[kind]
		if field == "" {
			return nil, errOwnWay
		}
		object[field] = key
		if old, ok := s.byKey(kind, key); ok {
			object["id"] = old["id"]
		}
	}
	schema, _ := schemas.With(s).Of(kind)
	return schema.Insert(object)
}

func readLines(t *testing.T, path string, each func(line []byte)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		each(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// later are the vectors whose input Kong 3.9 refuses and a later Kong takes. So do we: instana came with 3.10.
var later = []string{"opentelemetry.insert.prop-extract.11", "opentelemetry.insert.prop-default.11"}

// TestVectors sends what Kong was sent and wants its answers. What belongs to the Admin API and not to the schemas
// (bodies that are no JSON objects, paths that lead nowhere, answers of the store) is counted and left to it.
func TestVectors(t *testing.T) {
	path := os.Getenv("SIDEKONG_ADMIN_VECTORS")
	if path == "" {
		path = "testdata/admin.jsonl"
	}
	schemas := newSchemas()
	ran, left := map[string]int{}, map[string]int{}
	readLines(t, path, func(line []byte) {
		var v vector
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		if v.Op == "request" || v.has("store-emulated") || v.DBless {
			left[v.Op]++
			return
		}
		input, ok := v.Input.(entity.Object)
		if !ok {
			left[v.Op]++
			return
		}
		stored := store{}
		for _, given := range v.Given {
			object, err := stored.insert(schemas, given.Path, given.Body)
			if err != nil {
				t.Fatalf("%s: given %s: %v", v.ID, given.Path, err)
			}
			kind, _, _, _ := stored.address(given.Path)
			stored.add(kind, object)
		}
		do := map[string]func(*entity.Schemas, string, entity.Object) (entity.Object, error){
			"insert": stored.insert, "update": stored.update, "upsert": stored.upsert,
		}[v.Op]
		got, err := do(schemas, v.Request.Path, input)
		nowhere := errors.Is(err, errNoParent) && v.Status == 404
		badName := v.Code == entity.CodeUnique && v.Op != "insert" // in the path
		if nowhere || badName || errors.Is(err, errOwnWay) {
			left[v.Op]++
			return
		}
		ran[v.Op]++
		t.Run(v.ID, func(t *testing.T) { v.compare(t, got, err) })
	})
	t.Logf("ran %v, left to the Admin API %v", ran, left)
	if ran["insert"] == 0 {
		t.Error("no vector was run")
	}
}

func (v *vector) compare(t *testing.T, got entity.Object, err error) {
	t.Helper()
	input, _ := json.Marshal(v.Input)
	if slices.Contains(later, v.ID) {
		if err != nil {
			t.Errorf("%s: got error %v, want none", input, err)
		}
		return
	}
	var refused *entity.Error
	errors.As(err, &refused)
	switch {
	case v.has("crash"):
		if refused == nil {
			t.Errorf("%s: got error %v, want one that answers 400", input, err)
		}
		return
	case v.OK:
		if err != nil {
			t.Fatalf("%s: got error %v, want none", input, err)
		}
		placeholders(got, v.Output)
		if diff := cmp.Diff(v.Output, got, asPrinted); diff != "" {
			t.Errorf("%s: output differs (-want +got):\n%s", input, diff)
		}
		return
	case refused == nil:
		t.Fatalf("%s: got error %v, want %q", input, err, v.Message)
	}
	want := entity.Object{"code": float64(v.Code), "name": v.Name, "message": v.Message}
	if v.Errors != nil {
		want["fields"] = v.Errors
	}
	maps.Copy(want, v.Other)
	text, err := json.Marshal(refused)
	if err != nil {
		t.Fatal(err)
	}
	var have entity.Object
	if err := json.Unmarshal(text, &have); err != nil {
		t.Fatal(err)
	}
	switch {
	case v.has("library-text"):
		want["fields"], have["fields"] = keys(want["fields"]), keys(have["fields"])
		delete(want, "message")
		delete(have, "message")
	case v.has("one-of-order-varies"):
		want, have = sortedNames(want).(entity.Object), sortedNames(have).(entity.Object)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s: error differs (-want +got):\n%s", input, diff)
	}
}

// asPrinted compares numbers by the 14 digits that Kong prints of them.
var asPrinted = cmp.Comparer(func(a, b float64) bool { return fmt.Sprintf("%.14g", a) == fmt.Sprintf("%.14g", b) })

// placeholders puts the vector's <UUID>, <TS> and the like where the value is the caller's to generate.
func placeholders(got, want entity.Object) {
	for name, value := range want {
		if text, ok := value.(string); ok && strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">") {
			if name == "id" || name == "created_at" || name == "updated_at" || got[name] == nil || name == "ttl" {
				got[name] = value
			}
		}
	}
}

// keys replaces the texts in a tree of errors.
func keys(value any) any {
	switch value := value.(type) {
	case entity.Object:
		blank := entity.Object{}
		for name, item := range value {
			blank[name] = keys(item)
		}
		return blank
	case []any:
		blank := make([]any, len(value))
		for i, item := range value {
			blank[i] = keys(item)
		}
		return blank
	case string:
		return "…"
	}
	return value
}

// sortedNames sorts the words of each text.
func sortedNames(value any) any {
	switch value := value.(type) {
	case entity.Object:
		for name, item := range value {
			value[name] = sortedNames(item)
		}
	case []any:
		for i, item := range value {
			value[i] = sortedNames(item)
		}
	case string:
		words := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ,:;(){}\"\n", r) })
		slices.Sort(words)
		return strings.Join(words, " ")
	}
	return value
}
