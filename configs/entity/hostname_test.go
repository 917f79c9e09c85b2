package entity

import (
	"regexp"
	"testing"
)

func TestParseHost(t *testing.T) {
	tests := []struct {
		in   string
		want hostPort
		text string
	}{
		{"a.test", hostPort{hostName, "a.test", -1}, ""},
		{"A_b.test.:80", hostPort{hostName, "A_b.test.", 80}, ""},
		{"001.2.3.004:08", hostPort{hostIPv4, "1.2.3.4", 8}, ""},
		{"::1", hostPort{hostIPv6, "0000:0000:0000:0000:0000:0000:0000:0001", -1}, ""},
		{"[2001:DB8::]:443", hostPort{hostIPv6, "2001:0db8:0000:0000:0000:0000:0000:0000", 443}, ""},
		{"", hostPort{}, "invalid hostname: "},
		{"a..b", hostPort{}, "invalid hostname: a..b"},
		{"a-.b", hostPort{}, "invalid hostname: a-.b"},
		{"a:65536", hostPort{}, errPort},
		{"1.2.3", hostPort{}, "invalid ipv4 address: 1.2.3"},
		{"1.2.3.256", hostPort{}, "invalid ipv4 address: 1.2.3.256"},
		{"[::1]x", hostPort{}, "invalid ipv6 address"},
		{"[::1]:", hostPort{}, "invalid ipv6 address"},
		{"[::1]:70000", hostPort{}, errPort},
		{"1:2:3:4:5:6:7:8:9", hostPort{}, "invalid ipv6 address: 1:2:3:4:5:6:7:8:9"},
	}
	for _, test := range tests {
		got, text := parseHost(test.in)
		if got != test.want || text != test.text {
			t.Errorf("%q: got %+v, %q, want %+v, %q", test.in, got, text, test.want, test.text)
		}
	}
}

// What was accepted stays the same when it is read back.
func FuzzParseHost(f *testing.F) {
	for _, seed := range []string{"a.test:80", "[::1]:8000", "::", "1.2.3.4", "[", "a:b:c", "wildcard.x", "[]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		first, text := parseHost(in)
		if text != "" {
			return
		}
		second, text := parseHost(first.withPort(8000))
		if first.port < 0 {
			first.port = 8000
		}
		if text != "" || first != second {
			t.Errorf("%q: got %+v, then %+v, %q", in, first, second, text)
		}
	})
}

func TestNormalPath(t *testing.T) {
	tests := map[string]string{
		"":                "",
		"/":               "/",
		"/a/./b/../c":     "/a/c",
		"/../a":           "/a",
		"/a/..":           "/",
		"/a/.":            "/a/",
		"//a///b":         "/a/b",
		"/%61%2fb%2e%2e/": "/a%2Fb../",
		"/%2e%2e/x":       "/x",
		"/%zz":            "/%zz",
		"/%C3%A9":         "/é",
	}
	for in, want := range tests {
		if got := normalPath(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzNormalPath(f *testing.F) {
	f.Add("/a/../b//c/.%2e/%41")
	f.Fuzz(func(t *testing.T, path string) {
		if got := normalPath(path); len(got) > len(path) {
			t.Errorf("%q: got the longer %q", path, got)
		}
	})
}

func TestParseURL(t *testing.T) {
	text := func(part *string) string {
		if part == nil {
			return "-"
		}
		return *part
	}
	tests := map[string][5]string{
		"http://u:p@a.test:81/x;y?z#f": {"http", "u:p", "a.test", "81", "/x"},
		"http://[::1]:80":              {"http", "-", "::1", "80", "-"},
		"http://":                      {"http", "-", "-", "-", "-"},
		"http://a:":                    {"http", "-", "a", "", "-"},
		"//a/b":                        {"-", "-", "a", "-", "/b"},
		"a.test:80":                    {"a.test", "-", "-", "-", "80"},
		"a.test":                       {"-", "-", "-", "-", "a.test"},
	}
	for in, want := range tests {
		u := parseURL(in)
		got := [5]string{text(u.scheme), text(u.userinfo), text(u.host), text(u.port), text(u.path)}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("http://u:p@[::1]:80/a;b?c#d")
	f.Fuzz(func(t *testing.T, in string) {
		u := parseURL(in)
		for name, part := range map[string]*string{"scheme": u.scheme, "host": u.host, "path": u.path} {
			if part != nil && *part == "" {
				t.Errorf("%q: the %s is there and empty", in, name)
			}
		}
		expandServiceURL(in)
	})
}

// Whatever is let through compiles; a fault always says what it is.
func FuzzRegexFault(f *testing.F) {
	for _, seed := range []string{`/a++`, `(?=a)`, `[a[b]`, `\Qa\E`, `a{1,2}{3}`, `\p{Greek}{`, `[^]]`, `\`, `[\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		fault := regexFault(pattern)
		if _, err := regexp.Compile(pattern); fault.text == "" && err != nil {
			t.Errorf("%q was let through: %v", pattern, err)
		}
		if fault.everywhere && fault.text == "" {
			t.Errorf("%q: a fault without text", pattern)
		}
	})
}
