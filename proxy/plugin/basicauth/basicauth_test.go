package basicauth

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/internal/gateway"
	"sidekong/proxy/plugin"
)

const consumers = `
consumers:
- id: 11111111-1111-4111-8111-111111111111
  username: ada
  basicauth_credentials:
  - {username: ada, password: "o:pen"}
  - {username: blank, password: "x"}
- id: 33333333-3333-4333-8333-333333333333
  username: nobody
plugins:
- name: basic-auth
  config: `

func start(t *testing.T, config string) *gateway.Gateway {
	t.Helper()
	return gateway.Start(t, gateway.Setup{
		Config: gateway.Service + consumers + config, Plugins: []*plugin.Definition{Define()},
	})
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestBasicAuth(t *testing.T) {
	right, wrong := basic("ada", "o:pen"), basic("ada", "shut")
	const ada, nobody = "11111111-1111-4111-8111-111111111111 ada ada ", "33333333-3333-4333-8333-333333333333 nobody  true"
	for _, c := range []struct {
		name, config string
		header       []string
		status       int
		identity     string
	}{
		{"right", "", []string{"Authorization: " + right}, 200, ada},
		{"small letter", "", []string{"Authorization: b" + right[1:]}, 200, ada},
		{"proxy", "", []string{"Proxy-Authorization: " + right}, 200, ada},
		{"unknown to the proxy header", "", []string{"Proxy-Authorization: " + basic("eve", "x"), "Authorization: " + right}, 200, ada},
		{"wrong in the proxy header", "", []string{"Proxy-Authorization: " + wrong, "Authorization: " + right}, 401, ""},
		{"none", "", nil, 401, ""},
		{"wrong password", "", []string{"Authorization: " + wrong}, 401, ""},
		{"unknown user", "", []string{"Authorization: " + basic("eve", "x")}, 401, ""},
		{"empty password", "", []string{"Authorization: " + basic("ada", "")}, 401, ""},
		{"the stored digest", "", []string{"Authorization: " + basic("ada", "f7e5a7b6e4c2")}, 401, ""},
		{"not base64", "", []string{"Authorization: Basic ***"}, 401, ""},
		{"no colon", "", []string{"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ada"))}, 401, ""},
		{"bearer", "", []string{"Authorization: Bearer x"}, 401, ""},
		{"anonymous", "{anonymous: nobody}", []string{"Authorization: " + wrong}, 200, nobody},
		{"anonymous who does not exist", "{anonymous: nobody-else}", nil, 500, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := c.config
			if config == "" {
				config = "{}"
			}
			g := start(t, config)
			got := g.Get("/", append(c.header, "X-Consumer-Username: eve")...)
			if got.Status != c.status {
				t.Fatalf("got %d %s", got.Status, got.Body)
			}
			switch c.status {
			case 401:
				if diff := cmp.Diff([]string{`Basic realm="service"`}, got.Header["Www-Authenticate"]); diff != "" {
					t.Errorf("WWW-Authenticate (-want +got):\n%s", diff)
				}
				if !strings.HasPrefix(got.Body, "{\n  \"message\":\"Unauthorized\",\n") {
					t.Errorf("got %s", got.Body)
				}
			case 200:
				h := g.Received().Header
				var found []string
				for _, name := range []string{"X-Consumer-Id", "X-Consumer-Username", "X-Credential-Identifier", "X-Anonymous-Consumer"} {
					found = append(found, h.Get(name))
				}
				if got := strings.Join(found, " "); got != c.identity {
					t.Errorf("upstream sees %q, want %q", got, c.identity)
				}
			}
		})
	}
}

// TestHidden: the header that was looked at does not go upstream.
func TestHidden(t *testing.T) {
	for config, want := range map[string]bool{"{hide_credentials: true}": false, "{}": true} {
		g := start(t, config)
		if got := g.Get("/", "Authorization: "+basic("ada", "o:pen")); got.Status != 200 {
			t.Fatalf("got %d", got.Status)
		}
		if got := g.Received().Header.Get("Authorization") != ""; got != want {
			t.Errorf("%s: Authorization upstream: %t", config, got)
		}
	}
	g := start(t, `{realm: "here"}`)
	if got := g.Get("/").Header.Get("WWW-Authenticate"); got != `Basic realm="here"` {
		t.Errorf("challenge %s", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{basic("ada", "o:pen"), "Basic", "basic ::a:b", "xBasic " + base64.StdEncoding.EncodeToString([]byte("a:b\nc"))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		user, password, ok := parse(header)
		if !ok {
			return
		}
		if strings.Contains(user, ":") || strings.Contains(password, "\n") {
			t.Errorf("user %q, password %q", user, password)
		}
		// What net/http reads, is read here too.
		r := http.Request{Header: http.Header{"Authorization": {header}}}
		if theirs, _, found := r.BasicAuth(); found && theirs != "" && theirs != user {
			t.Errorf("user %q, net/http reads %q", user, theirs)
		}
	})
}
