package opentelemetry

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"sidekong/proxy/plugin"
)

// requestContext is a request with values for templates.
func requestContext(app string) *plugin.Context {
	return &plugin.Context{
		Request: &http.Request{Host: "shop.test", Header: http.Header{
			"X-App": {app, "second"}, "Cookie": {"hunter2"}, "Apikey": {"hunter2"},
		}},
		ForwardedURI: "/p?plan=a%20b&plan=c&token=hunter2&bad=%zz",
		Captures:     map[string]string{"tenant": "acme", "1": "acme"},
		Shared:       func(name string) (string, bool) { return "red", name == "team" },
	}
}

// noSecrets knows those that are always secret.
var noSecrets = plugin.NewSecrets(plugin.Env{})

func TestParseTemplate(t *testing.T) {
	source := &values{ctx: requestContext("shop"), secrets: plugin.NewSecrets(plugin.Env{RedactedQuery: []string{"token", "apikey"}})}
	tests := []struct {
		text string
		want string // "!": no template
	}{
		{"plain", "!"},
		{"", "!"},
		{"$(headers.x_app)", "shop"},
		{`$(headers["X-App"])`, "shop"},
		{`<$(headers['x-app'])>`, "<shop>"},
		{"$(headers.host)", "shop.test"},
		{"$(headers.nothing)", ""},
		{"$(headers.nothing or headers.x_app)", "shop"},
		{`$( headers.nothing or shared.nothing or "none" )`, "none"},
		{"$(headers.cookie) $(headers.apikey)", "REDACTED REDACTED"},
		{"$(query_params.plan)", "a b"},
		{"$(query_params.token)", "REDACTED"},
		{"$(query_params.bad)", ""},
		{"$(uri_captures.tenant)/$(uri_captures[1])/$(uri_captures['1'])", "acme/acme/acme"},
		{"$(shared.team)$(shared.other)", "red"},
		{"$$(shared.team)", "$red"},
		{"$(shared.team", "!"},
		{"$()", "!"},
		{"$(os.getenv('HOME'))", "!"},
		{"$(headers)", "!"},
		{"$(headers.)", "!"},
		{"$(headers.1)", "!"},
		{"$(headers[x])", "!"},
		{"$(headers.x .. headers.y)", "!"},
		{"$(headers.x or)", "!"},
		{"$(shared.team) $(1+1)", "!"},
	}
	for _, test := range tests {
		got := "!"
		if parsed, ok := parseTemplate(test.text); ok {
			got = string(parsed.render(nil, source))
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.text, got, test.want)
		}
	}
}

func FuzzParseTemplate(f *testing.F) {
	for _, text := range []string{"$(headers.x_app)", `$(headers["a"] or 'b')`, "$(uri_captures[12])x$(shared.y", "$($($(", "$(headers[", "$('"} {
		f.Add(text)
	}
	source := &values{ctx: requestContext("shop"), secrets: noSecrets}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, ok := parseTemplate(text)
		if !ok {
			return
		}
		parsed.render(nil, source)
		// What is not in $(…) stands as it stood.
		before, _, _ := strings.Cut(text, "$(")
		if !strings.HasPrefix(string(parsed.render(nil, source)), before) {
			t.Errorf("%q does not begin with its beginning", text)
		}
	})
}

// TestResourcesAreBounded: beyond the limit requests get the plain resource, those that are known keep theirs, and one
// line says so; long values are cut, not within a character.
func TestResourcesAreBounded(t *testing.T) {
	var log bytes.Buffer
	plain, r := newResources(map[string]string{"app": "$(headers.x_app)", "zone": "a"}, noSecrets, slog.New(slog.NewTextHandler(&log, nil)))
	if diff := cmp.Diff(map[string]string{"zone": "a"}, plain); diff != "" {
		t.Error(diff)
	}
	first := r.of(requestContext("app-0"))
	for i := range 3 * maxResources {
		got := r.of(requestContext(fmt.Sprint("app-", i)))
		if (got == nil) != (i >= maxResources) {
			t.Fatalf("%d: %q", i, got)
		}
	}
	if again := r.of(requestContext("app-0")); !bytes.Equal(first, again) {
		t.Errorf("got %q, want %q", again, first)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || len(r.known) != maxResources {
		t.Errorf("%d lines, %d resources", lines, len(r.known))
	}

	_, r = newResources(map[string]string{"app": "$(headers.x_app)"}, noSecrets, slog.New(slog.DiscardHandler))
	encoded := r.of(requestContext(strings.Repeat("é", 10_000)))
	var message resourcepb.Resource
	if err := proto.Unmarshal(encoded, &message); err != nil { // it would be for half a character
		t.Fatal(err)
	}
	if got := len(message.Attributes[0].Value.GetStringValue()); got != maxResourceValue {
		t.Errorf("%d bytes, want %d", got, maxResourceValue)
	}
}

// TestWithoutTemplates: nothing is asked of a request.
func TestWithoutTemplates(t *testing.T) {
	var log bytes.Buffer
	plain, r := newResources(map[string]string{"zone": "a", "odd": "$(os.time())"}, noSecrets, slog.New(slog.NewTextHandler(&log, nil)))
	if r != nil || plain["odd"] != "$(os.time())" || !strings.Contains(log.String(), "odd") {
		t.Errorf("got %v, %v, %s", plain, r, log.String())
	}
	if r.of(nil) != nil {
		t.Error("no templates and yet attributes")
	}
}

// TestRenderingIsCheap: a resource that is known costs no more than the query's parsing, here nothing.
func TestRenderingIsCheap(t *testing.T) {
	_, r := newResources(map[string]string{"app": "$(headers.x_app)", "team": "$(shared.team)"}, noSecrets, slog.New(slog.DiscardHandler))
	ctx := requestContext("shop")
	if n := testing.AllocsPerRun(100, func() { r.of(ctx) }); n > 4 { // names in canonical form
		t.Errorf("%v allocations", n)
	}
}
