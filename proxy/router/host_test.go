package router

import "testing"

func TestHostName(t *testing.T) {
	tests := []struct{ host, want string }{
		{"a.test", "a.test"},
		{"A.Test:8000", "a.test"},
		{"a.test.", "a.test"},
		{"a.test.:80", "a.test"},
		{"[::1]", "[::1]"},
		{"[::1]:8000", "[::1]"},
		{"[::1", "[::1"},
		{"", ""},
	}
	for _, test := range tests {
		if got := HostName(test.host); got != test.want {
			t.Errorf("HostName(%q) = %q, want %q", test.host, got, test.want)
		}
	}
}

func TestSplitHostPort(t *testing.T) {
	tests := []struct {
		hostport string
		host     string
		port     int
	}{
		{"a.test", "a.test", -1},
		{"a.test:80", "a.test", 80},
		{"a.test:0080", "a.test", 80},
		{"a.test:", "a.test:", -1},
		{"a.test:x", "a.test:x", -1},
		{"a.test:99999999999999999999", "a.test", 1 << 20},
		{"[::1]", "[::1]", -1},
		{"[::1]:80", "[::1]:80", -1},
		{"::2", "::2", -1},
		{":80", "", 80},
		{"", "", -1},
	}
	for _, test := range tests {
		host, port := splitHostPort(test.hostport)
		if host != test.host || port != test.port {
			t.Errorf("splitHostPort(%q) = %q, %d, want %q, %d", test.hostport, host, port, test.host, test.port)
		}
	}
}
