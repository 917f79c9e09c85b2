package inventory

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// seen makes an observation of "METHOD /path?query" that was answered 200 after 10 ms.
func seen(request string, change ...func(*Observation)) Observation {
	method, target, _ := strings.Cut(request, " ")
	path, query, _ := strings.Cut(target, "?")
	o := Observation{Time: began, Host: "a.test", Method: method, Path: path, Status: 200, Duration: 10 * time.Millisecond}
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, found := strings.Cut(pair, "="); found {
			o.Query = append(o.Query, Parameter{name, value})
		}
	}
	for _, f := range change {
		f(&o)
	}
	return o
}

func answered(status int) func(*Observation) { return func(o *Observation) { o.Status = status } }

func routed(pattern string) func(*Observation) {
	return func(o *Observation) { o.RoutePattern = pattern }
}

func bodies(request, response string) func(*Observation) {
	return func(o *Observation) {
		o.RequestType, o.ResponseType = "application/json; charset=utf-8", "application/json"
		o.RequestBody, o.ResponseBody = []byte(request), []byte(response)
	}
}

// endpoints lists "METHOD /path calls".
func endpoints(v *Inventory) (all []string) {
	for _, e := range v.View().Endpoints {
		all = append(all, fmt.Sprintf("%s %s %d", e.Method, e.Path, e.Calls))
	}
	return all
}

func TestTemplates(t *testing.T) {
	words := func(n int) (all []Observation) {
		for i := range n {
			name := string(rune('a'+i%26)) + strings.Repeat("x", i/26)
			all = append(all, seen("GET /shops/"+name+"/hours"), seen("GET /shops/me"), seen("GET /shops/me"))
		}
		return all
	}
	for _, c := range []struct {
		name string
		in   []Observation
		want []string
	}{
		{"root", []Observation{seen("GET /")}, []string{"GET / 1"}},
		{"numbers", []Observation{seen("GET /users/1"), seen("GET /users/2"), seen("PUT /users/2")}, []string{"GET /users/{userId} 2", "PUT /users/{userId} 1"}},
		{"identifiers", []Observation{
			seen("GET /v1/orders/0b0cb5f4-6b0c-4b5e-9c7e-0d2f0a1b2c3d/items/7"), seen("GET /v1/orders/507f1f77bcf86cd799439011/items/9"),
			seen("GET /v1/orders/aB3dE5fG7hI9jK1l/items/-9"),
		}, []string{"GET /v1/orders/{orderId}/items/{itemId} 3"}},
		{"other kinds", []Observation{
			seen("GET /reports/2026-01-02"), seen("GET /mail/ann%40example.test"), seen("GET /keys/REDACTED"), seen("GET /v2/17"),
		}, []string{"GET /keys/{keyId} 1", "GET /mail/{mailId} 1", "GET /reports/{date} 1", "GET /v2/{id} 1"}},
		{"words stay", []Observation{seen("GET /v1/user-accounts-2024/login"), seen("GET /api/health"), seen("GET /deadbeefdead")}, []string{
			"GET /api/health 1", "GET /deadbeefdead 1", "GET /v1/user-accounts-2024/login 1",
		}},
		{"many words", words(40), []string{"GET /shops/me 80", "GET /shops/{shopId}/hours 40"}},
		{"captures", []Observation{
			seen("GET /things/a-1/parts/x", routed(`~/things/(?<thing>[a-z]-\d)/parts/(\w+)$`)),
			seen("GET /things/b-2/parts/y", routed(`~/things/(?<thing>[a-z]-\d)/parts/(\w+)$`)),
		}, []string{"GET /things/{thing}/parts/{param2} 2"}},
		{"part of a segment", []Observation{
			seen("GET /v7-beta/x", routed(`~/v(?<version>\d+)-beta/`)), seen("GET /v8-beta/x", routed(`~/v(?<version>\d+)-beta/`)),
		}, []string{"GET /v{version}-beta/x 2"}},
		{"an expression of another dialect", []Observation{seen("GET /a/1", routed(`~/a/(?>x)(?<n>\d)`))}, []string{"GET /a/{aId} 1"}},
		{"a capture over several segments", []Observation{seen("GET /files/a/b", routed(`~/files/(.*)`))}, []string{"GET /files/a/b 1"}},
		{"what is not there", []Observation{
			seen("GET /.env", answered(404)), seen("GET /a", answered(404)), seen("GET /a"), seen("GET /a", answered(404)), seen("PUT /a", answered(405)),
		}, []string{"GET /a 2"}},
		{"two of a kind", []Observation{seen("GET /users/1/users/2")}, []string{"GET /users/{userId}/users/{userId2} 1"}},
		{"no request", []Observation{seen("GET *"), seen(" /a")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := New()
			for _, o := range c.in {
				v.Observe(o)
			}
			if diff := cmp.Diff(c.want, endpoints(v)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestView(t *testing.T) {
	v := New()
	for i := range 100 {
		v.Observe(seen(fmt.Sprintf("POST /users/%d?page=%d&order=%s", i, i, []string{"up", "down"}[i%2]), func(o *Observation) {
			o.Time = began.Add(time.Duration(i) * time.Second)
			o.Duration = time.Duration(i+1) * time.Millisecond
			o.Authenticated = []string{"", "bearer"}[i%2]
			o.Consumer, o.Service, o.Route = fmt.Sprintf("c%d", i%3), "accounts", "users"
			o.Header = []Parameter{{"X-Tenant", "t1"}, {"Accept", "*/*"}}
			o.Status = []int{200, 200, 200, 500}[i%4]
			bodies(
				fmt.Sprintf(`{"name":"Name number %d","email":"n%d@example.test","age":%d,"state":"%s","password":"REDACTED"%s}`, i, i, i, []string{"active", "gone"}[i%2], []string{`,"note":null`, ""}[i%2]),
				fmt.Sprintf(`{"id":%d,"at":"2026-01-02T03:04:%02dZ","items":[{"n":1.5},{"n":2,"ok":true}],"by":{"0b0cb5f4-6b0c-4b5e-9c7e-0d2f0a1b2c3d":{"x":1}}}`, i, i%60),
			)(o)
		}))
	}
	got := v.View().Endpoints
	if len(got) != 1 {
		t.Fatalf("%d endpoints", len(got))
	}
	e := got[0]
	for quantile, want := range map[float64]float64{e.Latency.P50: 50, e.Latency.P95: 95, e.Latency.P99: 99} {
		if quantile < 0.9*want || quantile > 1.1*want {
			t.Errorf("latency: got %.1f ms, want about %.0f", quantile, want)
		}
	}
	e.Latency = Latency{}
	text, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := Endpoint{
		Method: "POST", Host: "a.test", Path: "/users/{userId}", Services: []string{"accounts"}, Routes: []string{"users"},
		FirstSeen: float64(began.UnixMilli()), LastSeen: float64(began.UnixMilli() + 99_000), Calls: 100,
		Statuses: map[string]int64{"200": 75, "500": 25}, Authentication: map[string]int64{"": 50, "bearer": 50},
		Consumers: []string{"c0", "c1", "c2"}, RequestTypes: []string{"application/json"}, ResponseTypes: []string{"application/json"},
		Parameters: []ParameterView{
			{"path", "userId", true, &Schema{Type: "integer"}, false},
			{"query", "order", true, &Schema{Type: "string", Enum: []string{"down", "up"}}, false},
			{"query", "page", true, &Schema{Type: "integer"}, false},
			{"header", "x-tenant", true, &Schema{Type: "string", Enum: []string{"t1"}}, false},
		},
		Request: &Schema{
			Type: "object", Required: []string{"age", "email", "name", "password", "state"},
			Properties: map[string]*Schema{
				"name": {Type: "string"}, "email": {Type: "string", Format: "email", Sensitive: "e-mail address"}, "age": {Type: "integer"},
				"state": {Type: "string", Enum: []string{"active", "gone"}}, "password": {Sensitive: "masked"}, "note": {Type: "null"},
			},
		},
		Sensitive: []string{"request body email: e-mail address", "request body password: masked"},
	}
	answer := &Schema{
		Type: "object", Required: []string{"at", "by", "id", "items"},
		Properties: map[string]*Schema{
			"id": {Type: "integer"}, "at": {Type: "string", Format: "date-time"},
			"items": {Type: "array", Items: &Schema{Type: "object", Required: []string{"n"}, Properties: map[string]*Schema{
				"n": {Type: "number"}, "ok": {Type: "boolean"},
			}}},
			"by": {Type: "object", AdditionalProperties: &Schema{Type: "object", Required: []string{"x"}, Properties: map[string]*Schema{"x": {Type: "integer"}}}},
		},
	}
	want.Responses = map[string]*Schema{"200": answer, "500": answer}
	wanted, err := json.MarshalIndent(want, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(wanted), string(text)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestCut: what was cut off is not taken for missing, and a form is read like JSON.
func TestCut(t *testing.T) {
	v := New()
	v.Observe(seen("POST /a", bodies(`{"a":1,"b":{"c":[1,"x"]},"d":"y"}`, `[1,`)))
	v.Observe(seen("POST /a", bodies(`{"a":1,"b":{"c":[1,"x…truncated`, `not JSON`)))
	v.Observe(seen("POST /f", func(o *Observation) {
		o.RequestType, o.RequestBody = "application/x-www-form-urlencoded", []byte("a=1&user%5Bemail%5D=a%40b.test&c=…truncated")
	}))
	view := v.View()
	want := &Schema{Type: "object", Required: []string{"a", "b"}, Properties: map[string]*Schema{
		"a": {Type: "integer"}, "d": {Type: "string"},
		"b": {Type: "object", Required: []string{"c"}, Properties: map[string]*Schema{
			"c": {Type: "array", Items: &Schema{Type: []string{"string", "integer"}}},
		}},
	}}
	if diff := cmp.Diff(want, view.Endpoints[0].Request); diff != "" {
		t.Errorf("JSON (-want +got)\n%s", diff)
	}
	want = &Schema{Type: "object", Properties: map[string]*Schema{
		"a": {Type: "string"}, "user[email]": {Type: "string", Format: "email", Sensitive: "e-mail address"},
	}}
	if diff := cmp.Diff(want, view.Endpoints[1].Request); diff != "" {
		t.Errorf("form (-want +got)\n%s", diff)
	}
}

// TestValuesAreNotKept: of texts that differ nothing is kept, in memory that is saved or in what is shown.
func TestValuesAreNotKept(t *testing.T) {
	v := New()
	for i := range 200 {
		secret := fmt.Sprintf("value%d", i)
		v.Observe(seen("POST /a/"+fmt.Sprint(i)+"?q="+secret, bodies(fmt.Sprintf(`{"a":%q,"list":[%[1]q],"phone":"value0"}`, secret), fmt.Sprintf(`{"b":%q}`, secret)),
			func(o *Observation) { o.Header = []Parameter{{"X-Thing", secret}} }))
	}
	saved, err := v.Save()
	if err != nil {
		t.Fatal(err)
	}
	document, err := v.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	view, err := json.Marshal(v.View())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{saved, document, view} {
		if strings.Contains(string(text), "value1") || strings.Contains(string(text), "value0") {
			t.Errorf("a value is in %s", text)
		}
	}
}

func TestSaveLoad(t *testing.T) {
	v := fill(New(), 500)
	saved, err := v.Save()
	if err != nil {
		t.Fatal(err)
	}
	again := New()
	if err := again.Load(saved); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.View(), again.View()); diff != "" {
		t.Errorf("loaded (-want +got)\n%s", diff)
	}
	// What was known goes on being known.
	before := len(again.View().Endpoints)
	again.Observe(seen("GET /users/99"))
	again.Observe(seen("GET /shops/never-seen-before/hours"))
	if after := len(again.View().Endpoints); after != before {
		t.Errorf("%d endpoints became %d", before, after)
	}
	for _, broken := range []string{"", "{}", `{"version":2}`, `{"version":1,"endpoints":7}`} {
		if err := again.Load([]byte(broken)); err == nil {
			t.Errorf("%q is taken", broken)
		}
	}
	if got := len(again.View().Endpoints); got != before {
		t.Errorf("after what could not be read: %d endpoints", got)
	}
	again.Clear()
	if got := again.View().Endpoints; len(got) != 0 {
		t.Errorf("after Clear: %v", got)
	}
}

// fill makes an inventory of an API with n rounds of calls.
func fill(v *Inventory, n int) *Inventory {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		v.Observe(seen(fmt.Sprintf("GET /users/%d?page=%d", i, i%9), bodies("", `{"id":1,"name":"A b","tags":["x"]}`)))
		v.Observe(seen(fmt.Sprintf("GET /shops/shop%c/hours", 'a'+random.IntN(26)), bodies("", `[{"day":"monday","open":9.5}]`)))
		v.Observe(seen(fmt.Sprintf("GET /shops/%c%c/hours", 'a'+random.IntN(26), 'a'+random.IntN(26)), answered(200+300*(i%2))))
		v.Observe(seen("POST /login", func(o *Observation) {
			o.RequestType, o.RequestBody, o.Authenticated = "application/x-www-form-urlencoded", []byte("user=a&password=REDACTED"), "basic"
		}))
		v.Observe(seen("DELETE /v{1}/weird%7B/x y", func(o *Observation) { o.Host = "b.test"; o.Authenticated = "apikey" }))
		v.Observe(seen("PROPFIND /users/1", answered(0)))
		v.Observe(seen("GET /users/1", func(o *Observation) {
			o.Host, o.RoutePattern, o.Authenticated, o.ResponseType = "b.test", `~/users/(?<uid>\d+)`, "cookie", "image/png"
		}))
	}
	return v
}

// TestBounds: whatever clients make up, what is kept is bounded.
func TestBounds(t *testing.T) {
	v := New()
	random := rand.New(rand.NewPCG(3, 4))
	word := func() string {
		text := make([]byte, 1+random.IntN(12))
		for i := range text {
			text[i] = byte('a' + random.IntN(26))
		}
		return string(text)
	}
	for range 30_000 {
		path := ""
		for range random.IntN(6) {
			path += "/" + word()
		}
		v.Observe(seen("GET /"+path+"?"+word()+"="+word(), func(o *Observation) {
			o.Host, o.Method, o.Consumer, o.Status = word(), strings.ToUpper(word()), word(), random.IntN(1000)
			o.Header = []Parameter{{word(), word()}}
			bodies(fmt.Sprintf(`{%q:{%q:[%q]}}`, word(), word(), word()), strings.Repeat(`{"a":`, random.IntN(300)))(o)
		}))
	}
	for range 2000 {
		v.Observe(seen("POST /same?"+word()+"=1", func(o *Observation) {
			o.Host, o.Status, o.Consumer = "a.test", 200+random.IntN(300), word()
			o.Header = []Parameter{{word(), word()}}
			bodies(fmt.Sprintf(`{%q:{%q:[%q]}}`, word(), word(), word()), `{}`)(o)
		}))
	}
	view := v.View()
	if len(view.Endpoints) > maxEndpoints || view.LeftOut == 0 {
		t.Errorf("%d endpoints, %d calls left out", len(view.Endpoints), view.LeftOut)
	}
	for _, e := range view.Endpoints {
		if len(e.Parameters) > 2*maxFields+maxSegments || len(e.Statuses) > maxStatuses || len(e.Consumers) > maxNames || len(e.Responses) > maxStatuses {
			t.Errorf("%s %s: %d parameters, %d statuses, %d consumers, %d responses", e.Method, e.Path, len(e.Parameters), len(e.Statuses), len(e.Consumers), len(e.Responses))
		}
	}
	saved, err := v.Save()
	if err != nil || len(saved) > 16<<20 {
		t.Errorf("%d bytes, error %v", len(saved), err)
	}
}

func TestTogether(t *testing.T) {
	v := New()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { fill(v, 50) })
	}
	all.Go(func() {
		for range 20 {
			v.View()
			if _, err := v.OpenAPI(); err != nil {
				t.Error(err)
			}
			if _, err := v.Save(); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
}

func FuzzObserve(f *testing.F) {
	f.Add("/a/1", `~/a/(\d)`, "q", "1", []byte(`{"a":[1,null,"x"]}`), "application/json")
	f.Add("/a//{x}", `~(`, "REDACTED", "", []byte(`a=1&b=%`), "application/x-www-form-urlencoded")
	f.Fuzz(func(t *testing.T, path, pattern, name, value string, body []byte, contentType string) {
		v := New()
		for range 2 {
			v.Observe(Observation{
				Time: began, Host: name, Method: "GET", Path: path, Status: 200, RoutePattern: pattern, RequestBody: body,
				RequestType: contentType, ResponseBody: body, Query: []Parameter{{name, value}}, Header: []Parameter{{name, value}},
			})
		}
		document, err := v.OpenAPI()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Compare(document); err != nil {
			t.Fatalf("%v in %s", err, document)
		}
		saved, err := v.Save()
		if err != nil {
			t.Fatal(err)
		}
		again := New()
		if err := again.Load(saved); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v.View(), again.View()); diff != "" {
			t.Errorf("loaded (-want +got)\n%s", diff)
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	v := New()
	o := seen("POST /users/17?page=2", bodies(`{"name":"Ann","age":3}`, `{"id":1,"items":[{"n":1},{"n":2}]}`))
	b.ReportAllocs()
	for b.Loop() {
		v.Observe(o)
	}
}
