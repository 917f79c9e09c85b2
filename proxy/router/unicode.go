package router

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"sync"
)

// unicodeClasses gives what goes between brackets for \d, \w, \s and their negations, as Unicode Technical Standard 18
// annex C defines them and Rust's regex follows it.
var unicodeClasses = sync.OnceValue(func() map[byte]string {
	classes := map[byte]string{
		'd': `\p{Nd}`,
		's': `\t-\r\x{85}\p{Z}`,
		// Alphabetic is letters, letter numbers, marks (all of them belong here by themselves) and the circled and
		// squared letters; the last two join words.
		'w': `\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}` +
			`\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}\x{200C}\x{200D}`,
	}
	for _, c := range []byte("dsw") {
		classes[c-'a'+'A'] = complement(classes[c])
	}
	return classes
})

// complement gives the ranges of a class that are not in the set.
func complement(set string) string {
	tree, err := syntax.Parse("[^"+set+"]", syntax.Perl)
	if err != nil {
		panic(err) // the sets are constants
	}
	var b strings.Builder
	for i := 0; i < len(tree.Rune); i += 2 {
		fmt.Fprintf(&b, `\x{%X}-\x{%X}`, tree.Rune[i], tree.Rune[i+1])
	}
	return b.String()
}
