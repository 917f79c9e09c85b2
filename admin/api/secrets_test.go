package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin/api"
	"sidekong/configs/entity"
)

const plugin = `{"name":"http-log","config":{"http_endpoint":"http://user:s3cret@logs.test/T0KEN","headers":{"x-key":"s3cret","y":"{vault://env/y}"}}}`

// Secrets are in no answer but those to the token's bearer and to the creation itself.
func TestSecretsAreMasked(t *testing.T) {
	c := newClient(t, api.Options{Token: token})
	c.want(201, "POST", "/consumers", `{"username":"alice"}`)
	created := c.want(201, "POST", "/consumers/alice/key-auth", `{"key":"s3cret"}`)
	if created["key"] != "s3cret" {
		t.Errorf("creation: got key %v, want s3cret", created["key"])
	}
	made := c.want(201, "POST", "/consumers/alice/key-auth", `{}`)
	if key, _ := made["key"].(string); !randomKey.MatchString(key) {
		t.Errorf("creation: got key %v, want one that was made", made["key"])
	}
	c.want(201, "POST", "/consumers/alice/basic-auth", `{"username":"al","password":"s3cret"}`)
	logging := c.want(201, "POST", "/plugins", plugin)
	certificate := certificateVector(t)
	stored := c.want(201, "POST", "/certificates", certificate)

	paths := []string{
		"/key-auths", "/key-auths/" + created["id"].(string), "/consumers/alice/key-auth", "/consumers/alice/key-auth/s3cret",
		"/basic-auths", "/basic-auths/al", "/plugins", "/plugins/" + logging["id"].(string), "/certificates",
		"/certificates/" + stored["id"].(string), "/certificates/a.example",
	}
	revealing := []string{"s3cret", "T0KEN", "PRIVATE KEY", made["key"].(string)}
	for _, path := range paths {
		r := c.send("GET", path, "")
		for _, secret := range revealing {
			if r.status != 200 || strings.Contains(r.text, secret) || !strings.Contains(r.text, api.Mask) {
				t.Errorf("%s: got %d %s, want masks", path, r.status, r.text)
				break
			}
		}
		r = c.with("Kong-Admin-Token", token).send("GET", path, "")
		if r.status != 200 || strings.Contains(r.text, api.Mask) {
			t.Errorf("%s with the token: got %d %s, want no masks", path, r.status, r.text)
		}
	}
	if r := c.send("PATCH", "/key-auths/s3cret", `{"tags":["a"]}`); r.status != 200 || r.body["key"] != api.Mask {
		t.Errorf("PATCH: got %d %s, want a mask", r.status, r.text)
	}
	if r := c.send("GET", "/plugins/"+logging["id"].(string), ""); !strings.Contains(r.text, "{vault://env/y}") {
		t.Errorf("got %s, want the vault reference as it is", r.text)
	}
}

// What a page has read masked, it may send back.
func TestMasksStandForWhatWas(t *testing.T) {
	c := newClient(t, api.Options{Token: token})
	bearer := c.with("Kong-Admin-Token", token)
	path := "/plugins/" + c.want(201, "POST", "/plugins", plugin)["id"].(string)
	before := bearer.want(200, "GET", path, "")["config"].(entity.Object)
	for _, method := range []string{"PATCH", "PUT"} {
		body := fmt.Sprintf(`{"name":"http-log","tags":["seen"],"config":{"http_endpoint":%q,"headers":{"x-key":%q,"y":"{vault://env/y}"}}}`, api.Mask, api.Mask)
		if masked := c.want(200, method, path, body)["config"].(entity.Object); masked["http_endpoint"] != api.Mask {
			t.Errorf("%s: got %v, want a mask", method, masked)
		}
		after := bearer.want(200, "GET", path, "")
		if diff := cmp.Diff(before, after["config"]); diff != "" {
			t.Errorf("%s: config changed (-before +after):\n%s", method, diff)
		}
		if diff := cmp.Diff([]any{"seen"}, after["tags"]); diff != "" {
			t.Errorf("%s: tags (-want +got):\n%s", method, diff)
		}
	}
	validated := `{"id":"` + strings.TrimPrefix(path, "/plugins/") + `","name":"http-log","config":{"http_endpoint":"` + api.Mask + `"}}`
	c.want(200, "POST", "/schemas/plugins/validate", validated)

	c.want(200, "PATCH", path, `{"config":{"headers":{"new":"value"}}}`)
	if headers := bearer.want(200, "GET", path, "")["config"].(entity.Object)["headers"]; !cmp.Equal(headers, entity.Object{"new": "value"}) {
		t.Errorf("got headers %v, want the new one alone", headers)
	}

	for _, refused := range []struct{ method, path, body string }{
		{"POST", "/plugins", strings.Replace(plugin, "s3cret\",", api.Mask+"\",", 1)},
		{"PATCH", path, `{"config":{"headers":{"other":"` + api.Mask + `"}}}`},
		{"PUT", "/plugins/00000000-0000-4000-8000-000000000001", `{"name":"http-log","config":{"http_endpoint":"` + api.Mask + `"}}`},
	} {
		c.want(400, refused.method, refused.path, refused.body)
	}

	c.want(201, "POST", "/consumers", `{"username":"alice"}`)
	c.want(201, "POST", "/consumers/alice/basic-auth", `{"username":"al","password":"p"}`)
	digest := bearer.want(200, "GET", "/basic-auths/al", "")["password"]
	c.want(200, "PATCH", "/basic-auths/al", `{"password":"`+api.Mask+`","tags":["a"]}`)
	c.want(400, "PUT", "/consumers/alice/basic-auth/al", `{"password":"`+api.Mask+`"}`)
	if now := bearer.want(200, "GET", "/basic-auths/al", "")["password"]; now != digest {
		t.Errorf("got password %v, want %v as before", now, digest)
	}
}

// Of a plugin that is not known nobody knows what is secret.
func TestUnknownPluginIsMasked(t *testing.T) {
	c := newFileless(t)
	c.with("Content-Type", "text/yaml").want(201, "POST", "/config", `_format_version: "3.0"
plugins:
- name: rate-limiting
  config: {minute: 5, redis: {password: s3cret}, list: [s3cret]}
`)
	if r := c.send("GET", "/plugins", ""); strings.Contains(r.text, "s3cret") || !strings.Contains(r.text, "rate-limiting") {
		t.Errorf("got %s, want it with masks", r.text)
	}
}

// certificateVector is a certificate with its key from the vectors, for a.example.
func certificateVector(t *testing.T) string {
	t.Helper()
	for _, v := range readVectors(t, recorded) {
		for _, given := range v.Given {
			if given.Path == "/certificates" && strings.Contains(string(given.Body), "a.example") {
				return string(given.Body)
			}
		}
	}
	t.Fatal("no vector has a certificate for a.example")
	return ""
}
