package requesttermination

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/internal/gateway"
	"sidekong/proxy/plugin"
)

func start(t *testing.T, config string) *gateway.Gateway {
	t.Helper()
	return gateway.Start(t, gateway.Setup{
		Config:  gateway.Service + "\nplugins:\n- name: request-termination\n  config: " + config,
		Plugins: []*plugin.Definition{Define("node")},
	})
}

func TestAnswers(t *testing.T) {
	const jsonType, plain = "application/json; charset=utf-8", "text/plain; charset=utf-8"
	for _, c := range []struct {
		name, config string
		status       int
		kind, body   string
	}{
		{"nothing configured", "{}", 503, jsonType, `{"message":"Service unavailable"}`},
		{"status with a message of its own", "{status_code: 404}", 404, jsonType, `{"message":"Not found"}`},
		{"message", `{status_code: 403, message: "no <way>"}`, 403, jsonType, `{"message":"no <way>"}`},
		{"body", `{status_code: 200, body: "<b>", content_type: text/html}`, 200, "text/html", "<b>"},
		{"body without a type", `{status_code: 200, body: "<b>"}`, 200, "", "<b>"},
		{"status with Kong's page", "{status_code: 413}", 413, plain, "Payload too large\nrequest_id: ID\n"},
		{"status with nginx's page", "{status_code: 429}", 429, "text/html; charset=UTF-8", "<html>\r\n<head><title>429 Too Many Requests</title></head>\r\n<body>\r\n<center><h1>429 Too Many Requests</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"},
		{"status without a page", "{status_code: 418}", 418, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, c.config)
			got := g.Get("/")
			body := regexp.MustCompile(`[0-9a-f]{32}`).ReplaceAllString(got.Body, "ID")
			if got.Status != c.status || body != c.body || got.Header.Get("Content-Type") != c.kind {
				t.Errorf("got %d %s %q, want %d %s %q", got.Status, got.Header.Get("Content-Type"), body, c.status, c.kind, c.body)
			}
			if n := len(g.Upstream.Requests()); n != 0 {
				t.Errorf("%d requests went upstream", n)
			}
		})
	}
}

func TestTrigger(t *testing.T) {
	g := start(t, "{trigger: x-stop, status_code: 403}")
	for _, c := range []struct {
		target string
		header []string
		want   int
	}{
		{"/", nil, 200},
		{"/", []string{"X-Stop: "}, 403},
		{"/?x-stop", nil, 403},
		{"/?X-Stop=1", nil, 200},
	} {
		if got := g.Get(c.target, c.header...); got.Status != c.want {
			t.Errorf("%s %q: got %d, want %d", c.target, c.header, got.Status, c.want)
		}
	}
}

func TestEcho(t *testing.T) {
	g := start(t, "{echo: true, status_code: 404, message: hello}")
	got := g.Do("POST", "/a?b=1&b=2&c", `{"n":1}`, "Content-Type: application/json", "X-A: 1")
	if got.Status != 404 {
		t.Fatalf("got %d", got.Status)
	}
	var e struct {
		Message string
		Kong    struct {
			NodeID string `json:"node_id"`
		}
		Request struct {
			Scheme, Host, Method, Path string
			RawBody                    string `json:"raw_body"`
			Query, Headers             map[string]any
			Body                       map[string]any
		}
		Route   map[string]any `json:"matched_route"`
		Service map[string]any `json:"matched_service"`
	}
	if err := json.Unmarshal([]byte(got.Body), &e); err != nil {
		t.Fatal(err)
	}
	want := []any{
		"hello", "node", "http", "127.0.0.1", "POST", "/a", `{"n":1}`,
		map[string]any{"n": 1.0},
		map[string]any{"b": []any{"1", "2"}, "c": true},
		"1", "all", "backend",
	}
	found := []any{
		e.Message, e.Kong.NodeID, e.Request.Scheme, e.Request.Host, e.Request.Method, e.Request.Path, e.Request.RawBody, e.Request.Body,
		e.Request.Query, e.Request.Headers["x-a"], e.Route["name"], e.Service["name"],
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("echo (-want +got):\n%s", diff)
	}
}
