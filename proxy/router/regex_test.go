package router

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCapture(t *testing.T) {
	p, err := compilePathPattern(`~/(?<kind>a|b)(x)?/(\d+)`)
	if err != nil {
		t.Fatal(err)
	}
	caught := map[string]string{"kind": "old", "other": "kept"}
	if got := p.capture("/b/12/rest", caught); got != "/b/12" {
		t.Errorf("matched %q, want %q", got, "/b/12")
	}
	want := map[string]string{"0": "/b/12", "1": "b", "kind": "b", "3": "12", "other": "kept"}
	if diff := cmp.Diff(want, maps.Clone(caught)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := p.capture("/b/12/rest", nil); got != "/b/12" {
		t.Errorf("matched %q without groups, want %q", got, "/b/12")
	}
}

// FuzzPattern: translating never panics, and the literals never turn a match away.
func FuzzPattern(f *testing.F) {
	f.Add(`/users/(?<id>\d+)[\w.-]++/x{2,3}?|\x{41}`, "/users/7a")
	f.Add(`(?i)[^\S_]\b(?:a|b)*?`, " a")
	for _, v := range readVectors(f) {
		for _, route := range v.Routes {
			for _, path := range route.Paths {
				if isRegex(path) && v.Request != nil {
					f.Add(path[1:], string(v.Request.URI))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 200 || len(text) > 200 {
			return
		}
		for _, compile := range []func(string) (*pattern, error){compilePattern, compilePathPattern} {
			p, err := compile("~" + expr)
			if err != nil {
				continue
			}
			if got, want := p.match(text), p.re.MatchString(text); got != want {
				t.Errorf("%s on %q: %v with literals, %v without", p.re, text, got, want)
			}
		}
	})
}
