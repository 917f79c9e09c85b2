package inventory

import (
	"maps"
	"mime"
	"slices"
	"strings"
	"time"
)

// counts are how often each of a bounded set of names came up.
type counts map[string]int64

func (c counts) add(name string, n int64) {
	name = valid(name)
	if _, known := c[name]; !known && len(c) >= maxNames || len(name) > maxName {
		return
	}
	c[name] += n
}

func (c counts) merge(other counts) {
	for _, name := range slices.Sorted(maps.Keys(other)) {
		c.add(name, other[name])
	}
}

func (c counts) names() []string { return append([]string{}, slices.Sorted(maps.Keys(c))...) }

// endpoint is what is known of a method at a place.
type endpoint struct {
	first, last    time.Time
	calls          int64
	statuses       map[int]int64
	latency        latency
	authentication counts // by scheme, "" being none
	consumers      counts
	services       counts
	routes         counts
	requestTypes   counts
	responseTypes  counts
	query, header  *shape // objects with a field for each parameter
	request        *shape
	responses      map[int]*shape
	room           int // how many more shapes there may be
}

func newEndpoint() *endpoint {
	return &endpoint{
		statuses: map[int]int64{}, authentication: counts{}, consumers: counts{}, services: counts{}, routes: counts{},
		requestTypes: counts{}, responseTypes: counts{}, query: &shape{}, header: &shape{}, responses: map[int]*shape{},
		room: maxShapes,
	}
}

func (e *endpoint) observe(o *Observation) {
	if e.first.IsZero() || o.Time.Before(e.first) {
		e.first = o.Time
	}
	if o.Time.After(e.last) {
		e.last = o.Time
	}
	e.calls++
	if _, known := e.statuses[o.Status]; known || len(e.statuses) < maxStatuses {
		e.statuses[o.Status]++
	}
	e.latency.add(o.Duration)
	e.authentication.add(o.Authenticated, 1)
	for _, note := range []struct {
		to   counts
		name string
	}{
		{e.consumers, o.Consumer},
		{e.services, o.Service},
		{e.routes, o.Route},
		{e.requestTypes, mediaType(o.RequestType)},
		{e.responseTypes, mediaType(o.ResponseType)},
	} {
		if note.name != "" {
			note.to.add(note.name, 1)
		}
	}
	e.query.observeParameters(o.Query, &e.room, false)
	e.header.observeParameters(o.Header, &e.room, true)
	if value, whole, ok := readBody(o.RequestBody, o.RequestType); ok {
		if e.request == nil {
			e.request = &shape{}
		}
		e.request.observe(value, whole, &e.room, 0)
	}
	if value, whole, ok := readBody(o.ResponseBody, o.ResponseType); ok {
		shape := e.response(o.Status)
		if shape != nil {
			shape.observe(value, whole, &e.room, 0)
		}
	}
}

// response is the shape of the bodies of a status, nil where there is no room for it.
func (e *endpoint) response(status int) *shape {
	s := e.responses[status]
	if s == nil && len(e.responses) < maxStatuses {
		s = &shape{}
		e.responses[status] = s
	}
	return s
}

func (e *endpoint) merge(other *endpoint) {
	if e.first.IsZero() || !other.first.IsZero() && other.first.Before(e.first) {
		e.first = other.first
	}
	if other.last.After(e.last) {
		e.last = other.last
	}
	e.calls += other.calls
	for status, n := range other.statuses {
		if _, known := e.statuses[status]; known || len(e.statuses) < maxStatuses {
			e.statuses[status] += n
		}
	}
	e.latency.merge(&other.latency)
	e.authentication.merge(other.authentication)
	e.consumers.merge(other.consumers)
	e.services.merge(other.services)
	e.routes.merge(other.routes)
	e.requestTypes.merge(other.requestTypes)
	e.responseTypes.merge(other.responseTypes)
	e.query.merge(other.query, &e.room)
	e.header.merge(other.header, &e.room)
	if other.request != nil {
		if e.request == nil {
			e.request = &shape{}
		}
		e.request.merge(other.request, &e.room)
	}
	for status, s := range other.responses {
		if own := e.response(status); own != nil {
			own.merge(s, &e.room)
		}
	}
}

// mediaType is a content type without its parameters, "" for what is none.
func mediaType(contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(contentType, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	if strings.Count(media, "/") != 1 || strings.ContainsAny(media, " \t\"<>{}") {
		return ""
	}
	return media
}

// ordinary are headers that belong to HTTP or to the way, and not to an API.
var ordinary = []string{
	"accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "cache-control", "connection",
	"content-encoding", "content-length", "content-type", "cookie", "date", "dnt", "expect", "forwarded", "from", "host",
	"if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "keep-alive", "max-forwards",
	"origin", "pragma", "priority", "proxy-authorization", "range", "referer", "te", "trailer", "transfer-encoding",
	"upgrade", "upgrade-insecure-requests", "user-agent", "via", "traceparent", "tracestate", "baggage", "b3",
	"uber-trace-id", "x-real-ip", "x-request-id", "x-correlation-id", "x-amzn-trace-id", "x-cloud-trace-context",
	"x-instana-t", "x-instana-s", "x-instana-l", "x-requested-with",
}

var ordinaryPrefixes = []string{"x-forwarded-", "x-b3-", "ot-tracer-", "x-datadog-", "sec-", "cf-", "access-control-", "x-kong-", "x-consumer-", "x-credential-"}

func isOrdinary(header string) bool {
	return slices.Contains(ordinary, header) ||
		slices.ContainsFunc(ordinaryPrefixes, func(prefix string) bool { return strings.HasPrefix(header, prefix) })
}
