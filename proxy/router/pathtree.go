package router

import (
	"math"
	"strings"
)

// pathNode is a node of a radix tree over the beginnings of paths. A rule sits at each plain path and at the literal
// beginning of each regular expression; one without paths sits at the root. A walk along a request's path therefore
// meets every rule whose paths can match it.
type pathNode struct {
	text     string // of the edge that leads here
	firsts   string // the first byte of each child's text
	children []*pathNode
	leaf     leaf
	best     int // lowest rank in the leaf and below
}

// insert adds a rule. Rules come in ascending rank.
func (n *pathNode) insert(r *rule) {
	if len(r.paths) == 0 {
		n.leaf.add(r)
	}
	for i := range r.paths {
		key := r.paths[i].configured
		if re := r.paths[i].regex; re != nil {
			key = re.prefix
		}
		n.at(key).leaf.add(r)
	}
}

// at gives the node of a key, which it makes if need be.
func (n *pathNode) at(key string) *pathNode {
	for key != "" {
		i := strings.IndexByte(n.firsts, key[0])
		if i < 0 {
			child := &pathNode{text: key}
			n.firsts += key[:1]
			n.children = append(n.children, child)
			return child
		}
		child := n.children[i]
		shared := commonPrefix(key, child.text)
		if shared < len(child.text) {
			upper := &pathNode{text: key[:shared], firsts: child.text[shared : shared+1], children: []*pathNode{child}}
			child.text = child.text[shared:]
			n.children[i] = upper
			child = upper
		}
		n, key = child, key[shared:]
	}
	return n
}

func commonPrefix(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}

// finish prepares the tree for find.
func (n *pathNode) finish() {
	n.best = math.MaxInt
	if len(n.leaf.rules) > 0 {
		n.best = n.leaf.rules[0].rank
	}
	n.leaf.finish()
	for _, child := range n.children {
		child.finish()
		n.best = min(n.best, child.best)
	}
}

// find gives the first rule in the order that matches: one of this tree's, or the one that was best so far.
func (n *pathNode) find(q *query, best *rule) *rule {
	path := q.Path
	for best == nil || n.best < best.rank {
		best = n.leaf.find(q, best)
		if path == "" {
			break
		}
		i := strings.IndexByte(n.firsts, path[0])
		if i < 0 || !strings.HasPrefix(path, n.children[i].text) {
			break
		}
		n = n.children[i]
		path = path[len(n.text):]
	}
	return best
}
