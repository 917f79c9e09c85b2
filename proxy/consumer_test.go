package proxy_test

import (
	"net/netip"
	"testing"

	"sidekong/configs/entity"
	"sidekong/internal/upstream"
	"sidekong/proxy"
	"sidekong/proxy/plugin"
)

// scoped tells in the answer's header which instance ran, and for whom.
type scoped string

func (s scoped) FilterHeader(ctx *plugin.Context) error {
	ctx.Response.Header.Set("X-Ran", string(s))
	if ctx.Consumer != nil {
		ctx.Response.Header.Set("X-For", ctx.Consumer.ID+"/"+ctx.Consumer.Username)
	}
	return nil
}

// TestConsumerHeaders: a trusted Kong in front of us names the consumer; a stranger does not.
func TestConsumerHeaders(t *testing.T) {
	const ada = "11111111-1111-4111-8111-111111111111"
	for _, c := range []struct {
		name        string
		on, trusted bool
		header      []string
		ran, who    string
		forwarded   bool // the header goes upstream
	}{
		{"by id", true, true, []string{"X-Consumer-ID: " + ada, "X-Consumer-Username: from-header"}, "ada", ada + "/from-header", true},
		{"by username", true, true, []string{"X-Consumer-Username: ada"}, "ada", ada + "/ada", true},
		{"not known here", true, true, []string{"X-Consumer-Username: bob"}, "all", "/bob", true},
		{"nobody", true, true, nil, "all", "", false},
		{"a stranger", true, false, []string{"X-Consumer-ID: " + ada, "X-Consumer-Username: ada"}, "all", "", false},
		{"not asked for", false, true, []string{"X-Consumer-ID: " + ada, "X-Consumer-Username: ada"}, "all", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, nil)
			e := start(t, setup{
				config: service(up.URL()) + "- name: scoped\n- {name: scoped, consumer: ada}\nconsumers:\n- {id: " + ada + ", username: ada}\n",
				plugins: []*plugin.Definition{{
					Name: "scoped", Config: &entity.Record{},
					New: func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
						if p.Consumer != nil {
							return scoped("ada"), nil
						}
						return scoped("all"), nil
					},
				}},
				options: func(o *proxy.Options) {
					o.ConsumerHeaders = c.on
					if c.trusted {
						o.TrustedIPs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
					}
				},
			})
			got := e.get("/", c.header...)
			if got.Header.Get("X-Ran") != c.ran || got.Header.Get("X-For") != c.who {
				t.Errorf("ran %q for %q, want %q for %q", got.Header.Get("X-Ran"), got.Header.Get("X-For"), c.ran, c.who)
			}
			if sent := up.Requests()[0].Header.Get("X-Consumer-Username") != ""; sent != c.forwarded {
				t.Errorf("goes upstream: %t, want %t", sent, c.forwarded)
			}
		})
	}
}
