package router

import (
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// pattern is a compiled regular expression.
type pattern struct {
	re *regexp.Regexp
	literals
}

// compilePathPattern compiles a path that begins with "~". As in Kong a caret is put before the text, so that it
// anchors the first of several alternatives only, and every "?<" becomes "?P<", wherever it stands.
//
// Kong: kong/router/transform.lua path_val_transform
func compilePathPattern(path string) (*pattern, error) {
	return compilePattern("^" + strings.ReplaceAll(path[1:], "?<", "?P<"))
}

// compilePattern compiles an expression of the Rust crate regex, which Kong uses, for Go's RE2.
func compilePattern(expr string) (*pattern, error) {
	translated, err := translate(expr)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(translated)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(translated, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return &pattern{re, findLiterals(tree)}, nil
}

func (p *pattern) match(s string) bool { return p.admit(s) && p.re.MatchString(s) }

// hasGroups reports whether the expression captures anything beside the whole match.
func (p *pattern) hasGroups() bool { return p.re.NumSubexp() > 0 }

// capture gives the text that matches. If caught is not nil, it adds what the groups caught: by number, "0" for the
// whole, and by name. Groups that took no part are left out.
//
// Kong: atc-router src/interpreter.rs Predicate::execute
func (p *pattern) capture(s string, caught map[string]string) string {
	if caught == nil {
		return p.re.FindString(s)
	}
	groups := p.re.FindStringSubmatchIndex(s)
	if groups == nil {
		return ""
	}
	for i, name := range p.re.SubexpNames() {
		if groups[2*i] < 0 {
			continue
		}
		text := s[groups[2*i]:groups[2*i+1]]
		caught[strconv.Itoa(i)] = text
		if name != "" {
			caught[name] = text
		}
	}
	return s[groups[0]:groups[1]]
}
