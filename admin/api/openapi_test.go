package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin"
	"sidekong/admin/api"
	"sidekong/configs/entity"
)

// everything is an API with all of its routes.
func everything(t *testing.T) *client {
	return newClient(t, api.Options{
		Token: token, LogLevel: func() string { return "info" }, SetLogLevel: func(string, time.Duration) error { return nil },
		Health: func(string) (admin.Upstream, bool) { return admin.Upstream{}, false },
		Status: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"memory":{}}`) }),
	}).with("Kong-Admin-Token", token)
}

// The document has the paths and methods that the handlers answer, and no others.
func TestOpenAPIMatchesHandlers(t *testing.T) {
	c := everything(t)
	doc := c.want(200, "GET", "/openapi.json", "")
	if doc["openapi"] != "3.1.0" {
		t.Errorf("got openapi %v, want 3.1.0", doc["openapi"])
	}
	described := doc["paths"].(entity.Object)
	var served []string
	for _, path := range c.want(200, "GET", "/endpoints", "")["data"].([]any) {
		served = append(served, path.(string))
	}
	slices.Sort(served)
	if diff := cmp.Diff(served, slices.Sorted(maps.Keys(described))); diff != "" {
		t.Errorf("paths (-served +described):\n%s", diff)
	}
	ids := map[string]bool{}
	for path, item := range described {
		methods := []string{}
		for name, operation := range item.(entity.Object) {
			if name == "parameters" {
				continue
			}
			methods = append(methods, strings.ToUpper(name))
			id := operation.(entity.Object)["operationId"].(string)
			if ids[id] {
				t.Errorf("operationId %s occurs twice", id)
			}
			ids[id] = true
		}
		allow := c.send("OPTIONS", strings.NewReplacer("{", "", "}", "").Replace(path), "").header.Get("Allow")
		answered := slices.DeleteFunc(strings.Split(allow, ", "), func(m string) bool { return m == "HEAD" || m == "OPTIONS" })
		slices.Sort(methods)
		if diff := cmp.Diff(answered, methods); diff != "" {
			t.Errorf("%s (-answered +described):\n%s", path, diff)
		}
	}
	references(t, doc, doc)
}

// references checks that every $ref leads somewhere.
func references(t *testing.T, doc entity.Object, value any) {
	t.Helper()
	switch value := value.(type) {
	case entity.Object:
		if ref, ok := value["$ref"].(string); ok && resolve(doc, ref) == nil {
			t.Errorf("%s leads nowhere", ref)
		}
		for _, item := range value {
			references(t, doc, item)
		}
	case []any:
		for _, item := range value {
			references(t, doc, item)
		}
	}
}

func resolve(doc entity.Object, ref string) entity.Object {
	var value any = doc
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		object, _ := value.(entity.Object)
		value = object[name]
	}
	object, _ := value.(entity.Object)
	return object
}

// What is sent and what is answered is as the document says: for the vectors that Kong accepts, and for the paths that
// they leave out.
func TestOpenAPIDescribesBodies(t *testing.T) {
	c := everything(t)
	doc := c.want(200, "GET", "/openapi.json", "")
	checked := 0
	for i, v := range readVectors(t, recorded) {
		if v.DBless || v.Form != nil || v.Raw != nil || !v.OK && i%4 != 0 {
			continue
		}
		empty(t, c.db)
		for _, given := range v.Given {
			c.want(201, "POST", given.Path, string(given.Body))
		}
		sent := string(v.Input)
		r := c.send(v.Request.Method, v.Request.Path, sent)
		path, _, _ := strings.Cut(v.Request.Path, "?")
		operation := operationOf(doc, path, v.Request.Method)
		if operation == nil {
			if r.status != 404 && r.status != 405 {
				t.Errorf("%s: the document lacks %s %s", v.ID, v.Request.Method, path)
			}
			continue
		}
		if r.body == nil {
			continue
		}
		responses := operation["responses"].(entity.Object)
		response, described := responses[strconv.Itoa(r.status)].(entity.Object)
		if !described {
			response = responses["default"].(entity.Object)
			if r.status < 300 {
				t.Errorf("%s: the document lacks status %d", v.ID, r.status)
			}
		}
		checked++
		for _, fault := range faults(doc, schemaOf(response), r.body, "answer") {
			t.Errorf("%s: %s", v.ID, fault)
		}
		if r.status < 300 && sent != "" {
			var body any
			if err := json.Unmarshal([]byte(sent), &body); err != nil {
				t.Fatal(err)
			}
			for _, fault := range faults(doc, schemaOf(operation["requestBody"].(entity.Object)), body, "body") {
				t.Errorf("%s: %s", v.ID, fault)
			}
		}
	}
	for _, path := range []string{"/", "/endpoints", "/status", "/plugins/enabled", "/schemas/routes", "/schemas/plugins/http-log", "/debug/node/log-level", "/tags"} {
		operation := operationOf(doc, path, "GET")
		if operation == nil {
			t.Errorf("the document lacks %s", path)
			continue
		}
		response := operation["responses"].(entity.Object)["200"].(entity.Object)
		for _, fault := range faults(doc, schemaOf(response), c.want(200, "GET", path, ""), path) {
			t.Error(fault)
		}
	}
	if checked < 100 {
		t.Errorf("only %d answers were checked", checked)
	}
}

func schemaOf(holder entity.Object) entity.Object {
	content, _ := holder["content"].(entity.Object)
	media, _ := content["application/json"].(entity.Object)
	schema, _ := media["schema"].(entity.Object)
	return schema
}

// operationOf finds the described operation of a path, nil if there is none.
func operationOf(doc entity.Object, path, method string) entity.Object {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(strings.Trim(path, "/"), "/")
	var found entity.Object
	fixedBest := -1
	for pattern, item := range doc["paths"].(entity.Object) {
		parts := strings.Split(strings.Trim(pattern, "/"), "/")
		if len(parts) != len(segments) {
			continue
		}
		fixed, fits := 0, true
		for i, part := range parts {
			switch {
			case part == segments[i]:
				fixed++
			case !strings.HasPrefix(part, "{"):
				fits = false
			}
		}
		if operation, ok := item.(entity.Object)[strings.ToLower(method)].(entity.Object); fits && ok && fixed > fixedBest {
			found, fixedBest = operation, fixed
		}
	}
	return found
}

// faults compares a value with as much of JSON Schema as the document uses.
func faults(doc, schema entity.Object, value any, path string) []string {
	if ref, ok := schema["$ref"].(string); ok {
		schema = resolve(doc, ref)
	}
	var found []string
	fault := func(format string, args ...any) { found = append(found, path+": "+fmt.Sprintf(format, args...)) }
	if any, ok := schema["anyOf"].([]any); ok {
		if !slices.ContainsFunc(any, func(option interface{}) bool {
			return len(faults(doc, option.(entity.Object), value, path)) == 0
		}) {
			fault("%v fits none of the alternatives", value)
		}
	}
	if allowed := typesOf(schema); allowed != nil && !slices.ContainsFunc(allowed, func(name string) bool { return isOf(name, value) }) {
		fault("%v is not of %v", value, allowed)
		return found
	}
	if values, ok := schema["enum"].([]any); ok && !slices.ContainsFunc(values, func(v any) bool { return cmp.Equal(v, value) }) {
		fault("%v is none of %v", value, values)
	}
	switch value := value.(type) {
	case float64:
		if low, ok := schema["minimum"].(float64); ok && value < low {
			fault("%v is less than %v", value, low)
		}
		if high, ok := schema["maximum"].(float64); ok && value > high {
			fault("%v is more than %v", value, high)
		}
	case []any:
		if items, ok := schema["items"].(entity.Object); ok {
			for i, item := range value {
				found = append(found, faults(doc, items, item, fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	case entity.Object:
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, there := value[name.(string)]; !there {
				fault("%v is missing", name)
			}
		}
		properties, _ := schema["properties"].(entity.Object)
		for name, item := range value {
			property, known := properties[name].(entity.Object)
			if !known {
				property, known = schema["additionalProperties"].(entity.Object)
			}
			if known {
				found = append(found, faults(doc, property, item, path+"."+name)...)
			} else if len(properties) > 5 { // an entity's schema names all of its fields
				fault("%s is not described", name)
			}
		}
	}
	return found
}

func typesOf(schema entity.Object) []string {
	switch types := schema["type"].(type) {
	case string:
		return []string{types}
	case []any:
		var names []string
		for _, name := range types {
			names = append(names, name.(string))
		}
		return names
	}
	return nil
}

func isOf(name string, value any) bool {
	switch value := value.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && value == math.Trunc(value)
	case string:
		return name == "string"
	case []any:
		return name == "array" || name == "object" && len(value) == 0 // to Lua they are one
	case entity.Object:
		return name == "object" || name == "array" && len(value) == 0
	}
	return false
}
