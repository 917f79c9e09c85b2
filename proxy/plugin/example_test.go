package plugin_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"sidekong/configs/entity"
	"sidekong/internal/gateway"
	"sidekong/proxy/plugin"
)

// Define makes the plugin's definition.
func Define() *plugin.Definition {
	return &plugin.Definition{
		Name:     "sidekong-hello",
		Priority: 800, // higher runs earlier; Kong's numbers where Kong has the plugin
		Config: &entity.Record{Fields: []entity.Field{
			{Name: "greeting", Type: entity.String, Default: "hello"},
		}},
		New: func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
			var h hello
			return &h, entity.Decode(p.Config, &h)
		},
	}
}

type hello struct{ Greeting string }

// FilterHeader is plugin.HeaderFilter.
func (h *hello) FilterHeader(ctx *plugin.Context) error {
	ctx.Response.Header.Set("X-Greeting", h.Greeting)
	return nil
}

// TestDocs: the example of docs/plugins.md is the one above, and it runs.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```go\n.*?\n\\)\n\n(.*?)```").FindSubmatch(page)
	if example == nil || !strings.Contains(string(source), string(example[1])) {
		t.Errorf("docs/plugins.md shows other code than example_test.go has")
	}
	g := gateway.Start(t, gateway.Setup{
		Config:  gateway.Service + "plugins:\n- name: sidekong-hello\n- {name: sidekong-hello, route: all, config: {greeting: hi}}\n",
		Plugins: []*plugin.Definition{Define()},
	})
	if got := g.Get("/").Header.Get("X-Greeting"); got != "hi" {
		t.Errorf("got %q", got)
	}
}
