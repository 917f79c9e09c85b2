package hostile

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// TestProxyProtocol has the upstream told who the client is as the PROXY header has it, where the peer is trusted and
// the settings say so.
func TestProxyProtocol(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.1 127.0.0.1 12345 80\r\n"
	tests := []struct {
		name, flags, trusted, realIP, more, want string // want: X-Real-IP, X-Forwarded-For, X-Forwarded-Port is the listener's
	}{
		{"believed", "", "127.0.0.0/8", "proxy_protocol", "", "192.0.2.1, 192.0.2.1"},
		{"believed over TLS", " ssl", "127.0.0.0/8", "proxy_protocol", "", "192.0.2.1, 192.0.2.1"},
		{"believed behind another", "", "127.0.0.0/8", "proxy_protocol", "X-Forwarded-For: 198.51.100.7\r\n", "192.0.2.1, 198.51.100.7, 127.0.0.1"},
		{"no header of that name is", "", "127.0.0.0/8", "proxy_protocol", "Proxy_protocol: 203.0.113.9\r\n", "192.0.2.1, 192.0.2.1"},
		{"not from strangers", "", "10.0.0.0/8", "proxy_protocol", "", "127.0.0.1, 127.0.0.1"},
		{"not where another header counts", "", "127.0.0.0/8", "X-Real-IP", "X-Real-IP: 203.0.113.9\r\n", "203.0.113.9, 203.0.113.9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := startWitness(t)
			p := start(t, "127.0.0.1:0 proxy_protocol"+tt.flags, service("http://"+w.listener.Addr().String()), "",
				"KONG_TRUSTED_IPS="+tt.trusted, "KONG_REAL_IP_HEADER="+tt.realIP)
			var conn net.Conn
			conn, err := net.DialTimeout("tcp", p.addresses[0], time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.WriteString(conn, header); err != nil {
				t.Fatal(err)
			}
			if tt.flags == " ssl" {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			}
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n"+tt.more+"\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn)
			if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
				t.Fatalf("answered %.100q, %v", answer, err)
			}
			for _, requests := range w.seen {
				for _, r := range requests {
					client, _ := r.get("X-Real-IP")
					route, _ := r.get("X-Forwarded-For")
					if got := fmt.Sprintf("%s, %s", client, route); got != tt.want {
						t.Errorf("got %s, want %s", got, tt.want)
					}
					_, port, _ := net.SplitHostPort(p.addresses[0])
					if got, _ := r.get("X-Forwarded-Port"); got != port {
						t.Errorf("X-Forwarded-Port is %s, want %s", got, port)
					}
				}
			}
			if len(w.seen) != 1 {
				t.Errorf("%d clients were seen, want 1", len(w.seen))
			}
		})
	}
}
