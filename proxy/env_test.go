package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/internal/collector"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
)

// env is a gateway on a real server, exporting to a real receiver.
type env struct {
	t         testing.TB
	gateway   *proxy.Gateway
	server    *httptest.Server
	collector *collector.Collector
	exporters *opentelemetry.Exporters
	registry  *plugin.Registry
	schemas   *entity.Schemas
	flush     sync.Once
}

// setup is what an env is made of. The zero setup traces everything.
type setup struct {
	instrumentations string               // "" is all
	rate             float64              // 0 is 1, less is 0
	config           string               // kong.yaml; COLLECTOR stands for the receiver's URL
	plugins          []*plugin.Definition // besides opentelemetry
	options          func(*proxy.Options)
	server           func(*httptest.Server) // before it starts; nil: plain HTTP
}

func start(t testing.TB, s setup) *env {
	t.Helper()
	e := &env{t: t, collector: collector.Start(t)}
	e.exporters = opentelemetry.NewExporters(slog.New(slog.DiscardHandler))
	e.registry = plugin.NewRegistry(append(s.plugins, opentelemetry.Define(e.exporters, opentelemetry.Defaults{}))...)
	e.schemas = entity.NewSchemas(e.registry.Configs())
	if s.instrumentations == "" {
		s.instrumentations = "all"
	}
	kinds, err := tracing.ParseInstrumentations(strings.Split(s.instrumentations, ","))
	if err != nil {
		t.Fatal(err)
	}
	rate := s.rate
	if rate == 0 {
		rate = 1
	}
	options := proxy.Options{
		Tracer: tracing.NewTracer(kinds, max(rate, 0)), Registry: e.registry, Resolver: resolver(t, ""),
		Logger: slog.New(slog.DiscardHandler), Headers: proxy.DefaultHeaders, Conventions: proxy.KongConventions,
		Keepalive: proxy.Keepalive{PoolSize: 64, IdleTimeout: time.Minute}, UpstreamRequestID: true,
		RealIPHeader: "X-Real-Ip", RedactedQuery: []string{"token", "api_key"},
	}
	if s.options != nil {
		s.options(&options)
	}
	if e.gateway, err = proxy.New(options); err != nil {
		t.Fatal(err)
	}
	e.apply(s.config)

	e.server = httptest.NewUnstartedServer(e.gateway)
	e.server.Config.ConnContext = e.gateway.ConnContext
	e.server.Config.DisableGeneralOptionsHandler = true
	e.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	if s.server != nil {
		s.server(e.server)
	}
	if e.server.TLS != nil {
		e.server.StartTLS()
	} else {
		e.server.Start()
	}
	t.Cleanup(func() {
		e.server.CloseClientConnections()
		e.server.Close()
		e.idle()
		e.gateway.Close()
		e.export()
	})
	return e
}

func resolver(t testing.TB, hosts string) *dns.Resolver {
	t.Helper()
	c := dns.DefaultConfig()
	c.HostsFile, c.Nameservers, c.Timeout, c.Attempts = hosts, []string{"127.0.0.1:1"}, 100*time.Millisecond, 1
	r, err := dns.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// load makes a snapshot of a kong.yaml.
func (e *env) load(config string) *configs.Snapshot {
	e.t.Helper()
	config = "_format_version: \"3.0\"\n" + strings.ReplaceAll(config, "COLLECTOR", e.collector.URL())
	loader := configs.Loader{Schemas: e.schemas}
	snapshot, _, err := loader.Load(context.Background(), configs.Text("test", config))
	if err != nil {
		e.t.Fatalf("%v in\n%s", err, config)
	}
	return snapshot
}

func (e *env) apply(config string) {
	e.t.Helper()
	if err := e.gateway.Apply(e.load(config)); err != nil {
		e.t.Fatal(err)
	}
}

// answer is what a client got.
type answer struct {
	*http.Response
	body string
	err  error // why the body is not whole
}

// do sends one request of a client that changes nothing by itself.
func (e *env) do(r *http.Request) answer {
	e.t.Helper()
	res, err := transport.RoundTrip(r)
	if err != nil {
		e.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res, string(body), err}
}

var transport = &http.Transport{
	DisableCompression: true, DisableKeepAlives: true,
	TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
}

// get sends a GET with headers "Name: value".
func (e *env) get(target string, header ...string) answer {
	e.t.Helper()
	return e.do(e.request("GET", target, nil, header...))
}

func (e *env) request(method, target string, body io.Reader, header ...string) *http.Request {
	e.t.Helper()
	r, err := http.NewRequest(method, e.server.URL+target, body)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	return r
}

// raw sends bytes on a connection of its own and reads one answer.
func (e *env) raw(request string) answer {
	e.t.Helper()
	conn := e.dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		e.t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		e.t.Fatalf("%q: %v", request, err)
	}
	body, err := io.ReadAll(res.Body)
	return answer{res, string(body), err}
}

func (e *env) dial() net.Conn {
	e.t.Helper()
	conn, err := net.Dial("tcp", e.server.Listener.Addr().String())
	if err != nil {
		e.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	e.t.Cleanup(func() { conn.Close() })
	return conn
}

// idle waits until no request is under way: a client may have its answer a moment before.
func (e *env) idle() {
	e.t.Helper()
	eventually(e.t, "the gateway is idle", func() bool { return e.gateway.Active() == 0 })
}

func eventually(t testing.TB, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func (e *env) export() {
	e.flush.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		e.exporters.Close(ctx)
	})
}

// spans ends exporting and gives all that was received.
func (e *env) spans() spans {
	e.t.Helper()
	e.idle()
	e.export()
	return e.collector.Spans()
}

type spans []collector.Span

// named gives the only span of a name.
func (s spans) named(t testing.TB, name string) collector.Span {
	t.Helper()
	var found []collector.Span
	for _, span := range s {
		if span.Name == name {
			found = append(found, span)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans are named %s, want one; all: %s", len(found), name, s.names())
	}
	return found[0]
}

func (s spans) all(name string) (found spans) {
	for _, span := range s {
		if span.Name == name {
			found = append(found, span)
		}
	}
	return found
}

func (s spans) names() string {
	var names []string
	for _, span := range s {
		names = append(names, span.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func failed(s collector.Span) bool { return s.Status.GetCode() == 2 }

func hexID(id []byte) string { return fmt.Sprintf("%x", id) }

// global is an opentelemetry plugin that exports all to the receiver.
const global = `
plugins:
- name: opentelemetry
  config:
    traces_endpoint: COLLECTOR
    propagation: {extract: [w3c, b3], inject: [preserve], default_format: w3c}
`

// service is one service with a route for everything below /, and the global plugin.
func service(url string, more ...string) string {
	return "services:\n- name: backend\n  url: " + url + "\n" + strings.Join(more, "") +
		"  routes:\n  - {name: all, paths: [/]}\n" + global
}
