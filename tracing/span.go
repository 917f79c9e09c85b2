package tracing

// Span is a handle of a span in its trace. The zero Span records nothing.
type Span struct {
	trace *Trace
	index int
}

// StartSpan begins a span of the given kind under parent; the first span of a trace is its root. It gives the zero
// Span where nothing is recorded.
func (t *Trace) StartSpan(name string, kind Kind, parent Span) Span {
	return t.StartSpanAt(name, kind, parent, t.Now())
}

// StartSpanAt begins a span at a given time.
func (t *Trace) StartSpanAt(name string, kind Kind, parent Span, at Instant) Span {
	return t.StartReserved(name, kind, parent, at, SpanID{})
}

// StartReserved begins a span whose id was made before by NewSpanID, because it was told to somebody already. A zero
// id stands for a new one.
func (t *Trace) StartReserved(name string, kind Kind, parent Span, at Instant, id SpanID) Span {
	if t == nil || t.dropped {
		return Span{}
	}
	if len(t.records) >= MaxSpans {
		t.lost++
		return Span{}
	}
	if !id.IsValid() {
		id = NewSpanID()
	}
	t.records = append(t.records, Record{ID: id, Parent: parent.ID(), Name: name, Kind: kind, Start: at})
	return Span{trace: t, index: len(t.records) - 1}
}

func (s Span) record() *Record {
	if s.trace == nil {
		return nil
	}
	return &s.trace.records[s.index]
}

// Recording reports whether what is said to the span is kept.
func (s Span) Recording() bool { return s.trace != nil && !s.trace.dropped }

// ID is the span's id, zero for the zero Span.
func (s Span) ID() SpanID {
	if s.trace == nil {
		return SpanID{}
	}
	return s.trace.records[s.index].ID
}

// Trace is the trace that the span belongs to, nil for the zero Span.
func (s Span) Trace() *Trace { return s.trace }

// Index is the place of the span's Record in its trace.
func (s Span) Index() int { return s.index }

// End ends the span now. Only the first end counts.
func (s Span) End() {
	if s.trace != nil {
		s.EndAt(s.trace.Now())
	}
}

// EndAt ends the span at a given time. Only the first end counts.
func (s Span) EndAt(at Instant) {
	if r := s.record(); r != nil && !r.Ended {
		r.End, r.Ended = at, true
	}
}

// Set adds an attribute. A key is set once: where that isn't certain, use Replace.
func (s Span) Set(key string, value Value) {
	if !s.Recording() {
		return
	}
	r := s.record()
	s.trace.add(&r.firstAttr, &r.lastAttr, key, value)
}

// SetString adds a string attribute.
func (s Span) SetString(key, value string) { s.Set(key, StringValue(value)) }

// SetInt adds an integer attribute.
func (s Span) SetInt(key string, value int64) { s.Set(key, IntValue(value)) }

// SetBool adds a boolean attribute.
func (s Span) SetBool(key string, value bool) { s.Set(key, BoolValue(value)) }

// Replace sets an attribute whether or not its key is there already; a Value of kind ValueNone removes it.
func (s Span) Replace(key string, value Value) {
	if !s.Recording() {
		return
	}
	t, r := s.trace, s.record()
	for at := r.firstAttr; at != 0; at = t.attrs[at-1].next {
		attr := &t.attrs[at-1]
		if attr.Key != key {
			continue
		}
		if t.bytes+len(value.Text)-len(attr.Value.Text) > MaxAttributeBytes {
			t.lost++
			return
		}
		t.bytes += len(value.Text) - len(attr.Value.Text)
		attr.Value = value
		return
	}
	if value.Kind != ValueNone {
		t.add(&r.firstAttr, &r.lastAttr, key, value)
	}
}

// Defaults are attributes that give way to those that the span has already. The zero Defaults records nothing.
type Defaults struct {
	span  Span
	until int32 // place of the last attribute that was there
}

// Defaults begins to add attributes that give way to those that are there now.
func (s Span) Defaults() Defaults {
	if !s.Recording() {
		return Defaults{}
	}
	return Defaults{span: s, until: s.record().lastAttr}
}

// Set adds an attribute unless the span had one of its name before.
func (d Defaults) Set(key string, value Value) {
	s := d.span
	if s.trace == nil {
		return
	}
	t, r := s.trace, s.record()
	if d.until != 0 {
		for at := r.firstAttr; ; at = t.attrs[at-1].next {
			if t.attrs[at-1].Key == key {
				return
			}
			if at == d.until {
				break
			}
		}
	}
	t.add(&r.firstAttr, &r.lastAttr, key, value)
}

// Attr gives the attribute of that name; ok is false where there is none.
func (s Span) Attr(key string) (value Value, ok bool) {
	if s.trace == nil {
		return Value{}, false
	}
	for attr := range s.trace.Attrs(s.index) {
		if attr.Key == key {
			return attr.Value, true
		}
	}
	return Value{}, false
}

// SetName changes the span's name.
func (s Span) SetName(name string) {
	if s.Recording() {
		s.record().Name = name
	}
}

// SetStatus sets the status; the last call counts.
func (s Span) SetStatus(code StatusCode, text string) {
	if s.Recording() {
		r := s.record()
		r.Status, r.StatusText = code, text
	}
}

// AddEvent adds an event that happens now.
func (s Span) AddEvent(name string, attrs ...Attr) {
	if !s.Recording() {
		return
	}
	t := s.trace
	if len(t.events) >= MaxEvents {
		t.lost++
		return
	}
	t.events = append(t.events, Event{Span: s.index, Name: name, At: t.Now()})
	e := &t.events[len(t.events)-1]
	for _, attr := range attrs {
		t.add(&e.firstAttr, &e.lastAttr, attr.Key, attr.Value)
	}
}

// RecordError adds an "exception" event with the error's text. Kong: kong/pdk/tracing.lua record_error
func (s Span) RecordError(text string) {
	s.AddEvent("exception", Attr{Key: "exception.message", Value: StringValue(text)})
}
