package api_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin/api"
	"sidekong/configs/entity"
)

// follow reads a list to its end and gives the names in it.
func (c *client) follow(path, field string) (names []string, pages int) {
	c.Helper()
	for path != "" {
		page := c.want(200, "GET", path, "")
		for _, item := range page["data"].([]any) {
			names = append(names, fmt.Sprint(item.(entity.Object)[field]))
		}
		if pages++; pages > 50 {
			c.Fatalf("%s: no end", path)
		}
		path, _ = page["next"].(string)
	}
	slices.Sort(names)
	return names, pages
}

func TestPages(t *testing.T) {
	c := newClient(t, api.Options{})
	var services []string
	for i := range 7 {
		name := fmt.Sprintf("s%d", i)
		services = append(services, name)
		tags := `["all"]`
		if i%2 == 0 {
			tags = `["all","even"]`
		}
		c.want(201, "POST", "/services", fmt.Sprintf(`{"name":%q,"host":"h","tags":%s}`, name, tags))
	}
	var routes []string
	for i := range 103 {
		name := fmt.Sprintf("r%03d", i)
		routes = append(routes, name)
		c.want(201, "POST", "/services/s1/routes", fmt.Sprintf(`{"name":%q,"paths":["/%s"],"tags":["all"]}`, name, name))
	}
	c.want(201, "POST", "/routes", `{"name":"alone","paths":["/alone"]}`)
	tests := []struct {
		path  string
		want  []string
		pages int
	}{
		{"/services", services, 1},
		{"/services?size=2", services, 4},
		{"/services?size=7", services, 1},
		{"/services?size=3&tags=even", []string{"s0", "s2", "s4", "s6"}, 2},
		{"/services?tags=all,even", []string{"s0", "s2", "s4", "s6"}, 1},
		{"/services?tags=none/even&size=1", []string{"s0", "s2", "s4", "s6"}, 4},
		{"/services?tags=none", nil, 1},
		{"/services/s1/routes", routes, 2},
		{"/services/s2/routes", nil, 1},
		{"/routes?size=1000", append([]string{"alone"}, routes...), 1},
		{"/routes/", append([]string{"alone"}, routes...), 2},
	}
	for _, test := range tests {
		got, pages := c.follow(test.path, "name")
		if diff := cmp.Diff(test.want, got); diff != "" || pages != test.pages {
			t.Errorf("%s: %d pages, want %d (-want +got):\n%s", test.path, pages, test.pages, diff)
		}
	}
	if tagged, pages := c.follow("/tags/even", "tag"); len(tagged) != 4 || pages != 1 {
		t.Errorf("/tags/even: got %v on %d pages, want 4 on one", tagged, pages)
	}
	if tagged, pages := c.follow("/tags?size=50", "tag"); len(tagged) != 7+4+103 || pages != 3 {
		t.Errorf("/tags: got %d on %d pages, want 114 on 3", len(tagged), pages)
	}
	for path, want := range map[string]string{
		"/services?size=1.5":               "size must be an integer between 1 and 1000",
		"/services?size=1&size=2":          "size must be a number",
		"/services?tags=a,b,c,d,e,f":       "invalid option (tags: cannot query more than 5 tags)",
		"/services?offset=WyJhIiwiYiJd":    "'WyJhIiwiYiJd' is not a valid offset: bad json encoding",
		"/services/s1/routes?size=0x10z":   "size must be a number",
		"/upstreams?tags=a%00":             "invalid option (tags: invalid filter syntax)",
		"/ca_certificates/not-an-id":       `invalid primary key: '{id="not-an-id"}'`,
		"/consumers?custom_id=a&custom_id": "custom_id must be an unempty string",
	} {
		if got := c.want(400, "GET", path, "")["message"]; got != want {
			t.Errorf("%s: got %v, want %s", path, got, want)
		}
	}
}

func TestPaths(t *testing.T) {
	c := newClient(t, api.Options{})
	service := c.want(201, "POST", "/services", `{"name":"s","host":"h"}`)["id"].(string)
	c.want(201, "POST", "/services/s/routes", `{"name":"r","paths":["/r"]}`)
	c.want(201, "POST", "/services", `{"name":"other","host":"h"}`)
	c.want(201, "POST", "/consumers", `{"username":"a/b c"}`)
	tests := []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/services/s", "", 200},
		{"GET", "/services/" + service, "", 200},
		{"GET", "/services/s/", "", 200},
		{"GET", "/services//s", "", 404},
		{"GET", "//services", "", 404},
		{"GET", "/services/s//", "", 404},
		{"GET", "/Services/s", "", 404},
		{"GET", "/services/S", "", 404},
		{"GET", "/consumers/a%2Fb%20c", "", 200},
		{"GET", "/services/s/routes/r", "", 200},
		{"GET", "/services/other/routes/r", "", 404},
		{"PATCH", "/services/other/routes/r", `{"tags":["a"]}`, 404},
		{"DELETE", "/services/other/routes/r", "", 404},
		{"PATCH", "/services/s/routes/r", `{"tags":["a"]}`, 200},
		{"GET", "/routes/r/service", "", 200},
		{"PATCH", "/routes/r/service", `{"retries":1}`, 200},
		{"PUT", "/routes/r/service", `{"host":"h2","name":"s"}`, 200},
		{"DELETE", "/routes/r/service", "", 405},
		{"POST", "/routes/r/service", `{}`, 405},
		{"GET", "/targets", "", 404},
		{"GET", "/snis/x/certificate", "", 404},
		{"GET", "/plugins/enabled", "", 200},
		{"GET", "/plugins/not-there", "", 404},
		{"GET", "/schemas/services", "", 200},
		{"GET", "/schemas/plugins", "", 200},
		{"GET", "/schemas/plugins/opentelemetry", "", 200},
		{"GET", "/schemas/plugins/nope", "", 404},
		{"GET", "/plugins/schema/opentelemetry", "", 200},
		{"GET", "/schemas/nope", "", 404},
		{"GET", "/schemas/routes/validate", "", 405},
		{"GET", "/", "", 200},
		{"GET", "/endpoints", "", 200},
		{"GET", "/config", "", 400},
		{"PUT", "/services/s/routes/r", `{"paths":["/new"]}`, 200},
		{"PUT", "/services/nope/routes/r", `{"paths":["/new"]}`, 404},
		{"DELETE", "/services/s", "", 400},
		{"DELETE", "/services/s/routes/r", "", 204},
		{"DELETE", "/services/s", "", 204},
		{"DELETE", "/services/s", "", 204},
		{"TRACE", "/services", "", 405},
	}
	for _, test := range tests {
		if got := c.send(test.method, test.path, test.body); got.status != test.want {
			t.Errorf("%s %s: got %d %s, want %d", test.method, test.path, got.status, got.text, test.want)
		}
	}
	for path, want := range map[string]string{
		"/services":                  "GET, HEAD, OPTIONS, POST",
		"/services/any":              "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
		"/schemas/services/validate": "OPTIONS, POST",
	} {
		if got := c.send("OPTIONS", path, ""); got.status != 204 || got.header.Get("Allow") != want {
			t.Errorf("OPTIONS %s: got %d, Allow %q, want %q", path, got.status, got.header.Get("Allow"), want)
		}
	}
}

// What an entity that refers to nothing is told to refer to is created.
func TestForeignPut(t *testing.T) {
	c := newClient(t, api.Options{})
	c.want(201, "POST", "/routes", `{"name":"r","paths":["/r"]}`)
	c.want(404, "GET", "/routes/r/service", "")
	service := c.want(200, "PUT", "/routes/r/service", `{"host":"h","name":"s"}`)
	if got := c.want(200, "GET", "/routes/r", "")["service"]; !cmp.Equal(got, entity.Object{"id": service["id"]}) {
		t.Errorf("got service %v, want %v", got, service["id"])
	}
	if got := c.want(200, "GET", "/routes/r/service", ""); got["name"] != "s" {
		t.Errorf("got %v, want the service s", got)
	}
}
