package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"sidekong/internal/upstream"
	"sidekong/proxy"
)

const (
	rootID   = "0b0c4f5a-8a3e-4c12-9f6e-000000000001"
	otherID  = "0b0c4f5a-8a3e-4c12-9f6e-000000000002"
	clientID = "0b0c4f5a-8a3e-4c12-9f6e-000000000003"
	secondID = "0b0c4f5a-8a3e-4c12-9f6e-000000000004"
)

// TestUpstreamTLS: what a service says of its upstream's certificate and of its own is what happens.
func TestUpstreamTLS(t *testing.T) {
	root, other := newAuthority(t, "root", nil), newAuthority(t, "other", nil)
	between := newAuthority(t, "between", root)
	direct, deep := root.issue(false, "backend.test"), between.issue(true, "backend.test")
	config := func(service, upstream, port string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "ca_certificates:\n- {id: %s, cert: %q}\n- {id: %s, cert: %q}\ncertificates:\n", rootID, root.pem, otherID, other.pem)
		for id, name := range map[string]string{clientID: "service.client", secondID: "upstream.client"} {
			cert, key := pemPair(t, root.issue(false, name), "    ")
			fmt.Fprintf(&b, "- id: %s\n  cert: %s  key: %s", id, cert, key)
		}
		fmt.Fprintf(&b, "upstreams:\n- {name: pool, %s targets: [{target: 'backend.test:%s'}]}\n", upstream, port)
		fmt.Fprintf(&b, "services:\n- {name: backend, protocol: https, host: pool, port: 443, retries: 0, %s routes: [{name: all, paths: [/]}]}\n", service)
		return b.String() + global
	}
	for _, c := range []struct {
		name, service, upstream string
		server                  *tls.Config
		status                  int
		client                  string // who the upstream saw
	}{
		{name: "not verified", server: &tls.Config{Certificates: []tls.Certificate{direct}}, status: 200},
		{name: "not verified by false", service: "tls_verify: false,", server: &tls.Config{Certificates: []tls.Certificate{direct}}, status: 200},
		{name: "of a CA that is not trusted", service: "tls_verify: true,", server: &tls.Config{Certificates: []tls.Certificate{direct}}, status: 502},
		{name: "of ca_certificates", service: "tls_verify: true, ca_certificates: [" + rootID + "],", server: &tls.Config{Certificates: []tls.Certificate{direct}}, status: 200},
		{name: "of one of ca_certificates", service: "tls_verify: true, ca_certificates: [" + otherID + ", " + rootID + "],", server: &tls.Config{Certificates: []tls.Certificate{direct}}, status: 200},
		{name: "not of ca_certificates", service: "tls_verify: true, ca_certificates: [" + otherID + "],", server: &tls.Config{Certificates: []tls.Certificate{direct}}, status: 502},
		{name: "for another name", service: "tls_verify: true, ca_certificates: [" + rootID + "],", upstream: "host_header: elsewhere.test,", server: &tls.Config{Certificates: []tls.Certificate{direct}}, status: 502},
		{name: "deep enough", service: "tls_verify: true, tls_verify_depth: 1, ca_certificates: [" + rootID + "],", server: &tls.Config{Certificates: []tls.Certificate{deep}}, status: 200},
		{name: "too deep", service: "tls_verify: true, tls_verify_depth: 0, ca_certificates: [" + rootID + "],", server: &tls.Config{Certificates: []tls.Certificate{deep}}, status: 502},
		{name: "flat", service: "tls_verify: true, tls_verify_depth: 0, ca_certificates: [" + rootID + "],", server: &tls.Config{Certificates: []tls.Certificate{direct}}, status: 200},
		{name: "no client certificate", server: &tls.Config{Certificates: []tls.Certificate{direct}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: root.pool()}, status: 502},
		{name: "the service's", service: "client_certificate: {id: " + clientID + "},", upstream: "client_certificate: {id: " + secondID + "},", server: &tls.Config{Certificates: []tls.Certificate{direct}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: root.pool()}, status: 200, client: "service.client"},
		{name: "the upstream's", upstream: "client_certificate: {id: " + secondID + "},", server: &tls.Config{Certificates: []tls.Certificate{direct}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: root.pool()}, status: 200, client: "upstream.client"},
		{name: "TLS 1.1", server: &tls.Config{Certificates: []tls.Certificate{direct}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, status: 502},
		{name: "TLS 1.2", server: &tls.Config{Certificates: []tls.Certificate{direct}, MaxVersion: tls.VersionTLS12}, status: 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			sni, client := make(chan string, 1), make(chan string, 1)
			server := c.server.Clone()
			server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				sni <- hello.ServerName
				return nil, nil
			}
			server.VerifyConnection = func(state tls.ConnectionState) error {
				name := ""
				if len(state.PeerCertificates) > 0 {
					name = state.PeerCertificates[0].Subject.CommonName
				}
				client <- name
				return nil
			}
			up := upstream.Start(t, upstream.Answer("ok"), upstream.TLS(server))
			_, port, _ := net.SplitHostPort(up.Address())
			e := start(t, setup{config: config(c.service, c.upstream, port), options: named(t, "backend.test")})
			if got := e.get("/"); got.StatusCode != c.status {
				t.Errorf("status %d %s, want %d", got.StatusCode, got.body, c.status)
			}
			wantSNI := "backend.test"
			if strings.Contains(c.upstream, "elsewhere") {
				wantSNI = "elsewhere.test"
			}
			if got := <-sni; got != wantSNI {
				t.Errorf("asked for %q, want %q", got, wantSNI)
			}
			if c.status == 200 {
				if got := <-client; got != c.client {
					t.Errorf("showed %q, want %q", got, c.client)
				}
			}
			all := e.spans()
			if try := all.named(t, "kong.balancer"); failed(try) != (c.status != 200) {
				t.Errorf("kong.balancer %v", try)
			}
		})
	}
}

// TestGatewaysOwnTLS: where a service says nothing of them, the gateway's authorities and certificate count.
func TestGatewaysOwnTLS(t *testing.T) {
	root := newAuthority(t, "root", nil)
	shown := root.issue(false, "gateway.client")
	server := &tls.Config{Certificates: []tls.Certificate{root.issue(false, "backend.test")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: root.pool()}
	up := upstream.Start(t, upstream.Answer("ok"), upstream.TLS(server))
	e := start(t, setup{
		config:  service(strings.Replace(up.URL(), "http:", "https:", 1), "  tls_verify: true\n"),
		options: func(o *proxy.Options) { o.RootCAs, o.ClientCert = root.pool(), &shown },
	})
	if got := e.get("/"); got.StatusCode != 200 {
		t.Errorf("status %d %s", got.StatusCode, got.body)
	}
}

// TestCertificates: a TLS listener shows what the configuration has for the name that the client asks for.
func TestCertificates(t *testing.T) {
	root := newAuthority(t, "root", nil)
	snis := map[string][]string{"exact": {"www.example.com", "Upper.Example.com"}, "prefix": {"*.example.com"}, "suffix": {"shop.*"}, "default": {"*"}}
	config := func(without string) string {
		var b strings.Builder
		b.WriteString("certificates:\n")
		for name, list := range snis {
			if name == without {
				continue
			}
			cert, key := pemPair(t, root.issue(false, name), "    ")
			fmt.Fprintf(&b, "- cert: %s  key: %s  snis:\n", cert, key)
			for _, sni := range list {
				fmt.Fprintf(&b, "  - name: %q\n", sni)
			}
		}
		cert, key := pemPair(t, root.issue(true, "both rsa"), "    ")
		alt, altKey := pemPair(t, root.issue(false, "both ecdsa"), "    ")
		fmt.Fprintf(&b, "- cert: %s  key: %s  cert_alt: %s  key_alt: %s  snis:\n  - name: both.test\n", cert, key, alt, altKey)
		return b.String() + global
	}
	own := root.issue(false, "listener")
	e := start(t, setup{config: config(""), server: func(s *httptest.Server) {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{own}, GetCertificate: s.Config.Handler.(*proxy.Gateway).Certificate}
	}})
	shown := func(name string, suites ...uint16) string {
		t.Helper()
		config := &tls.Config{ServerName: name, InsecureSkipVerify: true, CipherSuites: suites}
		if len(suites) > 0 {
			config.MaxVersion = tls.VersionTLS12
		}
		conn, err := tls.Dial("tcp", e.server.Listener.Addr().String(), config)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer conn.Close()
		leaf := conn.ConnectionState().PeerCertificates[0]
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: root.pool()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return leaf.Subject.CommonName
	}
	for name, want := range map[string]string{
		"www.example.com": "exact", "WWW.EXAMPLE.COM": "exact", "upper.example.com": "exact",
		"other.example.com": "prefix", "a.b.example.com": "default", "example.com": "default",
		"shop.test": "suffix", "www.shop.test": "default", "unknown.test": "default", "single": "default",
		"": "listener",
	} {
		if got := shown(name); got != want {
			t.Errorf("for %q the certificate %q, want %q", name, got, want)
		}
	}
	if got := shown("both.test"); got != "both ecdsa" {
		t.Errorf("who takes any key is shown %q", got)
	}
	if got := shown("both.test", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); got != "both rsa" {
		t.Errorf("who takes RSA alone is shown %q", got)
	}
	e.apply(config("default"))
	if got := shown("unknown.test"); got != "listener" {
		t.Errorf("without a default the certificate is %q", got)
	}
	if got := shown("shop.test"); got != "suffix" {
		t.Errorf("after a reload the certificate is %q", got)
	}
}
