package router

import "testing"

func TestRefuse(t *testing.T) {
	tests := []struct {
		name                 string
		method, target, host string
		http10               bool
		want                 int
	}{
		{name: "plain", target: "/a?b"},
		{name: "absolute form", target: "http://h.test/a"},
		{name: "absolute form without path", target: "http://h.test"},
		{name: "query is not checked", target: "/a?%zz/../.."},
		{name: "fragment", target: "/a#b"},
		{name: "bytes beyond ASCII", target: "/é"},
		{name: "own method", method: "PURGE_ALL-NOW", target: "/"},
		{name: "climbs to the root", target: "/a/../b/.."},
		{name: "encoded slash is one segment more", target: "/a%2Fb/../.."},

		{name: "asterisk", method: "OPTIONS", target: "*", want: 400},
		{name: "authority form", method: "CONNECT", target: "h.test:443", want: 400},
		{name: "empty target", target: "", want: 400},
		{name: "relative target", target: "a", want: 400},
		{name: "space", target: "/a b", want: 400},
		{name: "control byte", target: "/a\x01", want: 400},
		{name: "DEL in the query", target: "/a?\x7f", want: 400},
		{name: "NUL", target: "/%00", want: 400},
		{name: "bad triplet", target: "/%zz", want: 400},
		{name: "short triplet", target: "/%4", want: 400},
		{name: "climbs", target: "/../a", want: 400},
		{name: "climbs and returns", target: "/a/../../a/b/c", want: 400},
		{name: "climbs by triplets", target: "/a/%2e%2e/%2E./a", want: 400},
		{name: "climbs by encoded slashes", target: "/a%2F..%2f../b", want: 400},
		{name: "climbs at the end", target: "/..", want: 400},
		{name: "empty segments do not count", target: "/a//../..", want: 400},
		{name: "climbs in a fragment", target: "/a#b/../../c", want: 400},
		{name: "bad triplet in a fragment", target: "/#%", want: 400},
		{name: "climbs in absolute form", target: "http://h.test/../a", want: 400},

		{name: "lower-case method", method: "get", target: "/", want: 400},
		{name: "digit in the method", method: "GET1", target: "/", want: 400},
		{name: "TRACE", method: "TRACE", target: "/", want: 405},
		{name: "CONNECT", method: "CONNECT", target: "/", want: 405},
		{name: "CONNECT with a bad target", method: "CONNECT", target: "/..", want: 400},

		{name: "HTTP/1.0 without Host", target: "/", host: "-", http10: true},
		{name: "HTTP/1.1 without Host", target: "/", host: "-", want: 400},
		{name: "host with port", target: "/", host: "a.test:80"},
		{name: "host with odd port", target: "/", host: "a.test:x"},
		{name: "host with final dot", target: "/", host: "a.test."},
		{name: "host with leading dot", target: "/", host: ".a.test"},
		{name: "IPv6", target: "/", host: "[::1]:80"},
		{name: "bare IPv6", target: "/", host: "::1", want: 400},
		{name: "only a port", target: "/", host: ":80", want: 400},
		{name: "only a dot", target: "/", host: ".", want: 400},
		{name: "two dots", target: "/", host: "a..test", want: 400},
		{name: "slash in host", target: "/", host: "a/b", want: 400},
		{name: "space in host", target: "/", host: "a b", want: 400},
		{name: "control byte in host", target: "/", host: "a\x00b", want: 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			method, host := test.method, test.host
			if method == "" {
				method = "GET"
			}
			switch host {
			case "":
				host = "a.test"
			case "-":
				host = ""
			}
			if got := Refuse(method, test.target, host, !test.http10); got != test.want {
				t.Errorf("Refuse(%q, %q, %q) = %d, want %d", method, test.target, host, got, test.want)
			}
		})
	}
}

// FuzzRefuse: what is let through can be normalised.
func FuzzRefuse(f *testing.F) {
	f.Add("GET", "/a/%2e./b?c", "a.test:80")
	f.Add("GET", "/#%", "a.test")
	f.Add("OPTIONS", "http://h.test/a", "[::1]")
	f.Fuzz(func(t *testing.T, method, target, host string) {
		if Refuse(method, target, host, true) != 0 {
			return
		}
		if _, _, _, ok := Normalize(OriginForm(target)); !ok {
			t.Errorf("%q is let through but cannot be normalised", target)
		}
	})
}
