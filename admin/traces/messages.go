package traces

import (
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// ownScope is the instrumentation scope of the gateway's spans. Kong: kong/observability/otlp/init.lua
const ownScope = "kong-internal"

// messages decodes a trace. A record that cannot be decoded, which only a damaged file holds, is left out.
func (t *stored) messages(resource []byte) (spans []*tracepb.ResourceSpans, logs []*logspb.ResourceLogs) {
	known := map[string]struct{}{}
	fresh := func(s *tracepb.Span) bool {
		before := len(known)
		known[string(s.GetSpanId())] = struct{}{}
		return len(known) > before
	}
	for _, part := range t.parts {
		switch part.kind {
		case kindOwn:
			_, body := splitOwn(part.body)
			scoped, from := &tracepb.ScopeSpans{}, &resourcepb.Resource{}
			if proto.Unmarshal(body, scoped) != nil || proto.Unmarshal(resource, from) != nil {
				continue
			}
			scoped.Scope = &commonpb.InstrumentationScope{Name: ownScope}
			keep(scoped, fresh)
			spans = append(spans, &tracepb.ResourceSpans{Resource: from, ScopeSpans: []*tracepb.ScopeSpans{scoped}})
		case kindSpans:
			message := &tracepb.ResourceSpans{}
			if proto.Unmarshal(part.body, message) != nil {
				continue
			}
			for _, scoped := range message.GetScopeSpans() {
				keep(scoped, fresh)
			}
			spans = append(spans, message)
		case kindLogs:
			message := &logspb.ResourceLogs{}
			if proto.Unmarshal(part.body, message) == nil {
				logs = append(logs, message)
			}
		}
	}
	return spans, logs
}

func keep(scoped *tracepb.ScopeSpans, fresh func(*tracepb.Span) bool) {
	kept := scoped.Spans[:0]
	for _, s := range scoped.GetSpans() {
		if fresh(s) {
			kept = append(kept, s)
		}
	}
	scoped.Spans = kept
}

// OTLP gives a trace as an OTLP TracesData message; ok is false where there is no such trace.
func (s *Store) OTLP(id string) (data *tracepb.TracesData, ok bool) {
	found, ok := s.find(id)
	if !ok {
		return nil, false
	}
	spans, _ := found.messages(s.resource)
	return &tracepb.TracesData{ResourceSpans: spans}, true
}
