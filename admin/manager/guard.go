package manager

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// policy lets the page load what this listener serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"

const (
	cookieName  = "sidekong_session"
	sessionTime = 12 * time.Hour

	loginBurst = 10              // wrong tokens in a row
	loginEvery = 6 * time.Second // until one more may be tried
	maxLogin   = 4 << 10         // bytes of a login
)

// guard decides who gets in.
//
// A browser that shows another site's page must not be able to use this listener: by its own address (cross-origin
// requests), nor by a name of the other site's that leads here (DNS rebinding). So a request that changes something has
// to be of the same origin, and the Host header has to be an address, localhost, or a name that is configured. Where a
// token is wanted the name does not matter, since the cookie belongs to one name.
type guard struct {
	origin *http.CrossOriginProtection
	logins bool
	token  string
	hosts  []string
	logger *slog.Logger
	key    [32]byte // signs sessions; they end with the program

	mu     sync.Mutex
	wrong  int // tokens that were tried and did not fit, less one for each loginEvery
	filled time.Time
}

func newGuard(o Options) *guard {
	g := &guard{origin: http.NewCrossOriginProtection(), logins: o.Login, token: o.Token, hosts: o.Hosts, logger: o.Logger}
	_, _ = rand.Read(g.key[:]) // it never fails
	return g
}

// protect does what every request needs.
func (g *guard) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		if !g.logins && !g.known(r.Host) {
			fail(w, http.StatusForbidden, "this name is not known here; ask by address, or by localhost")
			return
		}
		if err := g.origin.Check(r); err != nil {
			fail(w, http.StatusForbidden, "a page of another site has no say here")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// known reports whether a Host header is an address, localhost, or a name that is configured.
func (g *guard) known(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return slices.Contains(g.hosts, host)
}

// session lets in who has a session or the token, where that is wanted.
func (g *guard) session(next http.Handler) http.Handler {
	if !g.logins {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie(cookieName); err == nil && g.signed(cookie.Value, time.Now()) {
			next.ServeHTTP(w, r)
			return
		}
		token := r.Header.Get("Kong-Admin-Token")
		if scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
			token = strings.TrimSpace(value)
		}
		switch {
		case token == "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="sidekong"`)
			fail(w, http.StatusUnauthorized, g.wanted())
		case !g.mayTry(time.Now()):
			g.tooMany(w)
		case !g.fits(token):
			fail(w, http.StatusUnauthorized, "this is not the admin token")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (g *guard) wanted() string {
	if g.token == "" {
		return "this listener is not on loopback and wants the admin token, but admin_token is not set"
	}
	return "the admin token is wanted here"
}

func (g *guard) tooMany(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "6")
	fail(w, http.StatusTooManyRequests, "too many wrong tokens; wait a little")
}

// login answers POST /api/login.
func (g *guard) login(w http.ResponseWriter, r *http.Request) {
	var login Login
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLogin)).Decode(&login); err != nil {
		fail(w, http.StatusBadRequest, `want {"token": "…"}`)
		return
	}
	if !g.mayTry(time.Now()) {
		g.tooMany(w)
		return
	}
	if !g.fits(login.Token) {
		g.logger.Warn("login with a wrong token", "client", r.RemoteAddr)
		message := "this is not the admin token"
		if g.token == "" {
			message = g.wanted()
		}
		fail(w, http.StatusUnauthorized, message)
		return
	}
	g.setCookie(w, r, g.sign(time.Now().Add(sessionTime)), sessionTime)
	w.WriteHeader(http.StatusNoContent)
}

func (g *guard) logout(w http.ResponseWriter, r *http.Request) {
	g.setCookie(w, r, "", -time.Second)
	w.WriteHeader(http.StatusNoContent)
}

func (g *guard) setCookie(w http.ResponseWriter, r *http.Request, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}

// fits compares in a time that tells nothing, and counts what does not fit.
func (g *guard) fits(token string) bool {
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(g.token))
	if subtle.ConstantTimeCompare(got[:], want[:]) == 1 && g.token != "" {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrong++
	return false
}

// mayTry reports whether a token may be tried: after some wrong ones, time has to pass.
func (g *guard) mayTry(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if passed := int(now.Sub(g.filled) / loginEvery); passed > 0 {
		g.wrong, g.filled = max(g.wrong-passed, 0), now
	}
	return g.wrong < loginBurst
}

// sign makes the cookie of a session that ends at a time.
func (g *guard) sign(until time.Time) string {
	text := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	mac := hmac.New(sha256.New, g.key[:])
	mac.Write(text)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(text))
}

// signed reports whether a cookie is one that sign made, and its session has not ended.
func (g *guard) signed(value string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(raw) != 8+sha256.Size {
		return false
	}
	mac := hmac.New(sha256.New, g.key[:])
	mac.Write(raw[:8])
	return hmac.Equal(mac.Sum(nil), raw[8:]) && now.Unix() < int64(binary.BigEndian.Uint64(raw))
}
