package plugin

import (
	"encoding/json"
	"io"

	"sidekong/configs/entity"
)

// Lua compiles what the configurations of plugins say in Lua. proxy/plugin/function has one.
type Lua interface {
	// Expressions compiles a plugin's chunks by the names of what they give. field is where the configuration has them,
	// "config.custom_fields_by_lua"; an error names it, the chunk and the line. The result is nil where there are none, or no
	// Lua may run, which is in the log then.
	Expressions(p *entity.Plugin, env Env, field string, chunks map[string]string) (Expressions, error)
}

// Expressions are chunks of Lua that tell something about a request.
type Expressions interface {
	// Evaluate runs them in the log phase, in the order of their names, and hands out what each returns, nothing being
	// JSON's null; mode is that of Context.SetLogValue. One that fails hands out nothing and is in the log.
	Evaluate(ctx *Context, give func(name string, value json.RawMessage, mode string))

	// Close drops what is kept for them.
	io.Closer
}

// CustomFields are the Expressions whose results a logging plugin wants in records, as custom_fields_by_lua says. The zero
// CustomFields is none.
type CustomFields struct{ Expressions Expressions }

// Set puts the fields into the request's record. As in Kong, they are in the records of plugins that log later too.
func (f CustomFields) Set(ctx *Context) {
	if f.Expressions != nil {
		f.Expressions.Evaluate(ctx, ctx.SetLogValue)
	}
}

// Lingers is Lingerer.
func (f CustomFields) Lingers() bool { return f.Expressions != nil }

// Close drops what is kept for the fields.
func (f CustomFields) Close() error {
	if f.Expressions == nil {
		return nil
	}
	return f.Expressions.Close()
}
