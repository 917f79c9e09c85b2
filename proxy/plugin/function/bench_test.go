package function

import (
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// What a request pays for a script of the usual kind: headers of the request as JSON on a span.
func BenchmarkRecipe(b *testing.B) {
	message := "GET /inventory?x=1 HTTP/1.1\r\nHost: example.test\r\nUser-Agent: bench\r\nAccept: */*\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\nCookie: a=1\r\n\r\n"
	run := func(b *testing.B, script string) {
		one := oneStep(b, Options{SandboxRequires: []string{"cjson"}}, "access", script)
		d := testDriver(b, message)
		d.phase = accessing
		b.ReportAllocs()
		for b.Loop() {
			d.state = nil
			if err := one.instance.run(d, accessing, one.instance.access); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("empty", func(b *testing.B) { run(b, "return") })
	b.Run("one header", func(b *testing.B) { run(b, `kong.ctx.shared.x = kong.request.get_header("x-one")`) })
	b.Run("headers as JSON", func(b *testing.B) {
		run(b, `local cjson = require "cjson"
local headers = {}
for name, value in pairs(kong.request.get_headers()) do
  if type(value) == "table" then value = table.concat(value, ", ") end
  headers[name] = value
end
kong.ctx.shared.headers = cjson.encode(headers)
kong.ctx.shared.target = kong.request.get_path_with_query()`)
	})
}

// What an instance without a chunk for a phase costs there.
func BenchmarkNoChunk(b *testing.B) {
	one := oneStep(b, Options{}, "log", "return")
	d := testDriver(b, plainRequest)
	for b.Loop() {
		if _, err := one.instance.filter(d, nil, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := compile(recipeBodyFilter); err != nil {
			b.Fatal(err)
		}
	}
}

// A loop of plain arithmetic and one of joined strings, per iteration.
func BenchmarkLoop(b *testing.B) {
	one := oneStep(b, Options{Time: 1 << 62, Memory: 1 << 40}, "access", `local n = 0 for i = 1, N do n = n + i end`, `for i = 1, N do local s = "a" .. i end`)
	for i, name := range []string{"arithmetic", "concat"} {
		b.Run(name, func(b *testing.B) {
			d := testDriver(b, plainRequest)
			d.phase = accessing
			req := one.instance.requestOf(d)
			p := req.worker.prepare(one.instance.access[i])
			p.env.RawSetString("N", lua.LNumber(b.N))
			r := one.instance.newRun(req, d, accessing)
			r.worker, r.ready, r.env = req.worker, p, p.env
			b.ResetTimer()
			if _, err := r.call(p.body); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			req.worker.mu.Unlock()
		})
	}
}
