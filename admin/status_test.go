package admin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin"
)

func get(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	res, err := http.Get(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %d %s, %v", path, res.StatusCode, body, err)
	}
	return string(body)
}

// TestUpstreamHealth: /status lists the upstreams, and /metrics has Kong's series, one for each address and state.
func TestUpstreamHealth(t *testing.T) {
	upstreams := []admin.Upstream{{
		Name: "pool", Health: "HEALTHY", Targets: []admin.Target{
			{Target: "one.test:80", Health: "HEALTHY", Weight: 100, DNS: "A", Addresses: []admin.Address{
				{IP: "10.0.0.1", Port: 80, Weight: 100, Health: "HEALTHY"}, {IP: "[::1]", Port: 80, Weight: 100, Health: "UNHEALTHY"},
			}},
			{Target: "gone.test:80", Health: "DNS_ERROR", DNS: "name does not exist", Addresses: []admin.Address{}},
		},
	}}
	status := admin.Status{
		Ready:              func() (bool, string) { return true, "" },
		ConfigurationHash:  func() string { return "" },
		ConfigurationFault: func() string { return "" },
		Traffic:            func() admin.Traffic { return admin.Traffic{} },
		Exporters:          func() []admin.Exporter { return nil },
		Database:           func() string { return "" },
		Shed:               func() (bool, uint64) { return false, 0 },
		Upstreams:          func() []admin.Upstream { return upstreams },
	}
	var got struct{ Upstreams []admin.Upstream }
	if err := json.Unmarshal([]byte(get(t, admin.StatusHandler(status), "/status")), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(upstreams, got.Upstreams); diff != "" {
		t.Errorf("upstreams (-want +got):\n%s", diff)
	}
	set := map[string]bool{}
	series := 0
	for line := range strings.Lines(get(t, admin.StatusHandler(status), "/metrics")) {
		if labels, ok := strings.CutPrefix(line, "kong_upstream_target_health{"); ok {
			series++
			if labels, ok := strings.CutSuffix(labels, "} 1\n"); ok {
				set[labels] = true
			}
		}
	}
	want := map[string]bool{
		`address="10.0.0.1:80",state="healthy",subsystem="http",target="one.test:80",upstream="pool"`: true,
		`address="[::1]:80",state="unhealthy",subsystem="http",target="one.test:80",upstream="pool"`:  true,
		`address="",state="dns_error",subsystem="http",target="gone.test:80",upstream="pool"`:         true,
	}
	if diff := cmp.Diff(want, set); diff != "" || series != 12 {
		t.Errorf("%d series; those that are 1 (-want +got):\n%s", series, diff)
	}
}
