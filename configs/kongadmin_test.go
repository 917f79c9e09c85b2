package configs_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs"
	"sidekong/configs/entity"
)

// fakeKong is an Admin API with the shapes that Kong 3.9.3 answered with: see testdata/kongadmin.
type fakeKong struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	lists    map[string][]entity.Object // by path: "services", "upstreams/ID/targets"
	token    string                     // that is asked for; "" asks for none
	prefix   string                     // of all lists: a workspace
	hash     string                     // of a Kong without a database
	etags    bool                       // as a cache before the Admin API would add
	requests []string                   // paths with queries
	// before looks at a request first; true says that it has answered.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func newFakeKong(t *testing.T, lists map[string][]entity.Object) *fakeKong {
	t.Helper()
	k := unstartedFakeKong(t, lists)
	k.Start()
	return k
}

func unstartedFakeKong(t *testing.T, lists map[string][]entity.Object) *fakeKong {
	t.Helper()
	k := &fakeKong{t: t, lists: lists}
	k.Server = httptest.NewUnstartedServer(http.HandlerFunc(k.serve))
	k.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(k.Close)
	return k
}

func (k *fakeKong) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		k.t.Errorf("%s %s; only GET may be sent", r.Method, r.URL)
	}
	if r.ContentLength != 0 {
		k.t.Errorf("GET %s has a body", r.URL)
	}
	k.mu.Lock()
	k.requests = append(k.requests, r.URL.RequestURI())
	before := k.before
	k.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w.Header().Set("Server", "kong/3.9.3")
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	switch path, inside := strings.CutPrefix(r.URL.Path, "/"+k.prefix); {
	case k.token != "" && r.Header.Get("Kong-Admin-Token") != k.token:
		answer(w, http.StatusUnauthorized, entity.Object{"message": "Invalid RBAC credentials. Token or User credentials required"})
	case r.URL.Path == "/status":
		status := entity.Object{"server": entity.Object{"connections_active": 1}, "database": entity.Object{"reachable": true}}
		if k.hash != "" {
			status["configuration_hash"] = k.hash
		}
		answer(w, http.StatusOK, status)
	case inside && k.lists[path] != nil:
		k.page(w, r, path)
	default:
		answer(w, http.StatusNotFound, entity.Object{"message": "Not found"})
	}
}

// page answers as Kong does: entities in the order of their ids, and an offset that is the last id seen.
func (k *fakeKong) page(w http.ResponseWriter, r *http.Request, path string) {
	list := slices.Clone(k.lists[path])
	key := func(e entity.Object) string {
		id, _ := e["id"].(string)
		return id
	}
	slices.SortStableFunc(list, func(a, b entity.Object) int { return strings.Compare(key(a), key(b)) })
	size, err := strconv.Atoi(r.FormValue("size"))
	if err != nil || size < 1 || size > 1000 {
		answer(w, http.StatusBadRequest, entity.Object{
			"code": 9, "name": "invalid size", "message": "size must be an integer between 1 and 1000",
		})
		return
	}
	if offset := r.FormValue("offset"); offset != "" {
		var ids []string
		text, err := base64.RawStdEncoding.DecodeString(offset)
		if err != nil || json.Unmarshal(text, &ids) != nil || len(ids) != 1 {
			answer(w, http.StatusBadRequest, entity.Object{
				"code": 7, "name": "invalid offset", "message": "'" + offset + "' is not a valid offset: bad base64 encoding",
			})
			return
		}
		list = slices.DeleteFunc(list, func(e entity.Object) bool { return key(e) < ids[0] })
	}
	body := entity.Object{"data": list, "next": nil}
	if len(list) > size {
		text, _ := json.Marshal([]any{list[size]["id"]})
		offset := base64.RawStdEncoding.EncodeToString(text)
		body = entity.Object{"data": list[:size], "offset": offset, "next": "/" + path + "?offset=" + offset}
	}
	if k.etags {
		text, _ := json.Marshal(body)
		etag := fmt.Sprintf(`W/"%x"`, bytes.Count(text, nil))
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	answer(w, http.StatusOK, body)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// took returns the requests since it was last called.
func (k *fakeKong) took() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	requests := k.requests
	k.requests = nil
	return requests
}

func (k *fakeKong) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

// recorded reads testdata/kongadmin.
func recorded(t testing.TB) map[string][]entity.Object {
	t.Helper()
	lists := map[string][]entity.Object{}
	for _, kind := range []string{"services", "routes", "plugins", "consumers", "upstreams"} {
		lists[kind] = recordedList(t, kind)
	}
	for _, upstream := range lists["upstreams"] {
		lists["upstreams/"+upstream["id"].(string)+"/targets"] = []entity.Object{}
	}
	for _, target := range recordedList(t, "targets") {
		path := "upstreams/" + target["upstream"].(entity.Object)["id"].(string) + "/targets"
		lists[path] = append(lists[path], target)
	}
	return lists
}

func recordedList(t testing.TB, kind string) []entity.Object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "kongadmin", kind+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []entity.Object
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// small is a Kong with one service and one route.
func small() map[string][]entity.Object {
	return map[string][]entity.Object{
		"services": {{"id": id(1), "name": "orders", "host": "orders.test", "path": nil, "tags": nil}},
		"routes":   {{"id": id(2), "name": "list", "paths": []any{"/orders"}, "service": entity.Object{"id": id(1)}, "hosts": nil}},
		"plugins":  {}, "consumers": {}, "upstreams": {},
	}
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// adminSchemas knows the opentelemetry plugin in part, which makes the rest of its configuration unknown fields.
func adminSchemas() *entity.Schemas {
	text := &entity.Field{Type: entity.String}
	return entity.NewSchemas(map[string]*entity.Record{
		"opentelemetry": {Fields: []entity.Field{
			entity.URL("traces_endpoint"),
			{Name: "headers", Type: entity.Map, Keys: text, Values: text},
			{Name: "queue", Type: entity.RecordType, Required: true, Record: &entity.Record{Fields: []entity.Field{
				{Name: "max_batch_size", Type: entity.Integer, Default: 1},
			}}},
		}},
	})
}

// admin makes a KongAdmin, with what it logs.
func admin(t *testing.T, o configs.KongAdminOptions) (*configs.KongAdmin, *logs) {
	t.Helper()
	out := &logs{}
	o.Logger, o.Schemas = out.logger(), adminSchemas()
	k, err := configs.NewKongAdmin(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, out
}

// logs collects a log without its times.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// lines returns what was logged since it was last called.
func (l *logs) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.FieldsFunc(l.text.String(), func(r rune) bool { return r == '\n' })
	l.text.Reset()
	return lines
}

func loadAdmin(t *testing.T, k *configs.KongAdmin) *configs.Snapshot {
	t.Helper()
	snapshot, _, err := configs.Loader{Schemas: adminSchemas()}.Load(t.Context(), k)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return snapshot
}

func TestKongAdminReadsRecordedShapes(t *testing.T) {
	kong := newFakeKong(t, recorded(t))
	k, out := admin(t, configs.KongAdminOptions{Address: kong.URL, Plugins: []string{"opentelemetry"}})
	snapshot := loadAdmin(t, k)
	targets := 0
	for path, list := range kong.lists {
		if strings.HasSuffix(path, "/targets") {
			targets += len(list)
		}
	}
	got := []int{
		len(snapshot.Services), len(snapshot.Routes), len(snapshot.Consumers), len(snapshot.Upstreams), len(snapshot.Targets), len(snapshot.Plugins),
	}
	// The plugins are those at the four scopes; others run in Kong.
	want := []int{len(kong.lists["services"]), len(kong.lists["routes"]), len(kong.lists["consumers"]), len(kong.lists["upstreams"]), targets, 4}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("services, routes, consumers, upstreams, targets, plugins (-want +got):\n%s", diff)
	}
	for _, want := range kong.lists["routes"] {
		got, ok := snapshot.Route(want["id"].(string))
		if !ok {
			t.Fatalf("route %s is missing", want["id"])
		}
		name, _ := want["name"].(string)
		if got.Name != name || got.CreatedAt != 1730000000 && want["created_at"] == 1730000000.0 {
			t.Errorf("route %+v, want %v", got, want)
		}
		if ref, ok := want["service"].(entity.Object); ok && (got.Service == nil || got.Service.ID != ref["id"]) {
			t.Errorf("route %s belongs to %v, want %v", got.ID, got.Service, ref)
		}
	}
	for _, p := range snapshot.Plugins {
		want := entity.Object{"traces_endpoint": "http://c:4318/v1/traces", "headers": nil, "queue": entity.Object{"max_batch_size": 200.0}}
		if diff := cmp.Diff(want, p.Config); diff != "" {
			t.Errorf("config of plugin %s (-want +got):\n%s", p.ID, diff)
		}
	}
	lines := out.lines()
	wantLine := `level=WARN msg="a part of Kong's configuration is left out" part=plugins.config.queue.concurrency_limit times=4 first=opentelemetry reason="a field that Sidekong does not know"`
	if !slices.Contains(lines, wantLine) {
		t.Errorf("no line\n%s\namong\n%s", wantLine, strings.Join(lines, "\n"))
	}
	for _, line := range lines {
		if strings.Contains(line, "part=routes") || strings.Contains(line, "part=upstreams") || strings.Contains(line, "part=services") {
			t.Errorf("Kong's own shape is not taken as it is: %s", line)
		}
	}
	loadAdmin(t, k)
	if lines := out.lines(); len(lines) > 0 {
		t.Errorf("said again:\n%s", strings.Join(lines, "\n"))
	}
}

func TestKongAdminPages(t *testing.T) {
	lists := small()
	for n := range 4999 {
		lists["routes"] = append(lists["routes"], entity.Object{
			"id": id(1000 + n), "name": fmt.Sprint("r", n), "paths": []any{fmt.Sprint("/r", n)}, "service": entity.Object{"id": id(1)},
		})
	}
	kong := newFakeKong(t, lists)
	kong.prefix = "team a/"
	k, _ := admin(t, configs.KongAdminOptions{Address: kong.URL + "/", Workspace: "team a", Kinds: []string{"services", "routes"}})
	snapshot := loadAdmin(t, k)
	if len(snapshot.Routes) != 5000 {
		t.Errorf("%d routes, want 5000", len(snapshot.Routes))
	}
	requests := kong.took()
	if len(requests) != 6 || requests[0] != "/team%20a/services?size=1000" || !strings.HasPrefix(requests[2], "/team%20a/routes?offset=") {
		t.Errorf("requests %q, want one for services and five for routes", requests)
	}
}

func TestKongAdminSameAgain(t *testing.T) {
	lists := small()
	lists["routes"] = append(lists["routes"], lists["routes"][0]) // as on two pages
	lists["routes"][0]["later"] = "unknown"
	kong := newFakeKong(t, lists)
	k, out := admin(t, configs.KongAdminOptions{Address: kong.URL})
	read := func() []byte {
		t.Helper()
		inputs, err := k.Inputs(t.Context())
		if err != nil || len(inputs) != 1 {
			t.Fatalf("Inputs = %v, %v", inputs, err)
		}
		return inputs[0].Data
	}
	first := read()
	if second := read(); &first[0] != &second[0] {
		t.Error("the same content is made anew")
	}
	if snapshot := loadAdmin(t, k); len(snapshot.Routes) != 1 {
		t.Errorf("%d routes, want 1", len(snapshot.Routes))
	}
	service := kong.lists["services"][0]
	for _, c := range []struct {
		change func()
		want   int // lines in the log, after the change
	}{
		{func() {}, 1},
		{func() { service["name"] = "another" }, 0},
		{func() { delete(lists["routes"][0], "later") }, 0},
		{func() { lists["routes"][0]["later"] = "unknown" }, 1},
	} {
		kong.set(c.change)
		read()
		if lines := out.lines(); len(lines) != c.want {
			t.Errorf("log:\n%s\nwant %d lines", strings.Join(lines, "\n"), c.want)
		}
	}
}

func TestKongAdminForeignEntities(t *testing.T) {
	lists := small()
	lists["services"] = append(lists["services"],
		entity.Object{"id": id(3), "name": "newer", "host": "n.test", "tls_sans": entity.Object{"dnsnames": []any{"x"}}, "ws_id": id(99), "empty": []any{}},
		entity.Object{"id": id(4), "name": "strange", "host": "n.test", "protocol": "quic"},
		entity.Object{"id": id(5), "name": `${{ env "DECK_SECRET" }}`, "host": "n.test"},
		entity.Object{"name": "nameless", "host": "n.test"},
		entity.Object{"id": id(6), "name": "certain", "host": "n.test", "protocol": "https", "client_certificate": entity.Object{"id": id(90)}, "ca_certificates": []any{id(91)}},
	)
	lists["routes"] = append(lists["routes"],
		entity.Object{"id": id(11), "name": "expressive", "expression": `http.path == "/x"`, "priority": 0},
		entity.Object{"id": id(12), "name": "orphan", "paths": []any{"/o"}, "service": entity.Object{"id": id(4)}},
		entity.Object{"id": id(13), "name": "nulls", "paths": []any{"/n"}, "protocols": nil, "strip_path": nil, "service": nil},
	)
	otel := func(n int, more entity.Object) entity.Object {
		plugin := entity.Object{"id": id(n), "name": "opentelemetry", "config": entity.Object{"traces_endpoint": "http://c.test/"}}
		maps.Copy(plugin, more)
		return plugin
	}
	lists["plugins"] = []entity.Object{
		otel(21, entity.Object{"ordering": nil, "consumer_group": nil}),
		otel(22, entity.Object{"consumer_group": entity.Object{"id": id(80)}}),
		otel(23, entity.Object{"route": entity.Object{"id": id(11)}}),
		otel(24, entity.Object{"service": entity.Object{"id": id(1)}, "config": entity.Object{"traces_endpoint": "s3cret"}}),
		otel(25, entity.Object{"consumer": entity.Object{"id": id(70)}}),
		{"id": id(26), "name": "pre-function", "config": entity.Object{"access": []any{"os.exit()"}}},
	}
	kong := newFakeKong(t, lists)
	k, out := admin(t, configs.KongAdminOptions{
		Address: kong.URL, Plugins: []string{"opentelemetry"}, Kinds: []string{"services", "routes", "plugins"},
	})
	snapshot := loadAdmin(t, k)
	var names []string
	for _, s := range snapshot.Services {
		names = append(names, s.Name)
	}
	for _, r := range snapshot.Routes {
		names = append(names, r.Name)
	}
	for _, p := range snapshot.Plugins {
		names = append(names, p.Name+" "+p.ID[len(p.ID)-2:])
	}
	if diff := cmp.Diff([]string{"orders", "newer", "certain", "list", "nulls", "opentelemetry 15"}, names); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
	var got []string
	for _, line := range out.lines() {
		_, line, _ = strings.Cut(line, "part=")
		got = append(got, line)
	}
	want := []string{
		`services times=1 first=nameless reason="without an id"`,
		`services.tls_sans times=1 first=newer reason="a field that Sidekong does not know"`,
		`services times=1 first=strange reason="schema violation (protocol: expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp)"`,
		`services times=1 first="${{ env \"DECK_SECRET\" }}" reason="\"${{\" stands in it"`,
		`routes.expression times=1 first=expressive reason="a field that Sidekong does not know"`,
		`routes.priority times=1 first=expressive reason="a field that Sidekong does not know"`,
		`routes times=1 first=expressive reason="schema violation (must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https')"`,
		`routes times=1 first=orphan reason="belongs to one of the services that are left out"`,
		`plugins times=1 first=opentelemetry reason="limited by consumer_group, which Sidekong does not know"`,
		`plugins times=1 first=opentelemetry reason="belongs to one of the routes that are left out"`,
		`plugins times=1 first=opentelemetry reason="Kong 3.9 would refuse config.traces_endpoint"`,
		`plugins times=1 first=opentelemetry reason="belongs to one of the consumers, which are not read"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	for _, plugin := range snapshot.Document.Others["plugins"] {
		t.Errorf("plugin %v of Kong is in the document", plugin.Object)
	}
}

func TestKongAdminAnswers(t *testing.T) {
	large := `{"data":[` + strings.Repeat(`{"id":"x","tags":["`+strings.Repeat("x", 1<<20)+`"]},`, 70) + `{}],"next":null}`
	for name, c := range map[string]struct {
		status int
		body   string
		header http.Header
		want   string
	}{
		"not JSON":      {200, "<html>s3cret", nil, "GET /services: the answer is not a list of Kong's Admin API"},
		"no list":       {200, `{"tagline":"Welcome to kong"}`, nil, "the answer is not a list of Kong's Admin API"},
		"a null list":   {200, `{"data":null}`, nil, "the answer is not a list of Kong's Admin API"},
		"no entities":   {200, `{"data":["a"]}`, nil, "the answer is not a list of Kong's Admin API"},
		"half":          {200, `{"data":[{"id":"`, nil, "the answer is not a list of Kong's Admin API"},
		"cut off":       {200, `{"data":[]`, http.Header{"Content-Length": {"100"}}, "read answer: unexpected EOF"},
		"nothing":       {200, "", nil, "the answer is not a list of Kong's Admin API"},
		"too large":     {200, large, nil, "larger than 67108864 bytes"},
		"endless":       {200, `{"data":[],"offset":"abc"}`, nil, "GET /services: its pages have no end"},
		"unauthorized":  {401, `{"message":"Invalid RBAC credentials"}`, nil, `GET /services: 401 Unauthorized "Invalid RBAC credentials"; the token (Kong-Admin-Token) is missing`},
		"echo":          {403, `{"message":"s3cret is not known"}`, nil, "GET /services: 403 Forbidden; the token"},
		"out of order":  {500, `{"message":"An unexpected error occurred"}`, nil, `500 Internal Server Error "An unexpected error occurred"`},
		"elsewhere":     {302, "", http.Header{"Location": {"/elsewhere"}}, "302 Found; redirects are not followed"},
		"not modified":  {304, "", nil, "304 Not Modified"},
		"no content":    {204, "", nil, "204 No Content"},
		"not a Kong":    {404, "404 page not found", nil, "404 Not Found"},
		"always change": {400, `{"code":7,"name":"invalid offset","message":"bad"}`, nil, `400 Bad Request "bad"`},
	} {
		t.Run(name, func(t *testing.T) {
			kong := newFakeKong(t, small())
			kong.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Kong-Admin-Token") != "s3cret" || r.Header.Get("X-More") != "and more" {
					t.Errorf("headers %v of %s", r.Header, r.URL)
				}
				maps.Copy(w.Header(), c.header)
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
				return true
			}
			k, _ := admin(t, configs.KongAdminOptions{Address: kong.URL, Token: "s3cret", Headers: http.Header{"X-More": {"and more"}}})
			_, err := k.Inputs(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %v, want %s", err, c.want)
			}
			requests := kong.took()
			if len(requests) > 3 {
				t.Errorf("%d requests", len(requests))
			}
			for _, request := range requests {
				if !strings.HasPrefix(request, "/services") {
					t.Errorf("request %s", request)
				}
			}
		})
	}
}

func TestKongAdminHangs(t *testing.T) {
	for name, begin := range map[string]string{"before its header": "", "in its body": `{"data":[`} {
		t.Run(name, func(t *testing.T) {
			kong := newFakeKong(t, small())
			kong.before = func(w http.ResponseWriter, r *http.Request) bool {
				if begin != "" {
					_, _ = w.Write([]byte(begin))
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
				return true
			}
			k, _ := admin(t, configs.KongAdminOptions{Address: kong.URL, Timeout: 50 * time.Millisecond})
			begun := time.Now()
			_, err := k.Inputs(t.Context())
			if err == nil || !strings.Contains(err.Error(), "Client.Timeout") {
				t.Errorf("error %v, want a time-out", err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestKongAdminChangesWhileItIsRead(t *testing.T) {
	lists := func() map[string][]entity.Object {
		lists := small()
		for n := range 1000 {
			lists["routes"] = append(lists["routes"], entity.Object{"id": id(1000 + n), "paths": []any{fmt.Sprint("/r", n)}})
		}
		lists["upstreams"] = []entity.Object{{"id": id(50), "name": "u"}}
		lists["upstreams/"+id(50)+"/targets"] = []entity.Object{{"id": id(51), "target": "a.test:80", "upstream": entity.Object{"id": id(50)}}}
		return lists
	}
	for name, c := range map[string]struct {
		// before runs before the first request whose path begins with at.
		at     string
		before func(kong *fakeKong, w http.ResponseWriter) (answered bool)
		want   int // routes
	}{
		"an offset is no longer good": {"/routes?offset=", func(_ *fakeKong, w http.ResponseWriter) bool {
			answer(w, http.StatusBadRequest, entity.Object{"code": 7, "name": "invalid offset", "message": "'x' is not a valid offset"})
			return true
		}, 1001},
		"an upstream goes": {"/upstreams/", func(kong *fakeKong, _ http.ResponseWriter) bool {
			kong.set(func() {
				kong.lists["upstreams"] = []entity.Object{}
				delete(kong.lists, "upstreams/"+id(50)+"/targets")
			})
			return false
		}, 1001},
		"a service and its route come": {"/routes", func(kong *fakeKong, _ http.ResponseWriter) bool {
			kong.set(func() {
				kong.lists["services"] = append(kong.lists["services"], entity.Object{"id": id(60), "name": "late", "host": "l.test"})
				kong.lists["routes"] = append(kong.lists["routes"], entity.Object{"id": id(61), "paths": []any{"/late"}, "service": entity.Object{"id": id(60)}})
			})
			return false
		}, 1002},
	} {
		t.Run(name, func(t *testing.T) {
			kong := newFakeKong(t, lists())
			var once sync.Once
			kong.before = func(w http.ResponseWriter, r *http.Request) (answered bool) {
				if strings.HasPrefix(r.URL.RequestURI(), c.at) {
					once.Do(func() { answered = c.before(kong, w) })
				}
				return answered
			}
			k, out := admin(t, configs.KongAdminOptions{Address: kong.URL})
			snapshot := loadAdmin(t, k)
			if len(snapshot.Routes) != c.want {
				t.Errorf("%d routes, want %d", len(snapshot.Routes), c.want)
			}
			if lines := out.lines(); len(lines) > 0 {
				t.Errorf("log:\n%s", strings.Join(lines, "\n"))
			}
		})
	}
	t.Run("a service stays hidden", func(t *testing.T) {
		kong := newFakeKong(t, lists())
		kong.lists["services"] = []entity.Object{}
		k, out := admin(t, configs.KongAdminOptions{Address: kong.URL})
		if snapshot := loadAdmin(t, k); len(snapshot.Routes) != 1000 {
			t.Errorf("%d routes, want those without a service", len(snapshot.Routes))
		}
		if lines := out.lines(); len(lines) != 1 || !strings.Contains(lines[0], "first=list reason=\"belongs to one of the services that Kong does not show\"") {
			t.Errorf("log %q", lines)
		}
	})
}

func TestKongAdminETags(t *testing.T) {
	kong := newFakeKong(t, small())
	kong.etags = true
	k, _ := admin(t, configs.KongAdminOptions{Address: kong.URL})
	first := loadAdmin(t, k)
	kept := 0
	kong.set(func() {
		kong.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("If-None-Match") != "" {
				kept++
			}
			return false
		}
	})
	if second := loadAdmin(t, k); second.Hash != first.Hash {
		t.Errorf("hash %s, want %s", second.Hash, first.Hash)
	}
	if kept != 5 {
		t.Errorf("%d requests with If-None-Match, want 5", kept)
	}
	kong.set(func() { kong.lists["routes"][0]["name"] = "another" })
	if third := loadAdmin(t, k); third.Routes[0].Name != "another" {
		t.Errorf("route %q, want the changed one", third.Routes[0].Name)
	}
}

func TestKongAdminFingerprint(t *testing.T) {
	kong := newFakeKong(t, small())
	k, _ := admin(t, configs.KongAdminOptions{Address: kong.URL, Workspace: "w"})
	for _, c := range []struct{ hash, want, wantErr string }{
		{"", "", ""},
		{"4d6c9ad3c9b0e4b4a6e9a2b5a8f3a001", "4d6c9ad3c9b0e4b4a6e9a2b5a8f3a001", ""},
		{strings.Repeat("0", 32), "", "kong admin: this Kong has no configuration yet"},
	} {
		kong.set(func() { kong.hash = c.hash })
		got, err := k.Fingerprint(t.Context())
		if got != c.want || fmt.Sprint(err) != cmpOr(c.wantErr) {
			t.Errorf("Fingerprint = %q, %v; want %q, %s", got, err, c.want, c.wantErr)
		}
	}
	kong.set(func() {
		kong.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
	})
	if got, err := k.Fingerprint(t.Context()); got != "" || err != nil {
		t.Errorf("Fingerprint = %q, %v where /status is forbidden; want none", got, err)
	}
	kong.Close()
	if _, err := k.Fingerprint(t.Context()); err == nil {
		t.Error("no error although Kong is away")
	}
}

// cmpOr is how a nil error is printed, or the text.
func cmpOr(text string) string {
	if text == "" {
		return "<nil>"
	}
	return text
}

func TestKongAdminTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := clientCertificate(t, dir)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(pair.Leaf)
	kong := unstartedFakeKong(t, small())
	kong.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	kong.StartTLS()
	caFile := write(t, dir+"/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: kong.Certificate().Raw})))

	read := func(o configs.KongAdminOptions) error {
		o.Address = kong.URL
		k, _ := admin(t, o)
		_, err := k.Inputs(t.Context())
		return err
	}
	all := configs.KongAdminOptions{CAFile: caFile, CertFile: certFile, KeyFile: keyFile, ServerName: "example.com"}
	if err := read(all); err != nil {
		t.Errorf("with everything right: %v", err)
	}
	for name, change := range map[string]func(*configs.KongAdminOptions){
		"an authority nobody knows": func(o *configs.KongAdminOptions) { o.CAFile = "" },
		"another name":              func(o *configs.KongAdminOptions) { o.ServerName = "another.test" },
		"no client certificate":     func(o *configs.KongAdminOptions) { o.CertFile, o.KeyFile = "", "" },
	} {
		o := all
		change(&o)
		if err := read(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// clientCertificate writes a certificate that has signed itself, and its key.
func clientCertificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile = write(t, dir+"/client.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	keyFile = write(t, dir+"/client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})))
	return certFile, keyFile
}

func TestNewKongAdminRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		options configs.KongAdminOptions
		want    string
	}{
		"no address":       {configs.KongAdminOptions{}, "kong admin : not an address; allowed: http://host[:port][/path] or https://…"},
		"another scheme":   {configs.KongAdminOptions{Address: "kong:8001"}, "not an address"},
		"a password":       {configs.KongAdminOptions{Address: "http://u:s3cret@kong:8001"}, "kong admin kong:8001: a user name or password cannot be part of it; use a header"},
		"a bad password":   {configs.KongAdminOptions{Address: "http://u:s3cret%@kong:8001"}, "kong admin …@kong:8001: not an address"},
		"a query":          {configs.KongAdminOptions{Address: "http://kong:8001/?a=s3cret"}, "a query or fragment cannot be part of it"},
		"an unknown kind":  {configs.KongAdminOptions{Address: "http://kong", Kinds: []string{"certificates"}}, `"certificates" is not read; allowed: services, routes, plugins, consumers, upstreams`},
		"no workspace":     {configs.KongAdminOptions{Address: "http://kong", Workspace: ".."}, `".." is no workspace`},
		"TLS without TLS":  {configs.KongAdminOptions{Address: "http://kong", ServerName: "a"}, "need an address with https"},
		"no authorities":   {configs.KongAdminOptions{Address: "https://kong", CAFile: "testdata/none"}, "read authorities: open testdata/none"},
		"not authorities":  {configs.KongAdminOptions{Address: "https://kong", CAFile: "kong.yaml"}, "no certificate in kong.yaml"},
		"no certificate":   {configs.KongAdminOptions{Address: "https://kong", CertFile: "kong.yaml", KeyFile: "kong.yaml"}, "read client certificate"},
		"half certificate": {configs.KongAdminOptions{Address: "https://kong", CertFile: "kong.yaml"}, "read client certificate"},
	} {
		_, err := configs.NewKongAdmin(c.options)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: error %v, want %s", name, err, c.want)
		}
	}
}

func BenchmarkKongAdminUnchanged(b *testing.B) {
	lists, recorded := small(), recordedList(b, "routes")[0]
	for n := range 5000 {
		route := maps.Clone(recorded)
		route["id"], route["paths"] = id(1000+n), []any{fmt.Sprint("/r", n)}
		lists["routes"] = append(lists["routes"], route)
	}
	kong := &fakeKong{lists: lists}
	kong.Server = httptest.NewServer(http.HandlerFunc(kong.serve))
	defer kong.Close()
	k, err := configs.NewKongAdmin(configs.KongAdminOptions{Address: kong.URL, Schemas: adminSchemas(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	for b.Loop() {
		if _, err := k.Inputs(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
