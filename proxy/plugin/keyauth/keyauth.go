// Package keyauth is Kong's key-auth plugin: a consumer proves itself by an API key in a header, in the query or in the
// body. Kong: kong/plugins/key-auth/
package keyauth

import (
	"crypto/subtle"
	"net/http"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/params"
)

// Name is the plugin's name in a configuration.
const Name = "key-auth"

const priority = 1250

// maxBody bounds the bodies that are searched for a key, in bytes. A longer one holds none.
const maxBody = 1 << 20

// Define makes the plugin's definition.
func Define() *plugin.Definition {
	return &plugin.Definition{
		Name: Name, Priority: priority, Config: Config(),
		New: func(p *entity.Plugin, env plugin.Env) (plugin.Instance, error) {
			k := &keyAuth{directory: env.Directory}
			if err := entity.Decode(p.Config, &k.config); err != nil {
				return nil, err
			}
			for _, name := range k.config.KeyNames {
				header, dashed := plugin.HeaderNames(name)
				k.keys = append(k.keys, keyName{name, header, dashed})
			}
			k.challenge = http.Header{"Www-Authenticate": {"Key"}}
			if k.config.Realm != "" {
				k.challenge = http.Header{"Www-Authenticate": {`Key realm="` + k.config.Realm + `"`}}
			}
			return k, nil
		},
	}
}

type config struct {
	KeyNames        []string `json:"key_names"`
	HideCredentials bool     `json:"hide_credentials"`
	Anonymous       string   `json:"anonymous"`
	KeyInHeader     bool     `json:"key_in_header"`
	KeyInQuery      bool     `json:"key_in_query"`
	KeyInBody       bool     `json:"key_in_body"`
	RunOnPreflight  bool     `json:"run_on_preflight"`
	Realm           string   `json:"realm"`
}

// keyAuth is one configured plugin.
type keyAuth struct {
	config    config
	keys      []keyName
	challenge http.Header
	directory plugin.Directory
}

// keyName is where a key may be. A header may be written with - in the place of _, as in Kong.
type keyName struct{ name, header, dashed string }

// Access finds out who asks, or refuses.
func (k *keyAuth) Access(ctx *plugin.Context) error {
	if !k.config.RunOnPreflight && ctx.Request.Method == http.MethodOptions {
		return nil
	}
	if k.config.Anonymous != "" && ctx.Credential != nil {
		return nil // another plugin has found out already, and one is enough
	}
	refusal, err := k.authenticate(ctx)
	switch {
	case err != nil:
		return err
	case refusal == "":
		return nil
	case k.config.Anonymous != "":
		return ctx.IdentifyAnonymous(k.directory, k.config.Anonymous)
	default:
		ctx.ExitError(http.StatusUnauthorized, refusal, k.challenge)
		return nil
	}
}

// authenticate names the consumer, or says what to refuse the request with.
// Kong: kong/plugins/key-auth/handler.lua do_authentication
func (k *keyAuth) authenticate(ctx *plugin.Context) (refusal string, err error) {
	key, kind, err := k.find(ctx)
	switch {
	case err != nil:
		return "", err
	case kind == params.Several:
		return "Duplicate API key found", nil
	case key == "":
		return "No API key found in request", nil
	}
	credential, err := k.directory.KeyAuth(ctx, key)
	if err != nil {
		return "", err
	}
	if credential == nil || subtle.ConstantTimeCompare([]byte(credential.Key), []byte(key)) == 0 || expired(credential, ctx.Arrived) {
		return "Unauthorized", nil
	}
	consumer, err := k.directory.Consumer(ctx, credential.Consumer.ID, false)
	if err != nil {
		return "", err
	}
	ctx.Identify(consumer, credential, credential.ID)
	return "", nil
}

func expired(c *entity.KeyAuthCredential, now time.Time) bool {
	return c.TTL != nil && *c.TTL > 0 && c.CreatedAt > 0 && now.Unix() >= c.CreatedAt+*c.TTL
}

// find looks for the key under each of its names: in the header, then the query, then the body. The first text or
// repeated value is it. An error says that the client did not send its body.
func (k *keyAuth) find(ctx *plugin.Context) (key string, kind params.Kind, err error) {
	search := search{ctx: ctx}
	for _, name := range k.keys {
		kind = params.Absent
		if k.config.KeyInHeader {
			key, kind = name.inHeader(ctx.Request.Header)
		}
		if kind == params.Absent && k.config.KeyInQuery {
			key, kind = search.args().Lookup(name.name)
		}
		if kind == params.Absent && k.config.KeyInBody && search.params() != nil {
			key, kind = search.params().Lookup(name.name)
		}
		switch kind {
		case params.Several:
			return "", kind, search.err
		case params.Text:
			if k.config.HideCredentials {
				k.hide(&search, name)
			}
			return key, kind, search.err
		}
	}
	return "", params.Absent, search.err
}

func (n keyName) inHeader(h http.Header) (string, params.Kind) {
	values := h[n.header]
	if values == nil {
		values = h[n.dashed]
	}
	switch len(values) {
	case 0:
		return "", params.Absent
	case 1:
		return values[0], params.Text
	default:
		return "", params.Several
	}
}

// hide takes the key out of everything that goes upstream.
func (k *keyAuth) hide(s *search, name keyName) {
	delete(s.ctx.Request.Header, name.header)
	delete(s.ctx.Request.Header, name.dashed)
	if s.args().Has(name.name) {
		query := params.Without(s.ctx.RawQuery(), name.name)
		s.ctx.Outgoing.Query = &query
	}
	if !k.config.KeyInBody || s.params() == nil || !s.params().Delete(name.name) {
		return
	}
	if body, err := s.params().Encode(); err == nil { // what was parsed can be written
		s.ctx.SetBody(body)
	}
}

// search reads query and body where they are asked for.
type search struct {
	ctx    *plugin.Context
	query  params.Args
	parsed bool
	body   params.Set
	read   bool
	err    error
}

func (s *search) args() params.Args {
	if !s.parsed {
		s.query, s.parsed = params.ParseArgs(s.ctx.RawQuery()), true
	}
	return s.query
}

// params are the body's parameters, nil where it has none that can be read.
func (s *search) params() params.Set {
	if s.read {
		return s.body
	}
	s.read = true
	body, _, err := s.ctx.Body(maxBody)
	if err != nil && err != plugin.ErrBodyTooLarge {
		s.err = err
	}
	if err != nil || len(body) == 0 {
		return nil
	}
	set, err := params.Parse(s.ctx.Request.Header.Get("Content-Type"), body)
	if err != nil {
		return nil
	}
	s.body = set
	return set
}
