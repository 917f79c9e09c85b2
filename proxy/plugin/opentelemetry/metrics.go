package opentelemetry

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"sidekong/proxy/plugin"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
	"sidekong/tracing/queue"
)

// maxSeries is the number of sets of attributes that a metric is kept for. What is beyond is counted under one set with
// attrOverflow alone. https://opentelemetry.io/docs/specs/otel/metrics/sdk/#cardinality-limits
const (
	maxSeries    = 2000
	attrOverflow = "otel.metric.overflow"
)

// Upper bounds of the histograms' buckets: those that OpenTelemetry advises for durations in seconds, and decades for
// sizes in bytes.
var (
	latencyBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	sizeBounds    = []float64{100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}
)

// measure says what a meter measures. Kong: the plugin's metrics.enable_… of 3.13
type measure struct {
	Interval                                       time.Duration
	Requests, Latency, Bandwidth, Consumer, Health bool
}

// TargetHealth is how an address of an upstream's target does.
type TargetHealth struct {
	Upstream string // its name
	Target   string // host and port, as configured
	Address  string // IP and port; "" where the host has none
	State    string // healthy, unhealthy, dns_error or healthchecks_off
}

// MeasureHealth says how to find out how targets do, for metrics.enable_upstream_health_metrics. It is called before the
// first plugin instance is made; health is called from any goroutine.
func (e *Exporters) MeasureHealth(health func() []TargetHealth) { e.health = health }

// meter counts requests and pushes what it has counted every interval, cumulated since its start.
type meter struct {
	measure
	queue  *queue.Queue
	health func() []TargetHealth // nil: nobody knows
	start  time.Time
	end    chan struct{} // closed by stop
	ended  chan struct{} // closed when run has ended
	once   sync.Once

	mu       sync.Mutex
	counts   map[requestKey]uint64
	total    map[routeKey]*series
	internal map[routeKey]*series
	upstream map[routeKey]*series
	received map[consumerKey]*series
	sent     map[consumerKey]*series
}

// The sets of attributes, with ids where there are no names; overflow stands for all that are too many.
type (
	routeKey struct {
		service, route string
		overflow       bool
	}
	consumerKey struct {
		routeKey
		consumer string
	}
	requestKey struct {
		consumerKey
		method, source string
		status         int
	}
)

// series is a histogram of one set of attributes.
type series struct {
	count   uint64
	sum     float64
	buckets []uint64
}

func newMeter(m measure, q *queue.Queue, health func() []TargetHealth) *meter {
	return &meter{
		measure: m, queue: q, health: health, start: time.Now(), end: make(chan struct{}), ended: make(chan struct{}),
		counts: map[requestKey]uint64{},
		total:  map[routeKey]*series{}, internal: map[routeKey]*series{}, upstream: map[routeKey]*series{},
		received: map[consumerKey]*series{}, sent: map[consumerKey]*series{},
	}
}

// run pushes until stop is called, and then once more.
func (m *meter) run() {
	defer close(m.ended)
	tick := time.NewTicker(m.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.queue.Append(m.read(time.Now()))
		case <-m.end:
			m.queue.Append(m.read(time.Now()))
			return
		}
	}
}

func (m *meter) stop() {
	m.once.Do(func() { close(m.end) })
	<-m.ended
}

// record counts a complete request.
func (m *meter) record(ctx *plugin.Context) {
	key := requestKey{method: knownMethod(ctx.Request.Method), source: "kong", status: ctx.Response.Status}
	if ctx.Service != nil {
		key.service = cmp.Or(ctx.Service.Name, ctx.Service.ID)
	}
	if ctx.Route != nil {
		key.route = cmp.Or(ctx.Route.Name, ctx.Route.ID)
	}
	if m.Consumer && ctx.Consumer != nil {
		key.consumer = ctx.Consumer.Username
	}
	if ctx.Response.Source == plugin.FromService && ctx.Summary.UpstreamStatus != 0 {
		key.source = "upstream"
	}
	s := &ctx.Summary
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Requests {
		count(m.counts, key)
	}
	if m.Latency {
		observe(m.total, key.routeKey, latencyBounds, s.Request.Seconds())
		observe(m.internal, key.routeKey, latencyBounds, s.Gateway.Seconds())
		observe(m.upstream, key.routeKey, latencyBounds, s.Upstream.Seconds())
	}
	if m.Bandwidth {
		observe(m.received, key.consumerKey, sizeBounds, float64(s.BytesReceived))
		observe(m.sent, key.consumerKey, sizeBounds, float64(s.BytesSent))
	}
}

// knownMethod bounds the values that clients choose.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "_OTHER"
}

func count(counts map[requestKey]uint64, key requestKey) {
	if _, known := counts[key]; !known && len(counts) >= maxSeries {
		key = overflow(key)
	}
	counts[key]++
}

// observe adds a value; a negative one stands for none.
func observe[K comparable](all map[K]*series, key K, bounds []float64, value float64) {
	if value < 0 {
		return
	}
	s := all[key]
	if s == nil {
		if len(all) >= maxSeries {
			key = overflow(key)
			s = all[key]
		}
		if s == nil {
			s = &series{buckets: make([]uint64, len(bounds)+1)}
			all[key] = s
		}
	}
	at, _ := slices.BinarySearch(bounds, value)
	s.buckets[at]++
	s.count++
	s.sum += value
}

// overflow gives the key of the same kind that stands for all that are too many.
func overflow[K comparable](key K) K {
	var rest K
	switch k := any(&rest).(type) {
	case *routeKey:
		k.overflow = true
	case *consumerKey:
		k.overflow = true
	case *requestKey:
		k.overflow = true
	}
	return rest
}

// read gives all that was measured so far. Kong: the metrics reference of 3.13
func (m *meter) read(now time.Time) otlp.Measurements {
	metric := func(name, description, unit string, bounds []float64) otlp.Metric {
		return otlp.Metric{Name: name, Description: description, Unit: unit, Start: m.start, Time: now, Bounds: bounds}
	}
	return otlp.Measurements{
		counted(m, metric("http.server.request.count", "Total number of incoming HTTP requests.", "{request}", nil)),
		observed(m, m.total, metric("kong.latency.total", "End-to-end duration of a request.", "s", latencyBounds)),
		observed(m, m.internal, metric("kong.latency.internal", "Time from a request's arrival to its being sent to the upstream service.", "s", latencyBounds)),
		observed(m, m.upstream, metric("kong.latency.upstream", "Time from a request's being sent to the upstream service to its answer.", "s", latencyBounds)),
		observed(m, m.received, metric("http.server.request.size", "Size of an incoming request.", "By", sizeBounds)),
		observed(m, m.sent, metric("http.server.response.size", "Size of the response sent to the client.", "By", sizeBounds)),
		m.targets(metric("kong.upstream.target.status", "Health of an upstream's target: 1 for the state that it is in.", "1", nil)),
	}
}

func (m *meter) targets(metric otlp.Metric) otlp.Metric {
	metric.Gauge = true
	if !m.Health || m.health == nil {
		return metric
	}
	for _, t := range m.health() {
		if len(metric.Points) == maxSeries {
			break
		}
		metric.Points = append(metric.Points, otlp.Point{Count: 1, Attributes: []tracing.Attr{
			{Key: "kong.upstream.name", Value: tracing.StringValue(t.Upstream)},
			{Key: "kong.target.address", Value: tracing.StringValue(t.Target)},
			{Key: "server.address", Value: tracing.StringValue(t.Address)},
			{Key: "kong.upstream.state", Value: tracing.StringValue(t.State)},
			{Key: "kong.subsystem", Value: tracing.StringValue("http")},
		}})
	}
	return metric
}

func counted(m *meter, metric otlp.Metric) otlp.Metric {
	m.mu.Lock()
	counts := maps.Clone(m.counts) // requests wait for no more than that
	m.mu.Unlock()
	for key, n := range counts {
		metric.Points = append(metric.Points, otlp.Point{Attributes: key.attributes(), Count: n})
	}
	return metric
}

func observed[K interface {
	comparable
	attributes() []tracing.Attr
}](m *meter, all map[K]*series, metric otlp.Metric) otlp.Metric {
	m.mu.Lock()
	keys := make([]K, 0, len(all))
	metric.Points = make([]otlp.Point, 0, len(all))
	buckets := make([]uint64, 0, len(all)*(len(metric.Bounds)+1))
	for key, s := range all {
		at := len(buckets)
		buckets = append(buckets, s.buckets...)
		keys = append(keys, key)
		metric.Points = append(metric.Points, otlp.Point{Count: s.count, Sum: s.sum, Buckets: buckets[at:]})
	}
	m.mu.Unlock()
	for i, key := range keys {
		metric.Points[i].Attributes = key.attributes()
		metric.Points[i].Buckets = slices.Clip(metric.Points[i].Buckets[:len(metric.Bounds)+1])
	}
	return metric
}

func (k routeKey) attributes() []tracing.Attr {
	if k.overflow {
		return []tracing.Attr{{Key: attrOverflow, Value: tracing.BoolValue(true)}}
	}
	attributes := []tracing.Attr{{Key: "kong.workspace.name", Value: tracing.StringValue(workspace)}}
	for _, attr := range []tracing.Attr{
		{Key: "kong.service.name", Value: tracing.StringValue(k.service)},
		{Key: "kong.route.name", Value: tracing.StringValue(k.route)},
	} {
		if attr.Value.Text != "" {
			attributes = append(attributes, attr)
		}
	}
	return attributes
}

func (k consumerKey) attributes() []tracing.Attr {
	attributes := k.routeKey.attributes()
	if k.consumer != "" {
		attributes = append(attributes, tracing.Attr{Key: "kong.auth.consumer.name", Value: tracing.StringValue(k.consumer)})
	}
	return attributes
}

func (k requestKey) attributes() []tracing.Attr {
	attributes := k.consumerKey.attributes()
	if k.overflow {
		return attributes
	}
	return append(attributes,
		tracing.Attr{Key: "http.request.method", Value: tracing.StringValue(k.method)},
		tracing.Attr{Key: "kong.response.source", Value: tracing.StringValue(k.source)},
		tracing.Attr{Key: "kong.response.status_code", Value: tracing.IntValue(int64(k.status))})
}
