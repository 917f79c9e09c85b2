package settings

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kongConf reads Kong's published list of settings: {"params": {name: {"defaultValue": null, text or list}}}. The list
// is Kong's and not part of this project.
func kongConf(t *testing.T) map[string]string {
	t.Helper()
	path := os.Getenv("SIDEKONG_KONG_CONF")
	if path == "" {
		t.Skip("SIDEKONG_KONG_CONF does not name Kong's published list of settings (kong-conf-3.9.json)")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var published struct {
		Params map[string]struct {
			DefaultValue any `json:"defaultValue"`
		} `json:"params"`
	}
	if err := json.Unmarshal(data, &published); err != nil {
		t.Fatal(err)
	}
	if len(published.Params) < 300 {
		t.Fatalf("the list has %d settings, want at least 300", len(published.Params))
	}
	defaults := make(map[string]string)
	for name, param := range published.Params {
		switch value := param.DefaultValue.(type) {
		case nil:
			defaults[name] = ""
		case string:
			defaults[name] = value
		case []any:
			var items []string
			for _, item := range value {
				items = append(items, item.(string))
			}
			defaults[name] = strings.Join(items, ", ")
		default:
			t.Fatalf("default of %s has type %T", name, value)
		}
	}
	return defaults
}

func TestKnowsAllOfKongs(t *testing.T) {
	for name := range kongConf(t) {
		if !known(strings.ToLower(name)) {
			t.Errorf("%s is neither honoured nor accepted", name)
		}
	}
}

func TestDefaultsAreKongs(t *testing.T) {
	published := kongConf(t)
	// Differences that are meant, each to the value that Kong publishes.
	different := map[string]string{
		"prefix":                   "/usr/local/kong/",
		"database":                 "postgres",
		"proxy_access_log":         "logs/access.log",
		"tracing_instrumentations": "off",
		"tracing_sampling_rate":    "0.01",
		"admin_listen":             "127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384",
		"admin_gui_listen":         "0.0.0.0:8002, 0.0.0.0:8445 ssl",
		"status_listen":            "127.0.0.1:8007 reuseport backlog=16384",
		// What Kong publishes here describes the unset value.
		"resolver_address":   "<name servers parsed from resolv.conf>",
		"resolver_valid_ttl": "<TTL from responses>",
	}
	got, want := make(map[string]string), make(map[string]string)
	for _, k := range keys {
		value, isKongs := published[k.name]
		// nginx's own settings Kong takes by their beginning.
		if isKongs == k.own && !strings.HasPrefix(k.name, "nginx_") {
			t.Errorf("%s: own is %v, and Kong's list has it: %v", k.name, k.own, isKongs)
		}
		if !isKongs {
			continue
		}
		if known, ok := different[k.name]; ok {
			if k.def == value || known != value {
				t.Errorf("%s: ours is %q and Kong's %q, not different as noted (%q)", k.name, k.def, value, known)
			}
			continue
		}
		got[k.name], want[k.name] = k.def, value
	}
	if len(want) < 40 {
		t.Errorf("compared %d defaults, want at least 40", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("defaults (-Kong's +ours):\n" + diff)
	}
}
