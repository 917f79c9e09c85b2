package router

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// leaf holds the rules of one node of a path tree. A few are tried in turn. Many are filed further: by the value of a
// header, by server name, or by the literal end of regular expressions.
type leaf struct {
	rules []*rule // all, in ascending rank

	scan    []*rule // those that are filed nowhere
	headers headerSet
	byValue []map[string][]*rule // for each of the headers: value in lower case → rules
	bySNI   map[string][]*rule
	anySNI  []*rule // all of bySNI's: without TLS, server names do not count

	bySuffix map[string][]*rule
	suffixes []int // the lengths of bySuffix's keys
}

// fewRules is how many rules are tried in turn before filing them pays.
const fewRules = 8

// add appends a rule. Ranks ascend; a rule may come several times in a row.
func (l *leaf) add(r *rule) {
	if n := len(l.rules); n == 0 || l.rules[n-1] != r {
		l.rules = append(l.rules, r)
	}
}

func (l *leaf) finish() {
	if len(l.rules) <= fewRules {
		l.scan = l.rules
		return
	}
	variety := headerVariety(l.rules)
	for _, r := range l.rules {
		h := mostVaried(r, variety)
		switch {
		case h != nil:
			i := l.headers.add(h.name)
			if i == len(l.byValue) {
				l.byValue = append(l.byValue, make(map[string][]*rule))
			}
			for _, v := range h.values {
				file(l.byValue[i], v.text, r)
			}
		case len(r.snis) > 0:
			if l.bySNI == nil {
				l.bySNI = make(map[string][]*rule)
			}
			for _, sni := range r.snis {
				file(l.bySNI, sni, r)
			}
			l.anySNI = append(l.anySNI, r)
		case endLiterally(r):
			for _, p := range r.paths {
				l.fileSuffix(p.regex.suffix, r)
			}
		default:
			l.scan = append(l.scan, r)
		}
	}
}

// endLiterally reports whether a rule's paths are regular expressions that all have a literal end.
func endLiterally(r *rule) bool {
	return len(r.paths) > 0 && !slices.ContainsFunc(r.paths, func(p pathPattern) bool {
		return p.regex == nil || p.regex.suffix == ""
	})
}

func (l *leaf) fileSuffix(suffix string, r *rule) {
	if l.bySuffix == nil {
		l.bySuffix = make(map[string][]*rule)
	}
	file(l.bySuffix, suffix, r)
	if !slices.Contains(l.suffixes, len(suffix)) {
		l.suffixes = append(l.suffixes, len(suffix))
	}
}

func file(index map[string][]*rule, key string, r *rule) {
	if !slices.Contains(index[key][max(0, len(index[key])-1):], r) {
		index[key] = append(index[key], r)
	}
}

// headerVariety counts the different texts that rules ask for, by header.
func headerVariety(rules []*rule) map[headerName]int {
	type pair struct {
		name headerName
		text string
	}
	seen := make(map[pair]bool)
	variety := make(map[headerName]int)
	for _, r := range rules {
		for _, h := range r.headers {
			for _, v := range h.values {
				if p := (pair{h.name, v.text}); v.regex == nil && !seen[p] {
					seen[p] = true
					variety[h.name]++
				}
			}
		}
	}
	return variety
}

// mostVaried gives the header that says most about a rule, or nil if it has none with texts only.
func mostVaried(r *rule, variety map[headerName]int) *headerRule {
	var best *headerRule
	for i := range r.headers {
		h := &r.headers[i]
		if h.plain() && (best == nil || variety[h.name] > variety[best.name]) {
			best = h
		}
	}
	return best
}

// find gives the first rule in the order that matches: one of the leaf's, or the one that was best so far.
func (l *leaf) find(q *query, best *rule) *rule {
	best = firstMatch(l.scan, q, best)
	if len(l.byValue) > 0 {
		for i, values := range l.headers.present(q.Header) {
			for _, v := range values {
				best = firstMatch(lookupLower(l.byValue[i], v), q, best)
			}
		}
	}
	for _, n := range l.suffixes {
		if n <= len(q.Path) {
			best = firstMatch(l.bySuffix[q.Path[len(q.Path)-n:]], q, best)
		}
	}
	if q.Scheme != "https" {
		return firstMatch(l.anySNI, q, best)
	}
	return firstMatch(l.bySNI[q.SNI], q, best)
}

// firstMatch tries rules in turn as long as they go before the best so far.
func firstMatch(rules []*rule, q *query, best *rule) *rule {
	for _, r := range rules {
		if best != nil && r.rank >= best.rank {
			break
		}
		if r.match(q) {
			return r
		}
	}
	return best
}

// lookupLower looks up a key in lower case, for short ASCII keys without allocation.
func lookupLower(index map[string][]*rule, key string) []*rule {
	var buf [64]byte
	if len(key) > len(buf) {
		return index[strings.ToLower(key)]
	}
	for i := range len(key) {
		c := key[i]
		if c >= utf8.RuneSelf {
			return index[strings.ToLower(key)]
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return index[string(buf[:len(key)])]
}
