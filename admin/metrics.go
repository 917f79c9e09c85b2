package admin

import (
	"runtime/metrics"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// collector turns a Status into Prometheus metrics, read when they are asked for. Names that Kong's prometheus plugin
// has too are Kong's. Kong: kong/plugins/prometheus/exporter.lua
type collector struct{ status Status }

var (
	descRequests = prometheus.NewDesc("kong_http_requests_total",
		"Requests by service, route and status.", []string{"service", "route", "code"}, nil)
	descLatency = prometheus.NewDesc("kong_request_latency_seconds",
		"Time from a request's first byte to the last byte of its answer.", nil, nil)
	descKong = prometheus.NewDesc("kong_kong_latency_seconds",
		"Time that the gateway took before it sent a request upstream.", nil, nil)
	descUpstream = prometheus.NewDesc("kong_upstream_latency_seconds",
		"Time from sending a request upstream to the head of its answer.", nil, nil)
	descActive = prometheus.NewDesc("sidekong_requests_active",
		"Requests under way.", nil, nil)
	descConnections = prometheus.NewDesc("kong_nginx_connections_total",
		"Connections of the proxy's listeners by state.", []string{"state"}, nil)
	descCreated = prometheus.NewDesc("sidekong_spans_created_total",
		"Spans handed to an exporter. Equals delivered + rejected + dropped + queued.", []string{"exporter", "signal", "endpoint"}, nil)
	descExported = prometheus.NewDesc("sidekong_spans_exported_total",
		"Spans that the receiver accepted.", []string{"exporter", "signal", "endpoint"}, nil)
	descRejected = prometheus.NewDesc("sidekong_spans_rejected_total",
		"Spans that the receiver refused.", []string{"exporter", "signal", "endpoint"}, nil)
	descDropped = prometheus.NewDesc("sidekong_spans_dropped_total",
		"Spans that were given up, by reason.", []string{"exporter", "signal", "endpoint", "reason"}, nil)
	descQueued = prometheus.NewDesc("sidekong_exporter_queue_spans",
		"Spans that wait for the receiver.", []string{"exporter", "signal", "endpoint"}, nil)
	descStored = prometheus.NewDesc("sidekong_exporter_queue_stored_spans",
		"Of the spans that wait, those on disk.", []string{"exporter", "signal", "endpoint"}, nil)
	descRecovered = prometheus.NewDesc("sidekong_spans_recovered_total",
		"Of the spans created, those that another process or queue had left on disk.", []string{"exporter", "signal", "endpoint"}, nil)
	descQueuedBytes = prometheus.NewDesc("sidekong_exporter_queue_bytes",
		"Size of the spans that wait for the receiver.", []string{"exporter", "signal", "endpoint"}, nil)
	descPosts = prometheus.NewDesc("sidekong_exporter_posts_total",
		"Posts to the receiver, tries included.", []string{"exporter", "signal", "endpoint"}, nil)
	descRetries = prometheus.NewDesc("sidekong_exporter_retries_total",
		"Posts that repeated an earlier one.", []string{"exporter", "signal", "endpoint"}, nil)
	descFailing = prometheus.NewDesc("sidekong_exporter_last_post_failed",
		"1 if the newest post failed; error says why.", []string{"exporter", "signal", "endpoint", "error"}, nil)
	descShed = prometheus.NewDesc("sidekong_requests_untraced_total",
		"Requests that went untraced for want of memory.", nil, nil)
	descTarget = prometheus.NewDesc("kong_upstream_target_health",
		"Health of the targets of upstreams: 1 for the state that an address is in, 0 for the others.",
		[]string{"upstream", "target", "address", "state", "subsystem"}, nil)
	descConfig = prometheus.NewDesc("sidekong_configuration_last_reload_failed",
		"1 if the newest configuration could not be used.", nil, nil)
	descFaults = prometheus.NewDesc("sidekong_configuration_faults",
		"Entities of the configuration in use that cannot be served.", nil, nil)
)

// Describe says nothing: an unchecked collector may add a series whenever there is something to count.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	histogram := func(d *prometheus.Desc, h Histogram) {
		out <- prometheus.MustNewConstHistogram(d, h.Count, h.Sum, h.Buckets)
	}
	traffic := c.status.Traffic()
	for _, r := range traffic.Requests {
		counter(descRequests, r.Count, r.Service, r.Route, strconv.Itoa(r.Status))
	}
	histogram(descLatency, traffic.Request)
	histogram(descKong, traffic.Kong)
	histogram(descUpstream, traffic.Upstream)
	gauge(descActive, float64(traffic.Active))
	gauge(descConnections, float64(traffic.Connections.Accepted), "accepted")
	gauge(descConnections, float64(traffic.Connections.Active), "active")
	gauge(descConnections, float64(traffic.Connections.Idle), "waiting")
	for _, e := range c.status.Exporters() {
		counter(descCreated, e.Created, e.ID, e.Signal, e.Endpoint)
		counter(descExported, e.Delivered, e.ID, e.Signal, e.Endpoint)
		counter(descRejected, e.Rejected, e.ID, e.Signal, e.Endpoint)
		for reason, n := range e.Dropped {
			counter(descDropped, n, e.ID, e.Signal, e.Endpoint, reason)
		}
		gauge(descQueued, float64(e.Queued), e.ID, e.Signal, e.Endpoint)
		gauge(descQueuedBytes, float64(e.QueuedBytes), e.ID, e.Signal, e.Endpoint)
		gauge(descStored, float64(e.Stored), e.ID, e.Signal, e.Endpoint)
		counter(descRecovered, e.Recovered, e.ID, e.Signal, e.Endpoint)
		counter(descPosts, e.Posts, e.ID, e.Signal, e.Endpoint)
		counter(descRetries, e.Retries, e.ID, e.Signal, e.Endpoint)
		failing := 0.0
		if e.Failing {
			failing = 1
		}
		gauge(descFailing, failing, e.ID, e.Signal, e.Endpoint, e.LastError)
	}
	for _, u := range c.status.upstreams() {
		for _, t := range u.Targets {
			if len(t.Addresses) == 0 {
				targetHealth(gauge, u.Name, t.Target, "", t.Health)
			}
			for _, a := range t.Addresses {
				targetHealth(gauge, u.Name, t.Target, a.IP+":"+strconv.Itoa(a.Port), a.Health)
			}
		}
	}
	_, shed := c.status.Shed()
	counter(descShed, shed)
	broken := 0.0
	if c.status.ConfigurationFault() != "" {
		broken = 1
	}
	gauge(descConfig, broken)
	gauge(descFaults, float64(len(c.status.faults())))
}

// targetHealth writes one series for each state. Kong: kong/plugins/prometheus/exporter.lua set_healthiness_metrics
func targetHealth(gauge func(*prometheus.Desc, float64, ...string), upstream, target, address, health string) {
	for _, state := range []string{"healthy", "unhealthy", "healthchecks_off", "dns_error"} {
		value := 0.0
		if strings.EqualFold(state, health) {
			value = 1
		}
		gauge(descTarget, value, upstream, target, address, state, "http")
	}
}

// memory is what /status says of the process.
func memory() map[string]any {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(samples)
	return map[string]any{
		"heap_bytes":  samples[0].Value.Uint64(),
		"total_bytes": samples[1].Value.Uint64(),
		"goroutines":  samples[2].Value.Uint64(),
	}
}
