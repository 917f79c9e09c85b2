package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"sidekong/configs/settings"
)

// serveProxied serves what ProxiedAddr and the connection's own addresses are to connections with a PROXY header.
func serveProxied(t *testing.T, ssl bool, trusted ...string) string {
	t.Helper()
	var prefixes []netip.Prefix
	for _, text := range trusted {
		prefixes = append(prefixes, netip.MustParsePrefix(text))
	}
	l := settings.Listener{Address: "127.0.0.1:0", ProxyProtocol: true, SSL: ssl, HTTP2: true}
	listener, err := quick.open(context.Background(), l, &connections{}, prefixes)
	if err != nil {
		t.Fatal(err)
	}
	config, err := serverTLS(nil, tls.VersionTLS12, tls.VersionTLS13, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	type connKey struct{}
	s := quick.server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connKey{}).(net.Conn)
		if encrypted, ok := conn.(*tls.Conn); ok {
			conn = encrypted.NetConn()
		}
		addr, ok := conn.(interface{ ProxiedAddr() (netip.AddrPort, bool) }).ProxiedAddr()
		peer := netip.MustParseAddrPort(r.RemoteAddr)
		local := conn.LocalAddr().String() == r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
		fmt.Fprintf(w, "%v %v peer=%v local=%v", addr, ok, peer.Addr(), local)
	}), l, config, slog.New(slog.DiscardHandler))
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		_ = conn.RemoteAddr() // as the gateway does, in the goroutine that accepts
		return context.WithValue(ctx, connKey{}, conn)
	}
	go func() { _ = serve(s, listener, ssl) }()
	t.Cleanup(func() { s.Close() })
	return listener.Addr().String()
}

func TestProxyProtocol(t *testing.T) {
	const (
		v2IPv4  = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x30\x39\x00\x50"
		v2Local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
		request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		nobody  = "invalid AddrPort false peer=127.0.0.1 local=true"
	)
	tests := []struct {
		name, trusted, header, want string // want "": closed without an answer
	}{
		{"version 1", "127.0.0.0/8", "PROXY TCP4 192.0.2.1 127.0.0.1 12345 80\r\n", "192.0.2.1:12345 true peer=127.0.0.1 local=true"},
		{"version 1, IPv6", "127.0.0.0/8", "PROXY TCP6 2001:db8::1 ::1 12345 80\r\n", "[2001:db8::1]:12345 true peer=127.0.0.1 local=true"},
		{"version 1, unknown", "127.0.0.0/8", "PROXY UNKNOWN\r\n", nobody},
		{"version 2", "127.0.0.0/8", v2IPv4, "192.0.2.1:12345 true peer=127.0.0.1 local=true"},
		{"version 2, local", "127.0.0.0/8", v2Local, nobody},
		{"peer not trusted", "10.0.0.0/8", "PROXY TCP4 192.0.2.1 127.0.0.1 12345 80\r\n", nobody},
		{"peer not trusted, version 2", "10.0.0.0/8", v2IPv4, nobody},
		{"no header", "127.0.0.0/8", "", ""},
		{"no header, peer not trusted", "10.0.0.0/8", "", ""},
		{"bad family", "127.0.0.0/8", "PROXY TCP9 192.0.2.1 127.0.0.1 12345 80\r\n", ""},
		{"bad address", "127.0.0.0/8", "PROXY TCP4 192.0.2.999 127.0.0.1 12345 80\r\n", ""},
		{"no end", "127.0.0.0/8", "PROXY TCP4 192.0.2.1 127.0.0.1 12345 80 and so on and on and on and on and on and on and on and on and on and on and on and on and on\r\n", ""},
		{"bad version", "127.0.0.0/8", "\r\n\r\n\x00\r\nQUIT\n\x91\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x30\x39\x00\x50", ""},
		{"long version 2", "127.0.0.0/8", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff\xc0\x00\x02\x01\x7f\x00\x00\x01\x30\x39\x00\x50", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, serveProxied(t, false, tt.trusted))
			send(t, conn, tt.header+request)
			got := ""
			if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil && res.StatusCode == http.StatusOK {
				body, _ := io.ReadAll(res.Body)
				got = string(body)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestProxyProtocolBelow(t *testing.T) {
	const (
		header = "PROXY TCP4 192.0.2.1 127.0.0.1 12345 80\r\n"
		want   = "192.0.2.1:12345 true peer=127.0.0.1 local=true"
	)
	for name, protocols := range map[string]func(*http.Protocols){
		"TLS":             func(p *http.Protocols) { p.SetHTTP1(true) },
		"TLS and h2":      func(p *http.Protocols) { p.SetHTTP2(true) },
		"HTTP/1.1":        func(p *http.Protocols) { p.SetHTTP1(true) },
		"h2 in the clear": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			scheme, ssl := "http", false
			if name[:3] == "TLS" {
				scheme, ssl = "https", true
			}
			address := serveProxied(t, ssl, "127.0.0.1/32")
			transport := &http.Transport{
				Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
					if err == nil {
						_, err = io.WriteString(conn, header)
					}
					return conn, err
				},
			}
			protocols(transport.Protocols)
			defer transport.CloseIdleConnections()
			res, err := (&http.Client{Transport: transport}).Get(scheme + "://" + address)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); string(body) != want {
				t.Errorf("got %q, want %q", body, want)
			}
		})
	}
}

// TestSlowProxyProtocol has clients that do not finish their header neither hold up others nor stay.
func TestSlowProxyProtocol(t *testing.T) {
	address := serveProxied(t, false, "127.0.0.0/8")
	slow := dial(t, address)
	send(t, slow, "PROXY TCP4 192.")
	silent := dial(t, address)
	begun := time.Now()

	quickOne := dial(t, address)
	send(t, quickOne, "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(quickOne), nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 200*time.Millisecond {
		t.Errorf("another client waited %v", took)
	}
	for _, conn := range []net.Conn{slow, silent} {
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("the connection is not closed: %v", err)
		}
	}
	takes(t, begun)
}
