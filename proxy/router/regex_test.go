package router

import (
	"maps"
	"regexp/syntax"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestTranslate(t *testing.T) {
	tests := []struct {
		expr            string
		matches, misses []string
	}{
		{`^\d+$`, []string{"12", "١٢"}, []string{"a", ""}},
		{`^\D+$`, []string{"ab"}, []string{"1", "١"}},
		{`^\w+$`, []string{"aé_9", "日本"}, []string{"-", "a b"}},
		{`^\W+$`, []string{"-+ "}, []string{"a", "é", "_"}},
		{`^\s+$`, []string{" \t\n\v\u0085\u00a0\u2003"}, []string{"x"}},
		{`^\S+$`, []string{"xé"}, []string{"\u00a0", "\v"}},
		{`^[\w.-]+$`, []string{"é.-"}, []string{"/"}},
		{`^[^\W_]+$`, []string{"é9"}, []string{"_", "-"}},
		{`^[\D]+$`, []string{"x"}, []string{"5"}},
		{`^[^\s\d]$`, []string{"x"}, []string{"5", " "}},
		{`^a++$`, []string{"a", "aaa"}, []string{"", "b"}},
		{`^(?:ab)*?+$`, []string{"", "abab"}, []string{"aba"}},
		{`^x{2}{2}$`, []string{"xxxx"}, []string{"xx"}},
		{`^(a)(b)++$`, []string{"abb"}, []string{"aab"}},
		{`^\u00e9\x{e9}\U000000E9\xe9$`, []string{"éééé"}, nil},
		{`^[\x41-\x43]$`, []string{"B"}, []string{"D"}},
		{`^[]a-]$`, []string{"]", "a", "-"}, []string{"b"}},
		{`^[^-]$`, []string{"b"}, []string{"-"}},
		{`^[[:alpha:]_]+$`, []string{"a_"}, []string{"1"}},
		{`(?i)^é(?-i)a$`, []string{"Éa"}, []string{"éA"}},
		{`(?u)^(?iu:a)b$`, []string{"Ab"}, []string{"AB"}},
		{`^\/\-\_\ $`, []string{"/-_ "}, nil},
		{`^\pL\p{Nd}\P{L}$`, []string{"a1-"}, []string{"a1b"}},
		{`^.$`, []string{"é"}, []string{"\n", "ab"}},
		{`\Aa\z`, []string{"a"}, []string{"a\n"}},
		{`a$`, []string{"ba"}, []string{"a\n"}},
		{`\bé`, []string{"aé"}, []string{"é"}}, // RE2's words are ASCII
	}
	for _, test := range tests {
		p, err := compilePattern(test.expr)
		if err != nil {
			t.Errorf("%s: %v", test.expr, err)
			continue
		}
		for _, s := range test.matches {
			if !p.match(s) {
				t.Errorf("%s does not match %q", test.expr, s)
			}
		}
		for _, s := range test.misses {
			if p.match(s) {
				t.Errorf("%s matches %q", test.expr, s)
			}
		}
	}
}

func TestTranslateNamesConstruct(t *testing.T) {
	tests := []struct{ expr, want string }{
		{`(?=a)`, "look-ahead (?="},
		{`(?!a)`, "look-ahead (?!"},
		{`(?<=a)`, "look-behind (?<="},
		{`(?P<!a)`, "look-behind (?<!"},
		{`(a)\1`, `back-reference \1`},
		{`\012`, `back-reference \0`},
		{`(?>a)`, "atomic group (?>"},
		{`(?x) a`, `flag 'x'`},
		{`(?-u:a)`, `flag 'u'`},
		{`(?P<1a>x)`, "group name that begins with a digit"},
		{`\Qa\E`, `escape \Q`},
		{`\<a`, `escape \<`},
		{`\é`, `escape \é`},
		{`\b{start}`, `\b here`},
		{`[\b]`, `\b here`},
		{`[\A]`, `\A in a class`},
		{`[a[bc]]`, "class inside a class"},
		{`[a&&b]`, "set operation && in a class"},
		{`[a--b]`, "set operation -- in a class"},
		{`[a~~b]`, "set operation ~~ in a class"},
		{`[\w-.]`, "range from a class"},
		{`a{,3}`, "brace that begins no repetition"},
		{`a{`, "brace that begins no repetition"},
		{`(?i`, "unclosed group"},
		{`a{2000}`, "invalid repeat count: `{2000}`"},
		{`*a`, "repetition of nothing"},
		{`(|+)`, "repetition of nothing"},
		{`(?i)*`, "repetition of nothing"},
		{`a)`, "unopened group"},
		{`(a`, "missing closing )"},
		{`[a`, "unclosed class"},
		{`a\`, "backslash at the end"},
		{`\x4`, `invalid \x`},
		{`\x{}`, `invalid \x`},
		{`\x{zz}`, `invalid \x`},
		{`\u12`, `invalid \u`},
		{`\p{Nonsense}`, "invalid character class range"},
		{"\xff", "invalid UTF-8"},
	}
	for _, test := range tests {
		_, err := compilePattern(test.expr)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want it to name %s", test.expr, err, test.want)
		}
	}
}

// TestUnicodeClasses compares with the definitions over all of Unicode.
func TestUnicodeClasses(t *testing.T) {
	definitions := map[byte]func(r rune) bool{
		'd': func(r rune) bool { return unicode.Is(unicode.Nd, r) },
		's': func(r rune) bool { return unicode.Is(unicode.White_Space, r) },
		'w': func(r rune) bool {
			return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Other_Alphabetic, unicode.Pc,
				unicode.Join_Control)
		},
	}
	for class, definition := range definitions {
		want := make([]bool, unicode.MaxRune+1)
		for r := range want {
			want[r] = definition(rune(r))
		}
		for _, expr := range []string{`\` + string(class), `[^\` + string(class-'a'+'A') + `]`} {
			translated, err := translate(expr)
			if err != nil {
				t.Fatal(err)
			}
			tree, err := syntax.Parse(translated, syntax.Perl)
			if err != nil || tree.Op != syntax.OpCharClass {
				t.Fatalf("%s: %v, %v", expr, tree, err)
			}
			ranges := tree.Rune // pairs of first and last
			for r, want := range want {
				for len(ranges) > 0 && ranges[1] < rune(r) {
					ranges = ranges[2:]
				}
				if got := len(ranges) > 0 && ranges[0] <= rune(r); got != want {
					t.Fatalf("%s has %U: %v, want %v", expr, r, got, want)
				}
			}
		}
	}
}

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
