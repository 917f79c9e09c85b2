package proxy_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"sidekong/internal/upstream"
	"sidekong/proxy"
)

// bytesText is a string that the vectors write as {"hex": "…"} where it is not valid UTF-8.
type bytesText string

func (b *bytesText) UnmarshalJSON(data []byte) error {
	var encoded struct{ Hex string }
	if json.Unmarshal(data, &encoded) == nil {
		raw, err := hex.DecodeString(encoded.Hex)
		*b = bytesText(raw)
		return err
	}
	return json.Unmarshal(data, (*string)(b))
}

// routerVector is a line of the router's vectors, as far as the gateway as a whole is concerned.
type routerVector struct {
	ID      string
	Routes  []map[string]any
	Request *struct {
		Method, Scheme, SNI string
		URI                 bytesText
		Host                *string
		Headers             map[string]any
		HTTPVersion         string `json:"http_version"`
	}
	ExpectCompat struct {
		Route          string
		UpstreamURI    bytesText `json:"upstream_uri"`
		UpstreamHost   string    `json:"upstream_host"`
		UpstreamScheme string    `json:"upstream_scheme"`
		Prefix         bytesText
		ForwardedPath  bytesText `json:"forwarded_path"`
		Action         *struct {
			Status   int
			Location string
		}
		NginxStatus int `json:"nginx_status"`
	} `json:"expect_compat"`
	Flags []string
}

// outcome is what a request led to: at the client, and upstream.
type outcome struct {
	Status                                             int
	Route, Location                                    string
	Target, Host, ForwardedPath, ForwardedPrefix, Port string
}

// listenerPorts are those that the vectors were recorded with.
var listenerPorts = map[string]int{"http": 8000, "https": 8443}

func (v *routerVector) want() outcome {
	e := v.ExpectCompat
	switch {
	case e.NginxStatus != 0:
		return outcome{Status: e.NginxStatus}
	case e.Route == "":
		return outcome{Status: 404}
	case e.Action != nil:
		return outcome{Status: e.Action.Status, Route: e.Route, Location: e.Action.Location}
	}
	want := outcome{
		Status: 200, Route: e.Route, Target: string(e.UpstreamURI), Host: e.UpstreamHost,
		ForwardedPath: string(e.ForwardedPath), ForwardedPrefix: string(e.Prefix),
		Port: fmt.Sprint(listenerPorts[v.Request.Scheme]),
	}
	if want.ForwardedPrefix == "/" {
		want.ForwardedPrefix = ""
	}
	return want
}

// config writes the vector's routes as a kong.yaml, and collects the names of upstreams.
func (v *routerVector) config(hosts map[string]bool) string {
	document := map[string][]any{"services": {}, "routes": {}}
	for _, route := range v.Routes {
		service, _ := route["service"].(map[string]any)
		if service == nil {
			document["routes"] = append(document["routes"], route)
			continue
		}
		delete(route, "service")
		service["name"] = "svc-" + fmt.Sprint(route["name"])
		service["routes"] = []any{route}
		document["services"] = append(document["services"], service)
		if host, ok := service["host"].(string); ok {
			hosts[host] = true
		} else if _, rest, ok := strings.Cut(fmt.Sprint(service["url"]), "://"); ok {
			host, _, _ := strings.Cut(rest, "/")
			host, _, _ = strings.Cut(host, ":")
			hosts[host] = true
		}
	}
	var text strings.Builder
	for _, kind := range []string{"services", "routes"} {
		raw, err := json.Marshal(document[kind])
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&text, "%s: %s\n", kind, raw)
	}
	return text.String()
}

// head is the request as bytes.
func (v *routerVector) head() string {
	r := v.Request
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/%s\r\n", r.Method, r.URI, cmp.Or(r.HTTPVersion, "1.1"))
	if r.Host != nil {
		fmt.Fprintf(&head, "Host: %s\r\n", *r.Host)
	}
	for name, value := range r.Headers {
		if list, ok := value.([]any); ok {
			for _, one := range list {
				fmt.Fprintf(&head, "%s: %v\r\n", name, one)
			}
			continue
		}
		fmt.Fprintf(&head, "%s: %v\r\n", name, value)
	}
	return head.String() + "Kong-Debug: 1\r\n\r\n"
}

// TestRouterVectors sends every request that Kong 3.9's traditional_compatible router was observed with through real
// connections, and compares what arrives upstream and what the client gets.
func TestRouterVectors(t *testing.T) {
	var vectors []routerVector
	var configs []string
	hosts := map[string]bool{}
	file, err := os.Open("router/testdata/router.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v routerVector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if v.Request == nil || slices.Contains(v.Flags, "compat_rejects_config") {
			continue
		}
		vectors = append(vectors, v)
		configs = append(configs, v.config(hosts))
	}
	if len(vectors) != 1153 {
		t.Fatalf("%d vectors, want 1153", len(vectors))
	}

	var names strings.Builder
	for host := range hosts {
		fmt.Fprintf(&names, "127.0.0.1 %s\n", host)
	}
	hostsFile := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hostsFile, []byte(names.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	defer secure.Close()
	backends := map[string]*upstream.Upstream{
		"http":  upstream.Start(t, nil),
		"https": upstream.Start(t, nil, upstream.TLS(&tls.Config{Certificates: secure.TLS.Certificates})),
	}
	e := start(t, setup{instrumentations: "off", options: func(o *proxy.Options) {
		o.AllowDebugHeader, o.Resolver, o.Keepalive.PoolSize = true, resolver(t, hostsFile), 0
	}, server: listenAs(t, "http")})
	https := httptest.NewUnstartedServer(e.gateway)
	https.Config.ConnContext = e.gateway.ConnContext
	listenAs(t, "https")(https)
	https.StartTLS()
	defer https.Close()

	scheme := ""
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, backends[scheme].Address())
	}
	seen := map[string]int{}
	for i, v := range vectors {
		if i == 0 || configs[i] != configs[i-1] {
			e.apply(configs[i])
		}
		scheme = cmp.Or(v.ExpectCompat.UpstreamScheme, "http")
		if scheme != "http" && scheme != "https" {
			scheme = "http" // no vector goes on to a gRPC upstream
		}
		e.gateway.DialUpstreams(dial)
		conn := e.dial()
		if v.Request.Scheme == "https" {
			conn.Close()
			conn, err = tls.Dial("tcp", https.Listener.Addr().String(), &tls.Config{ServerName: v.Request.SNI, InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		}
		got := exchange(t, conn, &v)
		e.idle() // the next round changes what the dialer reads
		requests := backends[scheme].Requests()
		if len(requests) > seen[scheme] {
			seen[scheme] = len(requests)
			r := requests[len(requests)-1]
			got.Target, got.Host, got.Port = r.Target, r.Header.Get("Host"), r.Header.Get("X-Forwarded-Port")
			got.ForwardedPath, got.ForwardedPrefix = r.Header.Get("X-Forwarded-Path"), r.Header.Get("X-Forwarded-Prefix")
		}
		want := v.want()
		if v.ID == "request_forms-001" {
			// The host of a target in absolute form is the request's (RFC 9112, 3.2.2); Kong believes the Host header.
			want.Route, want.Target, want.Host, want.ForwardedPrefix = "h", "/p/x", "h.up.test", ""
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %q -want +got:\n%s", v.ID, v.head(), diff)
		}
	}
}

// listenAs makes a server as a listener of that scheme has it.
func listenAs(t *testing.T, scheme string) func(*httptest.Server) {
	return func(s *httptest.Server) {
		s.Config.DisableGeneralOptionsHandler = true
		gateway := s.Config.ConnContext
		s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			ctx = gateway(ctx, c)
			proxy.SetLocalPort(ctx, listenerPorts[scheme])
			return ctx
		}
	}
}

func exchange(t *testing.T, conn net.Conn, v *routerVector) outcome {
	t.Helper()
	defer conn.Close()
	if _, err := io.WriteString(conn, v.head()); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: v.Request.Method})
	if err != nil {
		t.Fatalf("%s: %v", v.ID, err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Errorf("%s: read answer: %v", v.ID, err)
	}
	return outcome{Status: res.StatusCode, Route: res.Header.Get("Kong-Route-Name"), Location: res.Header.Get("Location")}
}
