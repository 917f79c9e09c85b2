package function

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// kongKinds are the instrumentations that Kong has.
const kongKinds = tracing.All &^ (tracing.Upstream | tracing.PluginBodyFilter | tracing.PluginLog)

// place is a listener, a gateway behind it and an upstream behind that, as the vectors' recorder had them.
type place struct {
	t       *testing.T
	address string

	mu       sync.Mutex
	reply    *reply
	upstream any // the request that came there; nil: none
	spans    any
	done     chan struct{} // a request is over, its log phase too
}

// telling tells when a request is over.
func (p *place) telling(g http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { p.done <- struct{}{} }()
		g.ServeHTTP(w, r)
	})
}

// spy fixes what the recorder fixed, and keeps the spans.
type spy struct{ *place }

func (s spy) Rewrite(ctx *plugin.Context) error {
	ctx.RequestID = testRequestID
	ctx.Trace.Adopt(tracing.Adoption{TraceID: tracing.NewTraceID(), Sampled: true})
	return nil
}

func (s spy) Log(ctx *plugin.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Trace != nil {
		s.spans = spanList(ctx.Trace)
	}
}

// placed gives connections the addresses of the recorder's.
type placed struct{ net.Listener }

func (l placed) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return placedConn{conn}, nil
}

type placedConn struct{ net.Conn }

func (placedConn) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:8000"))
}

func (placedConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:54321"))
}

// newPlace starts it with the scripts of a vector.
func newPlace(t *testing.T, v *vector, options Options) (*place, error) {
	t.Helper()
	p := &place{t: t, done: make(chan struct{}, 16)}
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { upstream.Close() })
	go p.serveUpstream(upstream)

	watching := &plugin.Definition{
		Name: "spy", Priority: prePriority + 1, Config: &entity.Record{},
		New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) { return spy{p}, nil },
	}
	gatewayOptions := proxy.Options{
		RealIPHeader: http.CanonicalHeaderKey(v.Settings.RealIPHeader), RealIPRecursive: v.Settings.RealIPLoop == "on",
	}
	for _, text := range v.Settings.TrustedIPs {
		gatewayOptions.TrustedIPs = append(gatewayOptions.TrustedIPs, netip.MustParsePrefix(text))
	}
	if len(v.Settings.Instruments) > 0 {
		set, err := tracing.ParseInstrumentations(v.Settings.Instruments)
		if err != nil {
			t.Fatal(err)
		}
		gatewayOptions.Tracer = tracing.NewTracer(set&kongKinds, 1)
	}
	plugins := []any{map[string]any{"name": "spy"}}
	for name, config := range v.config() {
		plugins = append(plugins, map[string]any{"name": name, "config": config})
	}
	server, err := serveConfig(t, append(Define(options), watching), gatewayOptions, p.telling, map[string]any{
		"_format_version": "3.0",
		"upstreams": []any{map[string]any{
			"name": "upstream.test", "host_header": "upstream.test",
			"targets": []any{map[string]any{"target": upstream.Addr().String()}},
		}},
		"services": []any{map[string]any{
			"id": "5d2a2e5a-0d4b-4d6e-9a57-0c4a3ab6a2a1", "name": "service1", "host": "upstream.test", "port": 80,
			"routes": []any{map[string]any{
				"id": "a7d3b0c1-1f4e-4a53-8c22-7e3d5e0a9b10", "name": "route1", "paths": []any{"/"}, "strip_path": false,
			}},
		}},
		"plugins": plugins,
	})
	if err != nil {
		return nil, err
	}
	p.address = server.Listener.Addr().String()
	return p, nil
}

// serveConfig starts a gateway with a configuration, on a listener that gives the addresses of the recorder's.
func serveConfig(t *testing.T, definitions []*plugin.Definition, options proxy.Options, around func(http.Handler) http.Handler, config map[string]any) (*httptest.Server, error) {
	t.Helper()
	registry := plugin.NewRegistry(definitions...)
	resolver, err := dns.New(dns.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(resolver.Close)
	options.Registry, options.Resolver = registry, resolver
	options.Logger, options.Conventions = slog.New(slog.DiscardHandler), proxy.KongConventions
	g, err := proxy.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	loader := configs.Loader{Schemas: entity.NewSchemas(registry.Configs())}
	snapshot, _, err := loader.Load(t.Context(), configs.Text("test", string(text)))
	if err != nil {
		return nil, err
	}
	if err := g.Apply(snapshot); err != nil {
		return nil, err
	}
	server := httptest.NewUnstartedServer(around(g))
	server.Listener = placed{server.Listener}
	server.Config.ConnContext = g.ConnContext
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server, nil
}

// serveUpstream answers as the vector says. Each connection carries one request.
func (p *place) serveUpstream(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			r, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				return
			}
			body, _ := io.ReadAll(r.Body)
			p.mu.Lock()
			p.upstream = upstreamSeen(r, body)
			up := p.reply
			p.mu.Unlock()
			var head strings.Builder
			fmt.Fprintf(&head, "HTTP/1.1 %d x\r\nConnection: close\r\n", up.Status)
			for _, pair := range up.Headers {
				fmt.Fprintf(&head, "%s: %s\r\n", pair[0], pair[1])
			}
			switch {
			case up.Status == http.StatusNoContent:
				fmt.Fprintf(conn, "%s\r\n", &head)
			case up.Chunks == nil:
				fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n", &head, len(up.Body))
				if r.Method != http.MethodHead {
					_, _ = io.WriteString(conn, string(up.Body))
				}
			default:
				fmt.Fprintf(conn, "%sTransfer-Encoding: chunked\r\n\r\n", &head)
				for _, piece := range up.Chunks {
					time.Sleep(50 * time.Millisecond) // as it was recorded: pieces that arrive together are one
					fmt.Fprintf(conn, "%x\r\n%s\r\n", len(piece), piece)
				}
				time.Sleep(50 * time.Millisecond)
				_, _ = io.WriteString(conn, "0\r\n\r\n")
			}
		}()
	}
}

// upstreamSeen writes a request as vectors do.
func upstreamSeen(r *http.Request, body []byte) any {
	h := r.Header.Clone()
	for _, name := range []string{
		"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Path",
		"X-Forwarded-Prefix", "Via", "X-Real-Ip", "Connection",
	} {
		h.Del(name)
	}
	host, _, found := strings.Cut(r.Host, ":")
	if !found || !strings.HasPrefix(host, "upstream.test") {
		host = r.Host
	}
	return map[string]any{"method": r.Method, "uri": r.RequestURI, "host": host, "headers": headerPairs(h), "body": bytesValue(body)}
}

var pageID = regexp.MustCompile(`(request_?id"?[:>] ?"?)[0-9a-f]{32}`)

// ask sends a request and gives what came of it.
func (p *place) ask(message []byte) (out outcome) {
	p.t.Helper()
	p.mu.Lock()
	p.upstream, p.spans = nil, nil
	p.mu.Unlock()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(message); err != nil {
		p.t.Fatal(err)
	}
	method, _, _ := bytes.Cut(message, []byte(" "))
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: string(method)})
	whole := err == nil
	if whole {
		body, err := io.ReadAll(res.Body)
		h := res.Header
		chunked := len(res.TransferEncoding) > 0
		if res.Close && res.ContentLength < 0 && !res.ProtoAtLeast(1, 1) {
			chunked = true
		}
		p.mu.Lock()
		proxied := p.upstream != nil
		p.mu.Unlock()
		if kind := h.Get("Content-Type"); proxied && slices.Contains([]string{"text/plain", "text/html", "text/xml"}, kind) {
			h.Set("Content-Type", kind+"; charset=UTF-8") // nginx's charset directive in Kong's configuration
		}
		out.Client = clientResponse(res.StatusCode, h, pageID.ReplaceAll(body, []byte("${1}"+testRequestID)), chunked)
		if err == nil && string(body) == "400 Bad Request" {
			return out // net/http's own: it did not reach the gateway
		}
	}
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Error("the log phase does not run")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out.Upstream, out.Spans = p.upstream, p.spans
	return out
}

// config is the vector's scripts by plugin and phase.
func (v *vector) config() map[string]map[string][]any {
	chunks := map[string]map[string][]any{}
	add := func(plugin, phase, script string) {
		if plugin == "" {
			plugin = PreName
		}
		if chunks[plugin] == nil {
			chunks[plugin] = map[string][]any{}
		}
		chunks[plugin][phase] = append(chunks[plugin][phase], script)
	}
	if v.Scripts == nil {
		add("", v.Phase, v.Script)
	}
	for _, one := range v.Scripts {
		add(one.Plugin, one.Phase, one.Script)
	}
	return chunks
}

// TestVectorsThroughGateway sends the vectors' requests through a whole gateway: what scripts see and do there is what
// they see and do in Kong.
func TestVectorsThroughGateway(t *testing.T) {
	known, here := differences(t, scriptsDiffer), differences(t, gatewayDiffers)
	own := os.Getenv(vectorsFile) == ""
	maps.Copy(known, here)
	var passed, differ atomic.Int64
	slots := make(chan struct{}, 4)
	var wait sync.WaitGroup
	for _, v := range readVectors(t) {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			diff := throughGateway(t, &v)
			for range 2 {
				if v.Upstream != nil && v.Upstream.Chunks != nil && diff != "" { // on a busy machine pieces arrive together
					diff = throughGateway(t, &v)
				}
			}
			for range 5 {
				if diff == "" && here[v.ID] { // pieces can happen to be Kong's
					diff = throughGateway(t, &v)
				}
			}
			switch {
			case diff == "":
				passed.Add(1)
				if here[v.ID] && own {
					t.Errorf("%s: got what Kong gives, but it stands in the table of differences", v.ID)
				}
			case known[v.ID]:
				differ.Add(1)
			default:
				differ.Add(1)
				t.Errorf("%s: %s\n(-Kong +ours)\n%s", v.ID, v.Script, diff)
			}
		})
	}
	wait.Wait()
	t.Logf("%d of %d vectors pass", passed.Load(), passed.Load()+differ.Load())
}

func throughGateway(t *testing.T, v *vector) string {
	var mu sync.Mutex
	var calls []any
	options := Options{
		UntrustedLua: Mode(v.Settings.UntrustedLua), SandboxRequires: v.Settings.Requires,
		SandboxEnvironment: v.Settings.Environment, NodeID: "0b1d7ed2-3f1a-4c53-9d0f-1f6c7b1f8a55", Trusted: v.Settings.trusted,
		BodyBuffer: 16 << 10,
	}
	options.observe = func(_ string, p phase, values []lua.LValue, err error) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, record(p, values, err))
	}
	if _, bad := v.Result["load_error"]; bad {
		return "" // compiling is not the gateway's
	}
	p, err := newPlace(t, v, options)
	if err != nil {
		return err.Error()
	}
	p.reply = v.Upstream
	if p.reply == nil {
		p.reply = &reply{Status: 200, Headers: [][2]string{{"Content-Type", "text/plain"}}, Body: "ok"}
	}
	var out outcome
	for range max(v.Repeat, 1) {
		out = p.ask([]byte(v.Request.Raw))
	}
	mu.Lock()
	defer mu.Unlock()
	diff := cmp.Diff(v.Result, result(v.Result, calls))
	if v.Effects != nil {
		out.Spans = kongSpans(out.Spans, v.Effects["spans"])
		diff += compareEffects(v.Effects, out)
	}
	return diff
}

// kongSpans leaves out what the spy adds and what the recorder's Kong did not have: the vectors say nothing of that.
func kongSpans(spans, want any) any {
	if spans == nil {
		return nil
	}
	expected := map[string]map[string]any{}
	list, _ := want.([]any)
	for _, one := range list {
		span := one.(map[string]any)
		expected[span["name"].(string)] = span
	}
	list, _ = spans.([]any)
	list = slices.DeleteFunc(list, func(one any) bool {
		name := one.(map[string]any)["name"].(string)
		return strings.HasSuffix(name, ".spy") || name == "kong.dns"
	})
	for _, one := range list {
		span := one.(map[string]any)
		known := expected[span["name"].(string)]
		attributes, _ := known["attributes"].(map[string]any)
		ours, _ := span["attributes"].(map[string]any)
		for name := range ours {
			if _, ok := attributes[name]; !ok && (span["name"] == "kong" || span["name"] == "kong.balancer") {
				delete(ours, name)
			}
		}
		if _, ok := ours["net.peer.port"]; ok {
			ours["net.peer.port"] = attributes["net.peer.port"]
		}
		if _, ok := known["status"]; !ok && span["name"] == "kong" {
			delete(span, "status") // of a 5xx, which Kong leaves unset
		}
	}
	return list
}
