package opentelemetry_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/internal/collector"
	"sidekong/proxy/plugin"
)

// share sets a value that plugins share.
var share = &plugin.Definition{
	Name: "share", Priority: 1000, Config: &entity.Record{},
	New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) { return sharer{}, nil },
}

type sharer struct{}

func (sharer) Access(ctx *plugin.Context) error {
	team := ctx.Request.Header.Get("Team")
	ctx.Shared = func(name string) (string, bool) { return team, name == "team" && team != "" }
	return nil
}

const templated = `
- {name: share}
- name: opentelemetry
  config:
    traces_endpoint: TRACES
    access_logs: {endpoint: LOGS}
    resource_attributes:
      zone: a
      service.name: $(headers.x_app)
      tenant: "t-$(uri_captures.tenant)-$(uri_captures[2])"
      plan: $(query_params.plan or "free")
      team: $(shared.team)
      secret: $(headers.authorization)$(query_params.token)
      odd: $(1 + 1)
`

// TestResourceTemplates: each request's spans and log record belong to its own resource, whose attributes come from the
// request; secrets do not; what a request lacks is left out.
func TestResourceTemplates(t *testing.T) {
	h := start(t, setting{
		rate: 1, config: templated, plugins: []*plugin.Definition{share},
		secrets: []string{"token"},
	})
	h.get("/of/acme/7?plan=gold&token=hunter2", "X-App: shop", "Team: red", "Authorization: Bearer hunter2")
	h.get("/", "X-App: shop")
	h.get("/")
	want := map[string]map[string]any{
		"/of/acme/7": {"zone": "a", "service.name": "shop", "tenant": "t-acme-7", "plan": "gold", "team": "red", "secret": "REDACTEDREDACTED"},
		"shop /":     {"zone": "a", "service.name": "shop", "tenant": "t--", "plan": "free"},
		"/":          {"zone": "a", "service.name": "kong", "tenant": "t--", "plan": "free"},
	}
	for _, resource := range want {
		resource["service.version"], resource["service.instance.id"], resource["odd"] = "", "", "$(1 + 1)"
	}
	h.export()
	got := map[string]map[string]any{}
	for _, log := range h.Logs() {
		name := log.Attribute("url.path").(string)
		if log.Attribute("http.request.header.x-app") != nil && name == "/" {
			name = "shop /"
		}
		got[name] = log.Resource
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log records: -want +got\n%s", diff)
	}
	resources := map[string]map[string]any{} // by trace
	for _, span := range h.Spans() {
		id := string(span.TraceId)
		if known, ok := resources[id]; ok {
			if diff := cmp.Diff(known, span.Resource); diff != "" {
				t.Errorf("spans of one trace:\n%s", diff)
			}
		}
		resources[id] = span.Resource
	}
	for _, log := range h.Logs() {
		if diff := cmp.Diff(log.Resource, resources[string(log.TraceId)]); diff != "" {
			t.Errorf("spans: -log +span\n%s", diff)
		}
	}
}

// TestResourcesDoNotLeak: of many requests at once each has its own.
func TestResourcesDoNotLeak(t *testing.T) {
	h := start(t, setting{rate: 1, config: templated, plugins: []*plugin.Definition{share}})
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			for i := range 25 {
				h.get(fmt.Sprintf("/of/x/%d?who=%d-%d", client*100+i, client, i), fmt.Sprintf("X-App: app-%d-%d", client, i))
			}
		})
	}
	clients.Wait()
	roots := h.roots()
	if len(roots) != 200 {
		t.Errorf("%d roots", len(roots))
	}
	for _, root := range roots {
		var client, i int
		if _, err := fmt.Sscanf(queryOf(root), "who=%d-%d", &client, &i); err != nil {
			t.Fatal(err)
		}
		if got, want := root.Resource["service.name"], fmt.Sprintf("app-%d-%d", client, i); got != want {
			t.Errorf("got %v, want %s", got, want)
		}
		if got, want := root.Resource["tenant"], fmt.Sprintf("t-x-%d", client*100+i); got != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}

func queryOf(root collector.Span) string {
	url, _ := root.Attribute("http.url").(string)
	for i := range url {
		if url[i] == '?' {
			return url[i+1:]
		}
	}
	return ""
}
