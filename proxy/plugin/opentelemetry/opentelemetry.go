// Package opentelemetry is Kong's opentelemetry plugin: it continues the caller's trace, decides on sampling, tells the
// upstream, and exports the request's spans over OTLP/HTTP; where it is told to, also the program's log lines, a log
// record of each request, and metrics.
//
// It alone knows header formats (package propagation) and the export protocol (tracing/otlp, tracing/queue).
// Kong: kong/plugins/opentelemetry/
package opentelemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"sidekong/configs/entity"
	"sidekong/propagation"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// Name is the plugin's name in a configuration.
const Name = "opentelemetry"

// priority is Kong's. Kong: kong/plugins/opentelemetry/handler.lua
const priority = 14

// Defaults fill what an instance's configuration leaves open. They come from the OTEL_ environment variables.
type Defaults struct {
	Endpoint           string            // the one that Headers belong to; "" belongs to any
	Headers            map[string]string // where the instance has none
	Compression        otlp.Compression
	CAFile             string
	ClientCertFile     string
	ClientKeyFile      string
	ServiceName        string
	ServiceVersion     string
	InstanceID         string
	ResourceAttributes map[string]string
	Timeout            time.Duration // of a post, for Implicit; 0: Kong's
	StorageFolder      string        // of queues with storage on disk, a folder below it for each receiver
	Storage            string        // for Implicit: disk or memory; "" is memory
	Disabled           bool          // export nothing
	Lua                plugin.Lua    // what access_logs.custom_attributes_by_lua runs by; nil: configurations with it are refused
}

// Define makes the plugin's definition. Its instances share exporters.
func Define(exporters *Exporters, defaults Defaults) *plugin.Definition {
	return &plugin.Definition{
		Name:     Name,
		Priority: priority,
		Config:   Config(),
		Watches:  true,
		New: func(p *entity.Plugin, env plugin.Env) (plugin.Instance, error) {
			o, err := newInstance(p, exporters, defaults, env)
			if err != nil {
				return nil, err
			}
			if o.access == nil && o.metrics == nil {
				return sizeBlind{o}, nil
			}
			return o, nil
		},
	}
}

// Implicit is the global instance that runs where a configuration holds no opentelemetry plugin at all. An empty
// endpoint makes it trace without exporting.
func Implicit(endpoint string, defaults Defaults) *entity.Plugin {
	config := entity.Object{
		"connect_timeout": 1000.0, "send_timeout": 5000.0, "read_timeout": 5000.0,
		"header_type": "preserve",
		"propagation": entity.Object{
			"extract":        []any{"w3c", "b3", "jaeger", "ot"},
			"inject":         []any{"preserve"},
			"default_format": "w3c",
		},
		"queue": entity.Object{
			"max_batch_size": float64(defaultBatchSize), "max_coalescing_delay": 1.0, "max_entries": 10000.0,
			"max_retry_time": 60.0, "initial_retry_delay": 0.01, "max_retry_delay": 60.0, "concurrency_limit": 1.0,
		},
	}
	if endpoint != "" {
		config["traces_endpoint"] = endpoint
	}
	if defaults.Storage != "" {
		config["queue"].(entity.Object)["storage"] = defaults.Storage
	}
	if ms := float64(defaults.Timeout.Milliseconds()); ms > 0 {
		config["send_timeout"], config["read_timeout"] = ms, ms
	}
	return &entity.Plugin{
		Meta:      entity.Meta{ID: entity.ID("plugins", "implicit opentelemetry")},
		Name:      Name,
		Enabled:   true,
		Protocols: []string{"grpc", "grpcs", "http", "https"},
		Config:    config,
	}
}

// instance is one configured opentelemetry plugin.
type instance struct {
	propagator    *propagation.Propagator
	sampler       tracing.Sampler
	ownRate       bool // sampler is the instance's own, not the global one
	strategy      tracing.Strategy
	tail          *tail // nil: no rules
	traceIDHeader string
	resources     *resources // nil: all requests have the same
	global        bool       // for whatever route, service and consumer
	exporters     *Exporters

	// Each is nil where there is no endpoint for it.
	exporter *exporter // of spans
	logs     *exporter
	access   *accessLog
	metrics  *exporter
}

// sizeBlind is an instance that uses no sizes.
type sizeBlind struct{ *instance }

// SizeBlind is plugin.SizeBlind.
func (sizeBlind) SizeBlind() {}

func newInstance(p *entity.Plugin, exporters *Exporters, defaults Defaults, env plugin.Env) (o *instance, err error) {
	c, err := decode(p.Config)
	if err != nil {
		return nil, err
	}
	o = &instance{
		traceIDHeader: c.HTTPResponseHeaderForTraceID, exporters: exporters,
		global: p.Route == nil && p.Service == nil && p.Consumer == nil,
	}
	if o.propagator, err = propagation.New(c.propagation()); err != nil {
		return nil, err
	}
	if c.SamplingRate != nil {
		o.sampler, o.ownRate = tracing.NewSampler(*c.SamplingRate), true
	}
	if c.SamplingStrategy != "" {
		if o.strategy, err = tracing.ParseStrategy(c.SamplingStrategy); err != nil {
			return nil, err
		}
	}
	if o.tail, err = newTail(c.TailSampling); err != nil {
		return nil, err
	}
	custom, err := c.customAttributes(p, defaults.Lua, env)
	if err != nil {
		return nil, err
	}
	if defaults.Disabled {
		return o, nil
	}
	if err := o.export(c, defaults, env, custom); err != nil {
		_ = o.Close()
		return nil, err
	}
	return o, nil
}

// customAttributes compiles what the configuration says of access logs in Lua, if there are any.
func (c *config) customAttributes(p *entity.Plugin, lua plugin.Lua, env plugin.Env) (plugin.Expressions, error) {
	if c.AccessLogs.Endpoint == "" || len(c.AccessLogs.CustomByLua) == 0 {
		return nil, nil //nolint:nilnil // nil is none
	}
	const field = "config.access_logs.custom_attributes_by_lua"
	if lua == nil {
		return nil, errors.New(field + ": no Lua runs here")
	}
	return lua.Expressions(p, env, field, c.AccessLogs.CustomByLua)
}

// export takes an exporter for each endpoint.
func (o *instance) export(c *config, defaults Defaults, env plugin.Env, custom plugin.Expressions) (err error) {
	log := env.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	secrets := plugin.NewSecrets(env)
	c.ResourceAttributes, o.resources = newResources(c.ResourceAttributes, secrets, log)
	take := func(signal string, kind otlp.Signal, endpoint, scope string, measure *measure) (*exporter, error) {
		client, settings := c.client(defaults, endpoint), c.queue()
		client.Signal, client.Scope = kind, scope
		storage, err := c.storage(client, defaults.StorageFolder)
		if err != nil {
			return nil, err
		}
		settings.Storage = storage
		return o.exporters.acquire(signal, client, settings, measure)
	}
	if c.TracesEndpoint != "" {
		if o.exporter, err = take(signalTraces, otlp.Traces, c.TracesEndpoint, "", nil); err != nil {
			return err
		}
	}
	if c.LogsEndpoint != "" {
		if o.logs, err = take(signalLogs, otlp.Logs, c.LogsEndpoint, "", nil); err != nil {
			return err
		}
		o.exporters.lines.add(o.logs, o.global)
	}
	if c.AccessLogs.Endpoint != "" {
		to, err := take(signalAccessLogs, otlp.Logs, c.AccessLogs.Endpoint, accessScope, nil)
		if err != nil {
			return err
		}
		o.access = newAccessLog(to, secrets, custom)
	}
	if m := c.Metrics; m.Endpoint != "" {
		what := &measure{
			Interval: seconds(m.PushInterval), Requests: m.Requests, Latency: m.Latency, Bandwidth: m.Bandwidth, Consumer: m.Consumer,
			Health: m.UpstreamHealth,
		}
		if o.metrics, err = take(signalMetrics, otlp.Metrics, m.Endpoint, "", what); err != nil {
			return err
		}
		if !m.measures() {
			log.Warn("nothing is sent to metrics.endpoint: of metrics.enable_request_metrics, enable_latency_metrics, enable_bandwidth_metrics and enable_upstream_health_metrics none is true")
		}
		if m.AI {
			log.Warn("metrics.enable_ai_metrics has no effect: there is nothing to measure")
		}
	}
	return nil
}

// client says how to reach the receiver of an endpoint.
func (c *config) client(defaults Defaults, endpoint string) otlp.Config {
	headers := c.Headers
	if headers == nil && (defaults.Endpoint == "" || defaults.Endpoint == endpoint) {
		headers = defaults.Headers
	}
	// What Kong says by default, then the environment, then the instance's own.
	resource := otlp.NewResource(defaults.ServiceVersion, defaults.InstanceID, defaults.ResourceAttributes)
	if defaults.ServiceName != "" {
		resource["service.name"] = defaults.ServiceName
	}
	maps.Copy(resource, c.ResourceAttributes)
	return otlp.Config{
		Endpoint:       endpoint,
		Headers:        headers,
		Compression:    defaults.Compression,
		ConnectTimeout: milliseconds(c.ConnectTimeout),
		SendTimeout:    milliseconds(c.SendTimeout),
		ReadTimeout:    milliseconds(c.ReadTimeout),
		CAFile:         defaults.CAFile,
		ClientCertFile: defaults.ClientCertFile,
		ClientKeyFile:  defaults.ClientKeyFile,
		Resource:       resource,
	}
}

// Fault is plugin.Faulty: an endpoint that nothing can be posted to.
func (o *instance) Fault() error {
	all := []*exporter{o.exporter, o.logs, o.metrics}
	if o.access != nil {
		all = append(all, o.access.to)
	}
	for _, x := range all {
		if x != nil && x.fault != nil {
			return fmt.Errorf("%s: %w", x.signal, x.fault)
		}
	}
	return nil
}

// Close lets go of the exporters.
func (o *instance) Close() error {
	if o.logs != nil {
		o.exporters.lines.remove(o.logs, o.global)
	}
	for _, x := range []*exporter{o.exporter, o.logs, o.metrics} {
		if x != nil {
			x.release()
		}
	}
	if o.access != nil {
		return o.access.close()
	}
	return nil
}

// state is what an instance keeps of a request between its phases.
type state struct {
	in      propagation.Context
	id      tracing.TraceID
	sampled bool
	claimed bool // the request's log lines
}

// flags are the W3C trace flags that go upstream.
func (s *state) flags() uint8 {
	if s.sampled {
		return s.in.Flags | 1
	}
	return s.in.Flags
}

var states = sync.Pool{New: func() any { return new(state) }}

// settle continues the caller's trace or starts a new one, and decides on sampling, in the first phase that runs: a
// request that is refused before the access phase keeps its caller's trace too.
func (o *instance) settle(ctx *plugin.Context) *state {
	if s, ok := ctx.State().(*state); ok {
		return s
	}
	s := states.Get().(*state)
	if ctx.Trace != nil {
		s.in = o.propagator.Extract(ctx.Request.Header)
	} else {
		s.in = o.propagator.ExtractUnrecorded(ctx.Request.Header)
	}
	var stranger propagation.Context
	if ctx.Edge {
		stranger, s.in = s.in, propagation.Context{Format: s.in.Format}
	}
	s.id = s.in.TraceID
	if !s.id.IsValid() {
		s.id = tracing.NewTraceID()
	}
	if ctx.Trace != nil {
		sampler := o.sampler
		if !o.ownRate {
			sampler = ctx.Trace.Sampler()
		}
		s.sampled = o.strategy.Decide(s.in.Sampled, sampler, s.id)
		ctx.Trace.Adopt(tracing.Adoption{
			TraceID: s.id, Parent: s.in.Parent(), State: strings.Join(s.in.TraceState, ","), Flags: s.in.Flags,
			Sampled: s.sampled, Record: o.tail != nil && o.exporter != nil,
		})
		linkTo(ctx.Trace, &stranger)
		if ctx.Notes != nil {
			ctx.Notes.Sampling = because(s.in.Sampled, o.strategy, sampler, s.sampled)
		}
	}
	// Most requests begin a trace. That they bring no context of another format than those that are read is not worth a
	// look at each of their headers.
	if ctx.Notes != nil && s.in.Format != 0 {
		ctx.Notes.TraceIn = propagation.AppendFields(ctx.Notes.TraceIn[:0], ctx.Request.Header)
	}
	if o.exporters.lines.sending() {
		o.claimLines(ctx, s)
	}
	ctx.SetState(s)
	return s
}

// claimLines says what becomes of the request's log lines.
func (o *instance) claimLines(ctx *plugin.Context, s *state) {
	c := &claim{to: o.logs}
	if o.logs != nil {
		c.trace, c.span, c.flags, c.resource = s.id, ctx.Root.ID(), s.flags(), o.resources.of(ctx)
	}
	o.exporters.lines.claim(ctx.RequestID, c)
	s.claimed = true
}

// linkTo links the trace to the caller's span, where there is one, instead of continuing its trace.
func linkTo(t *tracing.Trace, caller *propagation.Context) {
	if !caller.TraceID.IsValid() || !caller.Parent().IsValid() {
		return
	}
	flags := caller.Flags
	if caller.Sampled == tracing.Keep || caller.Sampled == tracing.Force {
		flags |= 1
	}
	t.Link(tracing.Link{
		TraceID: caller.TraceID, SpanID: caller.Parent(), State: strings.Join(caller.TraceState, ","), Flags: flags,
	})
}

// Access settles the trace and tells the upstream.
func (o *instance) Access(ctx *plugin.Context) error {
	s := o.settle(ctx)
	if ctx.Edge {
		propagation.Strip(ctx.Request.Header)
	}
	o.propagator.Clear(ctx.Request.Header)
	o.inject(ctx, s)
	return nil
}

// Explain is plugin.Explainer: access does nothing but write headers.
func (o *instance) Explain(ctx *plugin.Context) { _ = o.Access(ctx) } // which never fails

// Balance names the try in hand as the upstream's parent.
func (o *instance) Balance(ctx *plugin.Context) error {
	if s, ok := ctx.State().(*state); ok && !ctx.OutboundIsRoot {
		o.inject(ctx, s)
	}
	return nil
}

func (o *instance) inject(ctx *plugin.Context, s *state) {
	parent := ctx.Root.ID()
	if ctx.OutboundIsRoot {
		parent = s.in.Parent()
	}
	o.propagator.Inject(ctx.Request.Header, &s.in, propagation.Outgoing{
		TraceID: s.id, SpanID: ctx.Outbound, ParentID: parent, Sampled: s.sampled,
	})
	if ctx.Notes != nil {
		ctx.Notes.TraceOut = o.propagator.AppendInjected(ctx.Notes.TraceOut[:0], ctx.Request.Header, &s.in, ctx.Notes.TraceIn)
	}
}

// TraceIDs is plugin.TraceNamer.
func (o *instance) TraceIDs(ctx *plugin.Context) map[string]string {
	s, ok := ctx.State().(*state)
	if !ok || ctx.Trace == nil {
		return nil
	}
	return o.propagator.LogTraceID(&s.in, s.id)
}

// FilterHeader tells the client the trace id, if it is to be told.
func (o *instance) FilterHeader(ctx *plugin.Context) error {
	s := o.settle(ctx)
	if o.traceIDHeader != "" {
		ctx.Response.Header.Add(o.traceIDHeader, s.id.String())
	}
	return nil
}

// Report exports what is told of a request that is still under way.
func (o *instance) Report(report *tracing.Trace) {
	if o.exporter != nil && report.Recording() {
		o.exporter.queue.Append(otlp.Frames{Trace: report})
	}
}

// Lingers is plugin.Lingerer.
func (o *instance) Lingers() bool { return o.access != nil && o.access.custom != nil }

// Log hands spans, log record and measurements of a complete request to the exporters.
func (o *instance) Log(ctx *plugin.Context) {
	s := o.settle(ctx)
	var resource []byte
	if o.resources != nil {
		resource = o.resources.of(ctx)
	}
	if o.exporter != nil && o.keeps(ctx) {
		frames := otlp.Frames{Trace: ctx.Trace, Resource: resource}
		if ctx.Notes != nil && len(resource) == 0 {
			o.exporter.queue.Append(notedFrames{frames, ctx.Notes})
		} else {
			o.exporter.queue.Append(frames)
		}
	}
	if o.access != nil {
		o.access.log(ctx, s.id, s.sampled, resource)
	}
	if o.metrics != nil {
		o.metrics.meter.record(ctx)
	}
	if s.claimed {
		o.exporters.lines.release(ctx.RequestID)
	}
	ctx.SetState(nil)
	*s = state{}
	states.Put(s)
}

// keeps decides whether the spans of a complete request are exported.
func (o *instance) keeps(ctx *plugin.Context) bool {
	if !ctx.Trace.Recording() {
		return false
	}
	if o.tail == nil {
		return true
	}
	keep, reason := o.tail.decide(ctx)
	if keep {
		ctx.Root.SetString(attrReason, reason)
	}
	if ctx.Notes != nil {
		ctx.Notes.Sampling += tailNote(keep, reason)
		ctx.Notes.Dropped = !keep
	}
	return keep
}
