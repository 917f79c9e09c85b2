package function_test

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	house "sidekong/internal/gateway"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/function"
)

// teller is a plugin that hands out what its expressions give for a request, "name mode value" each.
type teller struct {
	plugin.Expressions
	out chan []string
}

func (t teller) Log(ctx *plugin.Context) {
	got := []string{}
	if t.Expressions != nil {
		t.Evaluate(ctx, func(name string, value json.RawMessage, mode string) {
			got = append(got, name+" "+mode+" "+string(value))
		})
	}
	t.out <- got
}

func (t teller) Close() error {
	if t.Expressions == nil {
		return nil
	}
	return t.Expressions.Close()
}

// tell defines the teller plugin. Its expressions are those of config.fields.
func tell(lua *function.Lua) (*plugin.Definition, chan []string) {
	out := make(chan []string, 1)
	return &plugin.Definition{
		Name: "teller", Priority: 1, Config: &entity.Record{Fields: []entity.Field{entity.LuaCode("fields")}},
		New: func(p *entity.Plugin, env plugin.Env) (plugin.Instance, error) {
			var config struct{ Fields map[string]string }
			if err := entity.Decode(p.Config, &config); err != nil {
				return nil, err
			}
			made, err := lua.Expressions(p, env, "config.fields", config.Fields)
			return teller{made, out}, err
		},
	}, out
}

// faults is a log that keeps what it is told of expressions that fail: "name: error" each.
type faults struct {
	mu  sync.Mutex
	all []string
}

func (f *faults) Write(line []byte) (int, error) {
	var record struct{ Msg, Expression, Error string }
	if err := json.Unmarshal(line, &record); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if record.Msg != "expression fails" {
		record.Expression = record.Msg
	}
	f.all = append(f.all, record.Expression+": "+record.Error)
	return len(line), nil
}

// take gives what came since the last call.
func (f *faults) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.all
	f.all = nil
	return all
}

func (f *faults) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(f, nil)) }

// What expressions give: their result as JSON, in the order of their names. One that fails gives nothing and is logged.
func TestExpressions(t *testing.T) {
	tests := []struct {
		name, fields string
		want         []string
		errors       []string // what is in the log, in this order
	}{
		{"kinds", `
      a: return "x/\"y\\"
      b: return 1.5
      c: return 12345678
      d: return true
      e: 'return {a = {1, 2, "/"}}'
      f: return {}
      g: return
      h: local unused
`, []string{`a set "x/\"y\\"`, "b set 1.5", "c set 12345678", "d set true", `e set {"a":[1,2,"/"]}`, "f set {}", "g set null", "h set null"}, nil},
		{"modes", `
      a: 'return 1, {mode = "add"}'
      b: 'return 2, {mode = "replace"}'
      c: 'return 3, {mode = "other"}'
      d: 'return 4, "add"'
`, []string{"a add 1", "b replace 2", "d set 4"}, []string{"c: mode must be 'set', 'add' or 'replace'"}},
		{"the request", `
      a: return kong.request.get_header("x-a")
      b: return kong.response.get_status()
      c: return kong.log.serialize().request.method
      d: return ngx.var.request_method
      e: return kong.router.get_route().name
`, []string{`a set "1"`, "b set 200", `c set "GET"`, `d set "GET"`, `e set "all"`}, nil},
		{"faults", `
      a: return nothing.at.all
      b: error("own")
      c: 'error({})'
      d: return function() end
      e: return 0/0
      f: local t = {} t.t = t return t
      g: return kong.response.exit(500)
      h: return 1
`, []string{"h set 1"}, []string{
			"a: [string \"return nothing.at.all\"]:1: attempt to index global 'nothing' (a nil value)", "b: own", "c: table",
			"d: value must be nil", "e: value must be nil", "f: value must be nil", "g: function cannot be called in log phase",
		}},
		{"the sandbox", `
      a: return os.execute == nil and io == nil and load == nil
      b: string.x = 1
`, []string{"a set true"}, []string{"b: Can not modify string.x"}},
		{"apart", `
      a: 'n = (n or 0) + 1 return n'
      b: return tostring(n)
      c: '_G.m = (m or 0) + 1 return m'
      d: return _G._G == _G and _G.type("") == "string"
`, []string{"a set 1", `b set "nil"`, "c set 1", "d set true"}, nil},
		{"together", `
      a: kong.ctx.shared.x = "y"
      b: return kong.ctx.shared.x
      c: 'kong.log.set_serialize_value("own.key", 1) return kong.log.serialize().own.key'
`, []string{"a set null", `b set "y"`, "c set 1"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log faults
			definition, out := tell(function.New(function.Options{}))
			g := house.Start(t, house.Setup{
				Config:  house.Service + "plugins:\n- name: teller\n  config:\n    fields:" + test.fields,
				Plugins: []*plugin.Definition{definition}, Logger: log.logger(),
			})
			for range 3 { // nothing stays from one request to the next
				if answer := g.Get("/", "X-A: 1"); answer.Status != 200 {
					t.Fatalf("status %d", answer.Status)
				}
				if diff := cmp.Diff(test.want, <-out); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
				got := log.take()
				for i, want := range test.errors {
					name, text, _ := strings.Cut(want, ": ")
					if i >= len(got) || !strings.HasPrefix(got[i], name+": ") || !strings.Contains(got[i], text) {
						t.Errorf("no %q in %q", want, got)
					}
				}
				if len(got) != len(test.errors) {
					t.Errorf("%d errors, want %d: %q", len(got), len(test.errors), got)
				}
			}
		})
	}
}

// A plugin's expressions have the time of one script together, and one that takes too much memory is stopped too.
func TestExpressionsAreBounded(t *testing.T) {
	for name, fields := range map[string]string{
		"time":    "{a: return 1, b: 'while true do end', c: 'while true do end', d: 'while true do end'}",
		"memory":  "{a: return 1, b: 'local t = {} while true do t[#t+1] = {} end', c: 'return (\"x\"):rep(30e6)', d: 'local t = {} t[60000000] = 1 return t'}",
		"results": "{a: return 1, b: 'for i = 1, 1e9 do kong.log.set_serialize_value(\"k\" .. i, (\"x\"):rep(1e6)) end', c: 'return (\"x\"):rep(1e6)', d: 'return (\"x\"):rep(1e6)'}",
		"keys":    "{a: return 1, b: 'kong.log.set_serialize_value((\"a.\"):rep(1e6) .. \"b\", 1)', c: error(), d: error()}",
	} {
		t.Run(name, func(t *testing.T) {
			var log faults
			definition, out := tell(function.New(function.Options{Time: 500 * time.Millisecond}))
			g := house.Start(t, house.Setup{
				Config:  house.Service + "plugins:\n- name: teller\n  config: {fields: " + fields + "}\n",
				Plugins: []*plugin.Definition{definition}, Logger: log.logger(),
			})
			for range 2 {
				g.Get("/")
				if diff := cmp.Diff([]string{"a set 1"}, <-out); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
				if got := log.take(); len(got) != 3 {
					t.Errorf("%d errors, want 3: %q", len(got), got)
				}
			}
		})
	}
}

// With untrusted_lua = off none of them runs, and one line says so. With on they share their globals.
func TestExpressionsByMode(t *testing.T) {
	for mode, want := range map[function.Mode][]string{function.Off: {}, function.On: {"a set null", "b set 7"}} {
		t.Run(string(mode), func(t *testing.T) {
			var log faults
			definition, out := tell(function.New(function.Options{UntrustedLua: mode}))
			g := house.Start(t, house.Setup{
				Config:  house.Service + "plugins:\n- name: teller\n  config: {fields: {a: shared = 7, b: return shared}}\n",
				Plugins: []*plugin.Definition{definition}, Logger: log.logger(),
			})
			g.Get("/")
			if diff := cmp.Diff(want, <-out); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			var told []string
			if mode == function.Off {
				told = []string{"what is computed by Lua is left out: loading of untrusted Lua code disabled because 'untrusted_lua' config option is set to 'off'"}
			}
			if diff := cmp.Diff(told, log.take()); diff != "" {
				t.Errorf("log: -want +got\n%s", diff)
			}
		})
	}
}

// A chunk that does not compile is named with its line; no chunks are no expressions.
func TestExpressionsCompile(t *testing.T) {
	for _, test := range []struct {
		chunks map[string]string
		want   string
	}{
		{nil, ""},
		{map[string]string{"a": "return 1"}, ""},
		{
			map[string]string{"a": "return 1", "b.c": "local x\nreturn x +", "z": "return ("},
			"compile config.fields.b.c: [string \"local x...\"]: unexpected symbol near '<eof>'",
		},
		{map[string]string{"a": "local x\nx y\nreturn x"}, "compile config.fields.a: [string \"local x...\"]:2: parse error near 'y'"},
	} {
		made, err := function.New(function.Options{}).Expressions(&entity.Plugin{Name: "teller"}, plugin.Env{}, "config.fields", test.chunks)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
		if none := len(test.chunks) == 0 || err != nil; (made == nil) != none {
			t.Errorf("%v: got %v", test.chunks, made)
		}
	}
}

// What a request pays for two fields.
func BenchmarkExpressions(b *testing.B) {
	made, err := function.New(function.Options{}).Expressions(&entity.Plugin{Name: "teller"}, plugin.Env{}, "config.fields", map[string]string{
		"header": `return kong.request.get_header("x-one")`, "status": `return kong.response.get_status()`,
	})
	if err != nil {
		b.Fatal(err)
	}
	request, log := httptest.NewRequestWithContext(b.Context(), "GET", "/", nil), slog.New(slog.DiscardHandler)
	ctx := &plugin.Context{}
	b.ReportAllocs()
	for b.Loop() {
		ctx.Reset()
		ctx.Request, ctx.Logger, ctx.Response.Status = request, log, 200
		n := 0
		made.Evaluate(ctx, func(string, json.RawMessage, string) { n++ })
		if n != 2 {
			b.Fatal(n)
		}
	}
}
