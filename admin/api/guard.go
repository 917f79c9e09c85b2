package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard decides who may ask. Browsers are what a listener on loopback has to fear: a page from elsewhere that posts
// here, or whose own name now leads here (DNS rebinding).
type guard struct {
	token   [sha256.Size]byte
	secured bool // there is a token
	public  bool
	session func(*http.Request) bool
	hosts   []string
	origins *http.CrossOriginProtection
}

func newGuard(o Options) (*guard, error) {
	if o.Public && o.Token == "" {
		return nil, errors.New("an admin API that others can reach needs a token")
	}
	g := &guard{
		token: sha256.Sum256([]byte(o.Token)), secured: o.Token != "", public: o.Public, session: o.Session,
		hosts: o.AllowedHosts, origins: http.NewCrossOriginProtection(),
	}
	for _, origin := range o.AllowedOrigins {
		if err := g.origins.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("allow origin: %w", err)
		}
	}
	return g, nil
}

// admit lets a request in, or says why not. shows tells whether it came with the token and may so see secrets.
func (g *guard) admit(r *http.Request) (shows bool, err error) {
	if err := g.origins.Check(r); err != nil {
		return false, refuse(http.StatusForbidden, "Cross-origin request refused")
	}
	// Who brings the token, or a session's cookie, was not led here by a name that somebody else has made up.
	token := tokenOf(r)
	switch {
	case g.secured && token != "":
		if !g.holds(token) {
			return false, unauthorized()
		}
		return true, nil
	case g.public && g.session != nil && g.session(r):
		return false, nil
	case g.public:
		return false, unauthorized()
	case !g.knows(r.Host):
		return false, refuse(http.StatusForbidden, "Host not allowed; use an address or localhost")
	}
	return false, nil
}

func unauthorized() *refusal {
	fault := refuse(http.StatusUnauthorized, "Unauthorized")
	fault.header = http.Header{"Www-Authenticate": {"Bearer"}}
	return fault
}

// tokenOf is the token that a request brings, "" for none.
func tokenOf(r *http.Request) string {
	if token := r.Header.Get("Kong-Admin-Token"); token != "" {
		return token
	}
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(credentials)
}

// holds compares digests, which have one length, in constant time.
func (g *guard) holds(token string) bool {
	digest := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(digest[:], g.token[:]) == 1
}

// knows tells whether a Host header names this place for certain. An address does: no name has led there.
func (g *guard) knows(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return strings.EqualFold(name, "localhost") ||
		slices.ContainsFunc(g.hosts, func(allowed string) bool { return strings.EqualFold(name, allowed) })
}
