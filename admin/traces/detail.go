package traces

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// detail decodes everything of a trace.
func (s *Store) detail(t *stored) *Trace {
	spans, logs := t.messages(s.resource)
	b := builder{trace: &Trace{
		Summary: summarise(t, s.resource), Clipped: t.clipped,
		Resources: []Resource{}, Spans: []Span{}, Critical: []PathSegment{}, Strip: []StripSegment{}, Logs: []Log{}, Requests: []GatewayRecord{},
	}, resources: map[string]int{}}
	for _, message := range spans {
		b.add(message)
	}
	b.grow(s)
	for _, message := range logs {
		b.addLogs(message)
	}
	slices.SortStableFunc(b.trace.Logs, func(a, b Log) int { return cmp.Compare(a.Time, b.Time) })
	main := b.main()
	b.trace.Critical = b.critical(main)
	b.trace.Strip = b.strip(main)
	t.notes(func(note, spans []byte) bool {
		b.addRequest(note, spans)
		return true
	})
	slices.SortStableFunc(b.trace.Requests, func(a, c GatewayRecord) int {
		return cmp.Compare(b.trace.Spans[a.Span].Start, b.trace.Spans[c.Span].Start)
	})
	return b.trace
}

// builder makes a Trace.
type builder struct {
	trace     *Trace
	begin     uint64 // nanoseconds since 1970
	resources map[string]int
	nodes     []*node // in the order of Trace.Spans once they are grown
}

// node is a span in the tree.
type node struct {
	span       *tracepb.Span
	resource   int
	scope      string
	start, end uint64
	parent     int // place in nodes, -1: none
	children   []*node
	place      int
	seen       bool
}

func (b *builder) resource(r *resourcepb.Resource) int {
	key, _ := proto.MarshalOptions{Deterministic: true}.Marshal(r) // it was just decoded
	place, ok := b.resources[string(key)]
	if !ok {
		place = len(b.trace.Resources)
		b.resources[string(key)] = place
		attributes := attributeList(r.GetAttributes())
		name, _ := attributeText(attributes, "service.name")
		b.trace.Resources = append(b.trace.Resources, Resource{Service: name, Attributes: attributes})
	}
	return place
}

func (b *builder) add(message *tracepb.ResourceSpans) {
	resource := b.resource(message.GetResource())
	for _, scoped := range message.GetScopeSpans() {
		scope := strings.TrimSpace(scoped.GetScope().GetName() + " " + scoped.GetScope().GetVersion())
		for _, s := range scoped.GetSpans() {
			start := s.GetStartTimeUnixNano()
			b.nodes = append(b.nodes, &node{
				span: s, resource: resource, scope: scope, start: start, end: max(start, s.GetEndTimeUnixNano()), parent: -1,
			})
		}
	}
}

// grow puts the spans in order.
func (b *builder) grow(s *Store) {
	slices.SortStableFunc(b.nodes, func(a, b *node) int { return cmp.Compare(a.start, b.start) })
	byID := make(map[string]*node, len(b.nodes))
	for _, n := range b.nodes {
		byID[string(n.span.GetSpanId())] = n
	}
	var roots []*node
	for _, n := range b.nodes {
		parent := byID[string(n.span.GetParentSpanId())]
		if parent == nil || parent == n {
			roots = append(roots, n)
		} else {
			parent.children = append(parent.children, n)
		}
	}
	if len(b.nodes) > 0 {
		b.begin = b.nodes[0].start
	}
	all := b.nodes
	b.nodes = make([]*node, 0, len(all))
	for _, n := range roots {
		b.place(s, n, -1)
	}
	for _, n := range all {
		if !n.seen { // part of a cycle, which only a broken sender makes
			b.place(s, n, -1)
		}
	}
}

// place adds a span and what hangs below it. Depth is bounded by what a trace may hold.
func (b *builder) place(s *Store, n *node, parent int) {
	if n.seen {
		return
	}
	n.seen, n.parent, n.place = true, parent, len(b.nodes)
	b.nodes = append(b.nodes, n)
	b.trace.Spans = append(b.trace.Spans, b.describe(s, n))
	place := n.place
	kept := n.children[:0]
	for _, child := range n.children {
		if !child.seen {
			kept = append(kept, child)
			b.place(s, child, place)
		}
	}
	n.children = kept
	b.trace.Spans[place].Self = b.self(n)
}

func (b *builder) describe(s *Store, n *node) Span {
	m := n.span
	out := Span{
		ID: hex.EncodeToString(m.GetSpanId()), Parent: hex.EncodeToString(m.GetParentSpanId()), Name: m.GetName(), Kind: kindName(m.GetKind()),
		Service: b.trace.Resources[n.resource].Service, Resource: n.resource, Scope: n.scope,
		Start: between(b.begin, n.start), Duration: between(n.start, n.end),
		StatusText: m.GetStatus().GetMessage(), State: m.GetTraceState(),
		Attributes: attributeList(m.GetAttributes()), Events: []Event{}, Links: []Link{},
	}
	if n.parent >= 0 {
		out.Depth = b.trace.Spans[n.parent].Depth + 1
	} else {
		out.Missing = len(m.GetParentSpanId()) > 0
	}
	switch m.GetStatus().GetCode() {
	case tracepb.Status_STATUS_CODE_OK:
		out.Status = "ok"
	case tracepb.Status_STATUS_CODE_ERROR:
		out.Status = "error"
	}
	for _, e := range m.GetEvents() {
		out.Events = append(out.Events, Event{
			Name: e.GetName(), Time: between(b.begin, e.GetTimeUnixNano()), Attributes: attributeList(e.GetAttributes()),
		})
	}
	slices.SortStableFunc(out.Events, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) })
	for _, l := range m.GetLinks() {
		link := Link{
			TraceID: hex.EncodeToString(l.GetTraceId()), SpanID: hex.EncodeToString(l.GetSpanId()), State: l.GetTraceState(),
			Attributes: attributeList(l.GetAttributes()),
		}
		if id, ok := parseID(link.TraceID); ok {
			link.Stored = s.has(id)
		}
		out.Links = append(out.Links, link)
	}
	return out
}

func kindName(k tracepb.Span_SpanKind) string {
	switch k {
	case tracepb.Span_SPAN_KIND_INTERNAL:
		return "internal"
	case tracepb.Span_SPAN_KIND_SERVER:
		return "server"
	case tracepb.Span_SPAN_KIND_CLIENT:
		return "client"
	case tracepb.Span_SPAN_KIND_PRODUCER:
		return "producer"
	case tracepb.Span_SPAN_KIND_CONSUMER:
		return "consumer"
	}
	return ""
}

// self is the time of a span in which none of its children ran.
func (b *builder) self(n *node) float64 {
	covered := uint64(0)
	until := n.start
	for _, child := range n.children { // by their start
		from, to := max(child.start, until), min(child.end, n.end)
		if from < to {
			covered += to - from
			until = to
		}
	}
	return float64(n.end-n.start-covered) / 1e6
}

// main is the span that speaks for the trace, as in its Summary; nil where there is none.
func (b *builder) main() *node {
	var best *node
	rank := func(n *node) int {
		switch {
		case isGateway(n):
			return 2
		case len(n.span.GetParentSpanId()) == 0:
			return 1
		}
		return 0
	}
	for _, n := range b.nodes {
		if best == nil || rank(n) > rank(best) || rank(n) == rank(best) && n.start < best.start {
			best = n
		}
	}
	return best
}

// isGateway reports whether a span is that of a whole request in a gateway, ours or another.
func isGateway(n *node) bool {
	return n.span.GetName() == "kong" && n.span.GetKind() == tracepb.Span_SPAN_KIND_SERVER
}

func (b *builder) addLogs(message *logspb.ResourceLogs) {
	resource := b.resource(message.GetResource())
	for _, scoped := range message.GetScopeLogs() {
		for _, r := range scoped.GetLogRecords() {
			at := r.GetTimeUnixNano()
			if at == 0 {
				at = r.GetObservedTimeUnixNano()
			}
			body, _ := plain(r.GetBody(), 0)
			severity := strings.ToLower(strings.TrimSpace(r.GetSeverityText()))
			if n := int(r.GetSeverityNumber()); n >= 1 && n <= 24 {
				severity = [...]string{"trace", "debug", "info", "warn", "error", "fatal"}[(n-1)/4]
			}
			b.trace.Logs = append(b.trace.Logs, Log{
				Time: milliseconds(at), SpanID: hex.EncodeToString(r.GetSpanId()), Severity: severity, Number: int(r.GetSeverityNumber()),
				Body: body, Attributes: attributeList(r.GetAttributes()), Service: b.trace.Resources[resource].Service, Resource: resource,
			})
		}
	}
}
