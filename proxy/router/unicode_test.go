package router

import (
	"regexp/syntax"
	"testing"
	"unicode"
)

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
