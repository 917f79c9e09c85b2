package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin/api"
	"sidekong/configs/entity"
)

// Rules that need a look at what else is stored, with Kong's answers.
func TestRules(t *testing.T) {
	type step struct {
		method, path, body string
		status             int
		message            string // of the answer; "" is not compared
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"one plugin for a scope", []step{
			{"POST", "/services", `{"name":"s","host":"h"}`, 201, ""},
			{"POST", "/plugins", `{"name":"key-auth"}`, 201, ""},
			{"POST", "/plugins", `{"name":"key-auth"}`, 409, `UNIQUE violation detected on '{consumer=null,name="key-auth",route=null,service=null}'`},
			{"POST", "/services/s/plugins", `{"name":"key-auth"}`, 201, ""},
			{"POST", "/services/s/plugins", `{"name":"key-auth"}`, 409, ""},
			{"DELETE", "/services/s", "", 204, ""},
			{"POST", "/plugins", `{"name":"basic-auth","id":"00000000-0000-4000-8000-000000000001"}`, 201, ""},
			{
				"POST", "/plugins", `{"name":"file-log","config":{"path":"/tmp/x"},"id":"00000000-0000-4000-8000-000000000001"}`, 400,
				`primary key violation on key '{id="00000000-0000-4000-8000-000000000001"}'`,
			},
		}},
		{"protocols of a plugin and of its service's routes", []step{
			{"POST", "/services", `{"name":"s","host":"h"}`, 201, ""},
			{"POST", "/services/s/routes", `{"protocols":["https"],"paths":["/a"]}`, 201, ""},
			{
				"POST", "/services/s/plugins", `{"name":"key-auth","protocols":["http"]}`, 400,
				"schema violation (protocols: must match the protocols of at least one route pointing to this Plugin's service)",
			},
			{"POST", "/services/s/plugins", `{"name":"key-auth","protocols":["http","https"]}`, 201, ""},
		}},
		{"services with routes stay", []step{
			{"POST", "/services", `{"name":"s","host":"h"}`, 201, ""},
			{"POST", "/services/s/routes", `{"name":"r","paths":["/a"]}`, 201, ""},
			{"DELETE", "/services/s", "", 400, "an existing 'routes' entity references this 'services' entity"},
			{"DELETE", "/routes/r", "", 204, ""},
			{"DELETE", "/services/s", "", 204, ""},
		}},
		{"credentials and plugins go with their consumer", []step{
			{"POST", "/consumers", `{"username":"alice"}`, 201, ""},
			{"POST", "/consumers/alice/key-auth", `{"key":"k"}`, 201, ""},
			{"POST", "/consumers/alice/plugins", `{"name":"correlation-id","instance_name":"c"}`, 201, ""},
			{"GET", "/plugins/c", "", 200, ""},
			{"GET", "/plugins/c/consumer", "", 200, ""},
			{"DELETE", "/consumers/alice", "", 204, ""},
			{"GET", "/key-auths/k", "", 404, "Not found"},
			{"GET", "/plugins/c", "", 404, "Not found"},
		}},
		{"a name is one entity's", []step{
			{"POST", "/routes", `{"name":"r","paths":["/a"]}`, 201, ""},
			{"POST", "/routes", `{"name":"r","paths":["/b"]}`, 409, `UNIQUE violation detected on '{name="r"}'`},
			{"PUT", "/routes/r", `{"paths":["/b"]}`, 200, ""},
			{"PUT", "/routes/00000000-0000-4000-8000-000000000001", `{"paths":["/b"],"name":"r"}`, 409, ""},
		}},
		{"references lead somewhere", []step{
			{
				"POST", "/routes", `{"paths":["/a"],"service":{"id":"00000000-0000-4000-8000-000000000001"}}`, 400,
				`the foreign key '{id="00000000-0000-4000-8000-000000000001"}' does not reference an existing 'services' entity.`,
			},
			{
				"POST", "/routes", `{"paths":["/a"],"service":{"name":"nope"}}`, 400,
				`foreign key unresolved (service.name: the foreign key cannot be resolved with '{name="nope"}' for an existing 'services' entity)`,
			},
		}},
		{"ids in capitals are the same", []step{
			{"PUT", "/services/ABCDEFAB-0000-4000-8000-000000000001", `{"host":"h"}`, 200, ""},
			{"GET", "/services/abcdefab-0000-4000-8000-000000000001", "", 200, ""},
			{"PATCH", "/services/ABCDEFAB-0000-4000-8000-000000000001", `{"port":81}`, 200, ""},
			{"DELETE", "/services/ABCDEFAB-0000-4000-8000-000000000001", "", 204, ""},
			{"GET", "/services/abcdefab-0000-4000-8000-000000000001", "", 404, ""},
		}},
		{"keys", []step{
			{"POST", "/consumers", `{"username":"alice"}`, 201, ""},
			{"POST", "/consumers/alice/key-auth", `{"key":"k","ttl":1000}`, 201, ""},
			{"PUT", "/consumers/alice/key-auth/k2", `{}`, 200, ""},
			{"GET", "/key-auths/k2/consumer", "", 200, ""},
			{"PUT", "/consumers/alice/key-auth/k2", `{"ttl":-1}`, 400, "invalid option (ttl: must be an integer between 0 and 100000000)"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, api.Options{})
			for _, step := range test.steps {
				got := c.want(step.status, step.method, step.path, step.body)
				if step.message != "" && got["message"] != step.message {
					t.Errorf("%s %s %s: got message %q, want %q", step.method, step.path, step.body, got["message"], step.message)
				}
			}
		})
	}
}

// A PUT to a server's name makes it one of the certificate's, where the body lists any.
func TestCertificateByName(t *testing.T) {
	c := newClient(t, api.Options{})
	var pair entity.Object
	if err := json.Unmarshal([]byte(certificateVector(t)), &pair); err != nil {
		t.Fatal(err)
	}
	delete(pair, "id")
	put := func(path string, snis any) []any {
		t.Helper()
		pair["snis"] = snis
		body, _ := json.Marshal(pair)
		return c.want(200, "PUT", path, string(body))["snis"].([]any)
	}
	if got := put("/certificates/b.test", []any{"c.test"}); !cmp.Equal(got, []any{"b.test", "c.test"}) {
		t.Errorf("got snis %v, want both", got)
	}
	if got := put("/certificates/c.test", []any{"b.test", "c.test", "d.test"}); !cmp.Equal(got, []any{"b.test", "c.test", "d.test"}) {
		t.Errorf("got snis %v, want all three", got)
	}
	if got := put("/certificates/b.test", "b.test"); !cmp.Equal(got, []any{"b.test"}) {
		t.Errorf("got snis %v, want one", got)
	}
	if got := put("/certificates/b.test", "e.test"); !cmp.Equal(got, []any{"b.test", "e.test"}) {
		t.Errorf("got snis %v, want both", got)
	}
	c.want(404, "GET", "/certificates/c.test", "")
	c.want(200, "GET", "/certificates/b.test/snis", "")
	c.want(201, "POST", "/certificates/b.test/snis", `{"name":"f.test"}`)
	c.want(200, "GET", "/certificates/f.test", "")
	c.want(204, "DELETE", "/certificates/f.test", "")
	c.want(404, "GET", "/snis/b.test", "")
}

func TestCACertificateInUse(t *testing.T) {
	c := newClient(t, api.Options{})
	var body string
	for _, v := range readVectors(t, recorded) {
		if v.Request.Path == "/ca_certificates" && v.OK && v.Input != nil {
			body = string(v.Input)
			break
		}
	}
	id := c.want(201, "POST", "/ca_certificates", body)["id"].(string)
	service := c.want(201, "POST", "/services", fmt.Sprintf(`{"protocol":"https","host":"h","ca_certificates":[%q]}`, id))["id"].(string)
	got := c.want(400, "DELETE", "/ca_certificates/"+id, "")
	want := entity.Object{
		"code": 19.0, "name": "referenced by others",
		"message": fmt.Sprintf("ca certificate %s is still referenced by services (id = %s)", id, service),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.want(204, "DELETE", "/services/"+service, "")
	c.want(204, "DELETE", "/ca_certificates/"+id, "")
}

// An error object says nothing that the client did not send.
func TestFaultsTellNoSecrets(t *testing.T) {
	c := newClient(t, api.Options{})
	c.want(201, "POST", "/consumers", `{"username":"alice"}`)
	c.want(201, "POST", "/consumers/alice/key-auth", `{"key":"s3cret"}`)
	key := c.want(201, "POST", "/consumers/alice/key-auth", `{"key":"other"}`)["id"].(string)
	for _, body := range []string{`{"key":""}`, `{"tags":"x"}`, `{"foo":1}`} {
		if r := c.send("PATCH", "/key-auths/"+key, body); r.status != 400 || strings.Contains(r.text, "other") {
			t.Errorf("%s: got %d %s, want 400 without the key", body, r.status, r.text)
		}
	}
}
