package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"sidekong/internal/collector"
)

// interopServer is grpc-go's test server; config nil is plain text.
func interopServer(t *testing.T, config *tls.Config) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var options []grpc.ServerOption
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	server := grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

// http2 makes a test server speak HTTP/2, in plain text or with a certificate.
func http2(certificate *tls.Certificate) func(*httptest.Server) {
	return func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		if certificate == nil {
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			return
		}
		s.Config.Protocols.SetHTTP2(true)
		s.EnableHTTP2, s.TLS = true, &tls.Config{Certificates: []tls.Certificate{*certificate}}
	}
}

// TestGRPCInterop: all cases of grpc-go's interop client that need nobody's credentials pass, and their spans tell of
// them. A case that fails ends the program: that is how the interop package does it.
func TestGRPCInterop(t *testing.T) {
	type clients struct {
		conn          *grpc.ClientConn
		test          testgrpc.TestServiceClient
		unimplemented testgrpc.UnimplementedServiceClient
	}
	// none: the client gives the call up, at once or after a millisecond. Whether it got that far, and whether the server
	// was done before, is a race that any outcome may win.
	const none = -1
	cases := []struct {
		name    string
		do      func(context.Context, clients)
		methods string // one after the other
		status  int
		atFault bool // it is the server's
	}{
		{"empty_unary", func(ctx context.Context, c clients) { interop.DoEmptyUnaryCall(ctx, c.test) }, "EmptyCall", 0, false},
		{"large_unary", func(ctx context.Context, c clients) { interop.DoLargeUnaryCall(ctx, c.test) }, "UnaryCall", 0, false},
		{"client_streaming", func(ctx context.Context, c clients) { interop.DoClientStreaming(ctx, c.test) }, "StreamingInputCall", 0, false},
		{"server_streaming", func(ctx context.Context, c clients) { interop.DoServerStreaming(ctx, c.test) }, "StreamingOutputCall", 0, false},
		{"ping_pong", func(ctx context.Context, c clients) { interop.DoPingPong(ctx, c.test) }, "FullDuplexCall", 0, false},
		{"empty_stream", func(ctx context.Context, c clients) { interop.DoEmptyStream(ctx, c.test) }, "FullDuplexCall", 0, false},
		{"timeout_on_sleeping_server", func(ctx context.Context, c clients) { interop.DoTimeoutOnSleepingServer(ctx, c.test) }, "FullDuplexCall", none, false},
		{"cancel_after_begin", func(ctx context.Context, c clients) { interop.DoCancelAfterBegin(ctx, c.test) }, "StreamingInputCall", none, false},
		{"cancel_after_first_response", func(ctx context.Context, c clients) { interop.DoCancelAfterFirstResponse(ctx, c.test) }, "FullDuplexCall", none, false},
		{"custom_metadata", func(ctx context.Context, c clients) { interop.DoCustomMetadata(ctx, c.test) }, "UnaryCall FullDuplexCall", 0, false},
		{"status_code_and_message", func(ctx context.Context, c clients) { interop.DoStatusCodeAndMessage(ctx, c.test) }, "UnaryCall FullDuplexCall", 2, true},
		{"special_status_message", func(ctx context.Context, c clients) { interop.DoSpecialStatusMessage(ctx, c.test) }, "UnaryCall", 2, true},
		{"unimplemented_method", func(ctx context.Context, c clients) { interop.DoUnimplementedMethod(ctx, c.conn) }, "UnimplementedCall", 12, true},
		{"unimplemented_service", func(ctx context.Context, c clients) { interop.DoUnimplementedService(ctx, c.unimplemented) }, "UnimplementedCall", 12, true},
		{"not_found", func(ctx context.Context, c clients) {
			_, err := c.test.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseStatus: &testgrpc.EchoStatus{Code: int32(codes.NotFound), Message: "none"}})
			if status.Code(err) != codes.NotFound {
				t.Errorf("got %v, want NotFound", err)
			}
		}, "UnaryCall", 5, false},
	}
	ca := newAuthority(t, "test CA", nil)
	pair := ca.issue(false, "gateway.test", "backend.test")
	for _, c := range []struct {
		name                 string
		clientTLS, serverTLS bool
	}{{"grpc to grpc", false, false}, {"grpcs to grpcs", true, true}, {"grpcs to grpc", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			var backend *tls.Config
			scheme := "grpc"
			if c.serverTLS {
				backend, scheme = &tls.Config{Certificates: []tls.Certificate{pair}}, "grpcs"
			}
			config := fmt.Sprintf("services:\n- name: backend\n  url: %s://%s\n  routes:\n  - {name: all, protocols: [grpc, grpcs], paths: [/]}\n%s",
				scheme, interopServer(t, backend), global)
			s := setup{config: config, server: http2(nil)}
			to := insecure.NewCredentials()
			if c.clientTLS {
				s.server = http2(&pair)
				to = credentials.NewTLS(&tls.Config{RootCAs: ca.pool(), ServerName: "gateway.test"})
			}
			e := start(t, s)
			// Each case is a trace of its own.
			parent := ""
			mark := func(ctx context.Context) context.Context {
				return metadata.AppendToOutgoingContext(ctx, "traceparent", parent)
			}
			conn, err := grpc.NewClient("passthrough:///"+e.server.Listener.Addr().String(), grpc.WithTransportCredentials(to),
				grpc.WithUnaryInterceptor(func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
					return invoke(mark(ctx), method, in, out, cc, o...)
				}),
				grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
					return open(mark(ctx), d, cc, method, o...)
				}))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for i, test := range cases {
				parent = fmt.Sprintf("00-%032x-%016x-01", i+1, i+1)
				test.do(ctx, clients{conn, testgrpc.NewTestServiceClient(conn), testgrpc.NewUnimplementedServiceClient(conn)})
				e.idle()
			}
			all := e.spans()
			for i, test := range cases {
				roots, tries := 0, 0
				for _, span := range all {
					if hexID(span.TraceId) != fmt.Sprintf("%032x", i+1) {
						continue
					}
					switch span.Name {
					case "kong":
						roots++
						if failed(span) != test.atFault {
							t.Errorf("%s: root's status %v", test.name, span.Status)
						}
					case "kong.balancer":
						tries++
						if test.status != none && failed(span) != (test.status > 0) {
							t.Errorf("%s: status %v of the try", test.name, span.Status)
						}
						checkCall(t, test.name, span, test.methods, test.status)
					}
				}
				if tries > roots || tries == 0 && test.status != none {
					t.Errorf("%s: %d roots, %d tries", test.name, roots, tries)
				}
			}
		})
	}
}

func checkCall(t *testing.T, name string, span collector.Span, methods string, status int) {
	t.Helper()
	service, _ := span.Attribute("rpc.service").(string)
	code := span.Attribute("rpc.grpc.status_code")
	if status < 0 {
		if code != nil && code != int64(0) && code != int64(1) && code != int64(4) {
			t.Errorf("%s: rpc.grpc.status_code %v of a call that was given up", name, code)
		}
		return
	}
	method, _ := span.Attribute("rpc.method").(string)
	if span.Attribute("rpc.system") != "grpc" || !slices.Contains(strings.Fields(methods), method) ||
		!strings.HasPrefix(service, "grpc.testing.") || code != int64(status) {
		t.Errorf("%s: %v", name, span.Attributes)
	}
}

// TestGRPCRefused: what is no gRPC on a gRPC route is answered as Kong does, and a gRPC client is told in its own way
// when the upstream is away.
func TestGRPCRefused(t *testing.T) {
	address := interopServer(t, nil)
	config := "services:\n- name: backend\n  url: grpc://" + address + "\n  routes:\n  - {name: plain, protocols: [grpc], paths: [/]}\n" +
		"- name: away\n  url: grpc://127.0.0.1:1\n  routes:\n  - {name: away, protocols: [grpc, grpcs], paths: [/grpc.testing.Away]}\n" + global
	e := start(t, setup{config: config, server: http2(nil)})
	if got := e.get("/", "Content-Type: application/grpc"); got.StatusCode != 426 || got.Header.Get("Upgrade") != "HTTP/2" {
		t.Errorf("HTTP/1.1: %d %v %s", got.StatusCode, got.Header, got.body)
	}
	client := &http.Transport{Protocols: new(http.Protocols)}
	client.Protocols.SetUnencryptedHTTP2(true)
	defer client.CloseIdleConnections()
	res, err := client.RoundTrip(e.request("POST", "/x", nil, "Content-Type: application/json"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 415 {
		t.Errorf("not gRPC: %d", res.StatusCode)
	}
	conn, err := grpc.NewClient("passthrough:///"+e.server.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Invoke(t.Context(), "/grpc.testing.Away/Call", &testgrpc.Empty{}, &testgrpc.Empty{})
	if code := status.Code(err); code != codes.Unknown && code != codes.Unavailable {
		t.Errorf("upstream away: %v", err)
	}
}
