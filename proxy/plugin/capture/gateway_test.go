package capture_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/internal/collector"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/capture"
	"sidekong/proxy/plugin/keyauth"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
)

// gateway is a real one in front of a backend, exporting to a real receiver.
type gateway struct {
	t         *testing.T
	url       string
	server    *httptest.Server
	collector *collector.Collector
	exporters *opentelemetry.Exporters
	log       *bytes.Buffer // only to be read when all is done
	lock      sync.Mutex
}

func (g *gateway) Write(p []byte) (int, error) {
	g.lock.Lock()
	defer g.lock.Unlock()
	return g.log.Write(p)
}

// start runs a gateway whose capture plugin has the configuration given, as YAML in braces.
func start(t *testing.T, config string, backend http.HandlerFunc) *gateway {
	t.Helper()
	upstream := httptest.NewServer(backend)
	t.Cleanup(upstream.Close)
	g := &gateway{t: t, collector: collector.Start(t), log: &bytes.Buffer{}}
	logger := slog.New(slog.NewTextHandler(g, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g.exporters = opentelemetry.NewExporters(logger)
	registry := plugin.NewRegistry(
		capture.Define(), opentelemetry.Define(g.exporters, opentelemetry.Defaults{}),
		&plugin.Definition{
			Name: "key-auth", Priority: 1250, Config: keyauth.Config(),
			New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) { return struct{}{}, nil },
		},
	)
	resolver, err := dns.New(dns.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	gate, err := proxy.New(proxy.Options{
		Tracer: tracing.NewTracer(tracing.All, 1), Registry: registry, Resolver: resolver, Logger: logger,
		Conventions: proxy.KongConventions | proxy.StableConventions, Keepalive: proxy.Keepalive{PoolSize: 16, IdleTimeout: time.Minute},
		RedactedQuery: []string{"token", "api_key", "x-custom-key"},
	})
	if err != nil {
		t.Fatal(err)
	}
	snapshot, _, err := configs.Loader{Schemas: entity.NewSchemas(registry.Configs())}.Load(t.Context(), configs.Text("test", `
_format_version: "3.0"
services:
- name: backend
  url: `+upstream.URL+`
  routes:
  - name: api
    paths: [/api]
    strip_path: false
plugins:
- name: opentelemetry
  config: {traces_endpoint: "`+g.collector.URL()+`"}
- name: key-auth
  config: {key_names: [X-Custom-Key]}
- name: sidekong-capture
  config: `+config+`
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := gate.Apply(snapshot); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(gate)
	server.Config.ConnContext = gate.ConnContext
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.Start()
	t.Cleanup(func() {
		server.Close()
		gate.Close()
		g.flush()
	})
	g.url, g.server = server.URL, server
	return g
}

func (g *gateway) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	g.exporters.Close(ctx)
}

// roots ends exporting and gives the root spans in the order they were exported.
func (g *gateway) roots() (roots []collector.Span) {
	g.t.Helper()
	g.server.Close() // which waits for the requests under way
	g.flush()
	for _, span := range g.collector.Spans() {
		if span.Name == "kong" {
			roots = append(roots, span)
		}
	}
	return roots
}

var client = &http.Client{Transport: &http.Transport{DisableCompression: true}, CheckRedirect: func(*http.Request, []*http.Request) error {
	return http.ErrUseLastResponse
}}

func (g *gateway) do(method, target string, body io.Reader, header ...string) string {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.url+target, body)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("User-Agent", "test")
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	res, err := client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// attributes are those of the plugin.
func attributes(span collector.Span) map[string]any {
	all := map[string]any{}
	for _, pair := range span.Attributes {
		for _, prefix := range []string{"net.sock", "http.target", "http.request.headers", "http.request.body", "http.response.headers", "http.response.body", "sidekong.capture"} {
			if strings.HasPrefix(pair.Key, prefix) {
				all[pair.Key] = span.Attribute(pair.Key)
			}
		}
	}
	return all
}

// TestAttributes: what an empty configuration records, and what each switch leaves out.
func TestAttributes(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Date", "today")
		_, _ = io.WriteString(w, `{"token":"s3cret","ok":true}`)
	}
	full := map[string]any{
		"net.sock.peer.addr": "127.0.0.1",
		"http.target":        "/api/x?a=1&token=REDACTED",
		"http.request.body":  `{"a":1,"password":"REDACTED"}`,
		"http.response.body": `{"token":"REDACTED","ok":true}`,
		"sidekong.capture.masked": `["request.target.token","request.headers.authorization","request.headers.x-custom-key",` +
			`"request.body.password","response.body.token"]`,
		"http.request.body.size": int64(27), "http.response.body.size": int64(28),
		"http.request.body.sha256":  "",
		"http.response.body.sha256": "",
		"http.request.headers":      "", "http.response.headers": "",
	}
	for _, c := range []struct {
		config string
		gone   []string
	}{
		{"{body_digest: always}", nil},
		{"{body_digest: always, peer_address: false}", []string{"net.sock.peer.addr"}},
		{"{target: false}", []string{"http.target"}},
		{"{request_headers: false}", []string{"http.request.headers"}},
		{"{request_body: false}", []string{"http.request.body", "http.request.body.size", "http.request.body.sha256"}},
		{"{response_headers: false}", []string{"http.response.headers"}},
		{"{response_body: false}", []string{"http.response.body", "http.response.body.size", "http.response.body.sha256"}},
		{"{body_digest: cut}", []string{"http.request.body.sha256", "http.response.body.sha256"}},
	} {
		t.Run(c.config, func(t *testing.T) {
			g := start(t, c.config, answer)
			got := g.do("POST", "/api/x?a=1&token=s3cret", strings.NewReader(`{"a":1,"password":"s3cret"}`),
				"Authorization: Basic s3cret", "X-Custom-Key: s3cret", "X-Two: a", "X-Two: b", "Content-Type: application/json")
			if want := `{"token":"s3cret","ok":true}`; got != want {
				t.Errorf("the client got %s, want %s", got, want)
			}
			roots := g.roots()
			if len(roots) != 1 {
				t.Fatalf("%d root spans", len(roots))
			}
			attrs := attributes(roots[0])
			for _, key := range c.gone {
				if _, found := attrs[key]; found {
					t.Errorf("%s is there", key)
				}
			}
			if c.gone != nil {
				return
			}
			for key := range full {
				if _, found := attrs[key]; !found {
					t.Errorf("%s is missing", key)
				}
			}
			var request, response map[string]any
			if err := json.Unmarshal([]byte(attrs["http.request.headers"].(string)), &request); err != nil {
				t.Error(err)
			}
			if err := json.Unmarshal([]byte(attrs["http.response.headers"].(string)), &response); err != nil {
				t.Error(err)
			}
			if request["host"] != strings.TrimPrefix(g.url, "http://") || response["x-kong-request-id"] == "" {
				t.Errorf("headers %v, %v", request, response)
			}
			delete(request, "host")
			want := map[string]any{
				"authorization": "REDACTED", "x-custom-key": "REDACTED", "x-two": []any{"a", "b"}, "content-type": "application/json",
				"content-length": "27", "user-agent": "test",
			}
			if diff := cmp.Diff(want, request); diff != "" {
				t.Errorf("request headers (-want +got)\n%s", diff)
			}
			for key, want := range full {
				switch {
				case strings.HasSuffix(key, ".headers"):
				case strings.HasSuffix(key, ".sha256"):
					if text, _ := attrs[key].(string); len(text) != 64 {
						t.Errorf("%s: %v", key, attrs[key])
					}
				default:
					if attrs[key] != want {
						t.Errorf("%s: got %v, want %v", key, attrs[key], want)
					}
				}
			}
		})
	}
}

// TestWhich: of which requests something is recorded, and what of their bodies.
func TestWhich(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		if r.URL.Query().Has("gone") {
			w.WriteHeader(404)
		}
		_, _ = w.Write(body)
	}
	long := strings.Repeat("äbc ", 5000)
	for _, c := range []struct {
		name, config, query, body string
		want                      any // of http.response.body
	}{
		{"all", "{}", "?type=text/plain", "hello", "hello"},
		{"no body", "{}", "?type=text/plain", "", nil},
		{"sampled out", "{sample_rate: 0}", "", "hello", nil},
		{"not an error", "{only_errors: true}", "", "hello", nil},
		{"an error", "{only_errors: true}", "?gone&type=text/plain", "hello", "hello"},
		{"too fast", "{min_duration: 100000}", "", "hello", nil},
		{"slow enough", "{min_duration: 0}", "?type=text/plain", "hello", "hello"},
		{"an error and too fast", "{only_errors: true, min_duration: 100000}", "?gone&type=text/plain", "hello", "hello"},
		{"another type", "{}", "?type=image/png", "hello", "[not captured: image/png, 5 bytes]"},
		{"types of its own", "{content_types: [image/*]}", "?type=image/png;a%3Db", "hello", "hello"},
		{"binary", "{}", "?type=text/plain", "a\x00b", "[binary: text/plain, 3 bytes]"},
		{"longer", "{max_body_bytes: 10}", "?type=text/plain", long, "äbc äbc …truncated"},
		{"in a character", "{max_body_bytes: 11}", "?type=text/plain", long, "äbc äbc …truncated"},
		{"no room", "{max_memory_bytes: 4096}", "?type=text/plain", long, "[not captured for want of memory: text/plain, 25000 bytes]"},
		{"as it is", "{redact: false}", "?type=text/plain", "password=x", "password=x"},
		{"another mask", "{mask: '***'}", "?type=text/plain", "password=x", "password=***"},
		{"another name", "{masked_names: [color]}", "?type=application/json", `{"Color":1}`, `{"Color":"REDACTED"}`},
		{"a harmless name", "{unmasked_names: [password]}", "?type=application/json", `{"password":1}`, `{"password":1}`},
		{"a path", "{masked_paths: ['$.a[*].b']}", "?type=application/json", `{"a":[{"b":1}],"b":2}`, `{"a":[{"b":"REDACTED"}],"b":2}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, c.config, answer)
			if got := g.do("POST", "/api"+c.query, strings.NewReader(c.body)); got != c.body {
				t.Errorf("the client got %.50q, want %.50q", got, c.body)
			}
			roots := g.roots()
			if len(roots) != 1 {
				t.Fatalf("%d root spans", len(roots))
			}
			if diff := cmp.Diff(c.want, roots[0].Attribute("http.response.body")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if c.want != nil && roots[0].Attribute("http.response.body.size") != int64(len(c.body)) {
				t.Errorf("size: got %v, want %d", roots[0].Attribute("http.response.body.size"), len(c.body))
			}
		})
	}
}

// TestRefused: a request that no route takes, whose body nobody reads, is recorded too.
func TestRefused(t *testing.T) {
	g := start(t, "{}", func(http.ResponseWriter, *http.Request) {})
	g.do("POST", "/nowhere?token=x", strings.NewReader("password=x"), "X-Custom-Key: x")
	attrs := attributes(g.roots()[0])
	if attrs["http.target"] != "/nowhere?token=REDACTED" || !strings.Contains(fmt.Sprint(attrs["http.request.headers"]), `"x-custom-key":"REDACTED"`) {
		t.Errorf("request: %v", attrs)
	}
	if body := fmt.Sprint(attrs["http.response.body"]); !strings.Contains(body, "no Route matched with those values") {
		t.Errorf("answer: %s", body)
	}
}

// TestStreams: an answer is not held back, and is recorded whole at its end.
func TestStreams(t *testing.T) {
	next := make(chan struct{})
	g := start(t, "{}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	})
	res, err := client.Get(g.url + "/api")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		line, err := lines.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("got %q, error %v, want %q", line, err, want)
		}
		next <- struct{}{}
	}
	_, _ = io.Copy(io.Discard, lines)
	if got, want := g.roots()[0].Attribute("http.response.body"), "data: 0\ndata: 1\ndata: 2\n"; got != want {
		t.Errorf("got %v, want %q", got, want)
	}
}

const (
	planted = "pLaNtEd"
	public  = "pUbLiC"
)

// hider makes requests and answers with a secret at places that redaction knows.
type hider struct{ *rand.Rand }

func (h hider) pick(from ...string) string { return from[h.IntN(len(from))] }

// name is that of a secret, in some spelling.
func (h hider) name() string {
	name := h.pick("password", "newPassword", "access_token", "refresh-token", "clientSecret", "api_key", "X-Custom-Key", "pin", "user_password_hash", "CVV")
	return h.pick(name, strings.ToUpper(name))
}

// body gives a body with a secret and a word that is none, and its content type.
func (h hider) body(secret string) (body, contentType string) {
	switch h.IntN(6) {
	case 0, 1:
		value := any(secret)
		switch h.IntN(4) {
		case 0:
			value = []any{1, secret, map[string]any{"a": secret}}
		case 1:
			value = map[string]any{"value": secret, "x": "}\"]" + secret}
		}
		document := any(map[string]any{h.name(): value, "a": public, "z": []any{1, "ü\n", nil}})
		for range h.IntN(5) {
			if h.IntN(2) == 0 {
				document = map[string]any{"in": document, "list": []any{public, 1.5}}
			} else {
				document = []any{public, document, "x=1&y=2"}
			}
		}
		text, _ := json.Marshal(document)
		if h.IntN(4) == 0 {
			text, _ = json.Marshal(map[string]any{"a": public, "inner": string(text)})
		}
		if h.IntN(4) == 0 {
			var indented bytes.Buffer
			_ = json.Indent(&indented, text, "", "  ")
			text = indented.Bytes()
		}
		return string(text), h.pick("application/json", "application/json; charset=utf-8", "application/problem+json", "text/plain", "application/x-www-form-urlencoded", "")
	case 2:
		form := url.Values{"a": {public}, h.pick(h.name(), "user["+h.name()+"]"): {secret + " &=;%"}, "z": {"ü"}}
		return form.Encode(), "application/x-www-form-urlencoded"
	case 3:
		var text bytes.Buffer
		w := multipart.NewWriter(&text)
		_ = w.WriteField("a", public)
		_ = w.WriteField(h.name(), secret+"\r\nmore "+secret)
		part, _ := w.CreateFormFile("file", "key.pem")
		_, _ = io.WriteString(part, "-----BEGIN\n"+secret)
		_ = w.Close()
		return text.String(), w.FormDataContentType()
	case 4:
		name := strings.ReplaceAll(h.name(), "[", "")
		return fmt.Sprintf("<a><b>%s</b><%[2]s x='1'>%[3]s<c>%[3]s</c></%[2]s><d %[2]s=%q/></a>", public, name, secret, secret), h.pick("application/xml", "application/soap+xml", "text/html")
	default:
		return fmt.Sprintf("a: %s\n%s: %s and %s\n%[2]s=%[3]s&b=1\n", public, h.name(), secret, secret), "text/plain"
	}
}

// packed compresses a body, sometimes.
func (h hider) packed(body string) (packed []byte, coding string) {
	if h.IntN(3) > 0 {
		return []byte(body), ""
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.WriteString(w, body)
	_ = w.Close()
	return out.Bytes(), "gzip"
}

// TestPlantedSecrets: 1,000 requests with a secret in headers, cookies, the query and bodies, both ways, whole,
// compressed and cut: none is in a span or in the log, and what is no secret is.
func TestPlantedSecrets(t *testing.T) {
	const seed = 7
	answers := hider{rand.New(rand.NewPCG(seed, 2))}
	var lock sync.Mutex
	answer := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		lock.Lock()
		defer lock.Unlock()
		text, contentType := answers.body(planted + "-answer")
		body, coding := answers.packed(text)
		w.Header().Set("Content-Type", contentType)
		if coding != "" {
			w.Header().Set("Content-Encoding", coding)
		}
		w.Header().Set("Set-Cookie", "session="+planted)
		w.Header().Set("Location", "https://user:"+planted+"@a.test/?state="+public+"&access_token="+planted)
		w.WriteHeader(200 + 100*answers.IntN(2))
		_, _ = w.Write(body)
	}
	for _, limit := range []int{64, 200, 1 << 20} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			g := start(t, fmt.Sprintf("{max_body_bytes: %d}", limit), answer)
			h := hider{rand.New(rand.NewPCG(seed, uint64(limit)))}
			for n := range 334 {
				secret := fmt.Sprintf("%s-%d", planted, n)
				text, contentType := h.body(secret)
				body, coding := h.packed(text)
				header := []string{
					"Content-Type: " + contentType, "Cookie: a=" + secret + "; session=" + secret, "X-Public: " + public,
					h.pick("Authorization: Bearer ", "Authorization: Basic ", "Authorization: ", "Proxy-Authorization: Basic ", "X-Api-Key: ", "X-Custom-Key: ", "X-Auth-Token: ", "X-Forwarded-Access-Token: ") + secret,
					"Referer: https://a.test/?q=" + public + "&token=" + secret,
				}
				if coding != "" {
					header = append(header, "Content-Encoding: "+coding)
				}
				query := url.Values{"q": {public}, h.pick("token", "api_key", "X-Custom-Key"): {secret}}
				var reader io.Reader = bytes.NewReader(body)
				if h.IntN(2) == 0 {
					reader = io.MultiReader(reader) // its length is not declared
				}
				g.do("POST", "/api?"+query.Encode(), reader, header...)
			}
			roots := g.roots()
			if len(roots) != 334 {
				t.Fatalf("%d root spans", len(roots))
			}
			shown := 0
			for _, span := range g.collector.Spans() {
				for _, pair := range append(span.Attributes, &commonpb.KeyValue{Key: "all", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: span.Name + fmt.Sprint(span.Events, span.Links)}}}) {
					if text := pair.String(); strings.Contains(text, planted) {
						t.Errorf("%s: %s", span.Name, text)
					}
				}
			}
			for _, span := range roots {
				for _, key := range []string{"http.target", "http.request.headers", "http.response.headers"} {
					if !strings.Contains(fmt.Sprint(span.Attribute(key)), public) {
						t.Errorf("%s is %v", key, span.Attribute(key))
					}
				}
				for _, key := range []string{"http.request.body", "http.response.body"} {
					if strings.Contains(fmt.Sprint(span.Attribute(key)), public) {
						shown++
					}
				}
			}
			if limit > 1000 && shown != 2*len(roots) {
				t.Errorf("%d of %d bodies show what is public", shown, 2*len(roots))
			}
			g.lock.Lock()
			defer g.lock.Unlock()
			if strings.Contains(g.log.String(), planted) {
				t.Error("a secret is in the log")
			}
		})
	}
}

// TestBodiesOneByOne: bodies that come in one piece or in several, with and without secrets, one request after the other
// and in one batch: each trace has its own, and the digest that is asked for.
func TestBodiesOneByOne(t *testing.T) {
	type body struct{ sent, shown string }
	bodies := []body{
		{`{"ok":true,"n":1}`, `{"ok":true,"n":1}`},
		{`{"token":"s3cret"}`, `{"token":"REDACTED"}`},
		{"", ""},
		{"häl\u00a0lo", "häl\u00a0lo"},
		{"\x00\x01binary", "[binary: application/json, 8 bytes]"},
		{`{"ok":false,"text":"` + strings.Repeat("x", 3000) + `"}`, `{"ok":false,"text":"` + strings.Repeat("x", 3000) + `"}`},
		{strings.Repeat("9", 5000), strings.Repeat("9", 4096) + "…truncated"},
	}
	for _, digest := range []string{"cut", "always", "never"} {
		t.Run(digest, func(t *testing.T) {
			g := start(t, "{max_body_bytes: 4096, body_digest: "+digest+"}", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				number, _ := strconv.Atoi(r.URL.Query().Get("n"))
				sent := bodies[number].sent
				if r.URL.Path == "/api/pieces" {
					for _, c := range []byte(sent[:min(len(sent), 5)]) {
						_, _ = w.Write([]byte{c})
						w.(http.Flusher).Flush()
					}
					sent = sent[min(len(sent), 5):]
				}
				_, _ = io.WriteString(w, sent)
			})
			var targets []string
			for i := range 6 * len(bodies) {
				path := []string{"/api/whole", "/api/pieces"}[i/len(bodies)%2]
				target := fmt.Sprintf("%s?n=%d&i=%d", path, i*5%len(bodies), i)
				targets = append(targets, target)
				if got, want := g.do("GET", target, nil), bodies[i*5%len(bodies)].sent; got != want {
					t.Fatalf("%s: the client got %q, want %q", target, got, want)
				}
			}
			seen := map[string]bool{}
			for _, root := range g.roots() {
				attrs := attributes(root)
				target, _ := attrs["http.target"].(string)
				i := slices.Index(targets, target)
				if i < 0 {
					t.Fatalf("target %q", target)
				}
				seen[target] = true
				b := bodies[i*5%len(bodies)]
				want := map[string]any{}
				if b.sent != "" {
					want["http.response.body"], want["http.response.body.size"] = b.shown, int64(len(b.sent))
					if digest == "always" || digest == "cut" && len(b.sent) > 4096 {
						want["http.response.body.sha256"] = fmt.Sprintf("%x", sha256.Sum256([]byte(b.sent)))
					}
				}
				got := map[string]any{}
				for key, value := range attrs {
					if strings.HasPrefix(key, "http.response.body") {
						got[key] = value
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got)\n%s", target, diff)
				}
			}
			if len(seen) != len(targets) {
				t.Errorf("%d traces of %d", len(seen), len(targets))
			}
		})
	}
}
