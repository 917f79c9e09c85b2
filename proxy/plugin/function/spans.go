package function

import (
	"math"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"sidekong/tracing"
)

// kong.tracing and its spans. Kong: kong/pdk/tracing.lua

const tracingFile = "/usr/local/share/lua/5.1/kong/pdk/tracing.lua:170: "

func newTracing(L *lua.LState) *lua.LTable {
	t := L.NewTable()
	for name, f := range map[string]func(*lua.LState, *run) int{
		"active_span": tracingActive, "set_active_span": tracingSetActive, "start_span": tracingStart,
		"get_root_span": tracingRoot, "get_spans": tracingSpans,
	} {
		t.RawSetString(name, L.NewFunction(always(f)))
	}
	meta := L.NewTable()
	meta.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		v := lua.LNil
		if key, _ := L.Get(2).(lua.LString); key == "name" {
			v = lua.LString("core")
			if runOf(L).host.Trace() == nil {
				v = lua.LString("noop")
			}
		}
		L.Push(v)
		return 1
	}))
	t.Metatable = meta
	return t
}

// spanFunctions are the methods of a span.
var spanFunctions = map[string]lua.LGFunction{
	"set_attribute":     spanSetAttribute,
	"add_event":         spanAddEvent,
	"record_error":      spanRecordError,
	"set_status":        spanSetStatus,
	"finish":            spanFinish,
	"each_baggage_item": func(*lua.LState) int { return 0 },
}

// spanKey is where a span's table keeps its place in the trace: a key that no script can name.
const spanKey = "\x00span"

// spanRef is what stands there. The trace is used again for other requests, so a span counts in its own request only.
type spanRef struct {
	request *request
	span    tracing.Span
}

// spanTable gives a span as scripts see it: one table per span and request.
func (r *run) spanTable(L *lua.LState, s tracing.Span, parent lua.LValue) *lua.LTable {
	index := -1
	if s.Trace() != nil {
		index = s.Index()
		if t := r.request.spans[index]; t != nil {
			return t
		}
	}
	t := L.CreateTable(0, 12)
	t.Metatable = r.worker.lib.spanMeta
	holder := L.NewUserData()
	holder.Value = spanRef{r.request, s}
	t.RawSetString(spanKey, holder)
	t.RawSetString("is_recording", lua.LBool(s.Recording()))
	attributes := L.CreateTable(0, smallTable)
	t.RawSetString("attributes", attributes)
	if parent != nil && parent != lua.LNil {
		t.RawSetString("parent", parent)
	}
	if index < 0 {
		return t
	}
	record := s.Trace().Record(index)
	t.RawSetString("name", lua.LString(record.Name))
	t.RawSetString("kind", lua.LNumber(record.Kind))
	t.RawSetString("span_id", lua.LString(record.ID[:]))
	if record.Parent.IsValid() {
		t.RawSetString("parent_id", lua.LString(record.Parent[:]))
	}
	if id := s.Trace().ID(); id.IsValid() {
		t.RawSetString("trace_id", lua.LString(id[:]))
	}
	t.RawSetString("start_time_ns", lua.LNumber(nanoseconds(s.Trace(), record.Start)))
	for attr := range s.Trace().Attrs(index) {
		attributes.RawSetString(attr.Key, fromAttribute(attr.Value))
	}
	if r.request.spans == nil {
		r.request.spans = map[int]*lua.LTable{}
	}
	r.request.spans[index] = t
	return t
}

func nanoseconds(t *tracing.Trace, at tracing.Instant) float64 {
	return float64(t.Start().UnixNano() + int64(at))
}

func fromAttribute(v tracing.Value) lua.LValue {
	switch v := v.Any().(type) {
	case string:
		return lua.LString(strings.Clone(v)) // a script may keep it for longer than the trace lasts
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case bool:
		return lua.LBool(v)
	default:
		return lua.LNil
	}
}

// toAttribute turns a Lua value into an attribute's: a whole number into an integer.
func toAttribute(v lua.LValue) (tracing.Value, bool) {
	switch v := v.(type) {
	case lua.LString:
		return tracing.StringValue(string(v)), true
	case lua.LBool:
		return tracing.BoolValue(bool(v)), true
	case lua.LNumber:
		if f := float64(v); f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return tracing.IntValue(int64(f)), true
		}
		return tracing.FloatValue(float64(v)), true
	case *lua.LNilType:
		return tracing.Value{}, true
	default:
		return tracing.Value{}, false
	}
}

// activeTable is the active span's table, nil where there is none.
func (r *run) activeTable(L *lua.LState) lua.LValue {
	s, ok := r.host.Active()
	if !ok || r.host.Trace() == nil {
		return lua.LNil
	}
	root := r.host.Root()
	if s != root && s.Trace() != nil && r.request.spans[s.Index()] == nil {
		return r.spanTable(L, s, r.spanTable(L, root, nil))
	}
	return r.spanTable(L, s, nil)
}

func tracingActive(L *lua.LState, r *run) int {
	L.Push(r.activeTable(L))
	return 1
}

func tracingRoot(L *lua.LState, r *run) int {
	if r.host.Trace() == nil {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(r.spanTable(L, r.host.Root(), nil))
	return 1
}

func tracingSpans(L *lua.LState, r *run) int {
	if r.host.Trace() == nil {
		L.Push(lua.LNil)
		return 1
	}
	t := L.NewTable()
	for _, span := range r.request.spans {
		t.Append(span)
	}
	L.Push(t)
	return 1
}

func tracingSetActive(L *lua.LState, r *run) int {
	if r.host.Trace() == nil {
		return 0
	}
	if L.Get(1) == lua.LNil {
		r.host.SetActive(tracing.Span{}, false)
		return 0
	}
	s, _ := spanArg(L)
	r.host.SetActive(s, true)
	return 0
}

// noop is the span of a trace that isn't there.
func (r *run) noop(L *lua.LState) *lua.LTable {
	t := L.NewTable()
	r.worker.lib.spanMeta.RawGetString("__index").(*lua.LTable).ForEach(func(name, _ lua.LValue) {
		t.RawSet(name, L.NewFunction(func(*lua.LState) int { return 0 }))
	})
	t.RawSetString("is_recording", lua.LFalse)
	return t
}

func tracingStart(L *lua.LState, r *run) int {
	trace := r.host.Trace()
	if trace == nil {
		L.Push(r.noop(L))
		return 1
	}
	name, ok := L.Get(1).(lua.LString)
	if !ok || name == "" {
		raise(L, 1, "invalid span name")
	}
	invalid := func(what string) { L.Error(lua.LString(tracingFile+"invalid "+what), 0) }
	kind, begin := tracing.KindInternal, trace.Now()
	parent := r.activeTable(L)
	var attributes *lua.LTable
	switch options := L.Get(2).(type) {
	case *lua.LNilType:
	case *lua.LTable:
		switch v := options.RawGetString("span_kind").(type) {
		case lua.LNumber:
			kind = tracing.Kind(v)
		case *lua.LNilType:
		default:
			invalid("start kind")
		}
		switch v := options.RawGetString("start_time_ns").(type) {
		case lua.LNumber:
			if v < 0 {
				invalid("start time_ns")
			}
			begin = trace.At(time.Unix(0, toInt64(float64(v))))
		case *lua.LNilType:
		default:
			invalid("start time_ns")
		}
		switch v := options.RawGetString("attributes").(type) {
		case *lua.LTable:
			attributes = v
		case *lua.LNilType:
		default:
			invalid("attributes")
		}
		switch v := options.RawGetString("parent").(type) {
		case *lua.LTable:
			parent = v
		case *lua.LNilType:
		default:
			invalid("trace parent")
		}
	default:
		invalid("options type")
	}
	var above tracing.Span
	if t, ok := parent.(*lua.LTable); ok {
		above, _ = r.spanOf(t)
	}
	s := trace.StartSpanAt(string(name), kind, above, begin)
	t := r.spanTable(L, s, parent)
	t.RawSetString("name", name)
	if attributes != nil {
		attributes.ForEach(func(key, value lua.LValue) {
			if name, ok := key.(lua.LString); ok {
				r.setAttribute(L, t, s, name, value)
			}
		})
	}
	L.Push(t)
	return 1
}

// spanOf gives the span of a table: of one that a script kept from another request, the span that records nothing.
func (r *run) spanOf(t *lua.LTable) (tracing.Span, bool) {
	holder, ok := t.RawGetString(spanKey).(*lua.LUserData)
	if !ok {
		return tracing.Span{}, false
	}
	ref, ok := holder.Value.(spanRef)
	if ok && ref.request != r.request {
		return tracing.Span{}, true
	}
	return ref.span, ok
}

// spanArg is the span that a method was called on.
func spanArg(L *lua.LState) (tracing.Span, *lua.LTable) {
	t := checkTable(L, 1)
	s, ok := runOf(L).spanOf(t)
	if !ok {
		raise(L, 1, "invalid span")
	}
	return s, t
}

func spanSetAttribute(L *lua.LState) int {
	s, t := spanArg(L)
	key, ok := L.Get(2).(lua.LString)
	if !ok {
		raise(L, 1, "invalid key")
	}
	runOf(L).setAttribute(L, t, s, key, L.Get(3))
	return 0
}

// setAttribute sets an attribute for scripts and, as far as it can be exported, for the trace.
func (r *run) setAttribute(L *lua.LState, t *lua.LTable, s tracing.Span, key lua.LString, v lua.LValue) {
	value, ok := toAttribute(v)
	if ok {
		s.Replace(string(key), value)
	} else {
		r.host.Logger().Error("span attribute is neither string, number nor boolean", "key", string(key), "type", v.Type().String())
	}
	if attributes, ok := t.RawGetString("attributes").(*lua.LTable); ok {
		r.charge(L, entryBytes+indexBytes)
		attributes.RawSetString(string(key), v)
	}
}

func spanAddEvent(L *lua.LState) int {
	s, t := spanArg(L)
	name, ok := L.Get(2).(lua.LString)
	if !ok {
		raise(L, 1, "invalid name")
	}
	var attrs []tracing.Attr
	switch v := L.Get(3).(type) {
	case *lua.LTable:
		v.ForEach(func(k, v lua.LValue) {
			key, isText := k.(lua.LString)
			if value, ok := toAttribute(v); ok && isText {
				attrs = append(attrs, tracing.Attr{Key: string(key), Value: value})
			}
		})
	case *lua.LNilType:
	default:
		raise(L, 1, "invalid attribute")
	}
	runOf(L).addEvent(L, t, s, string(name), attrs)
	return 0
}

// addEvent adds an event to a span and to its list, whose length stands at 0 as in Kong.
func (r *run) addEvent(L *lua.LState, t *lua.LTable, s tracing.Span, name string, attrs []tracing.Attr) {
	s.AddEvent(name, attrs...)
	events, ok := t.RawGetString("events").(*lua.LTable)
	if !ok {
		events = L.NewTable()
		t.RawSetString("events", events)
	}
	r.charge(L, 4*entryBytes)
	event := L.CreateTable(0, smallTable)
	event.RawSetString("name", lua.LString(name))
	event.RawSetString("time_ns", lua.LNumber(time.Now().UnixNano()))
	if len(attrs) > 0 {
		attributes := L.CreateTable(0, smallTable)
		for _, attr := range attrs {
			attributes.RawSetString(attr.Key, fromAttribute(attr.Value))
		}
		event.RawSetString("attributes", attributes)
	}
	events.Append(event)
	events.RawSet(lua.LNumber(0), lua.LNumber(events.Len()))
}

func spanRecordError(L *lua.LState) int {
	s, t := spanArg(L)
	message := text(L, L.Get(2))
	runOf(L).addEvent(L, t, s, "exception", []tracing.Attr{{Key: "exception.message", Value: tracing.StringValue(message)}})
	return 0
}

func spanSetStatus(L *lua.LState) int {
	s, t := spanArg(L)
	status, ok := L.Get(2).(lua.LNumber)
	if !ok {
		raise(L, 1, "invalid status")
	}
	t.RawSetString("status", status)
	if status >= 0 && status <= 2 {
		s.SetStatus(tracing.StatusCode(status), "")
	}
	return 0
}

func spanFinish(L *lua.LState) int {
	s, t := spanArg(L)
	if t.RawGetString("end_time_ns") != lua.LNil {
		return 0
	}
	r := runOf(L)
	trace := r.host.Trace()
	if trace == nil {
		return 0
	}
	at := trace.Now()
	end := lua.LNumber(nanoseconds(trace, at))
	switch v := L.Get(2).(type) {
	case lua.LNumber:
		begin, _ := t.RawGetString("start_time_ns").(lua.LNumber)
		if v < begin {
			raise(L, 1, "invalid span duration")
		}
		end, at = v, trace.At(time.Unix(0, toInt64(float64(v))))
	case *lua.LNilType:
	default:
		raise(L, 1, "invalid span end timestamp")
	}
	t.RawSetString("end_time_ns", end)
	s.EndAt(at)
	if active, ok := r.host.Active(); ok && active == s {
		parent, ok := t.RawGetString("parent").(*lua.LTable)
		if !ok {
			r.host.SetActive(tracing.Span{}, false)
			return 0
		}
		above, ok := r.spanOf(parent)
		r.host.SetActive(above, ok)
	}
	return 0
}
