package otlp

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// TreeOptions say what WriteTree shows besides names and durations.
type TreeOptions struct {
	Colour     bool // ANSI escape sequences
	Attributes bool // a line for each attribute
}

// WriteTree writes the spans of one trace, from any number of services, as indented text: children below their
// parents in the order they began, each with its service, duration, status and what its attributes say in short.
// Spans whose parent is not there stand at the left margin.
func WriteTree(w io.Writer, traces []*tracepb.ResourceSpans, options TreeOptions) error {
	t := tree{children: map[string][]*node{}, options: options}
	known := map[string]bool{}
	var all []*node
	for _, rs := range traces {
		service := text(rs.GetResource().GetAttributes(), "service.name")
		for _, ss := range rs.GetScopeSpans() {
			for _, span := range ss.GetSpans() {
				all = append(all, &node{span: span, service: service})
				known[string(span.GetSpanId())] = true
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *node) int {
		return cmp.Compare(a.span.GetStartTimeUnixNano(), b.span.GetStartTimeUnixNano())
	})
	var roots []*node
	for _, n := range all {
		if parent := string(n.span.GetParentSpanId()); known[parent] && parent != string(n.span.GetSpanId()) {
			t.children[parent] = append(t.children[parent], n)
		} else {
			roots = append(roots, n)
		}
	}
	for _, n := range roots {
		t.write(n, "", "")
	}
	_, err := io.WriteString(w, t.out.String())
	return err
}

type node struct {
	span    *tracepb.Span
	service string
	seen    bool
}

type tree struct {
	children map[string][]*node
	options  TreeOptions
	out      strings.Builder
}

// ANSI colours.
const (
	plain = "\x1b[0m"
	bold  = "\x1b[1m"
	faint = "\x1b[2m"
	red   = "\x1b[31m"
	cyan  = "\x1b[36m"
)

func (t *tree) paint(colour, text string) string {
	if !t.options.Colour || text == "" {
		return text
	}
	return colour + text + plain
}

// write writes a span and what hangs below it. first stands before its own line, rest before those below.
func (t *tree) write(n *node, first, rest string) {
	if n.seen { // a cycle, which only a broken sender makes
		return
	}
	n.seen = true
	s := n.span
	name := t.paint(bold, s.GetName())
	if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		name = t.paint(red, s.GetName()+" ✗")
	}
	fields := []string{t.paint(cyan, n.service), name, duration(s), t.paint(faint, summary(s.GetAttributes()))}
	fields = slices.DeleteFunc(fields, func(f string) bool { return f == "" })
	fmt.Fprintf(&t.out, "%s%s\n", first, strings.Join(fields, "  "))
	children := t.children[string(s.GetSpanId())]
	detail := rest + "  "
	if len(children) > 0 {
		detail = rest + "│ "
	}
	for _, e := range s.GetEvents() {
		fmt.Fprintf(&t.out, "%s! %s %s\n", detail, e.GetName(), text(e.GetAttributes(), "exception.message"))
	}
	if t.options.Attributes {
		for _, kv := range s.GetAttributes() {
			fmt.Fprintf(&t.out, "%s%s = %s\n", detail, kv.GetKey(), valueText(kv.GetValue()))
		}
	}
	for i, child := range children {
		if i == len(children)-1 {
			t.write(child, rest+"└─ ", rest+"   ")
		} else {
			t.write(child, rest+"├─ ", rest+"│  ")
		}
	}
}

func duration(s *tracepb.Span) string {
	return (time.Duration(s.GetEndTimeUnixNano()) - time.Duration(s.GetStartTimeUnixNano())).Round(time.Microsecond).String()
}

// summary names what a reader wants to know first.
func summary(attrs []*commonpb.KeyValue) string {
	var parts []string
	for _, keys := range [][]string{
		{"http.method", "http.request.method"},
		{"http.route", "url.path", "http.target"},
		{"http.status_code", "http.response.status_code"},
		{"dns.record.ip"},
	} {
		for _, key := range keys {
			if value := text(attrs, key); value != "" {
				parts = append(parts, value)
				break
			}
		}
	}
	if peer := text(attrs, "net.peer.name"); peer != "" {
		parts = append(parts, peer+":"+text(attrs, "net.peer.port"))
	}
	return strings.Join(parts, " ")
}

// text is an attribute's value as text, "" where there is none.
func text(attrs []*commonpb.KeyValue, key string) string {
	for _, kv := range attrs {
		if kv.GetKey() == key {
			return valueText(kv.GetValue())
		}
	}
	return ""
}

func valueText(v *commonpb.AnyValue) string {
	switch value := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return value.StringValue
	case *commonpb.AnyValue_IntValue:
		return strconv.FormatInt(value.IntValue, 10)
	case *commonpb.AnyValue_BoolValue:
		return strconv.FormatBool(value.BoolValue)
	case *commonpb.AnyValue_DoubleValue:
		return strconv.FormatFloat(value.DoubleValue, 'g', -1, 64)
	default:
		return v.String()
	}
}
