package function

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
)

// fields are chunks of one plugin whose results it records. As Kong compiles them anew for each request, the
// globals that one sets end with its run.
// Kong: kong/plugins/file-log/handler.lua
type fields struct {
	owner
	all []field
}

type field struct {
	name  string
	chunk *chunk
}

// Expressions is plugin.Lua.
func (l *Lua) Expressions(p *entity.Plugin, env plugin.Env, path string, chunks map[string]string) (plugin.Expressions, error) {
	if len(chunks) == 0 {
		return nil, nil //nolint:nilnil // nil is none: plugin.Lua says so
	}
	f := &fields{owner: newOwner(p, env, l.workers)}
	for _, name := range slices.Sorted(maps.Keys(chunks)) {
		c, err := compile(chunks[name])
		if err != nil {
			return nil, fmt.Errorf("compile %s.%s: %w", path, name, err)
		}
		f.all = append(f.all, field{name, c})
	}
	if l.workers.options.UntrustedLua == Off {
		env.Logger.Error("what is computed by Lua is left out", "plugin", p.Name, "id", p.ID, "field", path, "error", errUntrusted)
		return nil, nil //nolint:nilnil // nil is none: plugin.Lua says so
	}
	return f, nil
}

// Evaluate is plugin.Expressions. All expressions together have the time of one run.
func (f *fields) Evaluate(ctx *plugin.Context, give func(name string, value json.RawMessage, mode string)) {
	host := f.hostOf(ctx, logging)
	req := f.requestOf(host)
	defer req.worker.mu.Unlock()
	left := f.workers.options.Time
	for _, x := range f.all {
		r := f.newRun(req, host, logging)
		r.time = left
		err := req.worker.evaluate(r, x.chunk, func(L *lua.LState) int {
			value, mode := logValue(L, r, x.name, L.Get(1), L.Get(2))
			give(x.name, value, mode)
			return 0
		})
		left -= r.used
		if err != nil {
			ctx.Logger.Error("expression fails", "plugin", f.name, "expression", x.name, "error", err, "request_id", ctx.RequestID)
		}
	}
}

// Close is plugin.Expressions.
func (f *fields) Close() error {
	chunks := make([]*chunk, 0, len(f.all))
	for _, x := range f.all {
		chunks = append(chunks, x.chunk)
	}
	f.workers.forget(chunks)
	return nil
}

// evaluate runs a chunk with globals of its own, and take with what it returned, within the bounds of the run. Where
// scripts are trusted, all share their globals.
func (w *worker) evaluate(r *run, c *chunk, take lua.LGFunction) error {
	r.worker, r.ready = w, w.prepare(c)
	r.env = r.ready.env
	body := r.ready.body
	if r.env != w.common {
		r.env = w.above(r.ready.env)
		own := *body
		own.Env = r.env
		body = &own
	}
	_, err := r.call(w.main.NewFunction(func(L *lua.LState) int {
		call(L, lua.MultRet, body)
		return take(L)
	}))
	return err
}

// above makes globals that take nothing with them when they go: what is not set in them is looked up in base.
func (w *worker) above(base *lua.LTable) *lua.LTable {
	env, meta := w.main.CreateTable(0, smallTable), w.main.CreateTable(0, 1)
	meta.RawSetString("__index", base)
	env.Metatable = meta
	env.RawSetString("_G", env)
	return env
}
