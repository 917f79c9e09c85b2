package opentelemetry_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
)

// identify names the consumer that a header names.
var identify = &plugin.Definition{
	Name: "identify", Priority: 1000, Config: &entity.Record{},
	New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) { return identifier{}, nil },
}

type identifier struct{}

func (identifier) Access(ctx *plugin.Context) error {
	if name := ctx.Request.Header.Get("Who"); name != "" {
		ctx.Consumer = &entity.Consumer{Meta: entity.Meta{ID: "3f0c4a53-2c3c-4a0a-8b39-2d3ccf4f2f01"}, Username: name}
	}
	return nil
}

// TestTailSampling: which rule keeps or drops a request, with its reason, and that the upstream is told the decision
// made before.
func TestTailSampling(t *testing.T) {
	tests := []struct {
		rate    float64
		rules   string
		request string // path, then headers
		reason  string // "": not exported
	}{
		{0, "keep_errors: true", "/status/500", "error"},
		{0, "keep_errors: true", "/status/404", ""},
		{0, "keep_errors: true", "/gone", "error"},
		{1, "keep_errors: true", "/status/404", "head"},
		{0, "keep_slower_than: 20", "/slow", "slow"},
		{0, "keep_slower_than: 60000", "/slow", ""},
		{0, `keep_statuses: ["404"]`, "/status/404", "status"},
		{0, `keep_statuses: ["404"]`, "/status/405", ""},
		{0, `keep_statuses: [4xx]`, "/status/499", "status"},
		{0, `keep_statuses: [4xx]`, "/", ""},
		{0, `keep_statuses: [500-503]`, "/status/503", "status"},
		{0, `keep_routes: [captured]`, "/of/acme/1", "route"},
		{0, `keep_routes: [captured]`, "/", ""},
		{0, `keep_headers: {x-debug: "*"}`, "/ X-Debug:anything", "header"},
		{0, `keep_headers: {x-debug: "on"}`, "/ X-Debug:off", ""},
		{0, `keep_headers: {x-debug: "on"}`, "/ X-Debug:on", "header"},
		{0, `keep_consumers: [alice]`, "/ Who:alice", "consumer"},
		{0, `keep_consumers: [3f0c4a53-2c3c-4a0a-8b39-2d3ccf4f2f01]`, "/ Who:alice", "consumer"},
		{0, `keep_consumers: [alice]`, "/", ""},
		{1, "drop_health_checks: true", "/healthz?x=1", ""},
		{1, "drop_health_checks: true", "/ User-Agent:kube-probe/1.33", ""},
		{1, "drop_health_checks: true", "/health-of-nations", "head"},
		{1, "drop_paths: [/a, /b/*]", "/a?x", ""},
		{1, "drop_paths: [/a, /b/*]", "/ab", "head"},
		{1, "drop_paths: [/a, /b/*]", "/b/c", ""},
		// What is dropped is dropped, whatever a keep rule says; of the keep rules the first counts.
		{1, "{drop_paths: [/status/*], keep_errors: true}", "/status/500", ""},
		{0, `{keep_errors: true, keep_statuses: [5xx]}`, "/status/500", "error"},
		{0, `{keep_statuses: [5xx], keep_errors: false}`, "/status/500", "status"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%v %s %s", test.rate, test.rules, test.request), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			told := ""
			h := start(t, setting{
				rate: test.rate, plugins: []*plugin.Definition{identify},
				config: "- {name: identify}\n- name: opentelemetry\n  config:\n    traces_endpoint: TRACES\n    tail_sampling: " + record(test.rules),
				backend: func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					told = r.Header.Get("Traceparent")
					mu.Unlock()
					if r.URL.Path == "/slow" {
						time.Sleep(30 * time.Millisecond)
					}
					status := http.StatusOK
					_, _ = fmt.Sscanf(r.URL.Path, "/status/%d", &status)
					w.WriteHeader(status)
				},
			})
			words := strings.Fields(test.request)
			var header []string
			for _, field := range words[1:] {
				header = append(header, strings.Replace(field, ":", ": ", 1))
			}
			h.get(words[0], header...)
			roots := h.roots()
			if test.reason == "" {
				if len(roots) > 0 {
					t.Errorf("exported because of %v", roots[0].Attribute("sidekong.sampling.reason"))
				}
			} else if len(roots) != 1 || roots[0].Attribute("sidekong.sampling.reason") != test.reason {
				t.Errorf("got %v, want %s", roots, test.reason)
			}
			mu.Lock()
			defer mu.Unlock()
			if want := fmt.Sprintf("-0%v", test.rate); told != "" && !strings.HasSuffix(told, want) {
				t.Errorf("the upstream was told %q, want …%s", told, want)
			}
			for _, root := range roots {
				if sampled := root.Flags&1 == 1; sampled != (test.rate == 1) {
					t.Errorf("the span says sampled %v", sampled)
				}
				if told != "" && len(h.Spans()) < 4 {
					t.Errorf("only %d spans were recorded", len(h.Spans()))
				}
			}
		})
	}
}

// TestWithoutTailRules: no reason, and what is not sampled is not recorded.
func TestWithoutTailRules(t *testing.T) {
	h := start(t, setting{rate: 1, config: "- {name: opentelemetry, config: {traces_endpoint: TRACES}}"})
	h.get("/")
	if roots := h.roots(); len(roots) != 1 || roots[0].Attribute("sidekong.sampling.reason") != nil {
		t.Errorf("got %v", roots)
	}
}

// record puts braces around rules that have none.
func record(rules string) string {
	if strings.HasPrefix(rules, "{") {
		return rules
	}
	return "{" + rules + "}"
}
