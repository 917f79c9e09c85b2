package keyauth

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/internal/gateway"
	"sidekong/proxy/plugin"
)

const consumers = `
consumers:
- id: 11111111-1111-4111-8111-111111111111
  username: ada
  custom_id: a-1
  keyauth_credentials:
  - {id: 22222222-2222-4222-8222-222222222222, key: sesame}
- id: 33333333-3333-4333-8333-333333333333
  username: nobody
plugins:
- name: key-auth
  config: `

func start(t *testing.T, config string, more ...*plugin.Definition) *gateway.Gateway {
	t.Helper()
	return gateway.Start(t, gateway.Setup{
		Config: gateway.Service + consumers + config, Plugins: append(more, Define()),
	})
}

func multi(t *testing.T, fields ...string) (body, header string) {
	t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for i := 0; i < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), "Content-Type: " + w.FormDataContentType()
}

// identity is what a request upstream says of who asks.
func identity(h http.Header) string {
	var found []string
	for _, name := range []string{headerID, headerCustom, headerUser, headerCredential, headerAnonymous} {
		found = append(found, strings.Join(h[name], ","))
	}
	return strings.Join(found, "|")
}

const (
	headerID         = "X-Consumer-Id"
	headerCustom     = "X-Consumer-Custom-Id"
	headerUser       = "X-Consumer-Username"
	headerCredential = "X-Credential-Identifier"
	headerAnonymous  = "X-Anonymous-Consumer"

	ada    = "11111111-1111-4111-8111-111111111111|a-1|ada|22222222-2222-4222-8222-222222222222|"
	nobody = "33333333-3333-4333-8333-333333333333||nobody||true"
)

// TestAccepted: the places where a key may be, and what the upstream gets of the request.
func TestAccepted(t *testing.T) {
	form, jsonType := "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/json"
	multiBody, multiType := multi(t, "apikey", "sesame", "other", "1")
	for _, c := range []struct {
		name, config, method, target, body string
		header                             []string
		target2, body2                     string // what goes upstream; "": the same
		hidden                             bool   // no key is left in the header
	}{
		{name: "header", header: []string{"apikey: sesame"}},
		{name: "header in other case", header: []string{"ApiKey: sesame"}},
		{name: "dash for underscore", config: "{key_names: [api_key]}", header: []string{"api-key: sesame"}},
		{name: "underscore", config: "{key_names: [api_key]}", header: []string{"api_key: sesame"}},
		{name: "second name", config: "{key_names: [x, apikey]}", header: []string{"apikey: sesame"}},
		{name: "query", target: "/?a=1&apikey=sesame"},
		{name: "header before query", target: "/?apikey=wrong", header: []string{"apikey: sesame"}},
		{name: "hidden in header", config: "{hide_credentials: true}", header: []string{"apikey: sesame"}, hidden: true},
		{
			name: "hidden in query", config: "{hide_credentials: true}", target: "/?a=%31&apikey=sesame&b&c=+",
			target2: "/?a=%31&b&c=+",
		},
		{
			name: "hidden everywhere", config: "{hide_credentials: true, key_in_body: true}", method: "POST",
			target: "/?apikey=x", header: []string{"apikey: sesame", form}, body: "apikey=y&z=1", target2: "/", body2: "z=1", hidden: true,
		},
		{name: "form", config: "{key_in_body: true}", method: "POST", body: "a=1&apikey=sesame", header: []string{form}},
		{
			name: "form, hidden", config: "{key_in_body: true, hide_credentials: true}", method: "POST",
			body: "a=1&apikey=sesame", header: []string{form}, body2: "a=1",
		},
		{name: "JSON", config: "{key_in_body: true}", method: "POST", body: `{"apikey":"sesame"}`, header: []string{jsonType}},
		{
			name: "JSON, hidden", config: "{key_in_body: true, hide_credentials: true}", method: "POST",
			body: `{"n":1.50, "apikey":"sesame","o":{"apikey":"kept"}}`, header: []string{jsonType},
			body2: `{"n":1.50,"o":{"apikey":"kept"}}`,
		},
		{name: "multipart", config: "{key_in_body: true}", method: "POST", body: multiBody, header: []string{multiType}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.config == "" {
				c.config = "{}"
			}
			if c.target == "" {
				c.target = "/"
			}
			g := start(t, c.config)
			// What a client says of itself is not believed.
			header := append(c.header, headerUser+": eve", headerAnonymous+": true")
			got := g.Do(c.method, c.target, c.body, header...)
			if got.Status != 200 {
				t.Fatalf("got %d %s", got.Status, got.Body)
			}
			up := g.Received()
			if got := identity(up.Header); got != ada {
				t.Errorf("upstream sees %s, want %s", got, ada)
			}
			if want := or(c.target2, c.target); up.Target != want {
				t.Errorf("target %s, want %s", up.Target, want)
			}
			if want := or(c.body2, c.body); up.Body != want {
				t.Errorf("body %q, want %q", up.Body, want)
			}
			if left := up.Header.Get("Apikey"); c.hidden && left != "" {
				t.Errorf("the key goes upstream")
			}
		})
	}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// TestMultipartHidden: the part with the key goes, the others stay.
func TestMultipartHidden(t *testing.T) {
	g := start(t, "{key_in_body: true, hide_credentials: true}")
	body, header := multi(t, "apikey", "sesame", "other", "1")
	if got := g.Do("POST", "/", body, header); got.Status != 200 {
		t.Fatalf("got %d", got.Status)
	}
	up := g.Received()
	if strings.Contains(up.Body, "sesame") || !strings.Contains(up.Body, `name="other"`) {
		t.Errorf("body %q", up.Body)
	}
}

// TestRefused: the answers, to the letter.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, config, method, target, body string
		header                             []string
		message, challenge                 string
	}{
		{name: "none", message: "No API key found in request", challenge: "Key"},
		{name: "realm", config: `{realm: "here"}`, message: "No API key found in request", challenge: `Key realm="here"`},
		{name: "empty", header: []string{"apikey: "}, message: "No API key found in request", challenge: "Key"},
		{name: "bare in query", target: "/?apikey", message: "No API key found in request", challenge: "Key"},
		{name: "wrong", header: []string{"apikey: wrong"}, message: "Unauthorized", challenge: "Key"},
		{name: "twice in header", header: []string{"apikey: sesame", "apikey: sesame"}, message: "Duplicate API key found", challenge: "Key"},
		{name: "twice in query", target: "/?apikey=a&apikey=b", message: "Duplicate API key found", challenge: "Key"},
		{name: "not in header", config: "{key_in_header: false}", header: []string{"apikey: sesame"}, message: "No API key found in request", challenge: "Key"},
		{name: "not in query", config: "{key_in_query: false}", target: "/?apikey=sesame", message: "No API key found in request", challenge: "Key"},
		{
			name: "not in body", method: "POST", body: "apikey=sesame", header: []string{"Content-Type: application/x-www-form-urlencoded"},
			message: "No API key found in request", challenge: "Key",
		},
		{
			name: "list in JSON", config: "{key_in_body: true}", method: "POST", body: `{"apikey":["sesame"]}`,
			header: []string{"Content-Type: application/json"}, message: "Duplicate API key found", challenge: "Key",
		},
		{
			name: "number in JSON", config: "{key_in_body: true}", method: "POST", body: `{"apikey":1}`,
			header: []string{"Content-Type: application/json"}, message: "No API key found in request", challenge: "Key",
		},
		{name: "preflight", method: "OPTIONS", message: "No API key found in request", challenge: "Key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, or(c.config, "{}"))
			got := g.Do(c.method, or(c.target, "/"), c.body, c.header...)
			body := regexp.MustCompile(`[0-9a-f]{32}`).ReplaceAllString(got.Body, "ID")
			want := "{\n  \"message\":\"" + c.message + "\",\n  \"request_id\":\"ID\"\n}"
			if got.Status != 401 || body != want {
				t.Errorf("got %d %s, want 401 %s", got.Status, body, want)
			}
			if diff := cmp.Diff([]string{c.challenge}, got.Header["Www-Authenticate"]); diff != "" {
				t.Errorf("WWW-Authenticate (-want +got):\n%s", diff)
			}
			if got := got.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Errorf("Content-Type %s", got)
			}
			if n := len(g.Upstream.Requests()); n != 0 {
				t.Errorf("%d requests went upstream", n)
			}
		})
	}
}

// TestForms: the refusal comes in the form that the client asks for.
func TestForms(t *testing.T) {
	g := start(t, "{}")
	for accept, want := range map[string]string{
		"text/plain": "text/plain; charset=utf-8", "text/html": "text/html; charset=utf-8", "application/xml": "application/xml; charset=utf-8",
	} {
		got := g.Get("/", "Accept: "+accept)
		if kind := got.Header.Get("Content-Type"); kind != want || !strings.Contains(got.Body, "No API key found in request") {
			t.Errorf("%s: got %s %q", accept, kind, got.Body)
		}
	}
}

func TestPreflight(t *testing.T) {
	g := start(t, "{run_on_preflight: false}")
	if got := g.Do("OPTIONS", "/", ""); got.Status != 200 {
		t.Errorf("OPTIONS: got %d", got.Status)
	}
	if got := g.Get("/"); got.Status != 401 {
		t.Errorf("GET: got %d", got.Status)
	}
}

// TestAnonymous: by id, by name, and one that does not exist; a key that is right counts.
func TestAnonymous(t *testing.T) {
	for _, c := range []struct {
		name, anonymous string
		header          []string
		status          int
		identity        string
	}{
		{"by id", "33333333-3333-4333-8333-333333333333", nil, 200, nobody},
		{"by username", "nobody", []string{"apikey: wrong"}, 200, nobody},
		{"with a key", "nobody", []string{"apikey: sesame"}, 200, ada},
		{"unknown", "44444444-4444-4444-8444-444444444444", nil, 500, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, "{anonymous: "+c.anonymous+"}")
			got := g.Get("/", append(c.header, headerCredential+": mine")...)
			if got.Status != c.status {
				t.Fatalf("got %d %s", got.Status, got.Body)
			}
			if c.status != 200 {
				if !strings.Contains(got.Body, `"message":"An unexpected error occurred"`) {
					t.Errorf("got %s", got.Body)
				}
				return
			}
			if got := identity(g.Received().Header); got != c.identity {
				t.Errorf("upstream sees %s, want %s", got, c.identity)
			}
		})
	}
}

// mark tells in a header of the answer which consumer's instance ran.
type mark string

func (m mark) FilterHeader(ctx *plugin.Context) error {
	ctx.Response.Header.Set("X-Ran", string(m))
	return nil
}

// TestConsumerScope: what is configured for the consumer takes the place of what is for all.
func TestConsumerScope(t *testing.T) {
	marking := &plugin.Definition{
		Name: "mark", Priority: 1, Config: &entity.Record{},
		New: func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
			if p.Consumer != nil {
				return mark("of " + p.Consumer.ID), nil
			}
			return mark("of all"), nil
		},
	}
	g := start(t, "{anonymous: nobody}\n- name: mark\n- name: mark\n  consumer: ada\n", marking)
	if got := g.Get("/").Header.Get("X-Ran"); got != "of all" {
		t.Errorf("anonymous: %s", got)
	}
	if got := g.Get("/", "apikey: sesame").Header.Get("X-Ran"); got != "of 11111111-1111-4111-8111-111111111111" {
		t.Errorf("ada: %s", got)
	}
}

func TestExpired(t *testing.T) {
	ttl := func(seconds int64) *int64 { return &seconds }
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		name string
		in   entity.KeyAuthCredential
		want bool
	}{
		{"no ttl", entity.KeyAuthCredential{Meta: entity.Meta{CreatedAt: 1}}, false},
		{"zero ttl", entity.KeyAuthCredential{Meta: entity.Meta{CreatedAt: 1}, TTL: ttl(0)}, false},
		{"running", entity.KeyAuthCredential{Meta: entity.Meta{CreatedAt: 900}, TTL: ttl(101)}, false},
		{"over", entity.KeyAuthCredential{Meta: entity.Meta{CreatedAt: 900}, TTL: ttl(100)}, true},
	} {
		if got := expired(&c.in, now); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
}

// lone is a directory with one consumer.
type lone struct{}

func (lone) Consumer(*plugin.Context, string, bool) (*entity.Consumer, error) {
	return &consumer, nil
}

func (lone) KeyAuth(*plugin.Context, string) (*entity.KeyAuthCredential, error) {
	return &credential, nil
}

func (lone) BasicAuth(*plugin.Context, string) (*entity.BasicAuthCredential, error) { return nil, nil }

var (
	consumer   = entity.Consumer{Meta: entity.Meta{ID: "c"}, Username: "ada"}
	credential = entity.KeyAuthCredential{Meta: entity.Meta{ID: "k"}, Key: "sesame"}
)

func BenchmarkAccess(b *testing.B) {
	instance, err := Define().New(&entity.Plugin{Config: entity.Object{
		"key_names": []any{"apikey"}, "key_in_header": true, "key_in_query": true,
	}}, plugin.Env{Directory: lone{}})
	if err != nil {
		b.Fatal(err)
	}
	ctx := &plugin.Context{Request: &http.Request{Header: http.Header{"Apikey": {"sesame"}}}}
	b.ReportAllocs()
	for b.Loop() {
		if err := instance.(plugin.Accessor).Access(ctx); err != nil || ctx.Consumer != &consumer {
			b.Fatal(err)
		}
	}
}
