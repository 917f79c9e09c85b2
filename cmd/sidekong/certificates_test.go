package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sidekong/configs/settings"
)

// writePair writes a certificate that is new each time, and gives its bytes.
func writePair(t *testing.T, pair settings.KeyPair) []byte {
	t.Helper()
	made, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		pair.Cert: {Type: "CERTIFICATE", Bytes: made.Certificate[0]}, pair.Key: {Type: "PRIVATE KEY", Bytes: key},
	} {
		replaceFile(t, path, pem.EncodeToMemory(block))
	}
	return made.Certificate[0]
}

// replaceFile puts a new file in the place of an old one, as those do who renew certificates.
func replaceFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestCertificateFilesChange(t *testing.T) {
	dir := t.TempDir()
	pair := settings.KeyPair{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	first := writePair(t, pair)
	var log output
	c, err := newCertificates([]settings.KeyPair{pair}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c.now = func() time.Time { return now }
	shown := func() []byte {
		t.Helper()
		certificate, err := c.choose(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return certificate.Certificate[0]
	}
	want := func(what string, der []byte) {
		t.Helper()
		if !bytes.Equal(shown(), der) {
			t.Errorf("%s: another certificate is shown", what)
		}
	}

	want("at first", first)
	second := writePair(t, pair)
	want("before it is looked at again", first)
	now = now.Add(recheckInterval)
	want("after a change", second)

	replaceFile(t, pair.Cert, []byte("no certificate"))
	for range 3 {
		now = now.Add(recheckInterval)
		want("while the file is broken", second)
	}
	if n := strings.Count(log.String(), "the new one is at fault"); n != 1 {
		t.Errorf("a broken file is logged %d times, want once:\n%s", n, log.String())
	}
	if err := os.Remove(pair.Key); err != nil {
		t.Fatal(err)
	}
	now = now.Add(recheckInterval)
	want("while a file is missing", second)
	third := writePair(t, pair)
	now = now.Add(recheckInterval)
	want("when it is whole again", third)

	// A certificate is renewed before its key is: for a moment they do not belong together.
	oldKey, err := os.ReadFile(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	fourth := writePair(t, pair)
	newKey, err := os.ReadFile(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, pair.Key, oldKey)
	now = now.Add(recheckInterval)
	want("while the halves do not match", third)
	replaceFile(t, pair.Key, newKey)
	now = now.Add(recheckInterval)
	want("when they do", fourth)
	if strings.Contains(log.String(), "PRIVATE KEY") {
		t.Error("the log has a key")
	}
}

func TestCertificatePreferred(t *testing.T) {
	dir := t.TempDir()
	pair := settings.KeyPair{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	own := writePair(t, pair)
	chosen, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	choose := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "chosen.test" {
			return &chosen, nil
		}
		return nil, nil
	}
	for name, pairs := range map[string][]settings.KeyPair{"files": {pair}, "signed by itself": nil} {
		t.Run(name, func(t *testing.T) {
			config, err := serverTLS(pairs, tls.VersionTLS12, tls.VersionTLS13, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			fallback := own
			if pairs == nil {
				fallback = config.Certificates[0].Certificate[0]
			}
			l := settings.Listener{Address: "127.0.0.1:0", SSL: true, HTTP2: true}
			listener, err := quick.open(context.Background(), l, &connections{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := quick.server(http.NotFoundHandler(), l, preferring(choose, config), slog.New(slog.DiscardHandler))
			go func() { _ = serve(s, listener, true) }()
			defer s.Close()
			for serverName, want := range map[string][]byte{"chosen.test": chosen.Certificate[0], "other.test": fallback, "": fallback} {
				conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, ServerName: serverName, NextProtos: []string{"h2"}})
				if err != nil {
					t.Fatalf("%q: %v", serverName, err)
				}
				state := conn.ConnectionState()
				conn.Close()
				if !bytes.Equal(state.PeerCertificates[0].Raw, want) {
					t.Errorf("%q: another certificate is shown", serverName)
				}
				if state.NegotiatedProtocol != "h2" {
					t.Errorf("%q: protocol %q, want h2", serverName, state.NegotiatedProtocol)
				}
			}
		})
	}
	if preferring(choose, nil) != nil {
		t.Error("listeners without TLS get a config")
	}
}
