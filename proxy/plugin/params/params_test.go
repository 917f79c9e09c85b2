package params

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	jsonType = "application/json; charset=utf-8"
	formType = "application/x-www-form-urlencoded"
)

// TestChanges: the same changes to each kind of body.
func TestChanges(t *testing.T) {
	for _, c := range []struct {
		name, kind, in string
		change         func(Set)
		want           string
	}{
		{"untouched", jsonType, `{"b": 1.50, "a":[1, 2] }`, func(Set) {}, `{"b":1.50,"a":[1, 2]}`},
		{"delete", jsonType, `{"a":1,"b":2}`, func(s Set) { s.Delete("a"); s.Delete("x") }, `{"b":2}`},
		{"set", jsonType, `{"a":1,"b":2}`, func(s Set) { s.Set("a", "<x>"); s.Set("c", "y") }, `{"a":"<x>","b":2,"c":"y"}`},
		{"set after delete", jsonType, `{"a":1,"b":2}`, func(s Set) { s.Delete("a"); s.Set("a", "x") }, `{"b":2,"a":"x"}`},
		{"rename", jsonType, `{"a":1,"b":2}`, func(s Set) { s.Rename("a", "b") }, `{"b":1}`},
		{"append to nothing", jsonType, `{}`, func(s Set) { s.Append("a", "x") }, `{"a":["x"]}`},
		{"append to text", jsonType, `{"a":"x"}`, func(s Set) { s.Append("a", "y") }, `{"a":["x","y"]}`},
		{"append to list", jsonType, `{"a":[1 ]}`, func(s Set) { s.Append("a", "y") }, `{"a":[1,"y"]}`},
		{"append to empty list", jsonType, `{"a":[ ]}`, func(s Set) { s.Append("a", "y") }, `{"a":["y"]}`},
		{"append to number", jsonType, `{"a":1}`, func(s Set) { s.Append("a", "y") }, `{"a":["y"]}`},
		{"append to object", jsonType, `{"a":{}}`, func(s Set) { s.Append("a", "y") }, `{"a":{}}`},
		{"repeated member", jsonType, `{"a":1,"a":2}`, func(Set) {}, `{"a":2}`},
		{"from nothing", jsonType, ``, func(s Set) { s.Set("a", "x") }, `{"a":"x"}`},

		{"form untouched", formType, `b=1&a=%20+x&c`, func(Set) {}, `b=1&a=%20%20x&c`},
		{"form delete", formType, `a=1&b=2&a=3`, func(s Set) { s.Delete("a") }, `b=2`},
		{"form set", formType, `a=1&b=2&a=3`, func(s Set) { s.Set("a", "x&y"); s.Set("c", "") }, `a=x%26y&b=2&c=`},
		{"form rename", formType, `a=1&b=2&a=3`, func(s Set) { s.Rename("a", "b") }, `b=1&b=3`},
		{"form append", formType, `a=1&b=2`, func(s Set) { s.Append("a", "x"); s.Append("c", "y") }, `a=1&a=x&b=2&c=y`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse(c.kind, []byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			c.change(s)
			got, err := s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		kind, in, name, value string
		want                  Kind
		has                   bool
	}{
		{jsonType, `{"a":"x\u0041"}`, "a", "xA", Text, true},
		{jsonType, `{"a":1}`, "a", "", Other, true},
		{jsonType, `{"a":false}`, "a", "", Other, false},
		{jsonType, `{"a":null}`, "a", "", Other, true},
		{jsonType, `{"a":[]}`, "a", "", Several, true},
		{jsonType, `{"a":1}`, "b", "", Absent, false},
		{formType, `a=1`, "a", "1", Text, true},
		{formType, `a`, "a", "", Other, true},
		{formType, `a=1&a=2`, "a", "", Several, true},
		{formType, `=1&&`, "", "", Absent, false},
	} {
		s, err := Parse(c.kind, []byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if value, kind := s.Lookup(c.name); value != c.value || kind != c.want || s.Has(c.name) != c.has {
			t.Errorf("%s in %s: got %q, %d, %t", c.name, c.in, value, kind, s.Has(c.name))
		}
	}
}

func TestRefused(t *testing.T) {
	for kind, in := range map[string]string{
		jsonType: `[1]`, "application/json": `{"a":1} x`, "application/json;": `{"a":}`, "text/plain": `a=1`,
		"multipart/form-data": "x", "multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nopen", "multipart/form-data; boundary=\"\x01\"": "",
	} {
		if s, err := Parse(kind, []byte(in)); err == nil {
			t.Errorf("%s %q: got %v", kind, in, s)
		}
	}
}

// multipartBody has a field, a file and a field of the same name as the first.
func multipartBody(t testing.TB) (body []byte, contentType string) {
	t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	_ = w.SetBoundary("b")
	_ = w.WriteField("a", "1")
	file, err := w.CreateFormFile("f", `x".txt`)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.Write([]byte("content"))
	_ = w.WriteField("a", "2")
	_ = w.Close()
	return out.Bytes(), w.FormDataContentType()
}

func TestMultipart(t *testing.T) {
	body, contentType := multipartBody(t)
	for _, c := range []struct {
		name   string
		change func(Set)
		want   map[string][]string
		file   string // "": none
	}{
		{"untouched", func(Set) {}, map[string][]string{"a": {"1", "2"}}, "f"},
		{"delete", func(s Set) { s.Delete("a") }, map[string][]string{}, "f"},
		{"set", func(s Set) { s.Set("a", "x"); s.Set("c", "y") }, map[string][]string{"a": {"x"}, "c": {"y"}}, "f"},
		{"rename", func(s Set) { s.Rename("a", "z"); s.Rename("f", `g"`) }, map[string][]string{"z": {"1", "2"}}, `g"`},
		{"append", func(s Set) { s.Append("a", "3") }, map[string][]string{"a": {"1", "2", "3"}}, "f"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse(contentType, body)
			if err != nil {
				t.Fatal(err)
			}
			c.change(s)
			out, err := s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			form, err := multipart.NewReader(bytes.NewReader(out), "b").ReadForm(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, form.Value); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			name := strings.ReplaceAll(c.file, `"`, "%22")
			if files := form.File[name]; len(files) != 1 || !strings.Contains(files[0].Filename, "txt") {
				t.Errorf("files %v", form.File)
			}
		})
	}
}

func TestQuery(t *testing.T) {
	args := ParseArgs("b=1&a=x y/&b&a=%zz")
	if got, want := args.Query(), "a=x%20y%2F&a=%25zz&b=1&b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := Without("a=%31&b&a&%61=2&c=+", "a"), "b&c=+"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if diff := cmp.Diff(map[string]any{"a": []any{"1", true}, "b": "2"}, ParseArgs("a=1&b=2&a").Table()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if got, want := EscapePath("/a b/%20/ü?x"), "/a%20b/%20/%C3%BC?x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzParse: what can be read can be changed, written and read again.
func FuzzParse(f *testing.F) {
	body, contentType := multipartBody(f)
	f.Add(contentType, body)
	f.Add(jsonType, []byte(`{"a":"x","b":[1,{"c":null}]}`))
	f.Add(formType, []byte("a=1&b=%20+&c&%zz=&a=2"))
	f.Fuzz(func(t *testing.T, kind string, in []byte) {
		s, err := Parse(kind, in)
		if err != nil {
			return
		}
		s.Rename("a", "z")
		s.Append("b", "x")
		s.Set("c", "y")
		s.Delete("d")
		out, err := s.Encode()
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		if _, isObject := s.(*Object); isObject && !json.Valid(out) {
			t.Fatalf("%q is no JSON", out)
		}
		again, err := Parse(kind, out)
		if err != nil {
			t.Fatalf("parse %q again: %v", out, err)
		}
		if value, found := again.Lookup("c"); value != "y" || found != Text {
			t.Errorf("c is %q, %d in %q", value, found, out)
		}
	})
}

func BenchmarkObject(b *testing.B) {
	body := []byte(`{"name":"x","list":[` + strings.Repeat("1,", 400) + `1],"other":{"a":"b"}}`)
	b.ReportAllocs()
	for b.Loop() {
		o, err := ParseObject(body)
		if err != nil {
			b.Fatal(err)
		}
		o.Set("name", "y")
		if _, err := o.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
