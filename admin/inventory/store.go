package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// version is that of the form in which an inventory is kept.
const version = 1

// errVersion tells of an inventory that another version of the program has kept.
var errVersion = errors.New("read inventory: it was kept by another version")

// The form in which an inventory is kept.
type (
	kept struct {
		Version   int            `json:"version"`
		LeftOut   int64          `json:"left_out,omitempty"`
		Endpoints []keptEndpoint `json:"endpoints"`
	}
	keptEndpoint struct {
		Host           string             `json:"host"`
		Method         string             `json:"method"`
		Path           []keptSegment      `json:"path"`
		First          time.Time          `json:"first"`
		Last           time.Time          `json:"last"`
		Calls          int64              `json:"calls"`
		Statuses       map[int]int64      `json:"statuses,omitempty"`
		Latency        map[int]uint32     `json:"latency,omitempty"`
		Authentication counts             `json:"authentication,omitempty"`
		Consumers      counts             `json:"consumers,omitempty"`
		Services       counts             `json:"services,omitempty"`
		Routes         counts             `json:"routes,omitempty"`
		RequestTypes   counts             `json:"request_types,omitempty"`
		ResponseTypes  counts             `json:"response_types,omitempty"`
		Query          *keptShape         `json:"query,omitempty"`
		Header         *keptShape         `json:"header,omitempty"`
		Request        *keptShape         `json:"request,omitempty"`
		Responses      map[int]*keptShape `json:"responses,omitempty"`
	}
	keptSegment struct {
		Text  string         `json:"text,omitempty"` // of a parameter: its configured name
		Param bool           `json:"param,omitempty"`
		Full  bool           `json:"full,omitempty"` // the place it stands at takes no more words
		Calls int64          `json:"calls,omitempty"`
		Kinds map[kind]int64 `json:"kinds,omitempty"`
	}
	keptShape struct {
		Seen    int64                 `json:"seen,omitempty"`
		Nulls   int64                 `json:"nulls,omitempty"`
		Bools   int64                 `json:"bools,omitempty"`
		Ints    int64                 `json:"ints,omitempty"`
		Numbers int64                 `json:"numbers,omitempty"`
		Texts   int64                 `json:"texts,omitempty"`
		Arrays  int64                 `json:"arrays,omitempty"`
		Objects int64                 `json:"objects,omitempty"`
		Partly  int64                 `json:"partly,omitempty"`
		Masked  int64                 `json:"masked,omitempty"`
		Format  string                `json:"format,omitempty"`
		Many    bool                  `json:"many,omitempty"`
		Words   map[string]int64      `json:"words,omitempty"`
		Fields  map[string]*keptShape `json:"fields,omitempty"`
		Open    *keptShape            `json:"open,omitempty"`
		Items   *keptShape            `json:"items,omitempty"`
	}
)

// Save gives all that is known as JSON, for Load. Texts that are not yet known to be an enumeration are not in it.
func (v *Inventory) Save() ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := kept{Version: version, LeftOut: v.leftOut, Endpoints: []keptEndpoint{}}
	v.each(func(host string, way []step, method string, e *endpoint) {
		k := keptEndpoint{
			Host: host, Method: method, First: e.first, Last: e.last, Calls: e.calls, Statuses: e.statuses,
			Latency: map[int]uint32{}, Authentication: e.authentication, Consumers: e.consumers, Services: e.services,
			Routes: e.routes, RequestTypes: e.requestTypes, ResponseTypes: e.responseTypes,
			Query: e.query.keep(), Header: e.header.keep(), Request: e.request.keep(), Responses: map[int]*keptShape{},
		}
		full := v.hosts[host].full
		for _, s := range way {
			segment := keptSegment{Text: s.text, Param: s.param, Full: full, Calls: s.at.calls}
			if s.param {
				segment.Text, segment.Kinds = s.at.name, s.at.kinds
			}
			k.Path = append(k.Path, segment)
			full = s.at.full
		}
		for bucket, n := range e.latency {
			if n > 0 {
				k.Latency[bucket] = n
			}
		}
		for status, s := range e.responses {
			k.Responses[status] = s.keep()
		}
		out.Endpoints = append(out.Endpoints, k)
	})
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("keep inventory: %w", err)
	}
	return text, nil
}

// Load takes over what Save gave, in the place of all that is known. Where it fails, what was known stays.
func (v *Inventory) Load(text []byte) error {
	var in kept
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("read inventory: %w", err)
	}
	if in.Version != version {
		return errVersion
	}
	loaded := New()
	loaded.leftOut = in.LeftOut
	for i := range in.Endpoints {
		loaded.restore(&in.Endpoints[i])
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hosts, v.endpoints, v.leftOut = loaded.hosts, loaded.endpoints, loaded.leftOut
	v.revision++
	return nil
}

// restore puts an endpoint in its place. The bounds are those of learning.
func (v *Inventory) restore(k *keptEndpoint) {
	if v.endpoints >= maxEndpoints || len(k.Path) > maxSegments || k.Method == "" || len(k.Method) > maxName {
		return
	}
	at := v.hosts[k.Host]
	if at == nil {
		if len(v.hosts) > maxHosts {
			return
		}
		at = &place{}
		v.hosts[k.Host] = at
	}
	for _, s := range k.Path {
		at.full = at.full || s.Full
		var next *place
		switch {
		case s.Param:
			if at.param == nil {
				at.param = &place{}
			}
			next = at.param
			next.name, next.kinds = s.Text, s.Kinds
		case at.literals[s.Text] != nil:
			next = at.literals[s.Text]
		case len(at.literals) >= maxLiterals || len(s.Text) > maxSegment+maxName:
			return
		default:
			if at.literals == nil {
				at.literals = map[string]*place{}
			}
			next = &place{}
			at.literals[s.Text] = next
		}
		next.calls = s.Calls
		at = next
	}
	if at.endpoints[k.Method] != nil {
		return
	}
	e := newEndpoint()
	e.first, e.last, e.calls = k.First, k.Last, k.Calls
	for status, n := range k.Statuses {
		if len(e.statuses) < maxStatuses {
			e.statuses[status] = n
		}
	}
	for bucket, n := range k.Latency {
		if bucket >= 0 && bucket < len(e.latency) {
			e.latency[bucket] = n
		}
	}
	e.authentication.merge(k.Authentication)
	e.consumers.merge(k.Consumers)
	e.services.merge(k.Services)
	e.routes.merge(k.Routes)
	e.requestTypes.merge(k.RequestTypes)
	e.responseTypes.merge(k.ResponseTypes)
	if s := k.Query.restore(&e.room, 0); s != nil {
		e.query = s
	}
	if s := k.Header.restore(&e.room, 0); s != nil {
		e.header = s
	}
	e.request = k.Request.restore(&e.room, 0)
	for status, s := range k.Responses {
		if restored := s.restore(&e.room, 0); restored != nil && len(e.responses) < maxStatuses {
			e.responses[status] = restored
		}
	}
	if at.endpoints == nil {
		at.endpoints = map[string]*endpoint{}
	}
	at.endpoints[k.Method] = e
	v.endpoints++
}

func (s *shape) keep() *keptShape {
	if s == nil {
		return nil
	}
	k := &keptShape{
		Seen: s.seen, Nulls: s.nulls, Bools: s.bools, Ints: s.ints, Numbers: s.numbers, Texts: s.texts, Arrays: s.arrays,
		Objects: s.objects, Partly: s.partly, Masked: s.masked, Format: s.format, Many: s.words.many,
		Open: s.open.keep(), Items: s.items.keep(),
	}
	if words := s.words.enum(); words != nil {
		k.Words = s.words.kept
	}
	for name, field := range s.fields {
		if k.Fields == nil {
			k.Fields = map[string]*keptShape{}
		}
		k.Fields[name] = field.keep()
	}
	return k
}

func (k *keptShape) restore(room *int, depth int) *shape {
	if k == nil || depth > maxDepth+1 {
		return nil
	}
	s := take(room)
	if s == nil {
		return nil
	}
	*s = shape{
		seen: k.Seen, nulls: k.Nulls, bools: k.Bools, ints: k.Ints, numbers: k.Numbers, texts: k.Texts, arrays: k.Arrays,
		objects: k.Objects, partly: k.Partly, masked: k.Masked, format: k.Format,
		open: k.Open.restore(room, depth+1), items: k.Items.restore(room, depth+1),
	}
	if k.Many {
		s.words.giveUp()
	} else {
		for word, n := range k.Words {
			s.words.restore(word, n)
		}
	}
	for name, field := range k.Fields {
		if restored := field.restore(room, depth+1); restored != nil && len(s.fields) < maxFields {
			if s.fields == nil {
				s.fields = map[string]*shape{}
			}
			restored.quiet = sensitiveName(name) != ""
			s.fields[name] = restored
		}
	}
	return s
}

// restore takes over a word of an enumeration.
func (w *words) restore(word string, n int64) {
	before := w.total
	for range min(n, enough*maxWords) {
		w.add(word)
	}
	if !w.many {
		w.total = before + n
		if w.kept == nil {
			w.kept = map[string]int64{}
		}
		w.kept[word] = n
	}
}
