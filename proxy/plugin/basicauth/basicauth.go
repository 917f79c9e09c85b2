// Package basicauth is Kong's basic-auth plugin: a consumer proves itself by a user name and a password in the
// Proxy-Authorization or the Authorization header. Kong: kong/plugins/basic-auth/
package basicauth

import (
	"crypto/sha1" // Kong's digest of passwords, as it is stored
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
)

// Name is the plugin's name in a configuration.
const Name = "basic-auth"

const priority = 1100

// Define makes the plugin's definition.
func Define() *plugin.Definition {
	return &plugin.Definition{
		Name: Name, Priority: priority, Config: Config(),
		New: func(p *entity.Plugin, env plugin.Env) (plugin.Instance, error) {
			b := &basicAuth{directory: env.Directory}
			if err := entity.Decode(p.Config, &b.config); err != nil {
				return nil, err
			}
			b.challenge = http.Header{"Www-Authenticate": {`Basic realm="` + b.config.Realm + `"`}}
			return b, nil
		},
	}
}

type config struct {
	Anonymous       string `json:"anonymous"`
	HideCredentials bool   `json:"hide_credentials"`
	Realm           string `json:"realm"`
}

// basicAuth is one configured plugin.
type basicAuth struct {
	config    config
	challenge http.Header
	directory plugin.Directory
}

// Access finds out who asks, or refuses. Missing credentials and wrong ones get the same answer.
// Kong: kong/plugins/basic-auth/access.lua execute
func (b *basicAuth) Access(ctx *plugin.Context) error {
	if b.config.Anonymous != "" && ctx.Credential != nil {
		return nil // another plugin has found out already, and one is enough
	}
	ok, err := b.authenticate(ctx)
	switch {
	case err != nil || ok:
		return err
	case b.config.Anonymous != "":
		return ctx.IdentifyAnonymous(b.directory, b.config.Anonymous)
	default:
		ctx.ExitError(http.StatusUnauthorized, "Unauthorized", b.challenge)
		return nil
	}
}

// authenticate names the consumer. Kong: kong/plugins/basic-auth/access.lua do_authentication
func (b *basicAuth) authenticate(ctx *plugin.Context) (bool, error) {
	credential, password, err := b.lookup(ctx, "Proxy-Authorization")
	if err == nil && credential == nil {
		credential, password, err = b.lookup(ctx, "Authorization")
	}
	if err != nil {
		return false, err
	}
	if !matches(credential, password) {
		return false, nil
	}
	consumer, err := b.directory.Consumer(ctx, credential.Consumer.ID, false)
	if err != nil {
		return false, err
	}
	ctx.Identify(consumer, credential, credential.Username)
	return true, nil
}

// lookup reads a header, hides it if it is to be hidden, and finds the user's credential, nil if there is none.
func (b *basicAuth) lookup(ctx *plugin.Context, header string) (*entity.BasicAuthCredential, string, error) {
	values := ctx.Request.Header[header]
	if len(values) == 0 {
		return nil, "", nil
	}
	username, password, ok := parse(values[0])
	if b.config.HideCredentials {
		delete(ctx.Request.Header, header)
	}
	if !ok {
		return nil, "", nil
	}
	credential, err := b.directory.BasicAuth(ctx, username)
	return credential, password, err
}

// parse reads a header's user name and password.
// Kong: kong/plugins/basic-auth/access.lua retrieve_credentials
func parse(header string) (username, password string, ok bool) {
	at := strings.Index(header, "asic")
	if at < 1 || header[at-1] != 'B' && header[at-1] != 'b' {
		return "", "", false
	}
	encoded := strings.TrimRight(strings.TrimSpace(header[at+len("asic"):]), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	username, password, ok = strings.Cut(strings.TrimLeft(string(decoded), ":"), ":")
	password, _, _ = strings.Cut(password, "\n")
	return username, password, ok
}

// nobody is compared with where there is no such user, so that a user's existence does not show in the time it takes.
var nobody = &entity.BasicAuthCredential{Password: strings.Repeat("-", 2*sha1.Size)}

// matches compares the digest that is stored with that of a password, salted with the consumer's id.
// Kong: kong/plugins/basic-auth/crypto.lua hash
func matches(credential *entity.BasicAuthCredential, password string) bool {
	known := credential != nil
	if !known {
		credential = nobody
	}
	sum := sha1.Sum([]byte(password + credential.Consumer.ID))
	var digest [2 * sha1.Size]byte
	hex.Encode(digest[:], sum[:])
	return subtle.ConstantTimeCompare([]byte(credential.Password), digest[:]) == 1 && known
}
