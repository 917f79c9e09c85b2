package settings

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseListeners(t *testing.T) {
	tests := []struct {
		value string
		want  []Listener
	}{
		{"off", nil},
		{" off ", nil},
		{"127.0.0.1:8001", []Listener{{Address: "127.0.0.1:8001"}}},
		{"0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384", []Listener{
			{Address: "0.0.0.0:8000", ReusePort: true, Backlog: 16384},
			{Address: "0.0.0.0:8443", SSL: true, HTTP2: true, ReusePort: true, Backlog: 16384},
		}},
		{"ssl 0.0.0.0:1", []Listener{{Address: "0.0.0.0:1", SSL: true}}},
		{"0.0.0.0:1 proxy_protocol deferred bind", []Listener{{Address: "0.0.0.0:1", ProxyProtocol: true, Deferred: true, Bind: true}}},
		{"[::]:8000", []Listener{{Address: "[::]:8000", IPv6Only: true}}},
		{"[::]:8000 ipv6only=off", []Listener{{Address: "[::]:8000"}}},
		{"[0:0::1]:8000 ipv6only=on", []Listener{{Address: "[::1]:8000", IPv6Only: true}}},
		{"*:8000", []Listener{{Address: "0.0.0.0:8000"}}},
		{"localhost:0, localhost:0", []Listener{{Address: "localhost:0"}, {Address: "localhost:0"}}},
		{"kong_1.example.com:8000", []Listener{{Address: "kong_1.example.com:8000"}}},
		{"127.0.0.1:08000,", []Listener{{Address: "127.0.0.1:8000"}}},
		{"127.0.0.1:1 so_keepalive=on", []Listener{{Address: "127.0.0.1:1", KeepAlive: &net.KeepAliveConfig{Enable: true}}}},
		{"127.0.0.1:1 so_keepalive=off", []Listener{{Address: "127.0.0.1:1", KeepAlive: &net.KeepAliveConfig{}}}},
		{"127.0.0.1:1 so_keepalive=30m::10", []Listener{{
			Address: "127.0.0.1:1", KeepAlive: &net.KeepAliveConfig{Enable: true, Idle: 30 * time.Minute, Count: 10},
		}}},
		{"127.0.0.1:1 so_keepalive=:5s:", []Listener{{
			Address: "127.0.0.1:1", KeepAlive: &net.KeepAliveConfig{Enable: true, Interval: 5 * time.Second},
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.value, func(t *testing.T) {
			got, err := parseListeners(tt.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error("listeners (-want +got):\n" + diff)
			}
		})
	}
}

func TestParseListenersRefuses(t *testing.T) {
	tests := []struct{ value, want string }{
		{",", `"," names no address`},
		{"off, 127.0.0.1:1", `"off" mixes off`},
		{"127.0.0.1:1 off", `"127.0.0.1:1 off" mixes off`},
		{"127.0.0.1", `"127.0.0.1" is not an address with a port`},
		{":8000", `":8000" is not an address with a port`},
		{"ssl", `"ssl" is not an address with a port`},
		{"unix:/run/kong.sock", "has no port"},
		{"127.0.0.1:65536", "has no port from 0 to 65535"},
		{"127.0.0.1:http", "has no port from 0 to 65535"},
		{"127.0.0.1:-1", "has no port from 0 to 65535"},
		{"256.0.0.1:80", "has neither an IP address nor a host name"},
		{"[fe80::zz]:80", "has neither an IP address nor a host name"},
		{"[localhost]:80", "has neither an IP address nor a host name"},
		{"::1:80", "is not an address with a port"},
		{"a..b:80", "has neither an IP address nor a host name"},
		{"-a:80", "has neither an IP address nor a host name"},
		{"127.0.0.1:1 SSL", `"SSL" is not a flag`},
		{"127.0.0.1:1 quic", `"quic" is not a flag`},
		{"127.0.0.1:1 rcvbuf=1", `"rcvbuf=1" is not a flag`},
		{"127.0.0.1:1 backlog=x", `"x" is not a whole number`},
		{"127.0.0.1:1 backlog=0", `"0" is not a whole number`},
		{"127.0.0.1:1 ipv6only=on", "has ipv6only without an IPv6 address"},
		{"[::1]:1 ipv6only=yes", `"yes" is not one of`},
		{"127.0.0.1:1 so_keepalive=::", "is not a keep-alive"},
		{"127.0.0.1:1 so_keepalive=1:2", "is not a keep-alive"},
		{"127.0.0.1:1 so_keepalive=s::", "is not a keep-alive"},
		{"127.0.0.1:1 so_keepalive=::5s", "is not a keep-alive"},
		{"127.0.0.1:1, 127.0.0.1:1 ssl", `"127.0.0.1:1 ssl" repeats an address`},
	}
	for _, tt := range tests {
		t.Run(tt.value, func(t *testing.T) {
			got, err := parseListeners(tt.value)
			if err == nil {
				t.Fatalf("got %v, want an error", got)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %q, want it to contain %q", err, tt.want)
			}
		})
	}
}

// Whatever is taken for an address can be split again, and reads the same a second time.
func FuzzParseListeners(f *testing.F) {
	for _, seed := range []string{
		"off", "0.0.0.0:8000 reuseport backlog=16384, [::]:8443 ssl ipv6only=off", "*:1 so_keepalive=1m:2:3", "a:0", "[fe80::1%eth0]:1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		listeners, err := parseListeners(value)
		if err != nil {
			return
		}
		for _, l := range listeners {
			host, _, err := net.SplitHostPort(l.Address)
			if err != nil {
				t.Fatalf("address %q: %v", l.Address, err)
			}
			if _, err := netip.ParseAddr(host); err != nil && !isHostName(host) {
				t.Fatalf("address %q has host %q", l.Address, host)
			}
			again, err := parseListeners(l.Address)
			if err != nil || len(again) != 1 || again[0].Address != l.Address {
				t.Fatalf("address %q reads as %v, %v", l.Address, again, err)
			}
		}
	})
}
