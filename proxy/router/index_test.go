package router

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sidekong/configs/entity"
)

// listRouter is the plain meaning of a set of routes: walk all rules in their order and take the first that matches.
// It shares with the router what the vectors prove (rules, priorities, translated expressions), but neither the index
// nor the way in which conditions are checked.
type listRouter []*rule

func newListRouter(t testing.TB, entries []Entry) listRouter {
	t.Helper()
	var list listRouter
	for i := range entries {
		rules, err := newRules(&entries[i])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, rules...)
	}
	return list
}

func (list listRouter) match(req *Request) *rule {
	var best *rule
	for _, r := range list {
		if best != nil && (r.priority < best.priority || r.priority == best.priority && r.id < best.id) {
			continue
		}
		if listMatches(r, req) {
			best = r
		}
	}
	return best
}

var withPort = regexp.MustCompile(`^([^:]*):(\d+)$`)

func listMatches(r *rule, req *Request) bool {
	route := r.entry.Route
	name, port := req.Host, fmt.Sprint(req.Port)
	if m := withPort.FindStringSubmatch(req.Host); m != nil {
		name, port = m[1], m[2]
	}
	anyOf := func(list []string, match func(string) bool) bool {
		return len(list) == 0 || slices.ContainsFunc(list, match)
	}
	if !anyOf(route.Methods, func(s string) bool { return s == req.Method }) {
		return false
	}
	if req.Scheme == "https" && !anyOf(route.SNIs, func(s string) bool { return s == req.SNI }) {
		return false
	}
	if !anyOf(route.Hosts, func(s string) bool {
		pattern, wantPort := s, port
		if m := withPort.FindStringSubmatch(s); m != nil {
			pattern, wantPort = m[1], m[2]
		}
		before, after, wild := strings.Cut(pattern, "*")
		fits := name == pattern || wild && strings.Index(name, before) == 0 && strings.HasSuffix(name, after)
		return req.Host != "" && fits && wantPort == port
	}) {
		return false
	}
	matchesPath := len(r.paths) == 0
	for _, p := range r.paths {
		if p.regex != nil {
			matchesPath = matchesPath || p.regex.re.MatchString(req.Path)
		} else {
			matchesPath = matchesPath || strings.Index(req.Path, p.configured) == 0
		}
	}
	if !matchesPath {
		return false
	}
	for name, wants := range route.Headers {
		if !anyOf(wants, func(want string) bool {
			for _, got := range req.Header.Values(name) {
				if expr, ok := strings.CutPrefix(want, "~*"); ok {
					if regexp.MustCompile(strings.ToLower(expr)).MatchString(strings.ToLower(got)) {
						return true
					}
				} else if strings.EqualFold(want, got) {
					return true
				}
			}
			return false
		}) {
			return false
		}
	}
	return true
}

func pick(rnd *rand.Rand, from ...string) string { return from[rnd.IntN(len(from))] }

// some picks up to n of the texts, and none in half of the cases.
func some(rnd *rand.Rand, n int, from ...string) []string {
	if rnd.IntN(2) == 0 {
		return nil
	}
	var picked []string
	for range 1 + rnd.IntN(n) {
		picked = append(picked, pick(rnd, from...))
	}
	return picked
}

func randomPath(rnd *rand.Rand) string {
	var b strings.Builder
	for range 1 + rnd.IntN(3) {
		b.WriteString("/" + pick(rnd, "", "a", "ab", "abc", "b", "é", "1", "22"))
	}
	return b.String()
}

func randomEntries(rnd *rand.Rand, n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		route := &entity.Route{
			Meta:    entity.Meta{ID: fmt.Sprintf("%08x-%d", rnd.Uint32(), i)},
			Methods: some(rnd, 2, "GET", "POST", "PUT"),
			Hosts: some(rnd, 2, "a.test", "b.test", "*.test", "*.a.test", "a.*", "x.a.*", "a.test:80", "*.test:8000",
				"*test", "a*", "[::1]"),
			SNIs:          some(rnd, 2, "a.test", "b.test"),
			RegexPriority: int64(rnd.IntN(4) - 1),
		}
		for range rnd.IntN(4) {
			path := randomPath(rnd)
			if rnd.IntN(2) == 0 {
				path = "~" + path + pick(rnd, "", `\d+`, "/(a|b)", ".*b", "$", "|/b", "(?i)/A", `\w`, "[^/]+/abc", "?",
					".*b$", ".*/ab$", ".*/(abc|b)/a$")
			}
			route.Paths = append(route.Paths, path)
		}
		if rnd.IntN(3) == 0 {
			route.Headers = map[string][]string{
				pick(rnd, "x-a", "X-B", "x-c"): {pick(rnd, "1", "2", "3", "Long", "~*^l", "~*[0-9]", "é")},
				pick(rnd, "x-a", "x-d"):        {pick(rnd, "1", "2"), pick(rnd, "3", "4")},
			}
		}
		entries[i] = Entry{Route: route}
	}
	return entries
}

func randomRequest(rnd *rand.Rand) *Request {
	req := &Request{
		Method: pick(rnd, "GET", "POST", "DELETE"),
		Scheme: pick(rnd, "http", "https"),
		Host: pick(rnd, "a.test", "b.test", "x.a.test", "x.y.a.test", ".test", "a.b.c", "x.a.b", "a.test:80", "a.test:81",
			"q.test:8000", "atest", "", "[::1]", "[::1]:80", "a.test:x", "test."),
		Path:   randomPath(rnd),
		Header: make(http.Header),
		Port:   8000,
	}
	if req.Scheme == "https" {
		req.SNI = pick(rnd, "a.test", "b.test", "")
	}
	for range rnd.IntN(5) {
		req.Header.Add(pick(rnd, "x-a", "x-b", "x-c", "x-d", "x-e", "x-f"), pick(rnd, "1", "2", "3", "LONG", "long", "é", "É"))
	}
	return req
}

// TestIndexEqualsList: the index never changes the answer, for small sets and for leaves with many rules.
func TestIndexEqualsList(t *testing.T) {
	matched := 0
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		entries := randomEntries(rnd, 1+rnd.IntN(150))
		router, faulty := Compile(entries, nil)
		if faulty != nil {
			t.Fatal(faulty)
		}
		list := newListRouter(t, entries)
		for range 40 {
			req := randomRequest(rnd)
			want := list.match(req)
			m, ok := router.Match(req)
			switch {
			case ok != (want != nil):
				t.Fatalf("seed %d: %+v: matched %v, want rule %+v", seed, req, ok, want)
			case ok && m.Route != want.entry.Route:
				t.Fatalf("seed %d: %+v: route %+v, want %+v", seed, req, m.Route, want.entry.Route)
			}
			if ok {
				matched++
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d requests matched", matched)
	}
}
