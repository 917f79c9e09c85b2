package proxy_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/internal/collector"
	"sidekong/internal/upstream"
	"sidekong/proxy"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/opentelemetry"
)

// visits are the paths that plugins have seen.
type visits struct {
	mu    sync.Mutex
	paths map[string][]string
}

func (v *visits) of(name string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.paths[name]
}

type visit struct {
	*visits
	name string
}

func (v visit) Access(ctx *plugin.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.paths == nil {
		v.paths = map[string][]string{}
	}
	v.paths[v.name] = append(v.paths[v.name], ctx.Request.URL.Path)
	return nil
}

// Ids of what is at fault, and whole references of them.
const (
	routeID   = "0b0c4f5a-8a3e-4c12-9f6e-00000000f001"
	caID      = "0b0c4f5a-8a3e-4c12-9f6e-00000000f002"
	pairID    = "0b0c4f5a-8a3e-4c12-9f6e-00000000f003"
	targetID  = "0b0c4f5a-8a3e-4c12-9f6e-00000000f004"
	actsID    = "0b0c4f5a-8a3e-4c12-9f6e-00000000f005"
	watchesID = "0b0c4f5a-8a3e-4c12-9f6e-00000000f006"
	tracesID  = "0b0c4f5a-8a3e-4c12-9f6e-00000000f007"
	unknownID = "0b0c4f5a-8a3e-4c12-9f6e-00000000f0ff"
	clientsID = "0b0c4f5a-8a3e-4c12-9f6e-00000000f008"
	poolID    = "0b0c4f5a-8a3e-4c12-9f6e-00000000f009"
)

// faultyConfig has an entity of each kind that cannot be served beside one that can. more stands below good's routes.
func faultyConfig(t *testing.T, good, encrypted, address string, shown tls.Certificate) string {
	t.Helper()
	cert, key := pemPair(t, shown, "    ")
	return fmt.Sprintf(`
certificates:
- {id: %[1]s, cert: '{vault://env/cert}', key: '{vault://env/key}', snis: [{name: broken.test}, {name: '*.broken.test'}]}
- cert: %[2]s  key: %[3]s  snis: [{name: sound.test}]
upstreams:
- id: %[4]s
  name: pool
  client_certificate: {id: %[1]s}
  targets: [{id: %[5]s, target: 'gone.test:0'}, {target: '%[6]s'}]
services:
- name: good
  url: %[7]s
  routes:
  - {name: good, paths: [/good]}
  - {id: %[8]s, name: unroutable, paths: [/good/]}
  - {name: acts, paths: [/acts], plugins: [{name: acts, id: %[9]s}]}
  - {name: watches, paths: [/watches], plugins: [{name: watches, id: %[10]s}]}
  - {name: traces, paths: [/traces], plugins: [{name: opentelemetry, id: %[11]s, config: {traces_endpoint: 'ftp://receiver.test/'}}]}
- {name: plain-pool, protocol: http, host: pool, routes: [{name: plain-pool, paths: [/plain-pool]}]}
- {name: unknown-ca, id: %[12]s, url: %[13]s, tls_verify: true, ca_certificates: [%[14]s], routes: [{name: unknown-ca, paths: [/unknown-ca]}]}
- {name: no-pair, id: %[15]s, url: %[13]s, client_certificate: {id: %[1]s}, routes: [{name: no-pair, paths: [/no-pair]}]}
- {name: encrypted, url: %[13]s, routes: [{name: encrypted, paths: [/encrypted]}]}
`, pairID, cert, key, poolID, targetID, address, good, routeID, actsID, watchesID, tracesID, caID, encrypted, unknownID, clientsID) + global +
		"- name: acts\n- name: watches\n"
}

// TestIsolate: what cannot be served fails by itself; the rest is served.
func TestIsolate(t *testing.T) {
	root := newAuthority(t, "root", nil)
	good := upstream.Start(t, upstream.Answer("ok"))
	encrypted := upstream.Start(t, upstream.Answer("ok"), upstream.TLS(&tls.Config{Certificates: []tls.Certificate{root.issue(false, "backend.test")}}))
	own := root.issue(false, "listener")
	visits, log := new(visits), new(lines)
	unable := func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
		if p.Route != nil {
			return nil, errors.New("not on this route")
		}
		return visit{visits, p.Name}, nil
	}
	e := start(t, setup{
		config: service(good.URL()),
		plugins: []*plugin.Definition{
			{Name: "acts", Config: &entity.Record{}, New: unable},
			{Name: "watches", Config: &entity.Record{}, New: unable, Watches: true},
		},
		options: func(o *proxy.Options) {
			o.Isolate, o.Logger = true, slog.New(slog.NewTextHandler(log, nil))
		},
		server: func(s *httptest.Server) {
			s.TLS = &tls.Config{Certificates: []tls.Certificate{own}, GetCertificate: s.Config.Handler.(*proxy.Gateway).Certificate}
		},
	})
	config := faultyConfig(t, good.URL(), strings.Replace(encrypted.URL(), "http:", "https:", 1), good.Address(), root.issue(false, "sound"))
	// Its schema keeps such a route out of a file; a newer Kong may have taken it.
	apply := func(config string) {
		t.Helper()
		snapshot := e.load(config)
		if route, ok := snapshot.Route(routeID); ok {
			route.Paths = []string{"~/good/(?=a)"}
		}
		if err := e.gateway.Apply(snapshot); err != nil {
			t.Fatal(err)
		}
	}
	apply(config)

	const unexpected, invalid = "An unexpected error occurred", "An invalid response was received from the upstream server"
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/good", "ok", 200},
		{"/good/a", "ok", 200}, // as if the route that cannot be compiled were not there
		{"/acts", unexpected, 500},
		{"/watches", "ok", 200},
		{"/traces", "ok", 200},
		{"/plain-pool", "ok", 200},
		{"/plain-pool", "ok", 200}, // whichever target's turn it is
		{"/unknown-ca", invalid, 502},
		{"/no-pair", invalid, 502},
		{"/encrypted", "ok", 200},
		{"/nowhere", "no Route matched with those values", 404},
	} {
		if got := e.get(c.path); got.StatusCode != c.status || !strings.Contains(got.body, c.body) {
			t.Errorf("%s: %d %s, want %d with %s", c.path, got.StatusCode, got.body, c.status, c.body)
		}
	}
	if got := e.do(e.request("POST", "/unknown-ca", strings.NewReader(strings.Repeat("x", 64<<10)))); got.StatusCode != 502 {
		t.Errorf("POST /unknown-ca: %d %s, want 502", got.StatusCode, got.body)
	}
	if n := len(encrypted.Requests()); n != 1 {
		t.Errorf("the upstream over TLS got %d requests, want that of /encrypted alone", n)
	}

	if got := visits.of("watches"); !slices.Contains(got, "/good") || slices.Contains(got, "/watches") {
		t.Errorf("the global instance saw %q, want what a route of its own does not", got)
	}

	want := proxy.Faults{
		{Type: "route", ID: routeID, Name: "unroutable", Message: `paths: "~/good/(?=a)": unsupported look-ahead (?= in regular expression`},
		{Type: "target", ID: targetID, Name: "gone.test:0", Message: "port is not between 1 and 65535"},
		{Type: "upstream", ID: poolID, Name: "pool", Message: "client_certificate: certificate " + pairID + ": certificate and key are references to a vault, which are not resolved"},
		{Type: "certificate", ID: pairID, Message: "certificate and key are references to a vault, which are not resolved"},
		{Type: "service", ID: caID, Name: "unknown-ca", Message: "ca_certificates: " + unknownID + " holds no certificate"},
		{Type: "service", ID: clientsID, Name: "no-pair", Message: "client_certificate: certificate " + pairID + ": certificate and key are references to a vault, which are not resolved"},
		{Type: "plugin", ID: actsID, Name: "acts", Message: "not on this route"},
		{Type: "plugin", ID: tracesID, Name: "opentelemetry", Message: "traces: make OTLP client: endpoint is not a URL with the scheme http or https"},
		{Type: "plugin", ID: watchesID, Name: "watches", Message: "not on this route"},
	}
	if diff := cmp.Diff(want, e.gateway.Faults()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}

	for _, c := range []struct{ path, fault string }{
		{"/plain-pool", "target"}, {"/unknown-ca", "service"}, {"/traces", "plugin"}, {"/encrypted", ""},
	} {
		got := map[string]bool{}
		for _, f := range e.gateway.Explain(httptest.NewRequest("GET", c.path, nil), "").Faults {
			got[f.Type] = true
		}
		if !got["route"] || !got[c.fault] && c.fault != "" || c.fault == "" && len(got) != 1 {
			t.Errorf("explanation of %s: faults of %v, want one of the %s and those of routes", c.path, got, c.fault)
		}
	}

	shown := func(name string) (string, error) {
		conn, err := tls.Dial("tcp", e.server.Listener.Addr().String(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
	}
	for name, want := range map[string]string{"sound.test": "sound", "other.test": "listener", "broken.test": "", "www.broken.test": ""} {
		if got, err := shown(name); got != want || (err != nil) != (want == "") {
			t.Errorf("%s is shown %q (%v), want %q", name, got, err, want)
		}
	}

	// Told once, however often the configuration changes elsewhere, and again when the fault is another.
	const told = "an entity cannot be served"
	if n := log.count(told); n != len(want) {
		t.Errorf("%d lines tell of %d faults", n, len(want))
	}
	apply(config + "consumers:\n- username: new\n")
	if n := log.count(told); n != len(want) {
		t.Errorf("%d lines after a change elsewhere, want %d", n, len(want))
	}
	apply(strings.Replace(config, unknownID, otherID, 1))
	if n := log.count(told); n != len(want)+1 {
		t.Errorf("%d lines after another fault, want %d", n, len(want)+1)
	}
	apply(service(good.URL()))
	if faults := e.gateway.Faults(); faults != nil {
		t.Errorf("after the faults are gone: %v", faults)
	}

	eventually(t, "the trace that nobody takes is accounted for", func() bool {
		return slices.ContainsFunc(e.exporters.Stats(), func(s opentelemetry.Stats) bool {
			return s.Endpoint == "" && s.Rejected > 0 || s.Endpoint == "ftp://receiver.test/" && s.Rejected > 0
		})
	})
	failures := 0
	for _, span := range e.spans().all("kong.access.plugin.acts") {
		if failed(span) {
			failures++
			if message := collector.Attributes(span.Events[0].Attributes)["exception.message"]; message != "not on this route" {
				t.Errorf("kong.access.plugin.acts fails by %q", message)
			}
		}
	}
	if failures != 1 {
		t.Errorf("%d spans of the plugin say that it failed, want 1", failures)
	}
}

// TestNotIsolated: where somebody is there to be told, every fault is in the error and the old configuration serves on.
func TestNotIsolated(t *testing.T) {
	good := upstream.Start(t, upstream.Answer("ok"))
	e := start(t, setup{config: service(good.URL())})
	err := e.gateway.Apply(e.load(fmt.Sprintf(`
upstreams:
- {name: pool, targets: [{id: %s, target: 'gone.test:0'}]}
services:
- {name: unknown-ca, id: %s, url: 'https://a.test', ca_certificates: [%s], routes: [{name: r, paths: [/]}]}
plugins:
- {name: opentelemetry, id: %s, config: {traces_endpoint: '{vault://env/endpoint}'}}
`, targetID, caID, unknownID, tracesID)))
	want := proxy.Faults{
		{Type: "target", ID: targetID, Name: "gone.test:0", Message: "port is not between 1 and 65535"},
		{Type: "service", ID: caID, Name: "unknown-ca", Message: "ca_certificates: " + unknownID + " holds no certificate"},
		{Type: "plugin", ID: tracesID, Name: "opentelemetry", Message: "traces: make OTLP client: endpoint is not a URL"},
	}
	var got proxy.Faults
	if !errors.As(err, &got) {
		t.Fatalf("Apply: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if want := "target gone.test:0 (" + targetID + "): port is not between 1 and 65535"; !strings.HasPrefix(err.Error(), want+"\n") {
		t.Errorf("error %q, want it to begin with %q", err, want)
	}
	if faults := e.gateway.Faults(); faults != nil {
		t.Errorf("the old configuration has faults: %v", faults)
	}
	if got := e.get("/"); got.body != "ok" {
		t.Errorf("the old configuration: %d %s", got.StatusCode, got.body)
	}
}
