package router

import (
	"strings"
	"testing"
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
