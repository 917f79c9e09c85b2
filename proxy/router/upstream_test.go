package router

import (
	"testing"

	"sidekong/configs/entity"
)

// TestRouterPath holds the corner cases; all combinations are among the vectors.
func TestRouterPath(t *testing.T) {
	tests := []struct {
		service, route, path string
		strip                bool
		want                 string
	}{
		{"", "/rt", "/rtx", true, "/x"},
		{"", "/rt", "/rt", true, "/"},
		{"", "/rt", "/rt/", true, "/"},
		{"/svc", "/", "/", true, "/svc"},
		{"/svc", "/", "/x", true, "/svc/x"},
		{"/svc", "/rt", "/rt/", true, "/svc/"},
		{"/svc/", "/rt", "/rt", true, "/svc"},
		{"/svc/", "/", "/", true, "/svc/"},
		{"/svc/", "/rt", "/rt/x", true, "/svc/x"},
		{"/svc", "/rt", "/rt.", true, "/svc"},
		{"/svc", "/rt", "/rt..", true, "/svc"},
		{"/svc", "/rt", "/rt./x", true, "/svc/x"},
		{"/svc", "/rt", "/rt../x", true, "/svc/x"},
		{"/svc", "/rt", "/rt...", true, "/svc/..."},
		{"/svc", "", "/x", true, "/svc/x"},
		{"/svc", "", "/", true, "/svc"},
		{"/svc", "/rt", "/", false, "/svc"},
		{"/svc", "/rt", "/rt", false, "/svc/rt"},
		{"/svc/", "/rt", "/rt", false, "/svc/rt"},
		{"", "/rt", "/rt", false, "/rt"},
	}
	for _, test := range tests {
		m := Match{
			Route:   &entity.Route{StripPath: test.strip},
			Service: &entity.Service{Path: test.service},
			Path:    test.route, Matched: test.route, requestPath: test.path,
		}
		if got := m.RouterPath(); got != test.want {
			t.Errorf("service %q, route %q, strip %v: %q becomes %q, want %q",
				test.service, test.route, test.strip, test.path, got, test.want)
		}
	}
}

func TestForwardedPrefix(t *testing.T) {
	tests := []struct {
		matched string
		strip   bool
		want    string
	}{
		{"/a", true, "/a"},
		{"/a", false, ""},
		{"/", true, ""},
		{"", true, ""},
	}
	for _, test := range tests {
		m := Match{Route: &entity.Route{StripPath: test.strip}, Matched: test.matched}
		if got := m.ForwardedPrefix(); got != test.want {
			t.Errorf("%q, strip %v: %q, want %q", test.matched, test.strip, got, test.want)
		}
	}
}

func TestUpstreamHost(t *testing.T) {
	tests := []struct {
		protocol string
		port     int
		preserve bool
		sent     string
		want     string
	}{
		{"http", 80, false, "a.test:8000", "up.test"},
		{"grpc", 80, false, "", "up.test"},
		{"https", 443, false, "", "up.test"},
		{"grpcs", 443, false, "", "up.test"},
		{"https", 80, false, "", "up.test:80"},
		{"http", 443, false, "", "up.test:443"},
		{"http", 8080, false, "", "up.test:8080"},
		{"http", 8080, true, "A.test:8000", "A.test:8000"},
		{"http", 8080, true, "", "up.test:8080"},
	}
	for _, test := range tests {
		m := Match{
			Route:   &entity.Route{PreserveHost: test.preserve},
			Service: &entity.Service{Protocol: test.protocol, Host: "up.test", Port: test.port},
		}
		if got := m.UpstreamHost(test.sent); got != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
	noService := Match{Route: &entity.Route{}}
	if got := noService.UpstreamHost("a.test"); got != "" {
		t.Errorf("without service: %q, want none", got)
	}
}

func TestEscape(t *testing.T) {
	tests := []struct{ path, want string }{
		{"/a-Z_0.9~", "/a-Z_0.9~"},
		{"/!#$&'()*+,:;=?@[]%2F", "/!#$&'()*+,:;=?@[]%2F"},
		{"/ \"<>\\^`{|}\n\x7fé", "/%20%22%3C%3E%5C%5E%60%7B%7C%7D%0A%7F%C3%A9"},
	}
	for _, test := range tests {
		if got := escape(test.path); got != test.want {
			t.Errorf("escape(%q) = %q, want %q", test.path, got, test.want)
		}
	}
}
