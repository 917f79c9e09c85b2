package api_test

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin/api"
	"sidekong/configs/database"
	"sidekong/configs/entity"
)

// The documents' own call: a global opentelemetry plugin by either name of its endpoint, on a path with a slash.
func TestDocumentedCall(t *testing.T) {
	for _, name := range []string{"endpoint", "traces_endpoint"} {
		c := newClient(t, api.Options{}).with("Accept", "application/json")
		body := fmt.Sprintf(`{"name":"opentelemetry","config":{%q:"http://c:4318/v1/traces","resource_attributes":{"service.name":"kong-dev"}}}`, name)
		config := c.want(201, "POST", "/plugins/", body)["config"].(entity.Object)
		if _, there := config["endpoint"]; there || config["traces_endpoint"] != "http://c:4318/v1/traces" {
			t.Errorf("%s: got %v, want traces_endpoint alone", name, config)
		}
		if diff := cmp.Diff(entity.Object{"service.name": "kong-dev"}, config["resource_attributes"]); diff != "" {
			t.Errorf("resource_attributes (-want +got):\n%s", diff)
		}
	}
}

func TestMergeIsDeep(t *testing.T) {
	c := newClient(t, api.Options{})
	c.want(201, "POST", "/upstreams", `{"name":"u","healthchecks":{"active":{"healthy":{"interval":5},"http_path":"/a"},"threshold":7}}`)
	before := c.want(200, "GET", "/upstreams/u", "")
	after := c.want(200, "PATCH", "/upstreams/u", `{"healthchecks":{"active":{"healthy":{"successes":3}}},"tags":null}`)
	checks := func(o entity.Object) entity.Object { return o["healthchecks"].(entity.Object) }
	active := checks(after)["active"].(entity.Object)
	healthy := active["healthy"].(entity.Object)
	if healthy["interval"] != 5.0 || healthy["successes"] != 3.0 || active["http_path"] != "/a" || checks(after)["threshold"] != 7.0 {
		t.Errorf("got %v, want the change merged into what was", checks(after))
	}
	if diff := cmp.Diff(checks(before)["passive"], checks(after)["passive"]); diff != "" {
		t.Errorf("passive changed (-before +after):\n%s", diff)
	}
	if after["created_at"] != before["created_at"] || after["updated_at"].(float64) < before["updated_at"].(float64) {
		t.Errorf("got times %v and %v, before %v and %v", after["created_at"], after["updated_at"], before["created_at"], before["updated_at"])
	}
}

// An answer to a write waits until the change is in force; one to a read or to a refused write does not.
func TestApplied(t *testing.T) {
	var applied atomic.Int32
	c := newClient(t, api.Options{Applied: func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("got no deadline, want one")
		}
		applied.Add(1)
		return nil
	}})
	steps := []struct {
		method, path, body string
		status             int
		want               int32
	}{
		{"POST", "/services", `{"name":"s","host":"h"}`, 201, 1},
		{"GET", "/services", "", 200, 1},
		{"POST", "/services", `{"name":"s","host":"h"}`, 409, 1},
		{"PATCH", "/services/s", `{"port":"x"}`, 400, 1},
		{"PATCH", "/services/s", `{"port":81}`, 200, 2},
		{"PUT", "/services/s", `{"host":"h"}`, 200, 3},
		{"DELETE", "/services/s", "", 204, 4},
		{"DELETE", "/services/s", "", 204, 4},
	}
	for _, step := range steps {
		c.want(step.status, step.method, step.path, step.body)
		if got := applied.Load(); got != step.want {
			t.Errorf("%s %s: applied %d times, want %d", step.method, step.path, got, step.want)
		}
	}
}

// A gateway that never catches up holds an answer back for a second, not for ever, and the write stands.
func TestAppliedIsBounded(t *testing.T) {
	c := newClient(t, api.Options{Applied: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	begin := time.Now()
	c.want(201, "POST", "/services", `{"name":"s","host":"h"}`)
	if took := time.Since(begin); took < 500*time.Millisecond {
		t.Errorf("took %v, want about a second", took)
	}
	c.want(200, "GET", "/services/s", "")
}

// Many clients that put the same name make one entity.
func TestPutsOfOneName(t *testing.T) {
	c := newClient(t, api.Options{})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			r := c.send("PUT", "/services/same", fmt.Sprintf(`{"host":"h%d"}`, i))
			if r.status != 200 {
				t.Errorf("got %d %s, want 200", r.status, r.text)
			}
		})
	}
	group.Wait()
	if got, _ := c.follow("/services", "name"); !cmp.Equal(got, []string{"same"}) {
		t.Errorf("got services %v, want one", got)
	}
}

// unreachable is a database that is away.
type unreachable struct{ database.DB }

var errAway = fmt.Errorf("dial tcp 192.0.2.1:5432: %w", database.ErrUnreachable)

func (unreachable) Get(context.Context, string, string) (entity.Object, error) { return nil, errAway }

func (unreachable) Find(context.Context, string, string, string) (entity.Object, error) {
	return nil, errAway
}

func (unreachable) List(context.Context, string, database.Query) ([]entity.Object, string, error) {
	return nil, "", errAway
}

func (unreachable) Insert(context.Context, string, entity.Object) error { return errAway }

func TestDatabaseIsAway(t *testing.T) {
	c := newClient(t, api.Options{DB: unreachable{}})
	for _, request := range []struct{ method, path, body string }{
		{"POST", "/services", `{"host":"h"}`},
		{"POST", "/routes", `{"paths":["/a"],"service":{"name":"s"}}`},
		{"POST", "/services/s/routes", `{"paths":["/a"]}`},
		{"PATCH", "/services/s", `{}`},
		{"PUT", "/services/s", `{"host":"h"}`},
		{"DELETE", "/services/s", ""},
		{"GET", "/services", ""},
		{"GET", "/certificates/a.example", ""},
	} {
		r := c.send(request.method, request.path, request.body)
		if r.status != 503 || strings.Contains(r.text, "192.0.2.1") {
			t.Errorf("%s %s: got %d %s, want 503", request.method, request.path, r.status, r.text)
		}
	}
	c.want(400, "POST", "/services", `{"host":"a b"}`)
}

func TestBodies(t *testing.T) {
	c := newClient(t, api.Options{MaxBody: 4096})
	form := func(parts ...string) (contentType, body string) {
		var buffer bytes.Buffer
		writer := multipart.NewWriter(&buffer)
		for i := 0; i < len(parts); i += 2 {
			if err := writer.WriteField(parts[i], parts[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		return writer.FormDataContentType(), buffer.String()
	}
	multipartType, multipartBody := form("name", "m", "host", "h", "port", "81", "tags[]", "a", "tags[]", "b")
	_, routeBody := form("x", "y")
	many := strings.Repeat("a=1&", 1001)
	tests := []struct {
		name, contentType, body string
		want                    int
		fields                  entity.Object // of the answer
	}{
		{"multipart", multipartType, multipartBody, 201, entity.Object{"name": "m", "port": 81.0, "tags": []any{"a", "b"}}},
		{"multipart without boundary", "multipart/form-data", routeBody, 400, nil},
		{"multipart that is cut off", multipartType, multipartBody[:len(multipartBody)-30], 400, nil},
		{"too large", "application/json", `{"host":"` + strings.Repeat("h", 5000) + `"}`, 413, nil},
		{"too large a form", "application/x-www-form-urlencoded", "host=" + strings.Repeat("h", 5000), 413, nil},
		{"too many arguments", "application/x-www-form-urlencoded", many, 400, nil},
		{"null", "application/json", "null", 400, nil},
		{"text", "application/json", `"host"`, 400, nil},
		{"nothing", "application/json", "", 400, nil},
		{"numbers of Lua", "application/x-www-form-urlencoded", "host=h&port=0x50&retries=007", 201, entity.Object{"port": 80.0, "retries": 7.0}},
		{"numbers of JSON", "application/json", `{"host":"h","port":8e1}`, 201, entity.Object{"port": 80.0}},
		{"repeated", "application/json", `{"host":"a","host":"b"}`, 201, entity.Object{"host": "b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := c.with("Content-Type", test.contentType).send("POST", "/services", test.body)
			if got.status != test.want {
				t.Fatalf("got %d %s, want %d", got.status, got.text, test.want)
			}
			for name, want := range test.fields {
				if diff := cmp.Diff(want, got.body[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
	twice := *c
	twice.header = http.Header{"Content-Type": {"application/json", "text/plain"}}
	twice.want(400, "POST", "/services", `{"host":"h"}`)
}

// The page serves the API below a prefix.
func TestPrefix(t *testing.T) {
	c := newClient(t, api.Options{})
	c.handler = http.StripPrefix("/admin", c.handler)
	c.want(201, "POST", "/admin/consumers", `{"username":"a/b"}`)
	c.want(200, "GET", "/admin/consumers/a%2Fb", "")
	c.want(200, "GET", "/admin/", "")
	c.want(200, "GET", "/admin", "")
	c.want(404, "GET", "/admin/admin/consumers", "")
}

// Over a real connection, with chunked bodies and a body that nobody reads.
func TestOverHTTP(t *testing.T) {
	c := newClient(t, api.Options{MaxBody: 1024})
	server := httptest.NewServer(c.handler)
	defer server.Close()
	post := func(body string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/services", struct{ *strings.Reader }{strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := post(`{"host":"h"}`); got != 201 {
		t.Errorf("got %d, want 201", got)
	}
	if got := post(`{"host":"` + strings.Repeat("h", 2000) + `"}`); got != 413 {
		t.Errorf("got %d, want 413", got)
	}
	response, err := server.Client().Head(server.URL + "/services")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 200 || response.ContentLength <= 0 {
		t.Errorf("HEAD: got %d with length %d", response.StatusCode, response.ContentLength)
	}
}
