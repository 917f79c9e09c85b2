package capture

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// written is what becomes of headers.
func written(m *masking, header http.Header, host []string, known *layouts) []byte {
	var h head
	h.take(header, host, known)
	return m.headers(nil, &h, known)
}

// TestLayouts: headers are written alike, and the same is masked, whether or not there have been such before.
func TestLayouts(t *testing.T) {
	host := []string{"a.test"}
	messages := []http.Header{
		{},
		{"Accept": {"*/*"}, "User-Agent": {"curl"}},
		{"Accept": {"*/*"}, "User-Agent": {"curl"}}, // as before
		{"Accept": {"text/html"}, "User-Agent": {""}},
		{"Accept": {"*/*", "text/html"}, "User-Agent": {"curl"}},
		{"Accept": {"Bearer abcdefgh"}, "User-Agent": {"curl"}}, // a secret where there was none
		{"Accept": {"4111111111111111"}, "User-Agent": {"https://u:p@a.test/?token=1"}},
		{"Accept": {"*/*"}, "X-Other": {"as many, another name"}},
		{"Accept": {"*/*"}, "Authorization": {"Basic abc"}},
		{"Accept": {}, "User-Agent": {"curl"}},
		{"Accept": {"*/*"}, "Host": {"b.test"}},
		{"Accept": {"*/*"}},
	}
	var known layouts
	for i := range 20 * relearn * len(messages) {
		header := messages[(i*7+i/50)%len(messages)]
		for _, host := range [][]string{host, nil} {
			var want, got marks
			fresh := string(written(masker(&want, false), header, host, new(layouts)))
			if diff := cmp.Diff(fresh, string(written(masker(&got, false), header, host, &known))); diff != "" {
				t.Fatalf("%d: %v, host %v (-fresh +known):\n%s", i, header, host, diff)
			}
			if diff := cmp.Diff(want.places, got.places, cmp.AllowUnexported(place{})); diff != "" {
				t.Fatalf("%d: %v, host %v: marks (-fresh +known):\n%s", i, header, host, diff)
			}
		}
	}
}

// TestLayoutsAreUsed: headers like those before are found in order, and a layout that fits no longer gives way.
func TestLayoutsAreUsed(t *testing.T) {
	var known layouts
	fits := func(header http.Header) bool {
		var h head
		h.take(header, nil, &known)
		fits := h.layout != nil
		masker(&marks{}, false).headers(nil, &h, &known)
		return fits
	}
	old, later := http.Header{"A": {"1"}, "B": {"2"}}, http.Header{"A": {"1"}, "C": {"2"}}
	if fits(old) || !fits(old) {
		t.Error("not known after the first time")
	}
	for range relearn {
		if fits(later) {
			t.Error("it gives way too early")
		}
	}
	if !fits(later) || fits(old) {
		t.Error("it does not give way")
	}
}

// TestLayoutsKeepNoSecret: what is masked is not kept in clear either.
func TestLayoutsKeepNoSecret(t *testing.T) {
	var known layouts
	written(masker(&marks{}, false), http.Header{
		"Authorization": {"Bearer sesame-sesame"}, "X-A": {"Bearer sesame-sesame"}, "X-B": {"https://u:sesame@a.test"}, "X-C": {"c"},
	}, nil, &known)
	lines := known[4].current.Load().lines
	got := fmt.Sprint(lines[0].value, lines[0].text, lines[1].value, lines[1].text, lines[2].value, lines[2].text)
	if got != "" || lines[3].text != `,"x-c":"c"` {
		t.Errorf("got %q and %q", got, lines[3].text)
	}
}
