package capture

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// written is what becomes of headers.
func written(m *masking, header http.Header, host []string, known *layouts) []byte {
	return m.headers(nil, header, host, known)
}

// TestKeptValues: headers are written alike, and the same is masked, whether or not there have been such before.
func TestKeptValues(t *testing.T) {
	messages := []http.Header{
		{},
		{"Accept": {"*/*"}, "User-Agent": {"curl"}},
		{"Accept": {"text/html"}, "User-Agent": {""}},
		{"Accept": {"*/*", "text/html"}, "User-Agent": {"curl"}},
		{"Accept": {"Bearer abcdefgh"}, "User-Agent": {"curl"}}, // a secret where there was none
		{"Accept": {"4111111111111111"}, "User-Agent": {"https://u:p@a.test/?token=1"}},
		{"Accept": {"4111 1111 1111 1111"}, "User-Agent": {"4111111111111111"}}, // two, of which one is marked
		{"Accept": {"*/*"}, "Authorization": {"Basic abc"}},
		{"Accept": {}, "User-Agent": {"curl"}},
		{"Accept": {"*/*"}, "Host": {"b.test"}},
		{"Accept": {"*/*"}, "X-Other": {"as many, another name"}},
		{"Accept": {"*/*"}},
	}
	names := masker(nil, false).names
	var known layouts
	for i := range 4 * keepEach * len(messages) {
		header := messages[(i*7+i/50)%len(messages)]
		var want, got marks
		fresh, later := masker(&want, false), masker(&got, false)
		later.names = names
		host := [][]string{{"a.test"}, nil}[i/3%2]
		first, again := string(written(fresh, header, host, new(layouts))), string(written(later, header, host, &known))
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("%d: %v, host %v (-first +again):\n%s", i, header, host, diff)
		}
		if diff := cmp.Diff(want.places, got.places, cmp.AllowUnexported(place{})); diff != "" {
			t.Fatalf("%d: %v, host %v: marks (-first +again):\n%s", i, header, host, diff)
		}
	}
	if kept := names.header("User-Agent").kept.Load(); kept == nil || kept.value != "curl" && kept.value != "" || kept.text != `,"user-agent":"`+kept.value+`"` {
		t.Errorf("kept of User-Agent: %+v", kept)
	}
}

// TestKeepsNoSecret: what is masked is not kept in clear either, and what is kept gives way to what comes later.
func TestKeepsNoSecret(t *testing.T) {
	m := masker(&marks{}, false)
	var known layouts
	const each = 100 * keepEach
	for i := range 3 * each {
		written(m, http.Header{
			"Authorization": {"Bearer sesame-sesame"}, "X-A": {"Bearer sesame-sesame"}, "X-B": {"https://u:sesame@a.test"},
			"X-C": {fmt.Sprint(i / each)},
		}, nil, &known)
	}
	for _, name := range []string{"Authorization", "X-A", "X-B"} {
		if kept := m.names.header(name).kept.Load(); kept != nil {
			t.Errorf("kept of %s: %q", name, kept.value)
		}
	}
	if kept := m.names.header("X-C").kept.Load(); kept == nil || kept.value != "2" {
		t.Errorf("kept of X-C: %+v", kept)
	}
}

// TestLayouts: headers like those before are found in order, and names that fit no longer give way.
func TestLayouts(t *testing.T) {
	m := masker(&marks{}, false)
	var known layouts
	fits := func(header http.Header) bool {
		names := known[len(header)].Load()
		m.headers(nil, header, nil, &known)
		if names == nil {
			return false
		}
		_, ok := m.arranged(nil, *names, header, nil)
		return ok
	}
	old, later := http.Header{"A": {"1"}, "B": {"2"}}, http.Header{"A": {"1"}, "C": {"2"}}
	if fits(old) || !fits(old) {
		t.Error("not known after the first time")
	}
	for range 100 * keepEach {
		if fits(later) {
			break
		}
	}
	if !fits(later) || fits(old) {
		t.Error("it does not give way")
	}
}

// TestTargets: a target is masked alike whether or not it has been before.
func TestTargets(t *testing.T) {
	all := []string{"/a", "/b", "/a?token=1", "/b?tokem=1", "/card/4111111111111111", "/4111 1111", "/a", "", "/%74oken=1", "/c?x=1&y=2"}
	var known targets
	for i := range 5 * keepEach * len(all) {
		target := all[(i*3+i/70)%len(all)]
		var want, got marks
		if fresh, again := masker(&want, false).target(target), known.mask(masker(&got, false), target); fresh != again {
			t.Fatalf("%s: got %s, want %s", target, again, fresh)
		}
		if diff := cmp.Diff(want.places, got.places, cmp.AllowUnexported(place{})); diff != "" {
			t.Fatalf("%s: marks (-want +got):\n%s", target, diff)
		}
	}
}
