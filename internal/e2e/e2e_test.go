//go:build e2e

// Package e2e tests the program between other people's programs: a Node.js backend that OpenTelemetry instruments, the
// OpenTelemetry Collector, and (image_test.go) a container engine. `make e2e` and `make image-test` build what it needs.
package e2e

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sidekong/internal/loopback"
)

func TestOneRequestIsOneTrace(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()

	collectorAddress, traces := loopback.Address(t), filepath.Join(dir, "traces.bin")
	config := write(t, filepath.Join(dir, "collector.yaml"), substitute(t, "testdata/collector.yaml", map[string]string{
		"{{address}}": collectorAddress, "{{file}}": traces,
	}))
	collector := start(ctx, t, "collector", nil, repository+"/bin/collector", "--config", config)
	eventually(ctx, t, "the collector to listen", func() bool {
		conn, err := net.Dial("tcp", collectorAddress)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})

	backend := start(ctx, t, "backend", []string{
		"PORT=0", "HOST=127.0.0.1",
		"OTEL_SERVICE_NAME=backend",
		"OTEL_PROPAGATORS=tracecontext,baggage",
		"OTEL_TRACES_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collectorAddress,
		"OTEL_EXPORTER_OTLP_HEADERS=X-Auth-Token=secret-token",
		"OTEL_NODE_RESOURCE_DETECTORS=env", // the others ask clouds where they are
		"NODE_PATH=" + absolute(t, repository+"/configs/compose/backend/node_modules"),
	}, "node", "--require", "@opentelemetry/auto-instrumentations-node/register", repository+"/configs/compose/backend/server.js")
	listening := regexp.MustCompile(`listening on .*"port":(\d+)`)
	eventually(ctx, t, "the backend to listen", func() bool { return listening.MatchString(backend.out.String()) })
	backendAddress := "127.0.0.1:" + listening.FindStringSubmatch(backend.out.String())[1]

	proxyAddress, statusAddress := loopback.Address(t), loopback.Address(t)
	kong := start(ctx, t, "sidekong", []string{
		"KONG_DATABASE=off",
		"KONG_DECLARATIVE_CONFIG=" + write(t, filepath.Join(dir, "kong.yaml"), tutorial(t, backendAddress, collectorAddress)),
		"KONG_PROXY_LISTEN=" + proxyAddress, "KONG_STATUS_LISTEN=" + statusAddress,
		"KONG_ADMIN_LISTEN=off", "KONG_ADMIN_GUI_LISTEN=off",
		"KONG_PREFIX=" + dir,
		"KONG_LOG_LEVEL=debug",
	}, repository+"/bin/sidekong", "run")
	eventually(ctx, t, "sidekong to be ready", func() bool {
		response, _, err := get(ctx, "http://"+statusAddress+"/status/ready")
		return err == nil && response.StatusCode == http.StatusOK
	})

	response, body, err := get(ctx, "http://"+proxyAddress+"/hello?name=e2e&token=s3cret")
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"message":"Hello from the backend"}`; response.StatusCode != http.StatusOK || body != want {
		t.Fatalf("got %s %s, want 200 %s", response.Status, body, want)
	}
	eventually(ctx, t, "both services' spans in the collector's file", func() bool {
		spans := read(t, traces)
		return len(find(spans, "kong-dev SERVER")) > 0 && len(find(spans, "backend SERVER")) > 0
	})
	// Whoever still has a span hands it over now, before the one who writes them down.
	for _, p := range []*process{kong, backend, collector} {
		if code := p.stop(t); code != 0 {
			t.Errorf("%s ended with code %d, want 0", p.name, code)
		}
	}
	if strings.Contains(kong.out.String(), "s3cret") || strings.Contains(kong.out.String(), "secret-token") {
		t.Error("the log tells a secret")
	}

	spans := read(t, traces)
	root, balancer := only(t, spans, "kong-dev SERVER kong"), only(t, spans, "kong-dev CLIENT kong.balancer")
	server := only(t, spans, "backend SERVER")
	for _, s := range spans {
		if s.trace != root.trace {
			t.Errorf("%s is in trace %s, want %s", s, s.trace, root.trace)
		}
	}
	if root.parent != "" {
		t.Errorf("the root has the parent %s, want none", root.parent)
	}
	if server.parent != balancer.id {
		t.Errorf("the backend's span has the parent %s, want kong.balancer's id %s", server.parent, balancer.id)
	}
	golden(t, "testdata/tree.txt", tree(spans))

	port := func(address string) any {
		_, port, _ := net.SplitHostPort(address)
		var n int64
		fmt.Sscan(port, &n)
		return n
	}
	checkAttributes(t, root, map[string]any{
		"http.method":       "GET",
		"http.url":          "http://127.0.0.1/hello?name=e2e&token=REDACTED",
		"http.host":         "127.0.0.1",
		"http.scheme":       "http",
		"http.flavor":       "1.1",
		"http.client_ip":    "127.0.0.1",
		"net.peer.ip":       "127.0.0.1",
		"http.route":        "/hello",
		"http.status_code":  int64(http.StatusOK),
		"kong.request.id":   response.Header.Get("X-Kong-Request-Id"),
		"kong.route.name":   "hello",
		"kong.service.name": "hello",
	})
	checkAttributes(t, balancer, map[string]any{
		"try_count":        int64(1),
		"http.status_code": int64(http.StatusOK),
		"net.peer.ip":      "127.0.0.1",
		"net.peer.port":    port(backendAddress),
		"net.peer.name":    "127.0.0.1",
		"peer.service":     "hello",
		"server.address":   "127.0.0.1",
		"server.port":      port(backendAddress),
	})
	for _, s := range spans {
		if s.service != "kong-dev" {
			continue
		}
		if s.scope != "kong-internal" {
			t.Errorf("%s is of the scope %q, want kong-internal", s, s.scope)
		}
		if s.resource["service.version"] == "" || s.resource["service.instance.id"] == "" {
			t.Errorf("%s: the resource lacks service.version or service.instance.id: %v", s, s.resource)
		}
	}
}

// span is what the collector wrote down of one.
type span struct {
	service, scope    string
	resource          map[string]any
	name, kind        string
	trace, id, parent string // in hex
	start             uint64 // ns
	attributes        map[string]any
}

func (s *span) String() string { return s.service + " " + s.kind + " " + s.name }

// read gives the spans in the collector's file: each message of it has its length before it, in four bytes.
func read(t *testing.T, file string) []*span {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var spans []*span
	for len(content) >= 4 {
		n := int(binary.BigEndian.Uint32(content))
		if len(content)-4 < n {
			break // it is being written
		}
		var message collectorpb.ExportTraceServiceRequest
		if err := proto.Unmarshal(content[4:4+n], &message); err != nil {
			t.Fatalf("decode %s: %v", file, err)
		}
		content = content[4+n:]
		for _, rs := range message.GetResourceSpans() {
			resource := values(rs.GetResource().GetAttributes())
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					spans = append(spans, newSpan(resource, ss.GetScope().GetName(), s))
				}
			}
		}
	}
	return spans
}

func newSpan(resource map[string]any, scope string, s *tracepb.Span) *span {
	service, _ := resource["service.name"].(string)
	return &span{
		service: service, scope: scope, resource: resource,
		name: s.GetName(), kind: strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"),
		trace: hex.EncodeToString(s.GetTraceId()), id: hex.EncodeToString(s.GetSpanId()),
		parent: hex.EncodeToString(s.GetParentSpanId()),
		start:  s.GetStartTimeUnixNano(), attributes: values(s.GetAttributes()),
	}
}

// values gives strings and integers as such and anything else as text.
func values(attributes []*commonpb.KeyValue) map[string]any {
	all := map[string]any{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.GetKey()] = v.IntValue
		default:
			all[a.GetKey()] = a.GetValue().String()
		}
	}
	return all
}

// find gives the spans whose text begins with the words given.
func find(spans []*span, words string) []*span {
	var found []*span
	for _, s := range spans {
		if strings.HasPrefix(s.String()+" ", words+" ") {
			found = append(found, s)
		}
	}
	return found
}

func only(t *testing.T, spans []*span, words string) *span {
	t.Helper()
	found := find(spans, words)
	if len(found) != 1 {
		t.Fatalf("got %d spans %q, want 1; all are %v", len(found), words, spans)
	}
	return found[0]
}

// tree writes spans as indented text, below their parents, by service and time. How the backend's spans are called and
// what is below its server span is the affair of its libraries and left out. Spans whose parent is missing stand at the
// left margin.
func tree(spans []*span) string {
	known, children := map[string]bool{}, map[string][]*span{}
	for _, s := range spans {
		known[s.id] = true
	}
	for _, s := range spans {
		parent := s.parent
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	var out strings.Builder
	var below func(parent, indent string)
	below = func(parent, indent string) {
		slices.SortFunc(children[parent], func(a, b *span) int {
			if byService := -strings.Compare(a.service, b.service); byService != 0 {
				return byService
			}
			return int(int64(a.start) - int64(b.start))
		})
		for _, s := range children[parent] {
			if s.service == "backend" {
				fmt.Fprintf(&out, "%s%s %s\n", indent, s.service, s.kind)
				continue
			}
			fmt.Fprintf(&out, "%s%s\n", indent, s)
			below(s.id, indent+"  ")
		}
	}
	below("", "")
	return out.String()
}

func checkAttributes(t *testing.T, s *span, want map[string]any) {
	t.Helper()
	if diff := cmp.Diff(want, s.attributes); diff != "" {
		t.Errorf("attributes of %s (-want +got):\n%s", s, diff)
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		write(t, file, got)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
