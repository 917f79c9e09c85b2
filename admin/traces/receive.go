package traces

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Received is what became of what somebody sent.
type Received struct {
	Spans, Logs int      // taken
	Rejected    int      // spans and log records that were not
	Reason      string   // for the first of these
	Traces      []string // ids of the traces that got something, at most maxReceived
}

const (
	maxReceived = 100
	// maxStored bounds what one call stores: a resource is stored again with each of its traces.
	maxStored = 4 * maxPost
)

func (r *Received) reject(n int, reason string) {
	r.Rejected += n
	if r.Reason == "" {
		r.Reason = reason
	}
}

func (r *Received) note(id string) {
	if len(r.Traces) < maxReceived {
		r.Traces = append(r.Traces, id)
	}
}

// Reasons for which spans and logs are rejected.
const (
	reasonID    = "a span wants a trace id of 16 bytes and a span id of 8 that are not all zero"
	reasonLarge = "the trace is larger than what the store takes of one"
	reasonMany  = "too many traces at once for a resource of this size"
)

// TakeSpans stores the spans that somebody sent, each with its trace.
func (s *Store) TakeSpans(sent []*tracepb.ResourceSpans) (r Received) {
	seen, budget := map[[16]byte]bool{}, maxStored
	for _, resource := range sent {
		split := map[[16]byte]*tracepb.ResourceSpans{}
		var order [][16]byte
		for _, scoped := range resource.GetScopeSpans() {
			latest := map[[16]byte]*tracepb.ScopeSpans{}
			for _, span := range scoped.GetSpans() {
				id, ok := validID(span.GetTraceId())
				if !ok || len(span.GetSpanId()) != 8 || string(span.GetSpanId()) == zeros[:8] {
					r.reject(1, reasonID)
					continue
				}
				if split[id] == nil {
					split[id] = &tracepb.ResourceSpans{Resource: resource.GetResource(), SchemaUrl: resource.GetSchemaUrl()}
					order = append(order, id)
				}
				if latest[id] == nil {
					latest[id] = &tracepb.ScopeSpans{Scope: scoped.GetScope(), SchemaUrl: scoped.GetSchemaUrl()}
					split[id].ScopeSpans = append(split[id].ScopeSpans, latest[id])
				}
				latest[id].Spans = append(latest[id].Spans, span)
			}
		}
		for _, id := range order {
			spans := 0
			for _, scoped := range split[id].GetScopeSpans() {
				spans += len(scoped.GetSpans())
			}
			message, err := proto.Marshal(split[id])
			switch {
			case err != nil:
				r.reject(spans, err.Error())
			case len(message) > budget:
				r.reject(spans, reasonMany)
			case !s.AddSpans(id, message):
				r.reject(spans, reasonLarge)
			default:
				budget -= len(message)
				r.Spans += spans
				if !seen[id] {
					seen[id] = true
					r.note(fmt.Sprintf("%x", id))
				}
			}
		}
	}
	return r
}

// TakeLogs stores the log records that name a trace. Those that don't are passed over: there is nothing to show them
// with.
func (s *Store) TakeLogs(sent []*logspb.ResourceLogs) (r Received) {
	seen, budget := map[[16]byte]bool{}, maxStored
	for _, resource := range sent {
		split := map[[16]byte]*logspb.ResourceLogs{}
		var order [][16]byte
		for _, scoped := range resource.GetScopeLogs() {
			latest := map[[16]byte]*logspb.ScopeLogs{}
			for _, record := range scoped.GetLogRecords() {
				id, ok := validID(record.GetTraceId())
				if !ok {
					continue
				}
				if split[id] == nil {
					split[id] = &logspb.ResourceLogs{Resource: resource.GetResource(), SchemaUrl: resource.GetSchemaUrl()}
					order = append(order, id)
				}
				if latest[id] == nil {
					latest[id] = &logspb.ScopeLogs{Scope: scoped.GetScope(), SchemaUrl: scoped.GetSchemaUrl()}
					split[id].ScopeLogs = append(split[id].ScopeLogs, latest[id])
				}
				latest[id].LogRecords = append(latest[id].LogRecords, record)
			}
		}
		for _, id := range order {
			records := 0
			for _, scoped := range split[id].GetScopeLogs() {
				records += len(scoped.GetLogRecords())
			}
			message, err := proto.Marshal(split[id])
			switch {
			case err != nil:
				r.reject(records, err.Error())
			case len(message) > budget:
				r.reject(records, reasonMany)
			case !s.AddLogs(id, message):
				r.reject(records, reasonLarge)
			default:
				budget -= len(message)
				r.Logs += records
				if !seen[id] {
					seen[id] = true
					r.note(fmt.Sprintf("%x", id))
				}
			}
		}
	}
	return r
}

const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func validID(raw []byte) (id [16]byte, ok bool) {
	if len(raw) != len(id) || string(raw) == zeros {
		return id, false
	}
	return [16]byte(raw), true
}

// Import stores what a file holds: OTLP JSON, one document or one a line, or OTLP protobuf; traces or logs.
func (s *Store) Import(file []byte) (r Received, err error) {
	if len(file) == 0 {
		return r, errors.New("import: the file is empty")
	}
	if !looksLikeJSON(file) {
		var request collectortrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(file, &request); err != nil {
			return r, fmt.Errorf("import: neither OTLP JSON nor OTLP protobuf: %w", err)
		}
		return s.TakeSpans(request.GetResourceSpans()), nil
	}
	for at, document := range documents(file) {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(document, &members); err != nil {
			return r, fmt.Errorf("import: document %d: %w", at+1, err)
		}
		_, spans := members["resourceSpans"]
		_, logs := members["resourceLogs"]
		if !spans && !logs {
			return r, fmt.Errorf("import: document %d has neither resourceSpans nor resourceLogs", at+1)
		}
		if spans {
			var request collectortrace.ExportTraceServiceRequest
			if err := UnmarshalJSON(document, &request); err != nil {
				return r, fmt.Errorf("import: document %d: %w", at+1, err)
			}
			r.add(s.TakeSpans(request.GetResourceSpans()))
		}
		if logs {
			var request collectorlogs.ExportLogsServiceRequest
			if err := UnmarshalJSON(document, &request); err != nil {
				return r, fmt.Errorf("import: document %d: %w", at+1, err)
			}
			r.add(s.TakeLogs(request.GetResourceLogs()))
		}
	}
	return r, nil
}

func (r *Received) add(more Received) {
	r.Spans += more.Spans
	r.Logs += more.Logs
	r.reject(more.Rejected, more.Reason)
	for _, id := range more.Traces {
		r.note(id)
	}
}

func looksLikeJSON(file []byte) bool {
	text := bytes.TrimLeft(file, " \t\r\n")
	return len(text) > 0 && text[0] == '{'
}

// documents takes a file apart into its JSON documents. What is no JSON is the last one.
func documents(file []byte) (all [][]byte) {
	d := json.NewDecoder(bytes.NewReader(file))
	for {
		var document json.RawMessage
		err := d.Decode(&document)
		if err == io.EOF {
			return all
		}
		if err != nil {
			return append(all, file[min(d.InputOffset(), int64(len(file))):])
		}
		all = append(all, document)
	}
}
