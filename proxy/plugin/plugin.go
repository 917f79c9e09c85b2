// Package plugin is the pipeline that a request passes: plugins run phase by phase, in the order of their priority,
// each with the most specific of its configured instances, as in Kong.
//
// A plugin lives in a folder of its own below this one. It says what it is by a Definition and implements the phases
// that it needs (Rewriter, Accessor, …) on the type that its Definition.New returns.
package plugin

import (
	"fmt"
	"slices"

	"sidekong/configs/entity"
	"sidekong/tracing"
)

// Instance is a configured plugin: it implements at least one of the phase interfaces. It serves many requests at
// once. Where it implements io.Closer, it is closed when no request uses it any more.
type Instance any

// Rewriter runs before routing. Only global instances can.
type Rewriter interface{ Rewrite(*Context) error }

// Accessor runs once the route is known and before anything is sent upstream. It may answer early with Context.Exit.
type Accessor interface{ Access(*Context) error }

// Balancer runs before every try after the first: what names the try in hand in the request's headers is written anew.
type Balancer interface{ Balance(*Context) error }

// HeaderFilter runs when status and headers of the answer are known and before they are sent. It may change them.
type HeaderFilter interface{ FilterHeader(*Context) error }

// BodyFilter sees the answer's body piece by piece, the end being told by eof (with or without a last piece). What it
// returns is sent in place of chunk; it may hold bytes back. It may not keep chunk.
type BodyFilter interface {
	FilterBody(ctx *Context, chunk []byte, eof bool) ([]byte, error)
}

// Logger runs when the request is complete.
type Logger interface{ Log(*Context) }

// Lingerer is a Logger that may take long over a request, as one that runs scripts does. Where there is one, answers leave
// before the log phase.
type Lingerer interface{ Lingers() bool }

// Quiet marks an instance that watches a request for the sake of its trace, and whose phases have no spans of their own
// in it.
type Quiet interface{ Quiet() }

// SizeBlind marks a Logger that does not look at Summary.BytesReceived and BytesSent. Heads are measured only where a
// configuration has a Logger that does.
type SizeBlind interface{ SizeBlind() }

// Reporter hands traces on. It takes the report of a request that lasts long: a small trace of its own, complete and
// settled. Report is called while the request is under way and by another goroutine, so there is no Context. It may not
// keep the trace. Where a Reporter is a Logger too, it runs after all others: the trace is complete then.
type Reporter interface{ Report(report *tracing.Trace) }

// TraceNamer tells how trace context formats write the id of the request's trace, by the format's name, for log
// records. It is nil where there is no trace. Kong: kong/observability/tracing/propagation add_trace_id_formats
type TraceNamer interface {
	TraceIDs(*Context) map[string]string
}

// Explainer can tell what it would do in the access phase without doing it: in the context's Notes, and in the header of
// a request that goes nowhere.
type Explainer interface{ Explain(*Context) }

// Faulty tells what of an instance's configuration cannot work although the instance does; nil: nothing.
type Faulty interface{ Fault() error }

// Definition is a kind of plugin.
type Definition struct {
	Name     string
	Priority int // higher runs earlier; Kong's numbers
	Config   *entity.Record

	// New makes an instance from a checked entity. It is nil for a plugin whose configuration is understood and
	// checked but that does not run here.
	New func(*entity.Plugin, Env) (Instance, error)

	// Watches says that the plugin is there to tell of requests: it lets pass what it sees. Where New fails they go on
	// without it; where that of another plugin fails, the requests that it would act on fail.
	Watches bool
}

// Registry is the set of plugins that exist.
type Registry struct {
	definitions map[string]*Definition
}

// NewRegistry makes a registry. Two definitions of the same name are a programming error.
func NewRegistry(definitions ...*Definition) *Registry {
	r := &Registry{definitions: make(map[string]*Definition, len(definitions))}
	for _, d := range definitions {
		if r.definitions[d.Name] != nil {
			panic(fmt.Sprintf("plugin %s is defined twice", d.Name))
		}
		r.definitions[d.Name] = d
	}
	return r
}

// Lookup finds a definition by its name.
func (r *Registry) Lookup(name string) (*Definition, bool) {
	d, ok := r.definitions[name]
	return d, ok
}

// Runs reports whether a plugin of that name runs here.
func (r *Registry) Runs(name string) bool {
	d, ok := r.definitions[name]
	return ok && d.New != nil
}

// Configs gives the schema of each plugin's configuration, by name.
func (r *Registry) Configs() map[string]*entity.Record {
	configs := make(map[string]*entity.Record, len(r.definitions))
	for name, d := range r.definitions {
		configs[name] = d.Config
	}
	return configs
}

// Names lists the plugins in the order of their names.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.definitions))
	for name := range r.definitions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
