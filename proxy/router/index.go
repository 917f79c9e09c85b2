package router

import "strings"

// hostIndex leads from a Host header to the path trees of the rules that can match it.
type hostIndex struct {
	size int

	exact, suffix, prefix map[string]*pathNode // keys: host, what follows and what precedes the asterisk
	longest               int                  // of the keys of suffix and prefix
	others                *pathNode            // rules without hosts, or with wildcards in unusual places
}

// newHostIndex indexes rules, which come in their order.
func newHostIndex(rules []*rule, pause func()) hostIndex {
	x := hostIndex{
		size:  len(rules),
		exact: make(map[string]*pathNode), suffix: make(map[string]*pathNode), prefix: make(map[string]*pathNode),
		others: &pathNode{},
	}
	for _, rule := range rules {
		pause()
		if len(rule.hosts) == 0 {
			x.others.insert(rule)
		}
		for _, h := range rule.hosts {
			x.treeFor(&h).insert(rule)
		}
	}
	for _, trees := range []map[string]*pathNode{x.exact, x.suffix, x.prefix, {"": x.others}} {
		for _, tree := range trees {
			tree.finish()
		}
	}
	return x
}

func (x *hostIndex) treeFor(h *hostPattern) *pathNode {
	trees := x.exact
	switch {
	case h.kind == suffixHost && strings.HasPrefix(h.text, "."):
		trees = x.suffix
	case h.kind == prefixHost && strings.HasSuffix(h.text, "."):
		trees = x.prefix
	case h.kind != exactHost:
		return x.others
	}
	if h.kind != exactHost {
		x.longest = max(x.longest, len(h.text))
	}
	tree := trees[h.text]
	if tree == nil {
		tree = &pathNode{}
		trees[h.text] = tree
	}
	return tree
}

// find gives the first rule in the order that matches, or nil.
func (x *hostIndex) find(q *query) *rule {
	var best *rule
	if tree := x.exact[q.host]; tree != nil {
		best = tree.find(q, best)
	}
	if len(x.suffix) > 0 {
		for i := max(0, len(q.host)-x.longest); i < len(q.host); i++ {
			if q.host[i] != '.' {
				continue
			}
			if tree := x.suffix[q.host[i:]]; tree != nil {
				best = tree.find(q, best)
			}
		}
	}
	if len(x.prefix) > 0 {
		for i := range min(x.longest, len(q.host)) {
			if q.host[i] != '.' {
				continue
			}
			if tree := x.prefix[q.host[:i+1]]; tree != nil {
				best = tree.find(q, best)
			}
		}
	}
	return x.others.find(q, best)
}
