package plugin

import (
	"strings"
	"testing"

	"sidekong/configs/entity"
)

func TestSecrets(t *testing.T) {
	s := NewSecrets(Env{
		RedactedQuery: []string{"token", "API_key"},
		Plugins: []*entity.Plugin{
			{Name: "key-auth", Config: entity.Object{"key_names": []any{"x_ticket"}}},
			{Name: "other", Config: entity.Object{"key_names": []any{"harmless"}}},
		},
	})
	for name, want := range map[string]bool{
		"authorization": true, "proxy-authorization": true, "cookie": true, "set-cookie": true, "x-api-key": true, "apikey": true,
		"x-auth-token": true, "x-csrf-token": true, "api-key": true, "token": true, "x-amz-security-token": true, "session-id": true,
		"x-ticket": true, "x_ticket": true, "harmless": false,
		"accept": false, "user-agent": false, "author": false, "access-control-allow-credentials": false, "traceparent": false,
	} {
		if got := s.Header(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for uri, want := range map[string]string{
		"/": "/", "/?": "/?", "/?a=b": "/?a=b", "/?token=x": "/?token=REDACTED", "/?x_ticket=x": "/?x_ticket=REDACTED",
		"/?a&Token=x&b=c;api%5Fkey=y": "/?a&Token=REDACTED&b=c;api%5Fkey=REDACTED", "/?token": "/?token", "/?tokens=x": "/?tokens=x",
	} {
		if got := s.URI(uri); got != want {
			t.Errorf("%s: got %s, want %s", uri, got, want)
		}
	}
}

func FuzzSecrets(f *testing.F) {
	for _, query := range []string{"token=x", "a=b&token=x;c", "%74oken=x", "token", "=&=&", "token=x=y", "a=%"} {
		f.Add(query)
	}
	s := NewSecrets(Env{RedactedQuery: []string{"token"}})
	f.Fuzz(func(t *testing.T, query string) {
		got := s.Query(query)
		for pair := range strings.FieldsFuncSeq(got, func(r rune) bool { return r == '&' || r == ';' }) {
			if name, value, found := strings.Cut(pair, "="); found && s.Parameter(name) && value != Redacted {
				t.Errorf("%q: %q is told", query, value)
			}
		}
		if again := s.Query(got); again != got {
			t.Errorf("%q becomes %q and then %q", query, got, again)
		}
		if !strings.Contains(query, "=") && got != query {
			t.Errorf("%q has no values and becomes %q", query, got)
		}
	})
}
