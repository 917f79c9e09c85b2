// Package opentelemetry is Kong's opentelemetry plugin: it continues the caller's trace, decides on sampling, tells the
// upstream, and exports the request's spans over OTLP/HTTP.
//
// It alone knows header formats (package propagation) and the export protocol (tracing/otlp, tracing/queue).
// Kong: kong/plugins/opentelemetry/
package opentelemetry

import (
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
	Disabled           bool          // export nothing
}

// Define makes the plugin's definition. Its instances share exporters.
func Define(exporters *Exporters, defaults Defaults) *plugin.Definition {
	return &plugin.Definition{
		Name:     Name,
		Priority: priority,
		Config:   Config(),
		New: func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
			return newInstance(p, exporters, defaults)
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
	traceIDHeader string
	exporter      *exporter // nil: nothing is exported
}

func newInstance(p *entity.Plugin, exporters *Exporters, defaults Defaults) (*instance, error) {
	c, err := decode(p.Config)
	if err != nil {
		return nil, err
	}
	o := &instance{traceIDHeader: c.HTTPResponseHeaderForTraceID}
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
	if c.TracesEndpoint == "" || defaults.Disabled {
		return o, nil
	}
	client, settings := c.client(defaults), c.queue()
	if settings.Storage, err = c.storage(client, defaults.StorageFolder); err != nil {
		return nil, err
	}
	o.exporter, err = exporters.acquire(client, settings)
	return o, err
}

// client says how to reach the receiver.
func (c *config) client(defaults Defaults) otlp.Config {
	headers := c.Headers
	if headers == nil && (defaults.Endpoint == "" || defaults.Endpoint == c.TracesEndpoint) {
		headers = defaults.Headers
	}
	// What Kong says by default, then the environment, then the instance's own.
	resource := otlp.NewResource(defaults.ServiceVersion, defaults.InstanceID, defaults.ResourceAttributes)
	if defaults.ServiceName != "" {
		resource["service.name"] = defaults.ServiceName
	}
	maps.Copy(resource, c.ResourceAttributes)
	return otlp.Config{
		Endpoint:       c.TracesEndpoint,
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

// Close lets go of the exporter.
func (o *instance) Close() error {
	if o.exporter != nil {
		o.exporter.release()
	}
	return nil
}

// state is what an instance keeps of a request between its phases.
type state struct {
	in      propagation.Context
	id      tracing.TraceID
	sampled bool
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
			TraceID: s.id, Parent: s.in.Parent(), State: strings.Join(s.in.TraceState, ","), Flags: s.in.Flags, Sampled: s.sampled,
		})
		linkTo(ctx.Trace, &stranger)
	}
	ctx.SetState(s)
	return s
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

// Log hands the spans to the exporter.
func (o *instance) Log(ctx *plugin.Context) {
	s := o.settle(ctx)
	if o.exporter != nil && ctx.Trace.Recording() {
		o.exporter.queue.Append(otlp.Frames{Trace: ctx.Trace})
	}
	ctx.SetState(nil)
	*s = state{}
	states.Put(s)
}
