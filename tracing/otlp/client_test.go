package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"sidekong/internal/collector"
)

// testSpans are n spans that differ.
func testSpans(n int) []*tracepb.Span {
	var out []*tracepb.Span
	for i := range n {
		out = append(out, &tracepb.Span{
			TraceId:           []byte("0123456789abcdef"),
			SpanId:            fmt.Appendf(nil, "%08d", i),
			Name:              "kong.balancer",
			Kind:              tracepb.Span_SPAN_KIND_CLIENT,
			StartTimeUnixNano: 1_700_000_000_000_000_000,
			EndTimeUnixNano:   1_700_000_000_000_000_001,
			Attributes: []*commonpb.KeyValue{
				{Key: "try_count", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(i)}}},
				{Key: "net.peer.name", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "größe"}}},
			},
			Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "refused"},
			Flags:  0x101,
		})
	}
	return out
}

func frames(t testing.TB, spans []*tracepb.Span) []byte {
	t.Helper()
	var out []byte
	for _, span := range spans {
		data, err := proto.Marshal(span)
		if err != nil {
			t.Fatal(err)
		}
		out = protowire.AppendTag(out, 2, protowire.BytesType)
		out = protowire.AppendBytes(out, data)
	}
	return out
}

func newTestClient(t testing.TB, c Config) *Client {
	t.Helper()
	client, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestSendArrivesExactly(t *testing.T) {
	for _, compression := range []Compression{"", None, Gzip} {
		t.Run("compression "+string(compression), func(t *testing.T) {
			c := collector.Start(t)
			client := newTestClient(t, Config{
				Endpoint: c.URL(), Compression: compression, Resource: Resource{"service.name": "kong-dev", "zone": "ä"},
				Headers: map[string]string{"X-Auth-Token": "secret", "host": "collector.example", "content-type": "text/plain"},
			})
			want := testSpans(100)
			rejected, err := client.Send(t.Context(), frames(t, want), len(want))
			if err != nil || rejected != 0 {
				t.Fatalf("Send: got %d, %v", rejected, err)
			}
			var got []*tracepb.Span
			for _, span := range c.Spans() {
				got = append(got, span.Span)
				if diff := cmp.Diff(map[string]any{"service.name": "kong-dev", "zone": "ä"}, span.Resource); diff != "" {
					t.Fatalf("resource: %s", diff)
				}
				if span.Scope != "kong-internal" {
					t.Fatalf("scope: got %q", span.Scope)
				}
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			r := c.Requests()[0]
			if r.Method != http.MethodPost || r.Host != "collector.example" || r.Err != nil {
				t.Errorf("got %s to host %s, %v", r.Method, r.Host, r.Err)
			}
			if got := r.Header.Get("X-Auth-Token"); got != "secret" {
				t.Errorf("X-Auth-Token: got %q", got)
			}
			if got := r.Header.Values("Content-Type"); !slices.Equal(got, []string{"application/x-protobuf"}) {
				t.Errorf("Content-Type: got %q", got)
			}
			if compression == Gzip && (r.Header.Get("Content-Encoding") != "gzip" || r.Size > 3_000) {
				t.Errorf("not compressed: %d bytes, encoding %q", r.Size, r.Header.Get("Content-Encoding"))
			}
		})
	}
}

func TestEndpointIsUsedAsItStands(t *testing.T) {
	c := collector.Start(t)
	for _, path := range []string{
		"/v1/traces", "/adapt_xxxxx/api/otlp/traces", "/traces/", "//a//b/", "/a%2Fb", "/a/../b", "/?", "/x?key=a%20b&c;d",
	} {
		client := newTestClient(t, Config{Endpoint: "http://" + c.Address() + path})
		if _, err := client.Send(t.Context(), frames(t, testSpans(1)), 1); err != nil {
			t.Fatal(err)
		}
		requests := c.Requests()
		if got := requests[len(requests)-1].URI; got != path {
			t.Errorf("posted to %q, want %q", got, path)
		}
	}
	client := newTestClient(t, Config{Endpoint: "http://user:pass@" + c.Address()})
	if _, err := client.Send(t.Context(), frames(t, testSpans(1)), 1); err != nil {
		t.Fatal(err)
	}
	requests := c.Requests()
	last := requests[len(requests)-1]
	if got, want := last.Header.Get("Authorization"), "Basic dXNlcjpwYXNz"; got != want || last.URI != "/" {
		t.Errorf("got %q to %q, want %q to /", got, last.URI, want)
	}
}

func TestEnvironmentChangesNothing(t *testing.T) {
	authority := collector.NewAuthority(t, "other")
	certPEM, keyPEM := authority.Issue(t, "other")
	caFile, certFile, keyFile := write(t, authority.PEM), write(t, certPEM), write(t, keyPEM)
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"} {
		for name, value := range map[string]string{
			"ENDPOINT": "https://127.0.0.1:1/elsewhere", "HEADERS": "x-from-environment=1,user-agent=other",
			"COMPRESSION": "gzip", "PROTOCOL": "http/json", "TIMEOUT": "1", "INSECURE": "false",
			"CERTIFICATE": caFile, "CLIENT_CERTIFICATE": certFile, "CLIENT_KEY": keyFile,
		} {
			t.Setenv(prefix+name, value)
		}
	}
	proxy := collector.Start(t)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, "http://"+proxy.Address())
	}

	c := collector.Start(t)
	c.Behave(collector.Slow(20 * time.Millisecond)) // longer than the time-out of the environment
	client := newTestClient(t, Config{Endpoint: c.URL()})
	if _, err := client.Send(t.Context(), frames(t, testSpans(3)), 3); err != nil {
		t.Fatal(err)
	}
	if got := len(c.Spans()); got != 3 {
		t.Errorf("got %d spans, want 3", got)
	}
	header := c.Requests()[0].Header
	var names []string
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"Content-Length", "Content-Type", "User-Agent"}, names); diff != "" {
		t.Error(diff)
	}
	if got := header.Get("User-Agent"); !strings.HasPrefix(got, "OTel OTLP Exporter Go/") {
		t.Errorf("User-Agent: got %q", got)
	}

	client = newTestClient(t, Config{Endpoint: "http://does-not-exist.invalid/"}) // loopback is never proxied
	if _, err := client.Send(t.Context(), frames(t, testSpans(1)), 1); err == nil || len(proxy.Requests()) != 0 {
		t.Errorf("a proxy came from the environment: %v, %d requests to it", err, len(proxy.Requests()))
	}

	ours := collector.NewAuthority(t, "ours")
	secure := collector.StartTLS(t, &tls.Config{
		Certificates: []tls.Certificate{ours.Certificate(t, "receiver")}, ClientAuth: tls.RequestClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) > 0 {
				return errors.New("a client certificate came from the environment")
			}
			return nil
		},
	})
	client = newTestClient(t, Config{Endpoint: secure.URL(), CAFile: write(t, ours.PEM)})
	if _, err := client.Send(t.Context(), frames(t, testSpans(1)), 1); err != nil {
		t.Error(err)
	}
}

// closedPort is an address where nothing listens.
func closedPort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestAnswers(t *testing.T) {
	date := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	status := func(message string) string {
		data := protowire.AppendTag(nil, 2, protowire.BytesType)
		return string(protowire.AppendString(data, message))
	}
	const protobuf = "application/x-protobuf"
	tests := []struct {
		name       string
		behave     collector.Behaviour
		rejected   int64
		err        string // "": none; otherwise a part of it
		retryable  bool
		retryAfter time.Duration
		accepted   int // spans that the collector keeps
	}{
		{name: "200", accepted: 5},
		{name: "202 empty", behave: collector.Status(202), accepted: 5},
		{name: "204", behave: collector.Status(204), accepted: 5},
		{name: "299", behave: collector.Status(299), accepted: 5},
		{name: "200 garbage", behave: collector.Garbage(), accepted: 5},
		{name: "200 HTML", behave: collector.Body(200, "text/html", "<html>"), accepted: 5},
		{name: "200 JSON garbage", behave: collector.Body(200, "application/json", "{"), accepted: 5},
		{name: "200 huge", behave: collector.Huge(256 << 20), accepted: 5},
		{name: "200 and no body", behave: collector.HangInBody(), accepted: 5},
		{name: "slow", behave: collector.Slow(100 * time.Millisecond), accepted: 5},
		{name: "partial success", behave: collector.PartialSuccess(3, ""), rejected: 3, accepted: 2},
		{name: "partial success, more than sent", behave: collector.PartialSuccess(9, ""), rejected: 5},
		{
			name: "partial success with a message", behave: collector.PartialSuccess(3, "too old: secret"), rejected: 3, accepted: 2,
			err: "3 of 5 rejected: too old: REDACTED",
		},
		{
			name: "partial success in JSON", rejected: 2, accepted: 5, err: "2 of 5 rejected: no",
			behave: collector.Body(200, "application/json; charset=utf-8",
				`{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no"},"more":1}`),
		},
		{name: "400", behave: collector.Status(400), err: "400 Bad Request"},
		{
			name: "400 with a message", behave: collector.Body(400, protobuf, status("cannot read\x1b[1m, Bearer secret")),
			err: "400 Bad Request: cannot read [1m, REDACTED",
		},
		{name: "401", behave: collector.Body(401, "text/plain", "secret"), err: "401 Unauthorized"},
		{name: "413", behave: collector.Status(413), err: "413 "},
		{name: "429", behave: collector.RetryAfter(429, "7"), err: "429 ", retryable: true, retryAfter: 7 * time.Second},
		{name: "500", behave: collector.RetryAfter(500, "7"), err: "500 "},
		{name: "501", behave: collector.Status(501), err: "501 "},
		{name: "502", behave: collector.Status(502), err: "502 ", retryable: true},
		{name: "503 with a date", behave: collector.RetryAfter(503, date), err: "503 ", retryable: true, retryAfter: 90 * time.Second},
		{name: "503 with nonsense", behave: collector.RetryAfter(503, "soon"), err: "503 ", retryable: true},
		{name: "503 with a past date", behave: collector.RetryAfter(503, "Mon, 02 Jan 2006 15:04:05 GMT"), err: "503 ", retryable: true},
		{name: "503 with a negative time", behave: collector.RetryAfter(503, "-5"), err: "503 ", retryable: true},
		{name: "504", behave: collector.Status(504), err: "504 ", retryable: true},
		{name: "redirect", behave: collector.Redirect("http://" + closedPort(t) + "/"), err: "307 "},
		{name: "redirect to nonsense", behave: collector.Redirect("http://%zz"), err: "307 "},
		{name: "redirect without a location", behave: collector.Status(302), err: "302 "},
		{name: "hang", behave: collector.Hang(), err: "timeout", retryable: true},
		{name: "reset", behave: collector.Reset(), err: "reset by peer", retryable: true},
		{name: "closed", behave: collector.Raw(""), err: "EOF", retryable: true},
		{name: "truncated header", behave: collector.Truncated(), err: "EOF", retryable: true},
		{name: "not HTTP", behave: collector.Raw("SSH-2.0 secret\r\n\r\n"), err: "malformed HTTP", retryable: true},
		{name: "truncated body", behave: collector.Raw("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc")},
		{name: "huge header", behave: collector.Raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), err: "exceeded", retryable: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := collector.Start(t)
			c.Behave(test.behave)
			client := newTestClient(t, Config{
				Endpoint: c.URL() + "?key=secret", ReadTimeout: 500 * time.Millisecond,
				Headers: map[string]string{"Authorization": "Bearer secret"},
			})
			rejected, err := client.Send(t.Context(), frames(t, testSpans(5)), 5)
			if rejected != test.rejected {
				t.Errorf("rejected: got %d, want %d", rejected, test.rejected)
			}
			var e *Error
			switch {
			case test.err == "" && err != nil:
				t.Errorf("got error %v, want none", err)
			case test.err != "" && (!errors.As(err, &e) || !strings.Contains(err.Error(), test.err)):
				t.Errorf("got error %v, want one with %q", err, test.err)
			case e != nil:
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error tells a secret: %v", err)
				}
				if e.Retryable() != test.retryable {
					t.Errorf("retryable: got %v, want %v (%v)", e.Retryable(), test.retryable, err)
				}
				wait, _ := e.RetryAfter()
				if wait.Round(5*time.Second) != test.retryAfter.Round(5*time.Second) {
					t.Errorf("retry after: got %v, want %v", wait, test.retryAfter)
				}
			}
			if spans, err := c.Wait(test.accepted, 5*time.Second); err != nil || len(spans) != test.accepted {
				t.Errorf("the collector accepted %d spans, want %d (%v)", len(spans), test.accepted, err)
			}
			if got := len(c.Requests()); got != 1 {
				t.Errorf("%d requests, want 1: retry is the queue's", got)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	backlog, err := net.Listen("tcp", "127.0.0.1:0") // accepts by the kernel, never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer backlog.Close()
	secure := collector.StartTLS(t, &tls.Config{
		Certificates: []tls.Certificate{collector.NewAuthority(t, "unknown").Certificate(t, "receiver")},
	})
	for name, endpoint := range map[string]string{
		"refused":         "http://user:secret@" + closedPort(t) + "/?key=secret",
		"unknown name":    "http://user:secret@does-not-exist.invalid/?key=secret",
		"silent TLS":      "https://user:secret@" + backlog.Addr().String() + "/?key=secret",
		"TLS to plain":    "https://user:secret@" + collector.Start(t).Address() + "/?key=secret",
		"wrong authority": "https://user:secret@" + secure.Address() + "/?key=secret",
	} {
		t.Run(name, func(t *testing.T) {
			client := newTestClient(t, Config{Endpoint: endpoint, ConnectTimeout: 300 * time.Millisecond})
			_, err := client.Send(t.Context(), frames(t, testSpans(1)), 1)
			var e *Error
			if !errors.As(err, &e) || !e.Retryable() || e.Status != 0 {
				t.Fatalf("got %v, want a retryable error", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

// A receiver that reads nothing: the time-out is for the lack of progress.
func TestSendTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := newTestClient(t, Config{Endpoint: "http://" + listener.Addr().String(), SendTimeout: 200 * time.Millisecond})
	large := frames(t, []*tracepb.Span{{Name: strings.Repeat("x", 32<<20)}})
	start := time.Now()
	_, err = client.Send(t.Context(), large, 1)
	var e *Error
	if !errors.As(err, &e) || !e.Retryable() {
		t.Errorf("got %v, want a retryable error", err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	c := collector.Start(t)
	c.Behave(collector.Hang())
	client := newTestClient(t, Config{Endpoint: c.URL()})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Send(ctx, frames(t, testSpans(1)), 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestConnectionsAreKeptAlive(t *testing.T) {
	c := collector.Start(t)
	ports := map[string]bool{}
	c.Behave(func(_ http.ResponseWriter, r *http.Request) bool { ports[r.RemoteAddr] = true; return false })
	client := newTestClient(t, Config{Endpoint: c.URL()})
	before := runtime.NumGoroutine()
	for range 50 {
		if _, err := client.Send(t.Context(), frames(t, testSpans(10)), 10); err != nil {
			t.Fatal(err)
		}
	}
	c.Stop() // waits for the handlers, so that ports may be read
	if len(ports) != 1 {
		t.Errorf("%d connections for 50 posts, want 1", len(ports))
	}
	client.Close()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestReceiverComesBack(t *testing.T) {
	c := collector.Start(t)
	client := newTestClient(t, Config{Endpoint: c.URL()})
	for round := range 3 {
		if _, err := client.Send(t.Context(), frames(t, testSpans(1)), 1); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		c.Stop()
		var e *Error
		if _, err := client.Send(t.Context(), frames(t, testSpans(1)), 1); !errors.As(err, &e) || !e.Retryable() {
			t.Fatalf("round %d: got %v from a stopped receiver, want a retryable error", round, err)
		}
		if err := c.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(c.Spans()); got != 3 {
		t.Errorf("got %d spans, want 3", got)
	}
}

func write(t testing.TB, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A receiver that asks for a client certificate, and changes both its authority and the one it trusts.
func TestTLSFilesArePickedUp(t *testing.T) {
	first, second := collector.NewAuthority(t, "first"), collector.NewAuthority(t, "second")
	current := first
	c := collector.StartTLS(t, &tls.Config{
		Certificates: []tls.Certificate{first.Certificate(t, "receiver")},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{
				Certificates: []tls.Certificate{current.Certificate(t, "receiver")},
				ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: current.Pool(),
			}, nil
		},
	})
	certPEM, keyPEM := first.Issue(t, "client")
	config := Config{
		Endpoint: c.URL(), CAFile: write(t, first.PEM), ClientCertFile: write(t, certPEM), ClientKeyFile: write(t, keyPEM),
	}
	client := newTestClient(t, config)
	send := func() error {
		_, err := client.Send(t.Context(), frames(t, testSpans(1)), 1)
		return err
	}
	restart := func() {
		t.Helper()
		c.Stop()
		current = second
		if err := c.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	restart()
	send() // may find the cut connection
	var e *Error
	if err := send(); !errors.As(err, &e) || !e.Retryable() || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("got %v, want a retryable error about the certificate", err)
	}
	certPEM, keyPEM = second.Issue(t, "client")
	for name, content := range map[string][]byte{
		config.CAFile: second.PEM, config.ClientCertFile: certPEM, config.ClientKeyFile: keyPEM,
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(); err != nil {
		t.Errorf("with the new files: %v", err)
	}
}

func TestNewClientRefuses(t *testing.T) {
	empty := write(t, nil)
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"no endpoint", Config{}, "scheme"},
		{"scheme", Config{Endpoint: "ftp://secret@host"}, "scheme"},
		{"no host", Config{Endpoint: "http:///v1/traces"}, "no host"},
		{"not a URL", Config{Endpoint: "http://user:secret#x@host"}, "not a URL"},
		{"header name", Config{Endpoint: "http://host", Headers: map[string]string{"a b": "secret"}}, `header "a b"`},
		{"header value", Config{Endpoint: "http://host", Headers: map[string]string{"A": "secret\n"}}, `header "A"`},
		{"compression", Config{Endpoint: "http://host", Compression: "zstd"}, "none and gzip"},
		{"CA file missing", Config{Endpoint: "https://host", CAFile: empty + "x"}, "no such file"},
		{"CA file empty", Config{Endpoint: "https://host", CAFile: empty}, "no certificate"},
		{"key missing", Config{Endpoint: "https://host", ClientCertFile: empty}, "client certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewClient(test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want an error with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

func BenchmarkSend(b *testing.B) {
	c := collector.Start(b)
	c.Behave(collector.Status(202))
	data := frames(b, testSpans(1400))
	for _, compression := range []Compression{None, Gzip} {
		b.Run(string(compression), func(b *testing.B) {
			client := newTestClient(b, Config{Endpoint: c.URL(), Compression: compression})
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Send(b.Context(), data, 1400); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
