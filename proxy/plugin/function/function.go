// Package function is Kong's pre-function and post-function: chunks of Lua in a plugin's configuration, run in the
// phases of a request with Kong's PDK at hand.
//
// The scripts run on gopher-lua (docs/decisions/0006-lua.md). The files of this package, from the outside in:
//
//	function.go fields.go                the plugins, and what other plugins compute by Lua
//	host.go worker.go                    what scripts need of the gateway, the Lua states
//	source.go rewrite.go message.go      compiling LuaJIT's Lua, and wording errors as LuaJIT does
//	budget.go census.go                  time and memory
//	sandbox.go library.go … pattern.go   what scripts see of Lua's own library
//	kong.go request.go response.go …     kong.*
//	ngx.go ngxvar.go regex.go            ngx.*
//	json.go http.go                      modules that scripts may require
//
// Kong: kong/plugins/pre-function/_handler.lua
package function

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	lua "github.com/yuin/gopher-lua"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// Names and priorities of the two plugins. Kong: kong/plugins/{pre,post}-function/handler.lua
const (
	PreName      = "pre-function"
	PostName     = "post-function"
	prePriority  = 1000000
	postPriority = -1000
)

// Options are settings of the gateway for all scripts.
type Options struct {
	UntrustedLua       Mode                  // "" is Sandbox
	SandboxRequires    []string              // modules that sandboxed scripts may require
	SandboxEnvironment []string              // further names of the library that they see: os.getenv for example
	NodeID             string                // of kong.node.get_id
	Trusted            func(netip.Addr) bool // of kong.ip.is_trusted; nil trusts nobody
	Time               time.Duration         // budget of one run of a chunk; 0: 100 ms
	Memory             int64                 // likewise, in bytes; 0: 24 MiB

	// BodyBuffer is how many bytes of a request's body kong.request.get_raw_body gives without being asked for more
	// (client_body_buffer_size); 0: as many as the memory budget allows.
	BodyBuffer int64

	Client *http.Client // of resty.http; nil: its requests fail

	observe func(plugin string, p phase, values []lua.LValue, err error) // for tests: what a chunk's body returned
}

const (
	defaultTime   = 100 * time.Millisecond
	defaultMemory = 24 << 20

	// loggedShare: a third of the memory is for what a request's scripts want in log records, which lives on in these.
	loggedShare = 3
)

// errUntrusted is Kong's text for scripts that the setting forbids. Kong: kong/tools/sandbox.lua
var errUntrusted = errors.New("loading of untrusted Lua code disabled because 'untrusted_lua' config option is set to 'off'")

// Lua runs scripts. All that it runs share its Lua states. It is a plugin.Lua.
type Lua struct{ workers *workers }

// New makes a Lua.
func New(options Options) *Lua {
	if options.UntrustedLua == "" {
		options.UntrustedLua = Sandbox
	}
	if options.Time == 0 {
		options.Time = defaultTime
	}
	if options.Memory == 0 {
		options.Memory = defaultMemory
	}
	return &Lua{newWorkers(options)}
}

// Define makes the definitions of both plugins, with Lua states of their own.
func Define(options Options) []*plugin.Definition { return New(options).Definitions() }

// Definitions makes the definitions of both plugins.
func (l *Lua) Definitions() []*plugin.Definition {
	define := func(name string, priority int) *plugin.Definition {
		return &plugin.Definition{
			Name: name, Priority: priority, Config: Config(),
			New: func(p *entity.Plugin, env plugin.Env) (plugin.Instance, error) { return newInstance(p, env, l.workers) },
		}
	}
	return []*plugin.Definition{define(PreName, prePriority), define(PostName, postPriority)}
}

// owner is the configured plugin that scripts run for.
type owner struct {
	name     string
	env      plugin.Env
	recorder *plugin.Recorder // of kong.log.serialize
	secrets  *plugin.Secrets
	workers  *workers
}

func newOwner(p *entity.Plugin, env plugin.Env, states *workers) owner {
	return owner{name: p.Name, env: env, workers: states, recorder: plugin.NewRecorder(env), secrets: plugin.NewSecrets(env)}
}

// instance is one configured plugin. Rewrite, access and header filter phases exist with or without chunks, so that
// they have their spans as in Kong.
type instance struct {
	owner
	rewrite, access, headerFilter, bodyFilter, log []*chunk
}

// What an instance is more, by the chunks that it has.
type (
	filtering             struct{ *instance } // it may change the answer's body
	recording             struct{ *instance } // it has a log phase
	filteringAndRecording struct{ filtering }
)

func newInstance(p *entity.Plugin, env plugin.Env, states *workers) (plugin.Instance, error) {
	var config map[string][]string
	if err := entity.Decode(p.Config, &config); err != nil {
		return nil, err
	}
	i := &instance{owner: newOwner(p, env, states)}
	for _, one := range []struct {
		phase string
		into  *[]*chunk
	}{
		{"rewrite", &i.rewrite},
		{"access", &i.access},
		{"header_filter", &i.headerFilter},
		{"body_filter", &i.bodyFilter},
		{"log", &i.log},
	} {
		for n, source := range config[one.phase] {
			c, err := compile(source)
			if err != nil {
				return nil, fmt.Errorf("compile config.%s[%d]: %w", one.phase, n+1, err)
			}
			*one.into = append(*one.into, c)
		}
	}
	return i.phases(), nil
}

// phases gives the instance with the phases that it has. An exit in the header filter phase replaces the body.
func (i *instance) phases() plugin.Instance {
	filters, logs := len(i.bodyFilter) > 0 || len(i.headerFilter) > 0, len(i.log) > 0
	switch {
	case filters && logs:
		return filteringAndRecording{filtering{i}}
	case filters:
		return filtering{i}
	case logs:
		return recording{i}
	default:
		return i
	}
}

// Close drops what the Lua states hold of the instance.
func (i *instance) Close() error {
	var all []*chunk
	for _, chunks := range [][]*chunk{i.rewrite, i.access, i.headerFilter, i.bodyFilter, i.log} {
		all = append(all, chunks...)
	}
	i.workers.forget(all)
	return nil
}

// Rewrite is plugin.Rewriter.
func (i *instance) Rewrite(ctx *plugin.Context) error { return i.phase(ctx, rewriting, i.rewrite) }

// Access is plugin.Accessor.
func (i *instance) Access(ctx *plugin.Context) error { return i.phase(ctx, accessing, i.access) }

// FilterHeader is plugin.HeaderFilter.
func (i *instance) FilterHeader(ctx *plugin.Context) error {
	return i.phase(ctx, headerFilter, i.headerFilter)
}

func (i *instance) phase(ctx *plugin.Context, p phase, chunks []*chunk) error {
	if len(chunks) == 0 {
		return nil
	}
	return i.run(i.hostOf(ctx, p), p, chunks)
}

// FilterBody is plugin.BodyFilter.
func (f filtering) FilterBody(ctx *plugin.Context, piece []byte, eof bool) ([]byte, error) {
	return f.filter(f.hostOf(ctx, bodyFilter), piece, eof)
}

// Lingers is plugin.Lingerer.
func (i *instance) Lingers() bool { return len(i.log) > 0 }

// Log is plugin.Logger.
func (r recording) Log(ctx *plugin.Context) {
	if err := r.run(r.hostOf(ctx, logging), logging, r.log); err != nil {
		ctx.Span.RecordError(err.Error())
		ctx.Span.SetStatus(tracing.StatusError, "")
		ctx.Logger.Error("script fails", "plugin", r.name, "phase", "log", "error", err, "request_id", ctx.RequestID)
	}
}

// Log is plugin.Logger.
func (f filteringAndRecording) Log(ctx *plugin.Context) { recording{f.instance}.Log(ctx) }

// requestOf is what scripts keep of the request. Its worker is locked until the caller unlocks it.
func (o *owner) requestOf(host Host) *request {
	place := host.State()
	req, _ := (*place).(*request)
	if req == nil {
		req = &request{worker: o.workers.acquire()}
		*place = req
	} else {
		req.worker.mu.Lock()
	}
	req.worker.open()
	return req
}

// run runs the chunks of a phase. It stops at an exit and at an error.
func (i *instance) run(host Host, p phase, chunks []*chunk) error {
	if i.workers.options.UntrustedLua == Off {
		return errUntrusted
	}
	req := i.requestOf(host)
	defer req.worker.mu.Unlock()
	for _, c := range chunks {
		r := i.newRun(req, host, p)
		if err := req.worker.execute(r, c, i.observer(p)); err != nil {
			return err
		}
		if r.failed {
			return errors.New("script asks for the connection to be closed")
		}
		if r.answer != nil {
			host.Exit(*r.answer)
			return nil
		}
	}
	return nil
}

func (o *owner) newRun(req *request, host Host, p phase) *run {
	r := &run{request: req, host: host, phase: p, plugin: o.name}
	r.time, r.memory = o.workers.options.Time, o.workers.options.Memory
	return r
}

func (i *instance) observer(p phase) func([]lua.LValue, error) {
	observe := i.workers.options.observe
	if observe == nil {
		return nil
	}
	return func(values []lua.LValue, err error) { observe(i.name, p, values, err) }
}

// filter runs the body filter for a piece of the answer, in nginx's manner: pieces first, then an empty end.
func (i *instance) filter(host Host, piece []byte, eof bool) (out []byte, err error) {
	req, _ := (*host.State()).(*request)
	if len(i.bodyFilter) == 0 && (req == nil || !req.replaced && !req.swallow) {
		return piece, nil
	}
	if i.workers.options.UntrustedLua == Off {
		return nil, errUntrusted
	}
	req = i.requestOf(host)
	defer req.worker.mu.Unlock()
	if req.swallow {
		return nil, nil
	}
	if req.replaced {
		req.swallow = true
		return i.filterPiece(req, host, req.replace, true)
	}
	if len(piece) > 0 {
		if out, err = i.filterPiece(req, host, piece, false); err != nil || req.swallow {
			return out, err
		}
	}
	if eof {
		last, err := i.filterPiece(req, host, nil, true)
		return append(out, last...), err
	}
	return out, nil
}

func (i *instance) filterPiece(req *request, host Host, piece []byte, eof bool) ([]byte, error) {
	arg := [2]lua.LValue{lua.LString(piece), lua.LBool(eof)}
	for _, c := range i.bodyFilter {
		r := i.newRun(req, host, bodyFilter)
		r.arg = arg
		if err := req.worker.execute(r, c, i.observer(bodyFilter)); err != nil {
			return nil, err
		}
		if r.failed {
			return nil, errors.New("script asks for the connection to be closed")
		}
		arg = r.arg
	}
	if !eof && lua.LVAsBool(arg[1]) {
		req.swallow = true // the script has declared the end
	}
	s, _ := arg[0].(lua.LString)
	return []byte(s), nil
}
