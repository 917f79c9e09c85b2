package plugin

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"

	"sidekong/configs/entity"
	"sidekong/tracing"
)

// Plan is all instances of one configuration, made into chains.
type Plan struct {
	steps     []*kind // by priority
	instances []Instance
}

// kind is one plugin with all its instances.
type kind struct {
	def   *Definition
	names phaseNames
	all   []*bound
}

// bound is one instance with the phases that it has.
type bound struct {
	config       *entity.Plugin
	instance     Instance
	rewriter     Rewriter
	accessor     Accessor
	balancer     Balancer
	headerFilter HeaderFilter
	bodyFilter   BodyFilter
	logger       Logger
	reporter     Reporter
	namer        TraceNamer
	quiet        bool
}

// phaseNames are the names of the spans of a plugin's phases.
type phaseNames struct{ rewrite, access, headerFilter, bodyFilter, log string }

// NewPlan makes the instances of the enabled plugins in configs. Those that registry does not run are left out. What
// cannot work as it is configured is in faulty, nil where all can: a stand-in takes its place, so that no instance of a
// wider scope does.
func NewPlan(registry *Registry, configs []*entity.Plugin, env Env) (plan *Plan, faulty map[*entity.Plugin]error) {
	plan = &Plan{}
	kinds := map[string]*kind{}
	for _, config := range configs {
		def, ok := registry.Lookup(config.Name)
		if !config.Enabled || !ok || def.New == nil {
			continue
		}
		instance, err := def.New(config, env)
		switch f, ok := instance.(Faulty); {
		case err != nil && def.Watches:
			instance = idle{}
		case err != nil:
			instance = broken{err}
		case ok:
			err = f.Fault()
		}
		if err != nil {
			if faulty == nil {
				faulty = map[*entity.Plugin]error{}
			}
			faulty[config] = err
		}
		plan.instances = append(plan.instances, instance)
		k := kinds[config.Name]
		if k == nil {
			k = &kind{def: def, names: phaseNames{
				rewrite:      "kong.rewrite.plugin." + def.Name,
				access:       "kong.access.plugin." + def.Name,
				headerFilter: "kong.header_filter.plugin." + def.Name,
				bodyFilter:   "kong.body_filter.plugin." + def.Name,
				log:          "kong.log.plugin." + def.Name,
			}}
			kinds[config.Name] = k
			plan.steps = append(plan.steps, k)
		}
		k.all = append(k.all, bind(config, instance))
	}
	// Kong: kong/db/dao/plugins.lua sort_by_handler_priority: equal priorities run by name, the later name first.
	slices.SortFunc(plan.steps, func(a, b *kind) int {
		return cmp.Or(cmp.Compare(b.def.Priority, a.def.Priority), cmp.Compare(b.def.Name, a.def.Name))
	})
	return plan, faulty
}

// broken stands in for a plugin that requests may not go without.
type broken struct{ err error }

// Access is Accessor.
func (b broken) Access(*Context) error { return b.err }

// idle stands in for a plugin that requests may go without.
type idle struct{}

func bind(config *entity.Plugin, instance Instance) *bound {
	b := &bound{config: config, instance: instance}
	b.rewriter, _ = instance.(Rewriter)
	b.accessor, _ = instance.(Accessor)
	b.balancer, _ = instance.(Balancer)
	b.headerFilter, _ = instance.(HeaderFilter)
	b.bodyFilter, _ = instance.(BodyFilter)
	b.logger, _ = instance.(Logger)
	b.reporter, _ = instance.(Reporter)
	b.namer, _ = instance.(TraceNamer)
	_, b.quiet = instance.(Quiet)
	return b
}

// Close closes the instances that have something to close.
func (p *Plan) Close() error {
	var errs []error
	for _, instance := range p.instances {
		if closer, ok := instance.(io.Closer); ok {
			errs = append(errs, closer.Close())
		}
	}
	p.instances = nil
	return errors.Join(errs...)
}

// Sizes reports whether any instance looks at the sizes of requests and answers.
func (p *Plan) Sizes() bool {
	return slices.ContainsFunc(p.instances, func(instance Instance) bool {
		_, logs := instance.(Logger)
		_, blind := instance.(SizeBlind)
		return logs && !blind
	})
}

// Lingers reports whether any instance may take long over the log phase.
func (p *Plan) Lingers() bool {
	return slices.ContainsFunc(p.instances, func(instance Instance) bool {
		l, ok := instance.(Lingerer)
		return ok && l.Lingers()
	})
}

// Chain is what runs for the requests of one route (or of none), by priority. It is read-only.
type Chain struct {
	steps        []step
	kinds        int // of the whole plan
	bodyFilters  bool
	altersBody   bool
	hasBalancers bool
}

type step struct {
	names      *phaseNames
	kind       int               // place of the plugin in the plan
	plain      *bound            // without a consumer; nil: none applies
	byConsumer map[string]*bound // consumer id → more specific instance
}

// Chain compiles what runs for a route and its service. Both may be nil: then it is what runs for requests that no
// route matched.
func (p *Plan) Chain(route *entity.Route, service *entity.Service) *Chain {
	chain := &Chain{kinds: len(p.steps)}
	for kind, k := range p.steps {
		s := step{names: &k.names, kind: kind}
		best := map[string]int{} // consumer id ("" = any) → precedence so far
		for _, b := range k.all {
			rank, ok := precedence(b.config, route, service)
			if !ok || !serves(b.config, route) {
				continue
			}
			consumer := ""
			if b.config.Consumer != nil {
				consumer = b.config.Consumer.ID
			}
			if known, ok := best[consumer]; ok && known >= rank {
				continue
			}
			best[consumer] = rank
			if consumer == "" {
				s.plain = b
				continue
			}
			if s.byConsumer == nil {
				s.byConsumer = map[string]*bound{}
			}
			s.byConsumer[consumer] = b
		}
		if rank, ok := best[""]; ok && rank == ofRouteAndService {
			maps.DeleteFunc(s.byConsumer, func(consumer string, _ *bound) bool { return best[consumer] == 0 })
		}
		if s.plain == nil && len(s.byConsumer) == 0 {
			continue
		}
		chain.steps = append(chain.steps, s)
		for _, b := range s.every() {
			chain.bodyFilters = chain.bodyFilters || b.bodyFilter != nil
			chain.altersBody = chain.altersBody || b.bodyFilter != nil && !k.def.Watches
			chain.hasBalancers = chain.hasBalancers || b.balancer != nil
		}
	}
	return chain
}

func (s *step) every() []*bound {
	var all []*bound
	if s.plain != nil {
		all = append(all, s.plain)
	}
	for _, b := range s.byConsumer {
		all = append(all, b)
	}
	return all
}

// ofRouteAndService is the highest rank that a scope gets from route and service.
const ofRouteAndService = 3

// precedence ranks an instance's scope for a route and service; ok is false where it doesn't apply. The caller keeps
// those for a consumer apart: they outrank every one without, but that one for a consumer alone gives way to one for
// route and service together.
// Kong: kong/runloop/plugins_iterator.lua lookup_cfg
func precedence(config *entity.Plugin, route *entity.Route, service *entity.Service) (rank int, ok bool) {
	if config.Route != nil {
		if route == nil || route.ID != config.Route.ID {
			return 0, false
		}
		rank += 2
	}
	if config.Service != nil {
		if service == nil || service.ID != config.Service.ID {
			return 0, false
		}
		rank++
	}
	return rank, true
}

// serves reports whether the plugin's protocols have one in common with the route's.
func serves(config *entity.Plugin, route *entity.Route) bool {
	if route == nil {
		return true
	}
	return slices.ContainsFunc(route.Protocols, func(p string) bool { return slices.Contains(config.Protocols, p) })
}

// FiltersBody reports whether anything wants the answer's body.
func (c *Chain) FiltersBody() bool { return c.bodyFilters }

// AltersBody reports whether anything may change the answer's body, and not just watch it pass.
func (c *Chain) AltersBody() bool { return c.altersBody }

// Rewrites reports whether anything has a rewrite phase.
func (c *Chain) Rewrites() bool {
	return slices.ContainsFunc(c.steps, func(s step) bool { return s.plain != nil && s.plain.rewriter != nil })
}

// Rewrite runs the rewrite phase of a global chain. It stops at an exit or an error; the chain's later phases can run
// then too.
func (c *Chain) Rewrite(ctx *Context) (err error) {
	ctx.use(c)
	for i := range c.steps {
		b := ctx.choose(i)
		if b == nil || b.rewriter == nil || err != nil || ctx.answer != nil {
			continue
		}
		ctx.begin(i, tracing.PluginRewrite, c.steps[i].names.rewrite)
		err = guard(ctx, b.rewriter.Rewrite)
		ctx.end(err)
	}
	return err
}

// Access chooses the instance of every plugin, by the consumer as far as it is known when its turn comes, and runs
// the access phase. After an exit or an error the rest is chosen but not run.
// Kong: kong/init.lua execute_collecting_plugins_iterator
func (c *Chain) Access(ctx *Context) (err error) {
	ctx.use(c)
	for i := range c.steps {
		b := ctx.choose(i)
		if b == nil || b.accessor == nil || err != nil || ctx.answer != nil {
			continue
		}
		ctx.begin(i, tracing.PluginAccess, c.steps[i].names.access)
		err = guard(ctx, b.accessor.Access)
		ctx.end(err)
	}
	return err
}

// Skip chooses the instances without running the access phase, for a request that is answered before it.
func (c *Chain) Skip(ctx *Context) {
	ctx.use(c)
	for i := range c.steps {
		ctx.choose(i)
	}
}

// Balance runs before every try after the first.
func (c *Chain) Balance(ctx *Context) error {
	if !c.hasBalancers {
		return nil
	}
	for i, b := range ctx.chosen {
		if b == nil || b.balancer == nil {
			continue
		}
		ctx.step = i
		if err := guard(ctx, b.balancer.Balance); err != nil {
			return err
		}
	}
	return nil
}

// FilterHeader runs the header filter phase.
func (c *Chain) FilterHeader(ctx *Context) error {
	for i, b := range ctx.chosen {
		if b == nil || b.headerFilter == nil {
			continue
		}
		ctx.begin(i, tracing.PluginHeaderFilter, c.steps[i].names.headerFilter)
		err := guard(ctx, b.headerFilter.FilterHeader)
		ctx.end(err)
		if err != nil {
			return err
		}
	}
	return nil
}

// FilterBody runs the body filter phase for one piece of the body. Where that is traced, a plugin's span lasts from its
// first piece to the end of the body.
func (c *Chain) FilterBody(ctx *Context, chunk []byte, eof bool) (_ []byte, err error) {
	recorded := ctx.Trace.Has(tracing.PluginBodyFilter)
	for i, b := range ctx.chosen {
		if b == nil || b.bodyFilter == nil {
			continue
		}
		ctx.step = i
		ctx.Span = ctx.Root
		outer := ctx.active
		traced := recorded && !b.quiet
		if traced {
			if ctx.filters == nil {
				ctx.filters = make([]tracing.Span, len(c.steps))
			}
			if ctx.filters[i] == (tracing.Span{}) {
				ctx.filters[i] = ctx.start(c.steps[i].names.bodyFilter)
			}
			ctx.Span, ctx.active = ctx.filters[i], ctx.filters[i]
		}
		chunk, err = filterPiece(ctx, b.bodyFilter, chunk, eof)
		if err != nil {
			ctx.Span.RecordError(err.Error())
			ctx.Span.SetStatus(tracing.StatusError, "")
		}
		if traced && (eof || err != nil) {
			ctx.Span.End()
		}
		if traced && ctx.active == ctx.Span {
			ctx.active = outer
		}
		ctx.Span = ctx.Root
		if err != nil {
			return nil, err
		}
	}
	return chunk, nil
}

func filterPiece(ctx *Context, filter BodyFilter, chunk []byte, eof bool) (out []byte, err error) {
	defer recoverPlugin(ctx, &err)
	return filter.FilterBody(ctx, chunk, eof)
}

// EndBody ends the spans of the body filter phase where the body has broken off.
func (c *Chain) EndBody(ctx *Context) {
	for _, span := range ctx.filters {
		span.End()
	}
}

// Log runs the log phase. A plugin that panics does not keep the others from running. Those that hand the trace on
// (Reporter) run last and have no span, so that the trace holds the spans of the others.
func (c *Chain) Log(ctx *Context) {
	last := false
	for i, b := range ctx.chosen {
		if b == nil || b.logger == nil {
			continue
		}
		if b.reporter != nil {
			last = true
			continue
		}
		ctx.begin(i, tracing.PluginLog, c.steps[i].names.log)
		ctx.end(guardLog(ctx, b.logger))
	}
	if !last {
		return
	}
	for i, b := range ctx.chosen {
		if b == nil || b.logger == nil || b.reporter == nil {
			continue
		}
		ctx.step = i
		ctx.Span = ctx.Root
		_ = guardLog(ctx, b.logger) // which has logged the panic
	}
}

func guardLog(ctx *Context, logger Logger) (err error) {
	defer recoverPlugin(ctx, &err)
	logger.Log(ctx)
	return nil
}

// Reporters are those of the request's plugins that take reports of it while it is under way.
func (c *Chain) Reporters(ctx *Context) []Reporter {
	var all []Reporter
	for _, b := range ctx.chosen {
		if b != nil && b.reporter != nil {
			all = append(all, b.reporter)
		}
	}
	return all
}

// use binds the context to a chain. What plugins keep of the request stays.
func (ctx *Context) use(c *Chain) {
	ctx.chain = c
	ctx.chosen = append(ctx.chosen[:0], make([]*bound, len(c.steps))...)
	if len(ctx.states) != c.kinds {
		ctx.states = append(ctx.states[:0], make([]any, c.kinds)...)
	}
	ctx.Span = ctx.Root
}

// choose picks the instance of step i that the consumer, if known, makes the most specific.
func (ctx *Context) choose(i int) *bound {
	s := &ctx.chain.steps[i]
	b := s.plain
	if s.byConsumer != nil && ctx.Consumer != nil {
		if own := s.byConsumer[ctx.Consumer.ID]; own != nil {
			b = own
		}
	}
	ctx.chosen[i] = b
	return b
}

func (ctx *Context) begin(step int, kind tracing.Instrumentation, name string) {
	ctx.step = step
	ctx.Span = ctx.Root
	if ctx.Trace.Has(kind) && !ctx.chosen[step].quiet {
		ctx.outer = ctx.active
		ctx.Span = ctx.start(name)
		ctx.active, ctx.inactive = ctx.Span, false
	}
}

// start begins a plugin's span below the active one.
func (ctx *Context) start(name string) tracing.Span {
	parent, ok := ctx.ActiveSpan()
	if !ok {
		parent = ctx.Root
	}
	return ctx.Trace.StartSpan(name, tracing.KindInternal, parent)
}

func (ctx *Context) end(err error) {
	if err != nil {
		ctx.Span.RecordError(err.Error())
		ctx.Span.SetStatus(tracing.StatusError, "")
	}
	if ctx.Span != ctx.Root {
		ctx.Span.End()
		if ctx.active == ctx.Span {
			ctx.active = ctx.outer
		}
	}
	ctx.Span = ctx.Root
}

// PluginName names the plugin that runs or that ran last, "" before the first.
func (ctx *Context) PluginName() string {
	if ctx.step >= len(ctx.chosen) || ctx.chosen[ctx.step] == nil {
		return ""
	}
	return ctx.chosen[ctx.step].config.Name
}

// guard runs a plugin's phase and turns a panic in it into an error.
func guard(ctx *Context, phase func(*Context) error) (err error) {
	defer recoverPlugin(ctx, &err)
	return phase(ctx)
}

// recoverPlugin is deferred around a plugin's phase.
func recoverPlugin(ctx *Context, err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("panic: %v", cause)
		ctx.Logger.Error("plugin panics", "plugin", ctx.PluginName(), "error", *err,
			"request_id", ctx.RequestID, "stack", string(debug.Stack()))
	}
}

// Plugins are the instances that run for a consumer of that id ("": none), in the order in which they run.
func (c *Chain) Plugins(consumer string) []*entity.Plugin {
	var all []*entity.Plugin
	for i := range c.steps {
		b := c.steps[i].plain
		if own := c.steps[i].byConsumer[consumer]; own != nil {
			b = own
		}
		if b != nil {
			all = append(all, b.config)
		}
	}
	return all
}

// Explain asks the plugins that can tell what they would do.
func (c *Chain) Explain(ctx *Context) {
	ctx.use(c)
	for i := range c.steps {
		b := ctx.choose(i)
		if b == nil {
			continue
		}
		if e, ok := b.instance.(Explainer); ok {
			ctx.step = i
			e.Explain(ctx)
		}
	}
}
