package opentelemetry

import (
	"context"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// Lines of requests that no plugin instance has claimed yet wait, up to these numbers. What is beyond goes out without
// the ids of a trace.
const (
	maxWaitingRequests = 256
	maxWaitingLines    = 64
)

// logLines carries the program's log lines to the exporters of logs. A line with a request_id belongs to the request of
// that id. From the moment that a plugin instance has settled the request's trace until the request is complete, its
// lines go to that instance's logs_endpoint and bear the trace's ids; lines from before wait for that moment. All other
// lines are the process's own: they go to the global instances' exporters or, where there is none, to all.
type logLines struct {
	active atomic.Int64 // exporters that are used, each use counted
	ended  atomic.Bool
	plain  *slog.Logger // writes without sending; nil: LogHandler was not called

	mu      sync.Mutex
	uses    map[*exporter]*use
	claims  map[string]*claim            // by request id
	waiting map[string][]*otlp.LogRecord // by request id
	order   []string                     // of waiting, oldest first
}

// use is how often an exporter of logs is used.
type use struct{ global, scoped int }

// claim is what the lines of a request get.
type claim struct {
	to       *exporter // nil: the request's lines are not sent
	trace    tracing.TraceID
	span     tracing.SpanID
	flags    uint8
	resource []byte
}

// LogHandler makes a handler that passes records on to next and sends those that next takes to the receivers that
// logs_endpoint names. It is called once, before the first plugin instance is made; the exporters' own lines take that
// way from then on, but for those about sending lines.
func (e *Exporters) LogHandler(next slog.Handler) slog.Handler {
	e.lines.plain = e.log
	handler := &lineHandler{next: next, lines: &e.lines}
	e.log = slog.New(handler)
	return handler
}

// sending reports whether lines are sent to anybody.
func (l *logLines) sending() bool { return l.active.Load() > 0 && !l.ended.Load() }

// direct gives a logger whose lines are not sent.
func (l *logLines) direct(log *slog.Logger) *slog.Logger {
	if l.plain != nil {
		return l.plain
	}
	return log
}

func (l *logLines) add(x *exporter, global bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uses == nil {
		l.uses, l.claims, l.waiting = map[*exporter]*use{}, map[string]*claim{}, map[string][]*otlp.LogRecord{}
	}
	if l.uses[x] == nil {
		l.uses[x] = &use{}
	}
	l.uses[x].count(global, 1)
	l.active.Add(1)
}

func (l *logLines) remove(x *exporter, global bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses[x].count(global, -1)
	if *l.uses[x] == (use{}) {
		delete(l.uses, x)
	}
	if l.active.Add(-1) == 0 {
		clear(l.waiting)
		l.order = nil
	}
}

func (u *use) count(global bool, n int) {
	if global {
		u.global += n
	} else {
		u.scoped += n
	}
}

// claim says what becomes of the lines of a request.
func (l *logLines) claim(requestID string, c *claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claims == nil {
		return
	}
	l.claims[requestID] = c
	for _, record := range l.takeWaiting(requestID) {
		c.send(record)
	}
}

// release is called when the request is complete.
func (l *logLines) release(requestID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.claims, requestID)
}

func (l *logLines) takeWaiting(requestID string) []*otlp.LogRecord {
	records, ok := l.waiting[requestID]
	if ok {
		delete(l.waiting, requestID)
		i := slices.Index(l.order, requestID)
		l.order = slices.Delete(l.order, i, i+1)
	}
	return records
}

// take finds the receivers of a line. One that bears the id of a trace and that nobody claims comes after its request.
func (l *logLines) take(requestID string, record *otlp.LogRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.claims[requestID]; c != nil {
		c.send(record)
		return
	}
	if requestID == "" || record.TraceID.IsValid() {
		l.sendOwn(record)
		return
	}
	records, known := l.waiting[requestID]
	if !known {
		if len(l.order) >= maxWaitingRequests {
			for _, old := range l.takeWaiting(l.order[0]) {
				l.sendOwn(old)
			}
		}
		l.order = append(l.order, requestID)
	}
	if len(records) >= maxWaitingLines {
		l.sendOwn(records[0])
		records = slices.Delete(records, 0, 1)
	}
	l.waiting[requestID] = append(records, record)
}

func (c *claim) send(record *otlp.LogRecord) {
	if c.to == nil {
		return
	}
	record.TraceID, record.Flags, record.Resource = c.trace, c.flags, c.resource
	if !record.SpanID.IsValid() {
		record.SpanID = c.span
	}
	c.to.queue.Append(record)
}

// sendOwn sends a line of the process.
func (l *logLines) sendOwn(record *otlp.LogRecord) {
	anyGlobal := false
	for _, u := range l.uses {
		anyGlobal = anyGlobal || u.global > 0
	}
	for x, u := range l.uses {
		if u.global > 0 || !anyGlobal {
			x.queue.Append(record)
		}
	}
}

// lineHandler is the slog.Handler in front of the program's own.
type lineHandler struct {
	next  slog.Handler
	lines *logLines
	group string // with a dot at its end; "": none
	attrs []slog.Attr
}

func (h *lineHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.next = h.next.WithAttrs(attrs)
	more.attrs = slices.Clip(h.attrs)
	for _, attr := range attrs {
		more.attrs = append(more.attrs, slog.Attr{Key: h.group + attr.Key, Value: attr.Value})
	}
	return &more
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	more := *h
	more.next = h.next.WithGroup(name)
	more.group = h.group + name + "."
	return &more
}

func (h *lineHandler) Handle(ctx context.Context, record slog.Record) error {
	err := h.next.Handle(ctx, record)
	if h.lines.sending() {
		line := newLine(record)
		for _, attr := range h.attrs {
			line.add("", attr)
		}
		record.Attrs(func(attr slog.Attr) bool {
			line.add(h.group, attr)
			return true
		})
		h.lines.take(line.requestID, line.record)
	}
	return err
}

// line is a log record in the making.
type line struct {
	record    *otlp.LogRecord
	requestID string
}

// severities are OTLP's numbers and Kong's texts of the levels, by the least level. Kong:
// kong/observability/otlp/init.lua map_severity
var severities = []struct {
	level  slog.Level
	number uint8
	text   string
}{
	{16, 23, "EMERG"},
	{14, 21, "ALERT"},
	{12, 19, "CRIT"},
	{slog.LevelError, 17, "ERR"},
	{slog.LevelWarn, 13, "WARN"},
	{2, 11, "NOTICE"},
	{slog.LevelInfo, 9, "INFO"},
}

func newLine(from slog.Record) *line {
	record := &otlp.LogRecord{Time: from.Time, Severity: 5, SeverityText: "DEBUG", Body: from.Message}
	for _, s := range severities {
		if from.Level >= s.level {
			record.Severity, record.SeverityText = s.number, s.text
			break
		}
	}
	if from.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{from.PC}).Next()
		record.Attributes = append(record.Attributes,
			tracing.Attr{Key: "introspection.source", Value: tracing.StringValue(filepath.Base(frame.File))},
			tracing.Attr{Key: "introspection.current.line", Value: tracing.IntValue(int64(frame.Line))})
	}
	return &line{record: record}
}

// add takes an attribute: the ids of request, trace and span to their places, a group's one by one.
func (l *line) add(group string, attr slog.Attr) {
	value := attr.Value.Resolve()
	key := group + attr.Key
	switch value.Kind() {
	case slog.KindGroup:
		if attr.Key != "" {
			key += "."
		}
		for _, member := range value.Group() {
			l.add(key, member)
		}
		return
	case slog.KindString:
		text := value.String()
		switch key {
		case "request_id":
			l.requestID, key = text, "request.id" // Kong's name of it
		case "trace_id":
			if id, ok := tracing.ParseTraceID(text); ok {
				l.record.TraceID = id
				return
			}
		case "span_id":
			if id, ok := tracing.ParseSpanID(text); ok {
				l.record.SpanID = id
				return
			}
		}
		l.set(key, tracing.StringValue(strings.Clone(text)))
	case slog.KindInt64:
		l.set(key, tracing.IntValue(value.Int64()))
	case slog.KindUint64:
		l.set(key, tracing.IntValue(int64(value.Uint64())))
	case slog.KindBool:
		l.set(key, tracing.BoolValue(value.Bool()))
	case slog.KindFloat64:
		l.set(key, tracing.FloatValue(value.Float64()))
	default:
		l.set(key, tracing.StringValue(value.String()))
	}
}

func (l *line) set(key string, value tracing.Value) {
	if key != "" {
		l.record.Attributes = append(l.record.Attributes, tracing.Attr{Key: key, Value: value})
	}
}
