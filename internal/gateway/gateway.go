// Package gateway runs a real gateway in front of a recording upstream, for tests of plugins.
package gateway

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/internal/upstream"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// Gateway is a running gateway with what is around it.
type Gateway struct {
	t        testing.TB
	URL      string
	Upstream *upstream.Upstream
	Gateway  *proxy.Gateway

	schemas *entity.Schemas
	client  *http.Client
}

// Setup is what a Gateway is made of.
type Setup struct {
	// Config is a kong.yaml without its version. UPSTREAM stands for the upstream's URL.
	Config  string
	Plugins []*plugin.Definition
	Answer  upstream.Behaviour   // of the upstream; nil: an empty 200
	Options func(*proxy.Options) // changes the gateway's options; nil: nothing
	Logger  *slog.Logger         // nil: nowhere
}

// Service is a kong.yaml with a service that has one route for everything, named all.
const Service = `
services:
- name: backend
  url: UPSTREAM
  routes:
  - {name: all, paths: [/]}
`

// Start runs a gateway until the test ends.
func Start(t testing.TB, s Setup) *Gateway {
	t.Helper()
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{t: t, Upstream: upstream.Start(t, s.Answer), client: &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	registry := plugin.NewRegistry(s.Plugins...)
	g.schemas = entity.NewSchemas(registry.Configs())
	c := dns.DefaultConfig()
	c.HostsFile, c.Nameservers, c.Timeout, c.Attempts = "", []string{"127.0.0.1:1"}, 100*time.Millisecond, 1
	resolver, err := dns.New(c)
	if err != nil {
		t.Fatal(err)
	}
	options := proxy.Options{
		Tracer: tracing.NewTracer(tracing.All, 1), Registry: registry, Resolver: resolver, Logger: s.Logger,
		Conventions: proxy.KongConventions, Keepalive: proxy.Keepalive{PoolSize: 16, IdleTimeout: time.Minute},
		RealIPHeader: "X-Real-Ip", RedactedQuery: []string{"token"},
	}
	if s.Options != nil {
		s.Options(&options)
	}
	if g.Gateway, err = proxy.New(options); err != nil {
		t.Fatal(err)
	}
	g.Apply(s.Config)
	server := httptest.NewUnstartedServer(g.Gateway)
	server.Config.ConnContext = g.Gateway.ConnContext
	server.Start()
	g.URL = server.URL
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		server.Close()
		g.Gateway.Close()
		resolver.Close()
	})
	return g
}

// Load makes a snapshot of a kong.yaml.
func (g *Gateway) Load(config string) (*configs.Snapshot, error) {
	config = "_format_version: \"3.0\"\n" + strings.ReplaceAll(config, "UPSTREAM", g.Upstream.URL())
	snapshot, _, err := configs.Loader{Schemas: g.schemas}.Load(g.t.Context(), configs.Text("test", config))
	return snapshot, err
}

// Apply makes the gateway serve a kong.yaml.
func (g *Gateway) Apply(config string) {
	g.t.Helper()
	snapshot, err := g.Load(config)
	if err != nil {
		g.t.Fatalf("%v in\n%s", err, config)
	}
	if err := g.Gateway.Apply(snapshot); err != nil {
		g.t.Fatal(err)
	}
}

// Answer is what a client got.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request with headers "Name: value" and reads the answer whole.
func (g *Gateway) Do(method, target, body string, header ...string) Answer {
	g.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.URL+target, content)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	res, err := g.client.Do(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, target, err)
	}
	return Answer{res.StatusCode, res.Header, string(text)}
}

// Get is Do without a body.
func (g *Gateway) Get(target string, header ...string) Answer {
	g.t.Helper()
	return g.Do(http.MethodGet, target, "", header...)
}

// Received is the last request that came upstream.
func (g *Gateway) Received() upstream.Request {
	g.t.Helper()
	all := g.Upstream.Requests()
	if len(all) == 0 {
		g.t.Fatal("nothing came upstream")
	}
	return all[len(all)-1]
}
