package manager_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sidekong/admin"
	"sidekong/admin/inventory"
	"sidekong/admin/manager"
	"sidekong/admin/traces"
)

// page is a running page.
type page struct {
	t     *testing.T
	url   string
	store *traces.Store
}

func start(t *testing.T, change func(*manager.Options)) page {
	t.Helper()
	store := traces.New(traces.Options{})
	t.Cleanup(store.Close)
	o := manager.Options{
		Files: fstest.MapFS{
			"index.html":  {Data: []byte("<!doctype html><title>page</title>")},
			"app/main.js": {Data: []byte("export {}")},
		},
		Store: store, Logger: slog.New(slog.DiscardHandler),
		Node:  func() manager.Node { return manager.Node{Version: "1", Admin: "/admin"} },
		Admin: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "admin ", r.Method, " ", r.URL.Path) }),
	}
	if change != nil {
		change(&o)
	}
	server := httptest.NewServer(manager.Handler(o))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return page{t, server.URL, store}
}

// ask sends a request with headers given as pairs; Host sets the Host header.
func (p page) ask(method, path, body string, header ...string) (*http.Response, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res, string(text)
}

// get reads an answer of JSON.
func (p page) get(path string, into any) {
	p.t.Helper()
	res, text := p.ask("GET", path, "")
	if res.StatusCode != 200 {
		p.t.Fatalf("GET %s: %d %s", path, res.StatusCode, text)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		p.t.Fatalf("GET %s: %v in %s", path, err, text)
	}
}

// span puts a trace of one span into the store, and gives its id.
func (p page) span(n byte, name string) string {
	id := append(make([]byte, 15), n)
	p.store.TakeSpans([]*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
		TraceId: id, SpanId: []byte{1, 2, 3, 4, 5, 6, 7, n}, Name: name, StartTimeUnixNano: 1e18, EndTimeUnixNano: 1e18 + 1e6,
	}}}}}})
	return fmt.Sprintf("%x", id)
}

func TestTraces(t *testing.T) {
	p := start(t, nil)
	for i := range 5 {
		p.span(byte(i+1), fmt.Sprint("span", i))
	}
	var first, second manager.List
	p.get("/api/traces?limit=3", &first)
	p.get("/api/traces?limit=3&before="+first.Next, &second)
	var names []string
	for _, row := range append(first.Traces, second.Traces...) {
		names = append(names, row.Name)
	}
	if diff := cmp.Diff([]string{"span4", "span3", "span2", "span1", "span0"}, names); diff != "" {
		t.Errorf("two pages (-want +got):\n%s", diff)
	}
	if second.Next != "" {
		t.Errorf("after the last page comes %q", second.Next)
	}
	var found manager.List
	p.get("/api/traces?filter=name%3Dspan2", &found)
	if len(found.Traces) != 1 || found.Traces[0].Name != "span2" {
		t.Errorf("filtered: %+v", found.Traces)
	}
	var trace traces.Trace
	p.get("/api/traces/"+found.Traces[0].ID, &trace)
	if len(trace.Spans) != 1 {
		t.Errorf("trace %+v", trace)
	}
	var completions manager.Completions
	p.get("/api/traces/attributes", &completions)
	res, text := p.ask("GET", "/api/traces/"+found.Traces[0].ID+"/otlp", "")
	if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Content-Disposition"), "trace-0000") {
		t.Fatalf("export: %d %v", res.StatusCode, res.Header)
	}
	if res, _ := p.ask("DELETE", "/api/traces", ""); res.StatusCode != 204 {
		t.Errorf("clear: %d", res.StatusCode)
	}
	if res, _ := p.ask("GET", "/api/traces/"+found.Traces[0].ID, ""); res.StatusCode != 404 {
		t.Errorf("a trace that was cleared: %d", res.StatusCode)
	}
	res, answer := p.ask("POST", "/api/import", text)
	if want := `{"traces":["` + found.Traces[0].ID + `"],"spans":1,"logs":0,"rejected":0,"reason":""}` + "\n"; res.StatusCode != 200 || answer != want {
		t.Errorf("import: %d %s, want %s", res.StatusCode, answer, want)
	}
	p.get("/api/traces/"+found.Traces[0].ID, &trace)
}

// TestAnswers: statuses of what goes wrong, and of the rest of the API.
func TestAnswers(t *testing.T) {
	p := start(t, func(o *manager.Options) {
		o.Exporters = func() []admin.Exporter {
			return []admin.Exporter{{Endpoint: "http://c", Failing: true, LastError: "refused", Queued: 7, Dropped: map[string]uint64{"full": 2}}}
		}
		o.Inventory = inventory.New()
		o.Inventory.Observe(inventory.Observation{
			Time: time.Unix(1_700_000_000, 0), Host: "api.test", Method: "GET", Path: "/users/7", Status: 200,
		})
	})
	id := p.span(1, "x")
	cases := []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/api/traces?filter=status%3Ex", "", 400, `"position":7,"length":1`},
		{"GET", "/api/traces?limit=0", "", 400, "limit"},
		{"GET", "/api/traces?limit=1001", "", 400, "limit"},
		{"GET", "/api/traces?before=nonsense", "", 200, id},
		{"GET", "/api/traces/stream?filter=%22", "", 400, "quote"},
		{"GET", "/api/traces/unknown", "", 404, "message"},
		{"GET", "/api/traces/unknown/otlp", "", 404, "message"},
		{"GET", "/api/traces/" + id + "/applied", "", 404, "message"},
		{"POST", "/api/import", "hello", 400, "import"},
		{"GET", "/api/overview", "", 200, `"step":10000`},
		{"GET", "/api/overview?window=21600", "", 200, `"step":300000`},
		{"GET", "/api/overview?window=7", "", 400, "window"},
		{"GET", "/api/services", "", 200, `"traces":1`},
		{"GET", "/api/exporters", "", 200, `"problem":"http://c does not take spans: refused. 2 are lost, 7 wait."`},
		{"GET", "/api/node", "", 200, `"version":"1"`},
		{"GET", "/api/inventory", "", 200, "/users/"},
		{"GET", "/api/inventory/openapi", "", 200, `openapi`},
		{"POST", "/api/inventory/compare", `{"openapi":"3.1.0","info":{"title":"x","version":"1"},"paths":{}}`, 200, "undocumented"},
		{"POST", "/api/inventory/compare", "bad", 400, "message"},
		{"DELETE", "/api/inventory", "", 204, ""},
		{"GET", "/api/other", "", 404, "message"},
		{"PUT", "/api/traces", "", 404, ""},
		{"GET", "/admin/services/x", "", 200, "admin GET /services/x"},
		{"GET", "/v1/other", "", 404, "message"},
		{"POST", "/v1/traces", "{}", 415, "content type"},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			res, text := page{t, p.url, p.store}.ask(c.method, c.path, c.body)
			if res.StatusCode != c.status || !strings.Contains(text, c.text) {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, text, c.status, c.text)
			}
		})
	}
}

// TestFiles: the page's files with their types, conditional, and the page itself for its own addresses.
func TestFiles(t *testing.T) {
	p := start(t, nil)
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/index.html": "text/html; charset=utf-8", "/app/main.js": "text/javascript; charset=utf-8",
		"/traces/0123": "text/html; charset=utf-8", "/app/": "text/html; charset=utf-8",
	} {
		res, _ := p.ask("GET", path, "")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %d %s, want %s", path, res.StatusCode, res.Header.Get("Content-Type"), kind)
		}
		policy := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, res.Header)
		}
		if again, _ := p.ask("GET", path, "", "If-None-Match", res.Header.Get("Etag")); again.StatusCode != 304 {
			t.Errorf("%s: %d for what is known", path, again.StatusCode)
		}
	}
	for _, path := range []string{"/none.js", "/app/none.css"} {
		if res, _ := p.ask("GET", path, ""); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if res, _ := p.ask("POST", "/", ""); res.StatusCode != 405 {
		t.Errorf("a post to the page: %d", res.StatusCode)
	}
}

// TestStrangers: neither another site's page nor a name that leads here by chance gets anything.
func TestStrangers(t *testing.T) {
	p := start(t, func(o *manager.Options) { o.Hosts = []string{"sidecar.test"} })
	cases := []struct {
		name   string
		method string
		header []string
		status int
	}{
		{"address", "GET", nil, 200},
		{"localhost", "GET", []string{"Host", "localhost:8002"}, 200},
		{"IPv6", "GET", []string{"Host", "[::1]:8002"}, 200},
		{"configured name", "GET", []string{"Host", "Sidecar.Test:8002"}, 200},
		{"rebound name", "GET", []string{"Host", "evil.test:8002"}, 403},
		{"name like an address", "GET", []string{"Host", "127.0.0.1.evil.test"}, 403},
		{"no browser", "DELETE", nil, 204},
		{"same origin", "DELETE", []string{"Sec-Fetch-Site", "same-origin"}, 204},
		{"other site", "DELETE", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"other site, old browser", "DELETE", []string{"Origin", "http://evil.test"}, 403},
		{"other port", "DELETE", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"}, 403},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if res, text := (page{t, p.url, p.store}).ask(c.method, "/api/traces", "", c.header...); res.StatusCode != c.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, text, c.status)
			}
		})
	}
}

// TestLogin: elsewhere than on loopback nothing but the page's files is to be had without the token.
func TestLogin(t *testing.T) {
	const token = "a-secret-token"
	p := start(t, func(o *manager.Options) { o.Login, o.Token = true, token })
	for _, path := range []string{"/api/node", "/api/traces", "/api/traces/stream", "/admin/services", "/api/unknown"} {
		if res, text := p.ask("GET", path, ""); res.StatusCode != 401 || strings.Contains(text, token) {
			t.Errorf("%s: %d %s", path, res.StatusCode, text)
		}
	}
	if res, _ := p.ask("POST", "/v1/traces", "{}", "Content-Type", "application/json"); res.StatusCode != 401 {
		t.Errorf("spans without the token: %d", res.StatusCode)
	}
	if res, _ := p.ask("GET", "/", ""); res.StatusCode != 200 {
		t.Errorf("the page: %d", res.StatusCode)
	}
	if res, _ := p.ask("GET", "/", "", "Host", "any.test"); res.StatusCode != 200 {
		t.Errorf("the page by another name: %d", res.StatusCode)
	}
	for _, header := range [][]string{{"Authorization", "Bearer " + token}, {"Kong-Admin-Token", token}} {
		if res, _ := p.ask("GET", "/api/node", "", header...); res.StatusCode != 200 {
			t.Errorf("%s: %d", header[0], res.StatusCode)
		}
	}
	if res, _ := p.ask("POST", "/api/login", `{"token":"other"}`); res.StatusCode != 401 || len(res.Cookies()) != 0 {
		t.Errorf("a wrong token: %d", res.StatusCode)
	}
	if res, _ := p.ask("POST", "/api/login", `{`); res.StatusCode != 400 {
		t.Errorf("no token: %d", res.StatusCode)
	}
	res, _ := p.ask("POST", "/api/login", `{"token":"`+token+`"}`)
	if res.StatusCode != 204 || len(res.Cookies()) != 1 {
		t.Fatalf("the token: %d, %v", res.StatusCode, res.Cookies())
	}
	cookie := res.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || strings.Contains(cookie.Value, token) {
		t.Errorf("cookie %v", cookie)
	}
	session := cookie.Name + "=" + cookie.Value
	if res, text := p.ask("GET", "/api/node", "", "Cookie", session); res.StatusCode != 200 || !strings.Contains(text, `"login":true`) {
		t.Errorf("with the cookie: %d %s", res.StatusCode, text)
	}
	forged := cookie.Name + "=" + "BBBB" + cookie.Value[4:]
	if res, _ := p.ask("GET", "/api/node", "", "Cookie", forged); res.StatusCode != 401 {
		t.Errorf("with a cookie that ends later: %d", res.StatusCode)
	}
	if res, _ := p.ask("POST", "/api/logout", "", "Cookie", session); res.StatusCode != 204 || res.Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: %d %v", res.StatusCode, res.Cookies())
	}
	limited := false
	for range 30 {
		res, _ := p.ask("GET", "/api/node", "", "Kong-Admin-Token", "guess")
		limited = limited || res.StatusCode == 429
	}
	if !limited {
		t.Error("tokens may be guessed without end")
	}
	if res, _ := p.ask("GET", "/api/node", "", "Cookie", session); res.StatusCode != 200 {
		t.Errorf("a session while somebody guesses: %d", res.StatusCode)
	}
}

// TestLoginWithoutToken: where no token is set, nobody gets in.
func TestLoginWithoutToken(t *testing.T) {
	p := start(t, func(o *manager.Options) { o.Login = true })
	if res, text := p.ask("GET", "/api/node", ""); res.StatusCode != 401 || !strings.Contains(text, "admin_token is not set") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if res, _ := p.ask("POST", "/api/login", `{"token":""}`); res.StatusCode != 401 {
		t.Errorf("an empty token: %d", res.StatusCode)
	}
}

// event is a server-sent event.
type event struct{ name, id, data string }

// follow opens the stream. The function gives the next event of a name.
func (p page) follow(path string, header ...string) func(name string) event {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	p.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { res.Body.Close() })
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream; charset=utf-8" {
		p.t.Fatalf("content type %s", kind)
	}
	lines := bufio.NewScanner(res.Body)
	return func(name string) (e event) {
		p.t.Helper()
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.name == name {
					return e
				}
				e = event{}
			}
		}
		p.t.Fatalf("the stream ends before %s: %v", name, lines.Err())
		return e
	}
}

// TestStream: what comes is seen at once, a stream goes on where it was left, and a filter holds.
func TestStream(t *testing.T) {
	p := start(t, nil)
	p.span(1, "before")
	var list manager.List
	p.get("/api/traces", &list)
	p.span(2, "between")
	next := p.follow("/api/traces/stream?after=" + list.Resume)
	next("state")
	between := next("trace")
	if !strings.Contains(between.data, `"name":"between"`) {
		t.Errorf("first comes %s", between.data)
	}
	p.span(3, "live")
	if e := next("trace"); !strings.Contains(e.data, `"name":"live"`) {
		t.Errorf("then comes %s", e.data)
	}
	again := p.follow("/api/traces/stream?after=ignored", "Last-Event-ID", between.id)
	if e := again("trace"); !strings.Contains(e.data, `"name":"live"`) {
		t.Errorf("after %s comes %s", between.id, e.data)
	}
	filtered := p.follow("/api/traces/stream?filter=name%3Dwanted")
	filtered("state")
	p.span(4, "unwanted")
	p.span(5, "wanted")
	if e := filtered("trace"); !strings.Contains(e.data, `"name":"wanted"`) {
		t.Errorf("filtered: %s", e.data)
	}
	p.store.Clear()
	next("reset")
	if e := p.follow("/api/traces/stream?after=0-0")("reset"); e.data != "{}" {
		t.Errorf("an unknown cursor: %+v", e)
	}
}

// TestStreamsAreBounded: so many at once, then 503.
func TestStreamsAreBounded(t *testing.T) {
	p := start(t, nil)
	for range 32 {
		p.follow("/api/traces/stream")("state")
	}
	if res, _ := p.ask("GET", "/api/traces/stream", ""); res.StatusCode != 503 {
		t.Errorf("one more: %d", res.StatusCode)
	}
}

// TestApplied: the ids of the request are looked up.
func TestApplied(t *testing.T) {
	p := start(t, func(o *manager.Options) {
		o.Applied = func(route, service, consumer string) manager.Applied {
			return manager.Applied{Route: route, Service: service, Consumer: consumer}
		}
	})
	span := &tracepb.ScopeSpans{Spans: []*tracepb.Span{{TraceId: append(make([]byte, 15), 1), SpanId: []byte("01234567"), Name: "kong"}}}
	p.store.Add(&traces.Request{TraceID: [16]byte{15: 1}, Spans: marshal(t, span), Note: traces.Note{RouteID: "r", ServiceID: "s"}})
	_, text := p.ask("GET", "/api/traces/00000000000000000000000000000001/applied", "")
	if want := `{"route":"r","service":"s","consumer":"","plugins":[]}` + "\n"; text != want {
		t.Errorf("got %s, want %s", text, want)
	}
	for _, record := range []string{"1", "-1", "x"} {
		if res, _ := p.ask("GET", "/api/traces/00000000000000000000000000000001/applied?record="+record, ""); res.StatusCode/100 != 4 {
			t.Errorf("record %s: %d", record, res.StatusCode)
		}
	}
}

// TestReceiver: spans that are posted are in the list.
func TestReceiver(t *testing.T) {
	p := start(t, nil)
	body := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"sent"}]}]}]}`
	if res, text := p.ask("POST", "/v1/traces", body, "Content-Type", "application/json"); res.StatusCode != 200 || text != "{}" {
		t.Fatalf("%d %s", res.StatusCode, text)
	}
	var list manager.List
	p.get("/api/traces", &list)
	if len(list.Traces) != 1 || list.Traces[0].Name != "sent" {
		t.Errorf("list %+v", list.Traces)
	}
}

func marshal(t *testing.T, scoped *tracepb.ScopeSpans) []byte {
	t.Helper()
	raw, err := proto.Marshal(scoped)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestLargeImport: a file beyond the bound is refused.
func TestLargeImport(t *testing.T) {
	p := start(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/api/import", bytes.NewReader(make([]byte, 33<<20)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", res.StatusCode)
	}
}
