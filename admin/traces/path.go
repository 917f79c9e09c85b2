package traces

import (
	"slices"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// critical finds the critical path below the outermost span around n: going back from its end, always the child that
// ended last before that point is what was waited for, and where none ran, the span itself.
func (b *builder) critical(n *node) []PathSegment {
	path := []PathSegment{}
	if n == nil {
		return path
	}
	for n.parent >= 0 {
		n = b.nodes[n.parent]
	}
	add := func(n *node, from, to uint64) {
		if to > from {
			path = append(path, PathSegment{Span: n.place, Start: between(b.begin, from), Duration: between(from, to)})
		}
	}
	var walk func(n *node, from, to uint64)
	walk = func(n *node, from, to uint64) {
		children := slices.Clone(n.children)
		slices.SortStableFunc(children, func(a, b *node) int { // that ended last first
			switch {
			case a.end > b.end:
				return -1
			case a.end < b.end:
				return 1
			}
			return 0
		})
		for _, child := range children {
			start, end := max(child.start, from), min(child.end, to)
			if child.end > to && child.start < to && to == n.end {
				end = to // it went on after its parent; of that time its parent knows nothing
			} else if child.end > to {
				continue // it ran beside what is on the path already
			}
			if start >= end {
				continue
			}
			add(n, end, to)
			walk(child, start, end)
			to = start
		}
		add(n, from, to)
	}
	walk(n, n.start, n.end)
	slices.Reverse(path)
	return path
}

// strip tells whose time it was: around and within the request of the gateway that speaks for the trace.
func (b *builder) strip(root *node) []StripSegment {
	s := strip{b: b, out: []StripSegment{}}
	if root == nil || !isGateway(root) {
		return s.out
	}
	s.at = root.start
	if root.parent >= 0 {
		if caller := b.nodes[root.parent]; caller.start < root.start {
			s.at = caller.start
			s.until(root.start, "client", "before the gateway had the request", caller)
		}
	}
	for _, try := range root.children {
		if try.span.GetName() != "kong.balancer" || try.start < s.at {
			continue
		}
		s.gateway(root, try.start)
		s.upstream(try)
	}
	s.gateway(root, root.end)
	if root.parent >= 0 {
		caller := b.nodes[root.parent]
		s.until(caller.end, "client", "after the gateway had answered", caller)
	}
	return s.out
}

type strip struct {
	b   *builder
	at  uint64
	out []StripSegment
}

// until adds the time up to a point, unless that has been told.
func (s *strip) until(to uint64, who, what string, by *node) {
	if to <= s.at {
		return
	}
	segment := StripSegment{Who: who, What: what, Start: between(s.b.begin, s.at), Duration: between(s.at, to), Span: -1}
	if by != nil {
		segment.Span = by.place
	}
	s.at = to
	s.out = append(s.out, segment)
}

// gateway tells what the gateway did up to a point.
func (s *strip) gateway(root *node, to uint64) {
	for _, step := range root.children {
		if step.span.GetName() == "kong.balancer" || step.start < s.at || step.start >= to {
			continue
		}
		s.until(step.start, "gateway", "between its phases", root)
		s.until(min(step.end, to), "gateway", stepName(step.span.GetName()), step)
	}
	s.until(to, "gateway", "between its phases", root)
}

// stepName says in words what a span of the gateway stands for.
func stepName(name string) string {
	switch name {
	case "kong.router":
		return "finding the route"
	case "kong.dns":
		return "resolving a name"
	case "kong.database.query":
		return "asking the database"
	case "kong.internal.request":
		return "a request of a script"
	}
	if phase, plugin, ok := strings.Cut(strings.TrimPrefix(name, "kong."), ".plugin."); ok {
		return "plugin " + plugin + ", " + strings.ReplaceAll(phase, "_", " ")
	}
	return name
}

// upstream tells how a try went.
func (s *strip) upstream(try *node) {
	var backend *node
	for _, child := range try.children {
		name := child.span.GetName()
		if strings.HasPrefix(name, "kong.") && child.resource == try.resource {
			continue
		}
		if backend == nil && child.span.GetKind() != tracepb.Span_SPAN_KIND_CLIENT {
			backend = child
		}
	}
	told := false
	for _, child := range try.children {
		switch child.span.GetName() {
		case "kong.send_request_to_upstream":
			s.until(child.start, "network", "connecting", try)
			s.until(child.end, "network", "sending the request", child)
		case "kong.read_headers_from_upstream":
			told = true
			if backend != nil && backend.start < child.end {
				s.until(min(backend.start, child.end), "network", "on the way to the upstream", child)
				s.until(min(backend.end, child.end), "upstream", "the upstream at work", backend)
				s.until(child.end, "network", "on the way back", child)
			}
			s.until(child.end, "upstream", "waiting for the answer's head", child)
		case "kong.read_body_from_upstream":
			s.until(child.end, "upstream", "the answer's body", child)
		}
	}
	if !told && backend != nil && backend.start < try.end {
		s.until(backend.start, "network", "on the way to the upstream", try)
		s.until(min(backend.end, try.end), "upstream", "the upstream at work", backend)
		s.until(try.end, "network", "on the way back", try)
	}
	who, what := "upstream", "the upstream at work"
	if told {
		who, what = "gateway", "ending the answer"
	}
	if try.span.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR && !told {
		who, what = "network", "a try that failed"
	}
	s.until(try.end, who, what, try)
}
