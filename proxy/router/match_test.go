package router

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
)

func compile(t testing.TB, routes ...entity.Route) *Router {
	t.Helper()
	var entries []Entry
	for i := range routes {
		routes[i].ID = fmt.Sprintf("%08d", i)
		entries = append(entries, Entry{Route: &routes[i]})
	}
	r, faulty := Compile(entries, nil)
	if faulty != nil {
		t.Fatal(faulty)
	}
	return r
}

// matched gives the name of the route that serves a request, "" for none.
func matched(r *Router, req Request) string {
	m, ok := r.Match(&req)
	if !ok {
		return ""
	}
	return m.Route.Name
}

func TestMatchReportsPath(t *testing.T) {
	r := compile(
		t,
		entity.Route{Name: "plain", Paths: []string{"/plain", "/plain/long"}},
		entity.Route{Name: "regex", Paths: []string{`~/r/\d+`, `~/r/(\w)`}},
		entity.Route{Name: "loose", Paths: []string{`~/l/x|/tail`}},
		entity.Route{Name: "none", Methods: []string{"PUT"}},
	)
	tests := []struct {
		method, path string
		want         Match
	}{
		{"GET", "/plain/x", Match{Path: "/plain", Matched: "/plain"}},
		{"GET", "/plain/longer", Match{Path: "/plain/long", Matched: "/plain/long"}},
		{"GET", "/r/12/x", Match{Path: `~/r/\d+`, Matched: "/r/12", Captures: nil}},
		{"GET", "/r/ab", Match{Path: `~/r/(\w)`, Matched: "/r/a", Captures: map[string]string{"0": "/r/a", "1": "a"}}},
		{"GET", "/a/tail", Match{Path: `~/l/x|/tail`, Matched: "/tail"}},
		{"PUT", "/", Match{}},
	}
	for _, test := range tests {
		m, ok := r.Match(&Request{Method: test.method, Path: test.path})
		got := Match{Path: m.Path, Matched: m.Matched, Captures: m.Captures}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(Match{})); !ok || diff != "" {
			t.Errorf("%s: matched %v, -want +got:\n%s", test.path, ok, diff)
		}
	}
}

func TestMatchHeaderCaptures(t *testing.T) {
	r := compile(
		t,
		entity.Route{
			Paths:   []string{`~/both/(\d+)/(?<n>\w)`},
			Headers: map[string][]string{"x-h": {"text", `~*^(?<h>[a-z]+)-(\d)`}},
		},
		entity.Route{Paths: []string{`~/path/(\d+)`}, Headers: map[string][]string{"x-h": {"~*beta"}}},
		entity.Route{Paths: []string{"/header"}, Headers: map[string][]string{"x-h": {"~*(b)"}, "x-i": {"~*(c)(d)"}}},
		entity.Route{Paths: []string{"/nothing"}, Headers: map[string][]string{"x-h": {"~*b"}}},
	)
	tests := []struct {
		name, path string
		header     http.Header
		want       map[string]string
	}{
		{
			"header groups replace those of the path", "/both/12/z",
			http.Header{"X-H": {"nope", "ABC-9"}},
			map[string]string{"0": "abc-9", "1": "abc", "2": "9", "n": "z", "h": "abc"},
		},
		{
			"a text matches first", "/both/12/z",
			http.Header{"X-H": {"abc-9", "Text"}},
			map[string]string{"0": "/both/12/z", "1": "12", "2": "z", "n": "z"},
		},
		{
			"header without groups", "/path/7/x",
			http.Header{"X-H": {"my-beta"}},
			map[string]string{"0": "beta", "1": "7"},
		},
		{
			"two headers", "/header",
			http.Header{"X-H": {"ab"}, "X-I": {"cd"}},
			map[string]string{"0": "cd", "1": "c", "2": "d"},
		},
		{"only the whole", "/nothing", http.Header{"X-H": {"b"}}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, ok := r.Match(&Request{Path: test.path, Header: test.header})
			if diff := cmp.Diff(test.want, m.Captures); !ok || diff != "" {
				t.Errorf("matched %v, -want +got:\n%s", ok, diff)
			}
		})
	}
}

func TestMatchHeaders(t *testing.T) {
	r := compile(
		t,
		entity.Route{Name: "mixed", Headers: map[string][]string{"x-a_b": {"1", "Two"}}},
		entity.Route{Name: "unicode", Headers: map[string][]string{"x-u": {"é", "k"}}},
		entity.Route{Name: "upper", Headers: map[string][]string{"x-u": {"É"}}},
	)
	tests := []struct {
		name   string
		header http.Header
		want   string
	}{
		{"dashes", http.Header{"X-A-B": {"1"}}, "mixed"},
		{"underscores", http.Header{"X_a_b": {"TWO"}}, "mixed"},
		{"underscores go first", http.Header{"X_a_b": {"3"}, "X-A-B": {"1"}}, ""},
		{"neither", http.Header{"X-A_b": {"1"}}, ""},
		{"one of several values", http.Header{"X-A-B": {"0", "two"}}, "mixed"},
		{"the last value that counts", http.Header{"X-A-B": append(make([]string, maxValues-1), "1")}, "mixed"},
		{"one too many", http.Header{"X-A-B": append(make([]string, maxValues), "1")}, ""},
		{"a list in one value", http.Header{"X-A-B": {"0, two"}}, ""},
		{"letters beyond ASCII are folded in the request", http.Header{"X-U": {"É"}}, "unicode"},
		{"to ASCII too", http.Header{"X-U": {"\u212a"}}, "unicode"},
		{"not UTF-8", http.Header{"X-A-B": {"1"}, "X-U": {"\xff"}}, ""},
		{"not UTF-8 in another header", http.Header{"X-A-B": {"1"}, "X-Other": {"\xff"}}, "mixed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := matched(r, Request{Path: "/", Header: test.header}); got != test.want {
				t.Errorf("route %q, want %q", got, test.want)
			}
		})
	}
}

// TestMatchUnreadable: a field that is not valid UTF-8 hides all routes, but only if some route looks at that field.
func TestMatchUnreadable(t *testing.T) {
	any := entity.Route{Name: "any", Methods: []string{"GET"}}
	bad := Request{Method: "GET", Scheme: "https", Host: "a\xff", Path: "/\xff", SNI: "\xff"}
	if got := matched(compile(t, any), bad); got != "any" {
		t.Errorf("no route looks at the fields: route %q", got)
	}
	for name, other := range map[string]entity.Route{
		"path": {Paths: []string{"/x"}},
		"host": {Hosts: []string{"a.test"}},
		"SNI":  {SNIs: []string{"a.test"}},
	} {
		if got := matched(compile(t, any, other), bad); got != "" {
			t.Errorf("a route looks at the %s: route %q, want none", name, got)
		}
	}
}

// TestMatchFiledBySNI: of many rules at one place those for other server names are not in the way.
func TestMatchFiledBySNI(t *testing.T) {
	var routes []entity.Route
	for i := range 50 {
		routes = append(routes, entity.Route{Name: fmt.Sprint(i), SNIs: []string{fmt.Sprintf("s%d.test.", i)}})
	}
	r := compile(t, routes...)
	tests := []struct{ scheme, sni, want string }{
		{"https", "s7.test", "7"},
		{"https", "s7.test.", ""},
		{"https", "", ""},
		{"http", "", "49"}, // without TLS all match, and the highest id wins
	}
	for _, test := range tests {
		if got := matched(r, Request{Scheme: test.scheme, SNI: test.sni, Path: "/"}); got != test.want {
			t.Errorf("%s %q: route %q, want %q", test.scheme, test.sni, got, test.want)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	r := compile(
		t,
		entity.Route{Name: "plain", Paths: []string{"/plain"}},
		entity.Route{Name: "host", Hosts: []string{"a.test"}},
		entity.Route{Name: "wild", Hosts: []string{"*.b.test"}},
		entity.Route{Name: "header", Paths: []string{"/h"}, Headers: map[string][]string{"x-h": {"one"}}},
	)
	for _, req := range []Request{
		{Path: "/plain/x"},
		{Path: "/x", Host: "a.test:8000"},
		{Path: "/x", Host: "a.b.test"},
		{Path: "/h", Header: http.Header{"X-H": {"ONE"}}},
		{Path: "/none"},
	} {
		if n := testing.AllocsPerRun(100, func() { r.Match(&req) }); n != 0 {
			t.Errorf("%+v: %v allocations", req, n)
		}
	}
}

func TestCompileLeavesOut(t *testing.T) {
	path := []string{"/a"}
	r, faulty := Compile([]Entry{
		{Route: &entity.Route{Paths: path}, Service: &entity.Service{Enabled: false}},
		{Route: &entity.Route{Protocols: []string{"tcp", "tls"}, SNIs: []string{"a.test"}}},
		{Route: &entity.Route{Hosts: []string{}, Paths: []string{}}},
		{Route: &entity.Route{Paths: []string{"/a", "/b", "/long", "~/r"}}, Service: &entity.Service{Enabled: true}},
		{Route: &entity.Route{Paths: path}},
	}, nil)
	if faulty != nil {
		t.Fatal(faulty)
	}
	if got, want := r.Len(), 4; got != want {
		t.Errorf("%d rules, want %d", got, want)
	}
}

// TestCompileNamesEveryFault: routes that cannot be compiled are named, and the others are served.
func TestCompileNamesEveryFault(t *testing.T) {
	path := &entity.Route{Name: "one", Paths: []string{"/a", "~/(?=b)"}}
	header := &entity.Route{Meta: entity.Meta{ID: "1234"}, Headers: map[string][]string{"x-a": {`~*\H`}}}
	r, faulty := Compile([]Entry{{Route: path}, {Route: header}, {Route: &entity.Route{Name: "sound", Paths: []string{"/a"}}}}, nil)
	got := map[*entity.Route]string{}
	for route, err := range faulty {
		got[route] = err.Error()
	}
	want := map[*entity.Route]string{
		path:   `paths: "~/(?=b)": unsupported look-ahead (?= in regular expression`,
		header: `headers.x-a: "~*\\H": unsupported escape \h in regular expression`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faulty (-want +got):\n%s", diff)
	}
	if got := matched(r, Request{Path: "/a"}); got != "sound" {
		t.Errorf("/a goes to %q, want sound", got)
	}
}

// TestTieByDerivedID: a route that is split ties by ids of its parts, which are derived from its own.
func TestTieByDerivedID(t *testing.T) {
	split := &entity.Route{Meta: entity.Meta{ID: "00000000-0000-4000-8000-000000000001"}, Paths: []string{"/a", "/bb"}}
	rules, err := newRules(&Entry{Route: split})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rules {
		got = append(got, r.id)
	}
	want := []string{"4c27e75c-320f-5c7d-8070-fbf84b203a9e", "88c08b1f-2356-5fee-847d-a5eb1652c82d"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
