package function

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sidekong/proxy/plugin/params"

	lua "github.com/yuin/gopher-lua"
)

// fuzzRun is a run to call functions of the package in, with budgets of its own.
func fuzzRun(t testing.TB, f func(L *lua.LState, r *run)) error {
	t.Helper()
	one := oneStep(t, Options{Time: 20 * time.Millisecond, Memory: 4 << 20}, "access", "return")
	d := testDriver(t, plainRequest)
	d.phase = accessing
	req := one.instance.requestOf(d)
	defer req.worker.mu.Unlock()
	r := one.instance.newRun(req, d, accessing)
	r.worker, r.ready = req.worker, req.worker.prepare(one.instance.access[0])
	r.env = r.ready.env
	_, err := r.call(req.worker.main.NewFunction(func(L *lua.LState) int {
		f(L, runOf(L))
		return 0
	}))
	return err
}

// Whatever a chunk holds, compiling and running it neither panics nor outlasts its budget.
func FuzzScript(f *testing.F) {
	for _, h := range hostile {
		f.Add(h.script)
	}
	f.Add(recipeAccess)
	f.Add("local s = '\\x41\\z  \\u{1F600}' .. 0x1p4 return s -- [[ ]]")
	f.Fuzz(func(t *testing.T, script string) {
		c, err := compile(script)
		if err != nil {
			return
		}
		options := Options{Time: 10 * time.Millisecond, Memory: 1 << 20, SandboxRequires: []string{"cjson"}}
		one := oneStep(t, options, "access", script)
		d := testDriver(t, plainRequest)
		d.phase = accessing
		err = one.instance.run(d, accessing, one.instance.access)
		if err != nil && strings.Contains(err.Error(), "runtime error") {
			t.Fatalf("%s: %v", c.name, err)
		}
	})
}

// A pattern matches or fails; it never panics in Go.
func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{"^(%a+)%s*=%s*(.-)$", "%b()", "%f[%w]%w+", "[^%]%-a-z]*", "(()x)%1", "[", "%", "(", "[%", "[a-", "%f", "%b("} {
		f.Add("key = value (x)", pattern)
	}
	f.Fuzz(func(t *testing.T, subject, pattern string) {
		err := fuzzRun(t, func(L *lua.LState, _ *run) {
			L.SetTop(0)
			L.Push(lua.LString(subject))
			L.Push(lua.LString(pattern))
			strFind(L)
		})
		if err != nil && strings.Contains(err.Error(), "runtime error") {
			t.Fatal(err)
		}
	})
}

// What Go reads as JSON is read here too, and what is written here Go reads.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`{"a":[1,2.5,"\u00e9\ud83d\ude00",null,true]}`, "[]", "01", "0x10", `"\`, "[[[[", `{"a"`, "1e400", "-", "nan"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := fuzzRun(t, func(L *lua.LState, r *run) {
			v, err := r.decodeJSON(L, text, true)
			var parsed any
			valid := json.Unmarshal([]byte(text), &parsed) == nil
			if err != nil {
				// cjson refuses what Go replaces, deep nesting and UTF-16
				if valid && !strings.Contains(text, `\u`) && strings.Count(text, "[")+strings.Count(text, "{") < maxNesting && !strings.Contains(text, "E") && !strings.Contains(text, "e") {
					t.Errorf("%q: got error %v, Go reads it", text, err)
				}
				return
			}
			out, err := r.encodeJSON(L, v, jsonPrecise)
			if err == nil && !json.Valid([]byte(out)) {
				t.Errorf("%q: wrote %q, which is no JSON", text, out)
			}
		})
		if err != nil && strings.Contains(err.Error(), "runtime error") {
			t.Fatal(err)
		}
	})
}

// Queries, forms, paths and templates are read without a panic.
func FuzzText(f *testing.F) {
	f.Add("a=1&b&=c&d=%zz%41+x", "multipart/form-data; boundary=B")
	f.Add("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--", "multipart/form-data; boundary=\"B\"")
	f.Add("/a/../b//%2e%2F/./", "$0${1}$$")
	f.Fuzz(func(t *testing.T, text, other string) {
		if pairs, _ := parseArgs(text, 5); len(pairs) > 5 {
			t.Errorf("got %d arguments, want at most 5", len(pairs))
		}
		parseMultipart(text, other)
		if path := normalizePath(text); !strings.HasPrefix(path, "/") || strings.Contains(path, "//") {
			t.Errorf("got path %q", path)
		}
		parseTemplate(other)
		if params.Unescape(escape(text, safeInComponent)) != text {
			t.Errorf("%q does not survive being escaped", text)
		}
		plainLua(text)
	})
}
