package traces

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// Limits of the service map: the newest traces, read for a bounded time, and so many nodes.
const (
	mapTraces = 2000
	mapNodes  = 200
)

// outside is the node that stands for callers that send no spans.
const outside = "client"

// Map draws who calls whom from the newest traces.
func (s *Store) Map() Map {
	m := mapper{nodes: map[string]*Node{}, edges: map[[2]string]*Edge{}}
	read := 0
	s.newestFirst(mapTraces, func(t *stored) {
		read++
		m.add(t, s.resource)
	})
	out := Map{Nodes: []Node{}, Edges: []Edge{}, Traces: read}
	for _, n := range m.nodes {
		n.Mean /= float64(max(n.Requests, 1))
		out.Nodes = append(out.Nodes, *n)
	}
	for _, e := range m.edges {
		e.Mean /= float64(max(e.Requests, 1))
		out.Edges = append(out.Edges, *e)
	}
	slices.SortFunc(out.Nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(out.Edges, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return out
}

// newestFirst reads the newest n traces, for a bounded time.
func (s *Store) newestFirst(n int, yield func(*stored)) {
	deadline := time.Now().Add(searchTime)
	s.mu.Lock()
	epoch, next := s.epoch, s.first+uint64(len(s.entries))
	s.mu.Unlock()
	for n > 0 && time.Now().Before(deadline) {
		some := s.down(epoch, &next, min(n, batch))
		if len(some) == 0 {
			return
		}
		for i := range some {
			yield(s.prepare(&some[i]))
		}
		n -= len(some)
	}
}

type mapper struct {
	nodes map[string]*Node
	edges map[[2]string]*Edge
}

// mapped is a span with what the map wants to know of it.
type mapped struct {
	span
	service string
	gateway bool
	answers bool // a span of another service hangs below it
}

// Kinds of span in OTLP.
const (
	kindServer   = 2
	kindClient   = 3
	kindProducer = 4
	kindConsumer = 5
)

func (m *mapper) add(t *stored, resource []byte) {
	var all []mapped
	byID := map[string]int{}
	t.spans(resource, func(s *span) bool {
		byID[string(s.id)] = len(all)
		all = append(all, mapped{span: *s, service: service(s.resource), gateway: s.own || bytes.HasPrefix(s.name, []byte("kong"))})
		return true
	})
	parent := func(i int) (int, bool) {
		p, ok := byID[string(all[i].parent)]
		return p, ok && p != i
	}
	for i := range all {
		if p, ok := parent(i); ok && all[p].service != all[i].service {
			all[p].answers = true
		}
	}
	for i := range all {
		s := &all[i]
		p, hasParent := parent(i)
		entered := !hasParent || all[p].service != s.service
		if entered && (s.kind == kindServer || s.kind == kindConsumer || !hasParent) {
			to := m.service(s)
			m.count(to, s)
			switch {
			case hasParent:
				m.call(m.service(&all[p]), to, s)
			case s.kind == kindServer:
				from := m.node(outside, "outside", outside)
				m.count(from, s)
				m.call(from, to, s)
			}
			continue
		}
		if (s.kind == kindClient || s.kind == kindProducer) && !s.answers {
			if id, name, kind := callee(s); id != "" {
				to := m.node(id, name, kind)
				m.count(to, s)
				m.call(m.service(s), to, s)
			}
		}
	}
}

// callee names what a client's span calls where that sends no spans of its own.
func callee(s *mapped) (id, name, kind string) {
	var peer, server, port, system, database string
	attributes(s.message, numAttribute, func(key, value []byte) bool {
		switch string(key) {
		case "peer.service":
			peer = text(value)
		case "server.address", "net.peer.name":
			server = text(value)
		case "server.port", "net.peer.port":
			port = text(value)
		case "db.system", "db.system.name":
			system = text(value)
		case "db.name", "db.namespace":
			database = text(value)
		}
		return true
	})
	switch {
	case system != "":
		name = system
		if database != "" {
			name += " " + database
		}
		return "database:" + name, name, "database"
	case bytes.Equal(s.name, []byte("kong.dns")):
		return "", "", ""
	case peer != "":
		return "external:" + peer, peer, "external"
	case server != "":
		if port != "" {
			server += ":" + port
		}
		return "external:" + server, server, "external"
	}
	return "", "", ""
}

func (m *mapper) service(s *mapped) *Node {
	kind, name := "service", s.service
	if name == "" {
		name = "unknown"
	}
	if s.gateway {
		kind = "gateway"
	}
	n := m.node("service:"+name, name, kind)
	if n != nil && s.gateway {
		n.Kind = kind
	}
	return n
}

// node finds or makes a node; nil where there are too many.
func (m *mapper) node(id, name, kind string) *Node {
	n := m.nodes[id]
	if n == nil && len(m.nodes) < mapNodes {
		n = &Node{ID: id, Name: name, Kind: kind}
		m.nodes[id] = n
	}
	return n
}

func (m *mapper) count(n *Node, s *mapped) {
	if n == nil {
		return
	}
	n.Requests++
	n.Mean += max(between(s.start, s.end), 0)
	if s.failed {
		n.Errors++
	}
}

func (m *mapper) call(from, to *Node, s *mapped) {
	if from == nil || to == nil || from == to {
		return
	}
	key := [2]string{from.ID, to.ID}
	e := m.edges[key]
	if e == nil {
		e = &Edge{From: from.ID, To: to.ID}
		m.edges[key] = e
	}
	e.Requests++
	e.Mean += max(between(s.start, s.end), 0)
	if s.failed {
		e.Errors++
	}
}
