package proxy_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sidekong/internal/upstream"
)

// TestGRPC: frames and trailers pass both ways between HTTP/2 connections, and an error without a body keeps its
// status in the trailer.
func TestGRPC(t *testing.T) {
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		if r.URL.Path == "/pkg.Service/Echo" {
			_, _ = io.Copy(w, r.Body)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
		if r.Header.Get("Te") != "trailers" || r.ProtoMajor != 2 {
			w.Header().Set("Grpc-Status", "13")
		}
	}))
	backend.Config.Protocols = new(http.Protocols)
	backend.Config.Protocols.SetUnencryptedHTTP2(true)
	backend.Start()
	defer backend.Close()
	config := "services:\n- name: backend\n  url: " + strings.Replace(backend.URL, "http:", "grpc:", 1) +
		"\n  routes:\n  - {name: all, protocols: [grpc, grpcs], paths: [/]}\n" + global
	e := start(t, setup{config: config, server: func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	}})
	client := &http.Transport{Protocols: e.server.Config.Protocols}
	defer client.CloseIdleConnections()
	for _, c := range []struct{ path, body string }{{"/pkg.Service/Echo", "\x00\x00\x00\x00\x02hi"}, {"/pkg.Service/None", ""}} {
		r := e.request("POST", c.path, strings.NewReader(c.body), "Content-Type: application/grpc", "Te: trailers")
		res, err := client.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(body) != c.body || res.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("%s: %q, %v, trailer %v, header %v", c.path, body, err, res.Trailer, res.Header)
		}
	}
	if n := len(e.spans().all("kong.read_body_from_upstream")); n != 2 {
		t.Errorf("%d bodies read", n)
	}
}

// TestEncryptedUpstream: an https service is shown the service's name, and its body has to come within read_timeout.
func TestEncryptedUpstream(t *testing.T) {
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	defer secure.Close()
	up := upstream.Start(t, upstream.Sequence(
		upstream.Answer("ok"), upstream.Hang("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), upstream.Hang("")),
		upstream.TLS(&tls.Config{Certificates: secure.TLS.Certificates}))
	config := service(strings.Replace(up.URL(), "http:", "https:", 1), "  read_timeout: 300\n  retries: 0\n")
	e := start(t, setup{config: config})
	if got := e.get("//double?x=1;y=%zz"); got.StatusCode != 200 || got.body != "ok" {
		t.Errorf("status %d, %q", got.StatusCode, got.body)
	}
	if got := received(t, up).Target; got != "/double?x=1;y=%zz" {
		t.Errorf("upstream got %q", got)
	}
	begun := time.Now()
	if got := e.get("/"); got.err == nil || got.body != "half" {
		t.Errorf("%q, %v, want a body that breaks off", got.body, got.err)
	}
	if took := time.Since(begun); took < 300*time.Millisecond || took > 400*time.Millisecond {
		t.Errorf("a stalled body took %v", took)
	}
	if got := e.get("/"); got.StatusCode != 504 {
		t.Errorf("status %d", got.StatusCode)
	}
	tries := e.spans().all("kong.balancer")
	if len(tries) != 3 || failed(tries[0]) || !failed(tries[1]) || !failed(tries[2]) {
		t.Errorf("tries %v", tries)
	}
}

// TestEncryptedUpstreamThatDoesNotRead: a body that the upstream does not take for write_timeout is given up, without a
// second try: it had begun to leave.
func TestEncryptedUpstreamThatDoesNotRead(t *testing.T) {
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	defer secure.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: secure.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		close(done)
		_ = listener.Close()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = conn.(*tls.Conn).Handshake()
				<-done
				_ = conn.Close()
			}()
		}
	}()
	e := start(t, setup{config: service("https://"+listener.Addr().String(), "  write_timeout: 300\n")})
	begun := time.Now()
	client := &http.Transport{}
	defer client.CloseIdleConnections()
	res, err := client.RoundTrip(e.request("PUT", "/", endless(64<<20)))
	if err == nil { // else the connection ended while the client was still sending
		defer res.Body.Close()
		if res.StatusCode != 504 {
			t.Errorf("status %d, want 504", res.StatusCode)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	tries := e.spans().all("kong.balancer")
	if len(tries) != 1 || !failed(tries[0]) || tries[0].Attribute("http.status_code") != int64(504) {
		t.Errorf("tries %v", tries)
	}
}
