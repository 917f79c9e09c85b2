package router

import (
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	type result struct {
		path, query string
		hasQuery    bool
		ok          bool
	}
	tests := []struct {
		target string
		want   result
	}{
		{"/", result{"/", "", false, true}},
		{"/a/b", result{"/a/b", "", false, true}},
		{"/a?", result{"/a", "", true, true}},
		{"/a?x=1?y=%zz", result{"/a", "x=1?y=%zz", true, true}},
		{"/a?x=/../b", result{"/a", "x=/../b", true, true}},
		{"//a///b//", result{"/a/b/", "", false, true}},
		{"/./a/./b/.", result{"/a/b/", "", false, true}},
		{"/a/b/../c/..", result{"/a/", "", false, true}},
		{"/../../a", result{"/a", "", false, true}},
		{"/a//../b", result{"/b", "", false, true}},
		{"/a/.../..b/.c", result{"/a/.../..b/.c", "", false, true}},
		{"/%2e%2E/a%2f..%3a", result{"/a%2F..%3A", "", false, true}},
		{"/%41%7e%20%c3%a9%00", result{"/A~ é\x00", "", false, true}},
		{"/a+b#c", result{"/a+b#c", "", false, true}},
		{"/%", result{}},
		{"/%4", result{}},
		{"/%4g", result{}},
		{"/%%41", result{}},
		{"", result{}},
		{"a/b", result{}},
		{"*", result{}},
		{"?x", result{}},
	}
	for _, test := range tests {
		path, query, hasQuery, ok := Normalize(test.target)
		if got := (result{path, query, hasQuery, ok}); got != test.want {
			t.Errorf("Normalize(%q) = %+v, want %+v", test.target, got, test.want)
		}
	}
}

func TestNormalizeDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Normalize("/api/v1/users/7.json?limit=10") }); n != 0 {
		t.Errorf("%v allocations for a path that is normal already", n)
	}
}

func TestOriginForm(t *testing.T) {
	tests := []struct{ target, want string }{
		{"/a?b", "/a?b"},
		{"http://h.test/a?b", "/a?b"},
		{"https://h.test:8443/", "/"},
		{"http://h.test", "/"},
		{"http://h.test?x=1", "/?x=1"},
		{"/a?u=http://h.test/b", "/a?u=http://h.test/b"},
		{"*", "*"},
		{"h.test:443", "h.test:443"},
		{"", ""},
	}
	for _, test := range tests {
		if got := OriginForm(test.target); got != test.want {
			t.Errorf("OriginForm(%q) = %q, want %q", test.target, got, test.want)
		}
	}
}

// FuzzNormalize: a normalised path is normal, begins with a slash, has no dot segments and no double slashes.
func FuzzNormalize(f *testing.F) {
	for _, v := range readVectors(f) {
		if v.Request != nil {
			f.Add(string(v.Request.URI))
		}
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, _, _, ok := Normalize(OriginForm(target))
		if !ok {
			return
		}
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") {
			t.Errorf("Normalize(%q) = %q", target, path)
		}
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "." || segment == ".." {
				t.Errorf("Normalize(%q) = %q keeps a dot segment", target, path)
			}
		}
		again, _, hasQuery, ok := Normalize(path)
		if again != path || hasQuery || !ok {
			t.Errorf("Normalize(%q) = %q, and again %q, %v", target, path, again, ok)
		}
		if escaped, _, _, ok := Normalize(escape(path)); escaped != path || !ok {
			t.Errorf("Normalize(%q) = %q, escaped and normalised %q", target, path, escaped)
		}
	})
}
