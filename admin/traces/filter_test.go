package traces

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// TestFilter: which of three traces each filter finds.
func TestFilter(t *testing.T) {
	s := newStore(t, 0)
	request{
		path: "/users/7?page=2", status: 200, took: 50 * time.Millisecond, service: "users",
		attributes: map[string]string{"user.id": "7", "kong.route.name": "users", "http.request.body": `{"Name":"Grace"}`},
		note:       Note{Sampled: true},
	}.add(t, s)
	request{
		path: "/orders", status: 503, took: 250 * time.Millisecond, service: "orders", attributes: map[string]string{"user.id": "8", "odd name": `a "b"`},
	}.add(t, s)
	sent := backendSpan(traceOf(3), spanOf(1), spanOf(0), "SELECT Ünïcode", tracepb.Span_SPAN_KIND_CLIENT, 0, 1500)
	sent.ParentSpanId = nil
	s.TakeSpans(sentBy("billing", sent))
	names := map[uint64]string{1: "users", 2: "orders", 3: "billing"}

	cases := []struct {
		filter string
		want   []string
	}{
		{"", []string{"users", "orders", "billing"}},
		{"  ", []string{"users", "orders", "billing"}},
		{"status=503", []string{"orders"}},
		{"status!=503", []string{"users", "billing"}},
		{"status>=200 status<300", []string{"users"}},
		{"status~^5", []string{"orders"}},
		{"-status=503", []string{"users", "billing"}},
		{"duration>100ms", []string{"orders", "billing"}},
		{"duration>1s", []string{"billing"}},
		{"duration<=50", []string{"users"}},
		{"duration>=0.25s duration<1m", []string{"orders", "billing"}},
		{"method=GET", []string{"users", "orders"}},
		{"path=/orders", []string{"orders"}},
		{"path~^/users/[0-9]+", []string{"users"}},
		{`path~"^/users/\d+"`, []string{"users"}},
		{`path!~"^/users"`, []string{"orders", "billing"}},
		{"route=/a", []string{"users", "orders"}},
		{"route=users", []string{"users"}},
		{"route!=users", []string{"orders", "billing"}},
		{"service=billing", []string{"billing"}},
		{"service!=billing", []string{"users", "orders"}},
		{"service=kong", []string{"users", "orders"}},
		{"error=true", []string{"orders"}},
		{"errors>0", []string{"orders"}},
		{"sampled=false", []string{"orders"}},
		{"gateway=false", []string{"billing"}},
		{"spans=1", []string{"billing"}},
		{"user.id=7", []string{"users"}},
		{"user.id=7.0", []string{"users"}},
		{"user.id>7", []string{"orders"}},
		{"user.id!=7", []string{"orders", "billing"}},
		{"has:user.id", []string{"users", "orders"}},
		{"-has:user.id", []string{"billing"}},
		{`has:"odd name"`, []string{"orders"}},
		{`service.name~^kon`, []string{"users", "orders"}},
		{"grace", []string{"users"}},
		{"GRACE", []string{"users"}},
		{"ünïcode", []string{"billing"}},
		{`"a \"b\""`, []string{"orders"}},
		{"select", []string{"billing"}},
		{"-select", []string{"users", "orders"}},
		{"page=2", nil},
		{`"page=2"`, []string{"users"}},
		{"nothing", nil},
		{"user.id=7 user.id=8", nil},
	}
	for _, c := range cases {
		t.Run(c.filter, func(t *testing.T) {
			filter, err := ParseFilter(c.filter)
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]bool{}
			for _, row := range s.List(filter, "", 10).Traces {
				found[names[row.Number]] = true
			}
			want := map[string]bool{}
			for _, name := range c.want {
				want[name] = true
			}
			if diff := cmp.Diff(want, found); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilterFaults(t *testing.T) {
	cases := []struct {
		filter           string
		position, length int
	}{
		{`status>=`, 8, 0},
		{`status>=x`, 8, 1},
		{`a status=20x`, 9, 3},
		{`=x`, 0, 1},
		{`-=x`, 1, 1},
		{`"open`, 0, 5},
		{`a="open`, 2, 5},
		{`"a"b`, 3, 1},
		{`a="b"c`, 5, 1},
		{`a"b"`, 1, 1},
		{`a=b"c"`, 3, 1},
		{`path~(`, 5, 1},
		{`duration>fast`, 9, 4},
		{`duration>-1`, 9, 2},
		{`user.id>abc`, 8, 3},
		{`error>true`, 6, 4},
		{`error=maybe`, 6, 5},
		{`has:`, 4, 0},
		{"\xff", 0, 1},
	}
	for _, c := range cases {
		t.Run(c.filter, func(t *testing.T) {
			_, err := ParseFilter(c.filter)
			var fault *FilterError
			if !errors.As(err, &fault) {
				t.Fatalf("got %v", err)
			}
			if fault.Position != c.position || fault.Length != c.length || fault.Text == "" {
				t.Errorf("got %+v, want position %d, length %d", fault, c.position, c.length)
			}
		})
	}
}

// FuzzParseFilter: whatever is written is a filter or an error with its place, and can be looked for.
func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{"", "a", "status>=500 -x", `a="b\"c\\"`, "has:x", "duration>1.5s", `path~"a|b"`, "-", "a=b=c", "µ>1µs", "duration=1µ"} {
		f.Add(seed)
	}
	s := newStore(f, 0)
	request{attributes: map[string]string{"a": "b"}}.add(f, s)
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := ParseFilter(text)
		var fault *FilterError
		switch {
		case errors.As(err, &fault):
			if fault.Position < 0 || fault.Length < 0 || fault.Position+fault.Length > len(text) {
				t.Errorf("%q: %+v is outside of the text", text, fault)
			}
		case err != nil:
			t.Errorf("%q: %v", text, err)
		default:
			s.List(filter, "", 1)
		}
	})
}
