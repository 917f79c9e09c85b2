package capture

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testNames = sync.OnceValue(func() *names {
	n, err := newNames([]string{"X-My-Key"}, []string{"secretary"})
	if err != nil {
		panic(err)
	}
	return n
})

// masker masks with the default names, the key name X-My-Key and two paths.
func masker(found *marks, cut bool) *masking {
	return &masking{
		redactor: &redactor{
			mask: "MASK", cards: true, names: testNames(),
			paths: [][]string{{"user", "born"}, {"list", "*", "id"}, {"0", "x"}},
		},
		marks: found, part: "body", cut: cut,
	}
}

// String lists the places.
func (m *marks) String() string {
	var places []string
	for _, at := range m.places {
		places = append(places, at.part+"."+strings.ToLower(at.name))
	}
	return strings.Join(places, " ")
}

func TestText(t *testing.T) {
	const (
		asJSON, asForm, asText, asXML, asHTML = "application/json", "application/x-www-form-urlencoded", "text/plain", "text/xml", "text/html"
		card                                  = "4111111111111111"
	)
	for _, c := range []struct {
		name, as, in, want string
		cut                bool
		marks              string
	}{
		{name: "nothing secret", as: asJSON, in: ` {"a": [1, -2.5e3, true, null, "b\n"], "é": {}} `, want: ` {"a": [1, -2.5e3, true, null, "b\n"], "é": {}} `},
		{name: "by name", as: asJSON, in: `{"a":1,"password":"x","b":2}`, want: `{"a":1,"password":"MASK","b":2}`, marks: "body.password"},
		{name: "names in other spellings", as: asJSON, in: `{"newPassword":1,"access-token":true,"X_MY_KEY":[1],"clientSecret":{"a":1}}`, want: `{"newPassword":"MASK","access-token":"MASK","X_MY_KEY":"MASK","clientSecret":"MASK"}`, marks: "body.newpassword body.access-token body.x_my_key body.clientsecret"},
		{name: "short names are whole words", as: asJSON, in: `{"shipping":1,"pin":1,"author":2,"userPin":2,"x-cvv-2":3}`, want: `{"shipping":1,"pin":"MASK","author":2,"userPin":"MASK","x-cvv-2":"MASK"}`, marks: "body.pin body.userpin body.x-cvv-2"},
		{name: "harmless names", as: asJSON, in: `{"max_tokens":1,"secretary":"Ann","token_type":"x"}`, want: `{"max_tokens":1,"secretary":"Ann","token_type":"x"}`},
		{name: "escaped name", as: asJSON, in: `{"pass\u0077ord":"x"}`, want: `{"pass\u0077ord":"MASK"}`, marks: "body.password"},
		{name: "null tells nothing", as: asJSON, in: `{"password":null}`, want: `{"password":null}`},
		{name: "objects and arrays whole", as: asJSON, in: `{"token":{"a":["}",{"b":"]"}]},"c":3}`, want: `{"token":"MASK","c":3}`, marks: "body.token"},
		{name: "any depth", as: asJSON, in: `[[{"a":[{"secret":"x"}]}]]`, want: `[[{"a":[{"secret":"MASK"}]}]]`, marks: "body.secret"},
		{name: "by path", as: asJSON, in: `{"user":{"born":"x","x":{"born":1}},"list":[{"id":1},{"id":2}],"id":3}`, want: `{"user":{"born":"MASK","x":{"born":1}},"list":[{"id":"MASK"},{"id":"MASK"}],"id":3}`, marks: "body.born body.id"},
		{name: "by path of an index", as: asJSON, in: `[{"x":1},{"x":2}]`, want: `[{"x":"MASK"},{"x":2}]`, marks: "body.x"},
		{name: "lines of JSON", as: "application/x-ndjson", in: "{\"pwd\":1}\n{\"pwd\":2}\n", want: "{\"pwd\":\"MASK\"}\n{\"pwd\":\"MASK\"}\n", marks: "body.pwd"},
		{name: "cut in a secret", as: asJSON, in: `{"a":1,"password":"xy`, cut: true, want: `{"a":1,"password":"MASK"`, marks: "body.password"},
		{name: "cut in a secret object", as: asJSON, in: `{"a":1,"secret":{"b":"xy`, cut: true, want: `{"a":1,"secret":"MASK"`, marks: "body.secret"},
		{name: "cut before a secret", as: asJSON, in: `{"a":1,"password":`, cut: true, want: `{"a":1,"password":`},
		{name: "cut behind an escape", as: asJSON, in: `{"password":"x\`, cut: true, want: `{"password":"MASK"`, marks: "body.password"},
		{name: "cut in an escape", as: asJSON, in: `{"a":"x\u00`, cut: true, want: `{"a":"x\u00`},
		{name: "no JSON", as: asJSON, in: `{"a":1, password: "x"}`, want: `{"a":1, MASK`, marks: "body.malformed"},
		{name: "too deep", as: asJSON, in: strings.Repeat("[", 300) + `{"pin":1}`, want: strings.Repeat("[", 256) + "MASK", marks: "body.malformed"},
		{name: "JSON in a string", as: asJSON, in: `{"body":"{\"password\":\"x\",\"b\":1}"}`, want: `{"body":"{\"password\":\"MASK\",\"b\":1}"}`, marks: "body.password"},
		{name: "a query in a string", as: asJSON, in: `{"url":"https://a.test/?token=x&b=1"}`, want: `{"url":"https://a.test/?token=MASK&b=1"}`, marks: "body.token"},
		{name: "GraphQL in a string", as: asJSON, in: `{"query":"{ login(password: \"x\") { id } }"}`, want: `{"query":"{ login(password:MASK"}`, marks: "body.password"},
		{name: "card number", as: asJSON, in: `{"a":` + card + `,"b":"` + card + `","c":"4111 1111-1111 1111.","d":"4111111111111112"}`, want: `{"a":"MASK","b":"MASK","c":"MASK.","d":"4111111111111112"}`, marks: "body.card"},
		{name: "card number in escapes", as: asJSON, in: `{"a":"\u0034111111111111111"}`, want: `{"a":"MASK"}`, marks: "body.card"},
		{name: "not a card number", as: asJSON, in: `{"at":1700000000000000003,"id":"a4111111111111111","f":1.5}`, want: `{"at":1700000000000000003,"id":"a4111111111111111","f":1.5}`},
		{name: "card number that is cut", as: asText, in: "pay 4111 1111 11", cut: true, want: "pay MASK", marks: "body.card"},
		{name: "card number that is cut, behind a digit", as: asText, in: "a1, 4111 1111", cut: true, want: "a1, MASK", marks: "body.card"},
		{name: "card among digits", as: asText, in: "9 8 4111 1111 1111 1111 8 x", want: "9 8 MASK 8 x", marks: "body.card"},
		{name: "token by its look", as: asText, in: "got eyJhbGciOi.eyJzdWIiOi.c2ln, and Bearer abcdef123 of Basic YWxhZGRpbg==", want: "got MASK, and Bearer MASK of Basic MASK", marks: "body.credential"},
		{name: "password in a URL", as: asText, in: "to https://u:p@a.test/x", want: "to https://MASK@a.test/x", marks: "body.userinfo"},
		{name: "no password in URLs", as: asText, in: "://@://@ ://@a", want: "://@://@ ://@a"},
		{name: "passwords of at signs", as: asText, in: "://@@ ://a@@b", want: "://MASK@ ://MASK@b", marks: "body.userinfo"},

		{name: "form", as: asForm, in: "a=1&password=x%20y&user%5Btoken%5D=z&b=", want: "a=1&password=MASK&user%5Btoken%5D=MASK&b=", marks: "body.password body.user[token]"},
		{name: "form with JSON", as: asForm, in: "payload=%7B%22pin%22%3A1%7D&a=b%20c", want: "payload=%7B%22pin%22%3A%22MASK%22%7D&a=b%20c", marks: "body.pin"},
		{name: "card in a form", as: asForm, in: "n=4111%201111%201111%201111", want: "n=MASK", marks: "body.card"},
		{name: "JSON that is called a form", as: asForm, in: `{"password":"x"}`, want: `{"password":"MASK"}`, marks: "body.password"},
		{name: "form that is cut", as: asForm, in: "a=1&pass=xy", cut: true, want: "a=1&pass=MASK", marks: "body.pass"},
		{name: "semicolons", as: asForm, in: "a=1;password=x;y", want: "a=1;password=MASK", marks: "body.password"},

		{name: "lines", as: asText, in: "user: a\npassword: x y\ntoken=z&b=1\n", want: "user: a\npassword:MASK\ntoken=MASK&b=1\n", marks: "body.password body.token"},
		{name: "value below its name", as: asText, in: "secret:\n  - x\n", want: "secret:MASK", marks: "body.secret"},
		{name: "value of several lines", as: asText, in: "secret: |\n  x\nb: 1", want: "secret:MASK", marks: "body.secret"},
		{name: "log lines", as: asText, in: "[12:00:01] started\n[12:00:02] token=x", want: "[12:00:01] started\n[12:00:02] token=MASK", marks: "body.token"},
		{name: "table", as: "text/csv", in: "user,Password\nann,x\n", want: "user,Password\nMASK", marks: "body.password"},

		{name: "XML", as: asXML, in: `<?xml version="1.0"?><a xmlns:w="urn:x"><w:Password Type="t">x<b>y</b></w:Password><c token='z'>1</c></a>`, want: `<?xml version="1.0"?><a xmlns:w="urn:x"><w:Password Type="t">MASK</w:Password><c token='MASK'>1</c></a>`, marks: "body.w:password body.token"},
		{name: "XML, named by an attribute", as: asXML, in: `<p name="password">x</p><p name="b">1</p>`, want: `<p name="password">MASK</p><p name="b">1</p>`, marks: "body.p"},
		{name: "XML, the same within", as: asXML, in: `<token><token>x</token>y</token>1`, want: `<token>MASK</token>1`, marks: "body.token"},
		{name: "XML that is cut", as: asXML, in: `<a><secret>x`, cut: true, want: `<a><secret>MASK`, marks: "body.secret"},
		{name: "XML that is cut in a tag", as: asXML, in: `<a><b token="x`, cut: true, want: `<a>MASK`, marks: "body.malformed"},
		{name: "CDATA", as: asXML, in: `<a><![CDATA[pin: 1]]></a><!-- pin=2 -->`, want: `<a><![CDATA[pin:MASK]]></a><!-- pin=MASK-->`, marks: "body.pin"},
		{name: "HTML", as: asHTML, in: `<!doctype html><input type=hidden name=csrf_token value="x"><p>hi</p><script>var token = "x"; if (a<b) {}</script>`, want: `<!doctype html><input type=hidden name=csrf_token value="MASK"><p>hi</p><script>var token =MASK</script>`, marks: "body.value body.token"},

		{name: "HTML, attributes without values", as: asHTML, in: `<input name=pin disabled value="1" data-x= checked><a b=c d>`, want: `<input name=pin disabled value="MASK" data-x= MASK><a b=c d>`, marks: "body.value body.data-x"},
		{
			name: "multipart", as: "multipart/form-data; boundary=B",
			in:   "--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nx\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: application/json\r\n\r\n{\"pin\":1}\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nbytes\r\n--B--\r\n",
			want: "--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nMASK\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: application/json\r\n\r\n{\"pin\":\"MASK\"}\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\n[file , 5 bytes]\r\n--B--\r\n", marks: "body.password body.pin",
		},
		{name: "multipart that is cut", as: "multipart/form-data; boundary=B", cut: true, in: "--B\r\nContent-Disposition: form-data; name=\"tok", want: "--B\r\nMASK\r\n", marks: "body.malformed"},
		{name: "multipart without a boundary", as: "multipart/form-data", in: "--B\r\n", want: "MASK", marks: "body.malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var found marks
			got := string(masker(&found, c.cut).text(nil, []byte(c.in), c.as))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(c.marks, found.String()); diff != "" {
				t.Errorf("marks (-want +got)\n%s", diff)
			}
			if strings.HasPrefix(c.name, "by path") {
				return
			}
			// Without paths a text that is clean is not read.
			m := masker(&found, c.cut)
			m.paths = nil
			if got := string(m.text(nil, []byte(c.in), c.as)); got != c.want {
				t.Errorf("without paths: got %s, want %s", got, c.want)
			}
			if clean(m, []byte(c.in), formatOf(mediaType(c.as))) != (c.marks == "") && strings.IndexByte(c.in, '\\') < 0 && c.name != "harmless names" && c.want != c.in {
				t.Errorf("clean: got %v", c.marks != "")
			}
		})
	}
}

// JSON stays JSON: what the mask takes the place of is a value.
func TestMaskedJSONIsJSON(t *testing.T) {
	for _, in := range []string{
		`{"password":{"a":1},"card":4111111111111111,"x":["a\"b","{\"pin\":1}"],"token":[1,2]}`, `[4111111111111111]`, `"pin=1&b=2"`,
	} {
		var found marks
		got := masker(&found, false).text(nil, []byte(in), "application/json")
		if !json.Valid(got) || len(found.places) == 0 {
			t.Errorf("%s: got %s, masked %v", in, got, found.places)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"/a/b", "/a/b"},
		{"/a?b=1&Token=x&c", "/a?b=1&Token=MASK&c"},
		{"/a?%74oken=x", "/a?%74oken=MASK"},
		{"/a?x-my-key=x", "/a?x-my-key=MASK"},
		{"/a;session=x/b?c=%2f", "/a;session=MASK?c=%2f"},
		{"/pay/4111111111111111?n=4111%201111%201111%201111", "/pay/MASK?n=MASK"},
		{"/cb?next=https%3A%2F%2Fb.test%2F%3Ftoken%3Dx", "/cb?next=https%3A%2F%2Fb.test%2F%3Ftoken%3DMASK"},
	} {
		var found marks
		if got := masker(&found, false).target(c.in); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

// FuzzGlance: what is shown because nothing in it looks suspicious is what a close look leaves.
func FuzzGlance(f *testing.F) {
	for _, seed := range []string{
		"/bench/hello?x=1", "/a?b=1&Token=x&c", "/a;session=x/b", "/a?x=1=2&pin=3", "/a?b=pin:1", "text/html; charset=utf-8", "Bearer abcdefgh",
		"4111 1111 1111 1111", "a 4111111111111111", "Sun, 22 Nov 2026 03:45:43 GMT", "https://u:p@a.test/", "a\"b", "é", "\xff",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		`{"id":12,"name":"Ann","created_at":"2026-01-02T03:04:05Z","pin":1}`, `{"a":1,"b":["x@y","12:30"],"n":1700000000000}`, `token"" : x`, "token\\ \\ : x",
		`{"number":"4111 1111-1111 1111"}`, `{"to":"https://u:p@a.test/"}`, `x "token2T03:04"`, "[12:00:01] started",
		`{"a":"\u00e9 \"b\" \/ \n","c\"d":1}`, `{"":":04:\/\/u:p@h"}`, `{"a":"{\"pin\":1}"}`, `{"a":"\n4111111111111111"}`, `{"a":"Basic plan","b":"eyJ"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var found marks
		path, query, ok := strings.Cut(text, "?")
		want := masker(&found, false).readTarget(path, query, ok)
		if got := masker(&found, false).target(text); got != want {
			t.Errorf("target %q: got %q, want %q", text, got, want)
		}
		m := masker(&found, false)
		plain := &headerName{name: "x", quoted: `"x":`}
		quoted := text
		if strings.Contains(text, "=") {
			quoted = string(m.lines(nil, []byte(text)))
		}
		want = string(m.shapes(appendQuoted(nil, quoted), 0))
		if got := string(m.value(nil, plain, text)); got != want {
			t.Errorf("value %q: got %s, want %s", text, got, want)
		}
		checkClean(t, text)
	})
}

func clean(m *masking, text []byte, as format) bool {
	_, clean := m.glance(text, as)
	return clean
}

// checkClean reports a text that is clean where a close look finds something to mask. JSON that is malformed is none of
// it, nor are the digits at the end of a string in a text that was cut: the string is read as if it were cut itself. Both
// are looked at as lines.
func checkClean(t *testing.T, text string) {
	t.Helper()
	for _, as := range []format{formatText, formatJSON} {
		for _, cut := range []bool{false, true} {
			var found marks
			m := masker(&found, cut)
			m.paths = nil
			if !clean(m, []byte(text), as) {
				continue
			}
			got := string(m.shapes(m.read(nil, []byte(text), as, ""), 0))
			if slices.IndexFunc(found.places, func(at place) bool { return at.name != "malformed" && !(cut && at.name == "card") }) < 0 {
				got = string(m.shapes(m.lines(nil, []byte(text)), 0))
			}
			if got != text {
				t.Errorf("%q as %d, cut %v, is clean, shown as %q", text, as, cut, got)
			}
		}
	}
}

// TestClean goes through texts made of pieces that matter to clean, at all distances from its words' bounds.
func TestClean(t *testing.T) {
	pieces := []string{
		`"id"`, `"created_at"`, `"first_name"`, `"password"`, `"pin"`, `"a_rather_long_name"`, `"api_key"`, `""`, `"`, "'", ":", " : ", "=", ",", "{", "}", "[", "]",
		`"2026-01-02T03:04:05Z"`, "token2026-01-02T03:04", "pin2T03:04", "12:34", "4111 1111 1111 1111", "4111111111111111", "1700000000000",
		"https://", "u:p@a.test", "://", "/", "@", " ", "\n", "token", "x", "é", ";", "%", "\x00", "0", "true", "Bearer abcdefgh", "eyJhbGciOi.eyJzdWIiOi.c2ln",
		`\n`, `\"`, `\\`, `\/`, `\t`, `\u00e9`, `\u0070`, `\u003a`, `"a\"`, `{\"pin\":1}`, `{\"id\":"1"}`, "pin", `Bearer ab\/cdefghi`, "eyJ", `:\/\/`, `"x":"`, `","`,
	}
	characters := []string{ // of strings; of names the first ones
		"x", "pin", "token", `\n`, `\"`, `\\`, `\/`, `\t`, `\u00e9`, `\u0070`, " ", ":", "=", "4111111111111111", "Bearer ", "ab", "cdefgh", "eyJhbGciOi",
		".", "://", `:\/\/`, "u:p@h", "'", "{", "[", "1", "-", "é", ",", "@", "&", "?", "%", "2026-01-02T03:04:05Z", ":04", "0",
	}
	random := rand.New(rand.NewPCG(1, 2))
	some := func(of []string, most int) string {
		var text strings.Builder
		for range random.IntN(most) {
			text.WriteString(of[random.IntN(len(of))])
		}
		return text.String()
	}
	for range 40_000 {
		checkClean(t, strings.Repeat(" ", random.IntN(20))+[]string{"", "{", `{"name":1,`, "[1,"}[random.IntN(4)]+some(pieces, 12))
		object := "{" // well-formed
		if random.IntN(20) == 0 {
			object += `"long":"` + strings.Repeat("-x", pageSize/2-random.IntN(40)) + `",`
		}
		for range random.IntN(3) {
			object += `"` + some(characters[:12], 4) + `":"` + some(characters, 8) + `",`
		}
		checkClean(t, object+`"last":1}`)
	}
}

// TestCleanJSON: what has nothing secret is clean, also the second time, when its names are known.
func TestCleanJSON(t *testing.T) {
	spaced := strings.NewReplacer(`":`, `" : `, ",", ",\n\t").Replace(benchJSON)
	escaped := strings.NewReplacer("Ann Example", `A\u00e9 \"E\" \\ \n`, "example.test", strings.Repeat("x", pageSize/2)).Replace(benchJSON)
	for _, text := range []string{benchJSON, spaced, escaped, `{"to":"https:\/\/a.test\/b"}`, `{"at":"2026-01-02T03:04:05Z","ms":1700000000000,"to":"https://a.test/?b=c","é":1}`} {
		m := masker(&marks{}, false)
		m.paths = nil
		for range 2 {
			if !clean(m, []byte(text), formatJSON) {
				t.Errorf("%.60s is not clean", text)
			}
		}
		for _, secret := range []string{
			`,"pin":1`, `,"x":4111111111111111`, `,"x":"https://u:p@a.test"`, `,"x":"token=1"`, `,"x":"eyJhbGciOi.eyJzdWIiOi.c2ln"`, `,"x":"https:\/\/u:p@a.test"`, `,"x":"\n4111111111111111"`, `,"p\u0069n":1`,
			`,"to\"ken":1`, `,"x":"Bearer ab\/cdefgh"`, `,"x":"{\"pin\":1}"`, `,"x":"\tpin: 1"`, `,"x":"p\u003d1"`,
		} {
			for at := range len(text) {
				if strings.HasPrefix(text[at:], `,"`) && clean(m, []byte(text[:at]+secret+text[at:]), formatJSON) {
					t.Errorf("with %s at %d: clean", secret, at)
				}
			}
		}
	}
}

// TestCleanPages: a secret is found wherever the end of a page cuts it.
func TestCleanPages(t *testing.T) {
	for _, secret := range []string{
		"4111 1111 1111 1111", "4111111111111111", "Bearer abcdefgh", "eyJhbGciOi.eyJzdWIiOi.c2ln", "https://u:p@a.test", "token=1", `","pin":1,"x":"`,
		`Bearer ab\/cdefgh`, `\n4111111111111111`, `\neyJhbGciOi.eyJzdWIiOi.c2ln`, `https:\/\/u:p@a.test`, `\tpin: 1`, `{\"pin\":1}`, `","p\u0069n":1,"x":"`,
	} {
		for length := pageSize - 2*len(secret) - before; length < pageSize+before; length++ {
			m := masker(&marks{}, false)
			m.paths = nil
			text := `{"` + strings.Repeat("a", 8) + `":"` + strings.Repeat("-x", length/2)[:length-1] + ` ` + secret + `"}`
			if clean(m, []byte(text), formatJSON) {
				t.Errorf("with %s behind %d bytes: clean", secret, length)
			}
		}
	}
}

// TestTimelyNames: a name that could be a part of a time of day is found there.
func TestTimelyNames(t *testing.T) {
	for _, name := range []string{"04", "02T03", "20260102"} {
		n, err := newNames([]string{name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := masker(&marks{}, false)
		m.paths, m.names = nil, n
		if clean(m, []byte(`{"a":"b","created_at":"2026-01-02T03:04:05Z"}`), formatJSON) {
			t.Errorf("%s is not found", name)
		}
	}
}

func TestHeaders(t *testing.T) {
	header := http.Header{
		"Authorization": {"Bearer abc"}, "Proxy-Authorization": {"x"}, "Cookie": {"a=b"}, "X-Api-Key": {"k"}, "X-My-Key": {"k"},
		"Set-Cookie": {"a=1", "b=2"}, "Accept": {"a/b", "c/d"}, "Referer": {"https://u:p@a.test/?a=1&token=x"},
		"X-Other": {"Bearer abcdefgh"}, "X-Text": {"a\"b\\c\x01\xffé"}, "Empty": {},
	}
	want := `{"accept":["a/b","c/d"],"authorization":"MASK","cookie":"MASK","proxy-authorization":"MASK",` +
		`"referer":"https://MASK@a.test/?a=1&token=MASK","set-cookie":["MASK","MASK"],"x-api-key":"MASK","x-my-key":"MASK",` +
		`"x-other":"Bearer MASK","x-text":"a\"b\\c\u0001` + "\ufffd" + `é"}`
	var found marks
	m := masker(&found, false)
	var known layouts
	got := string(written(m, header, nil, &known))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !json.Valid([]byte(got)) {
		t.Error("no JSON")
	}
	many := http.Header{}
	for i := range 10_000 {
		many[fmt.Sprintf("A-%d", i)] = []string{strings.Repeat("b", 100)}
	}
	if got := written(m, many, nil, &known); len(got) > maxHeaders+200 || !json.Valid(got) {
		t.Errorf("many headers: %d bytes: %.100s", len(got), got)
	}
	long := http.Header{}
	for i := range 50 {
		long[fmt.Sprintf("A-%d", i)] = []string{strings.Repeat("b", 10_000)}
	}
	for range 3 { // the first time they are put in order
		if got := written(m, long, nil, &known); len(got) > maxHeaders+20_000 || !json.Valid(got) {
			t.Errorf("long headers: %d bytes: %.100s", len(got), got)
		}
	}
}

// FuzzText: whatever stands before and behind it, a value under a secret name is not shown, be the text whole or cut
// anywhere; and no input panics or takes long.
func FuzzText(f *testing.F) {
	f.Add([]byte(`{"a":1,`), []byte(`}`), uint8(0), uint16(60))
	f.Add([]byte(`a=1&`), []byte(`&b=2`), uint8(1), uint16(60))
	f.Add([]byte(`<a><b>`), []byte(`</b></a>`), uint8(2), uint16(60))
	f.Add([]byte("x\n"), []byte("\ny"), uint8(3), uint16(60))
	const planted = "pLaNtEd7"
	shapes := [...]struct{ as, text string }{
		{"application/json", `"password":"` + planted + `"`},
		{"application/x-www-form-urlencoded", `password=` + planted},
		{"application/xml", `<password>` + planted + `</password>`},
		{"text/plain", "password: " + planted},
		{"text/html", `<input name="password" value="` + planted + `">`},
		{"", `"password" : "` + planted + `"`},
	}
	f.Fuzz(func(t *testing.T, before, after []byte, shape uint8, end uint16) {
		s := shapes[int(shape)%len(shapes)]
		in := append(append(append([]byte{}, before...), s.text...), after...)
		cut := int(end) < len(in)
		if cut {
			in = in[:end]
		}
		var found marks
		got := string(masker(&found, cut).text(nil, in, s.as))
		if len(got) > 64+8*len(in) {
			t.Errorf("%d bytes became %d", len(in), len(got))
		}
		// What stands before decides what the text is; where it makes the name a part of another thing, nothing is promised.
		if json.Valid(append(append([]byte("{"), s.text...), '}')) && string(before) == "{" && strings.Contains(got, planted) {
			t.Errorf("%q shows the secret: %q", in, got)
		}
		if len(before) == 0 && shape%6 != 0 && strings.Contains(got, planted) {
			t.Errorf("%q shows the secret: %q", in, got)
		}
	})
}
