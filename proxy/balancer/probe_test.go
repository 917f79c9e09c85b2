package balancer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
)

// withActive has active checks of the given type every 20 ms; one result decides.
func withActive(kind string) *entity.Upstream {
	up := upstream("round-robin")
	up.HealthChecks.Active = entity.ActiveCheck{
		Type: kind, Timeout: 5, Concurrency: 10, HTTPPath: "/status?deep=1", HTTPSVerifyCertificate: true,
		Healthy:   entity.HealthyRule{Interval: 0.02, HTTPStatuses: []int{200, 302}, Successes: 1},
		Unhealthy: entity.UnhealthyRule{Interval: 0.02, HTTPStatuses: []int{404, 500, 503}, HTTPFailures: 1, TCPFailures: 1, Timeouts: 1},
	}
	return up
}

func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return ln.Addr().String()
}

// say answers any request with text as it stands, in a few pieces.
func say(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		for part := range strings.SplitAfterSeq(text, "|") {
			io.WriteString(c, strings.TrimSuffix(part, "|"))
			time.Sleep(time.Millisecond)
		}
	}
}

func TestProbeHTTP(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	tests := []struct {
		name string
		addr string
		want counter
	}{
		{"healthy status", listen(t, say("HTTP/1.1 200 OK\r\n\r\n")), success},
		{"redirect is not followed", listen(t, say("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")), success},
		{"unhealthy status", listen(t, say("HTTP/1.1 503 Busy\r\n\r\n")), httpFailure},
		{"status in neither list", listen(t, say("HTTP/1.1 401 No\r\n\r\n")), ignored},
		{"status beyond all lists", listen(t, say("HTTP/1.1 999 What\r\n\r\n")), ignored},
		{"HTTP/1.0 without a reason", listen(t, say("HTTP/1.0 200\r\n\r\n")), success},
		{"in pieces", listen(t, say("HTT|P/1.1 |200 O|K\r\n|\r\n")), success},
		{"interim answers", listen(t, say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")), success},
		{"interim answers without end", listen(t, say(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 50))), httpFailure},
		{"no HTTP", listen(t, say("SSH-2.0-OpenSSH\r\n")), httpFailure},
		{"no line", listen(t, say(strings.Repeat("x", 1<<20))), httpFailure},
		{"bad status", listen(t, say("HTTP/1.1 abc\r\n")), httpFailure},
		{"closes at once", listen(t, func(net.Conn) {}), tcpFailure},
		{"nobody there", closed.Addr().String(), tcpFailure},
		{"says nothing", listen(t, func(c net.Conn) { io.Copy(io.Discard, c) }), timeout},
		{"dribbles", listen(t, func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "H"); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}), timeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := withActive("http")
			if tt.want == timeout {
				up.HealthChecks.Active.Timeout = 0.2
			}
			b := newBalancer(t, up, &names{}, tt.addr)
			if got := b.probe(t.Context(), b.view.Load().addresses[0]); got != tt.want {
				t.Errorf("got %q, want %q", counterNames[got], counterNames[tt.want])
			}
		})
	}
}

func TestProbeRequest(t *testing.T) {
	var mu sync.Mutex
	var got string
	addr := listen(t, func(c net.Conn) {
		buf := make([]byte, 4096)
		n, _ := c.Read(buf)
		mu.Lock()
		got = string(buf[:n])
		mu.Unlock()
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	})
	_, port, _ := net.SplitHostPort(addr)
	tests := []struct {
		name, target string
		change       func(*entity.Upstream)
		want         string
	}{
		{"address", addr, func(*entity.Upstream) {}, "GET /status?deep=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"},
		{"name", "a.test:" + port, func(*entity.Upstream) {}, "GET /status?deep=1 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"},
		{"host_header", addr, func(up *entity.Upstream) { up.HostHeader = "given.test" }, "GET /status?deep=1 HTTP/1.1\r\nHost: given.test\r\nConnection: close\r\n\r\n"},
		{"headers", addr, func(up *entity.Upstream) {
			up.HealthChecks.Active.Headers = map[string][]string{"x-probe": {"1", "2"}, "host": {"h.test"}, "User-Agent": {"probe"}}
		}, "GET /status?deep=1 HTTP/1.1\r\nHost: h.test\r\nUser-Agent: probe\r\nConnection: close\r\nX-Probe: 1\r\nX-Probe: 2\r\n\r\n"},
		{"path that no URL could hold", addr, func(up *entity.Upstream) { up.HealthChecks.Active.HTTPPath = "/%zz" }, "GET /%zz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &names{}
			r.set("a.test", time.Minute, a("127.0.0.1"))
			up := withActive("http")
			tt.change(up)
			b := newBalancer(t, up, r, tt.target)
			if err := b.refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c := b.probe(t.Context(), b.view.Load().addresses[0]); c != success {
				t.Fatalf("got %q, want success", counterNames[c])
			}
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProbeTCP(t *testing.T) {
	open := listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for addr, want := range map[string]counter{open: success, closed.Addr().String(): tcpFailure} {
		b := newBalancer(t, withActive("tcp"), &names{}, addr)
		if got := b.probe(t.Context(), b.view.Load().addresses[0]); got != want {
			t.Errorf("%s: got %q, want %q", addr, counterNames[got], counterNames[want])
		}
	}
}

func TestProbeHTTPS(t *testing.T) {
	var sni, client atomic.Value
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client.Store(len(r.TLS.PeerCertificates))
	}))
	s.TLS = &tls.Config{
		ClientAuth:         tls.RequestClientCert,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { sni.Store(h.ServerName); return nil, nil },
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	addr := s.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	keyPair := s.TLS.Certificates[0]

	tests := []struct {
		name, target string
		change       func(*entity.Upstream, *Options)
		want         counter
		sni          string
	}{
		{"trusted, by name", "example.com:" + port, func(_ *entity.Upstream, o *Options) { o.RootCAs = roots }, success, "example.com"},
		{"trusted, by https_sni", addr, func(up *entity.Upstream, o *Options) {
			o.RootCAs = roots
			up.HealthChecks.Active.HTTPSSNI = "www.example.com"
		}, success, "www.example.com"},
		{"another's name", "other.test:" + port, func(_ *entity.Upstream, o *Options) { o.RootCAs = roots }, tcpFailure, "other.test"},
		{"not trusted", "example.com:" + port, func(*entity.Upstream, *Options) {}, tcpFailure, "example.com"},
		{"not verified", "other.test:" + port, func(up *entity.Upstream, _ *Options) { up.HealthChecks.Active.HTTPSVerifyCertificate = false }, success, "other.test"},
		{"host_header is the name", "other.test:" + port, func(up *entity.Upstream, o *Options) {
			o.RootCAs = roots
			up.HostHeader = "example.com:8443"
		}, success, "example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &names{}
			host, _, _ := net.SplitHostPort(tt.target)
			r.set(host, time.Minute, a("127.0.0.1"))
			up, o := withActive("https"), Options{ClientCertificate: &keyPair}
			tt.change(up, &o)
			b, err := New(up, targets(tt.target), r, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := b.probe(t.Context(), b.view.Load().addresses[0]); got != tt.want {
				t.Errorf("got %q, want %q", counterNames[got], counterNames[tt.want])
			}
			if got := sni.Load(); got != tt.sni {
				t.Errorf("got server name %q, want %q", got, tt.sni)
			}
			if tt.want == success && client.Load() != 1 {
				t.Errorf("got %v client certificates, want 1", client.Load())
			}
		})
	}
}

func TestProbeGRPC(t *testing.T) {
	answer := func(status string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			in, _ := io.ReadAll(r.Body)
			if r.URL.Path != "/grpc.health.v1.Health/Check" || r.Method != http.MethodPost || !bytes.Equal(in, make([]byte, 5)) ||
				r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" || r.ProtoMajor != 2 {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.Header().Set("Content-Type", "application/grpc")
			if body == nil {
				w.Header().Set("Grpc-Status", status)
				return
			}
			w.Header().Set("Trailer", "Grpc-Status")
			w.Write(body)
			w.Header().Set("Grpc-Status", status)
		}
	}
	message := func(b ...byte) []byte { return append([]byte{0, 0, 0, 0, byte(len(b))}, b...) }
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    counter
	}{
		{"serving", answer("0", message(0x08, 1)), success},
		{"serving, with fields of the future", answer("0", message(0x12, 1, 'x', 0x08, 1)), success},
		{"not serving", answer("0", message(0x08, 2)), httpFailure},
		{"unknown", answer("0", message()), httpFailure},
		{"not implemented", answer("12", nil), httpFailure},
		{"failed after the message", answer("13", message(0x08, 1)), httpFailure},
		{"compressed", answer("0", append([]byte{1}, message(0x08, 1)[1:]...)), httpFailure},
		{"cut off", answer("0", []byte{0, 0, 0, 0, 9, 0x08, 1}), httpFailure},
		{"no protobuf", answer("0", message(0xff, 0xff)), httpFailure},
		{"no gRPC", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, httpFailure},
		{"too slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, timeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, kind := range []string{"grpc", "grpcs"} {
				s := httptest.NewUnstartedServer(tt.handler)
				s.Config.Protocols = new(http.Protocols)
				s.Config.Protocols.SetHTTP1(true)
				s.Config.Protocols.SetUnencryptedHTTP2(true)
				s.EnableHTTP2 = true
				if kind == "grpcs" {
					s.StartTLS()
				} else {
					s.Start()
				}
				up := withActive(kind)
				up.HealthChecks.Active.HTTPSVerifyCertificate = false
				if tt.want == timeout {
					up.HealthChecks.Active.Timeout = 0.2
				}
				b := newBalancer(t, up, &names{}, s.Listener.Addr().String())
				if got := b.probe(t.Context(), b.view.Load().addresses[0]); got != tt.want {
					t.Errorf("%s: got %q, want %q", kind, counterNames[got], counterNames[tt.want])
				}
				s.CloseClientConnections()
				s.Close()
			}
		})
	}
	b := newBalancer(t, withActive("grpc"), &names{}, "127.0.0.1:1")
	if got := b.probe(t.Context(), b.view.Load().addresses[0]); got != tcpFailure {
		t.Errorf("nobody there: got %q, want %q", counterNames[got], counterNames[tcpFailure])
	}
}

func TestActiveChecksFollowTheTarget(t *testing.T) {
	var status atomic.Int32
	status.Store(200)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer s.Close()
	b := newBalancer(t, withActive("http"), &names{}, s.Listener.Addr().String())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	for _, step := range []struct {
		status int32
		want   bool
	}{{500, false}, {200, true}, {404, false}, {302, true}} {
		status.Store(step.status)
		end := time.Now().Add(5 * time.Second)
		for b.Healthy() != step.want {
			if time.Now().After(end) {
				t.Fatalf("status %d: healthy %v, want %v", step.status, b.Healthy(), step.want)
			}
			time.Sleep(5 * time.Millisecond)
		}
		_, err := b.Pick(t.Context(), nil, new(Tries))
		if got := !errors.Is(err, ErrNoHealthyTarget); got != step.want {
			t.Errorf("status %d: picks %v, want %v", step.status, got, step.want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Only one kind of interval: healthy targets are probed until they fall, and never again.
func TestIntervalsAreApart(t *testing.T) {
	var probes atomic.Int32
	addr := listen(t, func(c net.Conn) {
		probes.Add(1)
		say("HTTP/1.1 500 No\r\n\r\n")(c)
	})
	up := withActive("http")
	up.HealthChecks.Active.Unhealthy.Interval = 0
	b := newBalancer(t, up, &names{}, addr, "127.0.0.1:1 0")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	b.Run(ctx)
	if b.Healthy() || probes.Load() != 1 {
		t.Errorf("healthy %v after %d probes, want false after 1", b.Healthy(), probes.Load())
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	var now, most atomic.Int32
	addr := listen(t, func(c net.Conn) {
		n := now.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(20 * time.Millisecond)
		now.Add(-1)
		say("HTTP/1.1 200 OK\r\n\r\n")(c)
	})
	r := &names{}
	var specs []string
	for i := range 12 {
		host := fmt.Sprintf("n%d.test", i)
		r.set(host, time.Minute, a("127.0.0.1"))
		specs = append(specs, host+":"+strings.Split(addr, ":")[1])
	}
	up := withActive("http")
	up.HealthChecks.Active.Concurrency = 3
	b := newBalancer(t, up, r, specs...)
	if err := b.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.probeRound(t.Context(), false)
	if got := most.Load(); got != 3 {
		t.Errorf("got %d probes at once, want 3", got)
	}
}

// Run ends at once with its context, whatever a target is doing.
func TestRunStops(t *testing.T) {
	begun := make(chan struct{})
	var once sync.Once
	addr := listen(t, func(c net.Conn) {
		once.Do(func() { close(begun) })
		io.Copy(io.Discard, c)
	})
	up := withActive("http")
	up.HealthChecks.Active.Timeout = 60
	b := newBalancer(t, up, &names{}, addr)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	<-begun
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("got error %v, want none", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("still running")
	}
	if !b.Healthy() {
		t.Error("a probe that our own end cut short was held against the target")
	}
}

func FuzzProbeAnswer(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 503", "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 204\r\n\r\n", "\x00", "HTTP/1.1 999999 x\r\n"} {
		f.Add([]byte(s))
	}
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if status, err := readStatus(bufio.NewReader(bytes.NewReader(b))); err == nil && (status < 0 || status > 999) {
			t.Errorf("got status %d", status)
		}
		if serving(b) && len(b) < 7 {
			t.Errorf("%x is taken for SERVING", b)
		}
	})
}
