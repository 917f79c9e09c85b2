package balancer

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"sidekong/configs/entity"
)

// Request is what consistent hashing may look at.
type Request struct {
	HTTP     *http.Request // headers, cookies, query; never nil
	ClientIP netip.Addr    // as trusted_ips and real_ip_header give it
	Consumer string        // id of the consumer, else of the credential; "" for nobody
	Path     string        // decoded and normalised, without the query

	// Capture gives a group of the regular expression that the route matched by, named or numbered; nil: there is none.
	Capture func(group string) (value string, ok bool)
}

// maxTried is how many addresses a request remembers; with more tries the oldest is forgotten.
const maxTried = 16

// Tries is one request's way through a balancer: the key it is hashed by and the addresses it has been given. The zero
// value is ready. It belongs in the request's own state, so that picking allocates nothing.
type Tries struct {
	// Cookie is to be set on the answer: consistent hashing by a cookie that the request did not bring. nil otherwise.
	Cookie *http.Cookie

	looked bool // the key has been looked for
	keyed  bool // and found
	key    uint64

	n     int // addresses given
	tried [maxTried]*address
}

func (t *Tries) add(a *address) {
	t.tried[t.n%maxTried] = a
	t.n++
}

func (t *Tries) has(a *address) bool {
	return slices.Contains(t.tried[:min(t.n, maxTried)], a)
}

// look finds the key: by hash_on, else by hash_fallback. Without either the request takes its turn.
//
// Kong: kong/runloop/balancer/init.lua get_value_to_hash. Kong hashes the empty string where it finds nothing, which
// sends all such requests to one target; its documentation promises round-robin, and that is what they get here.
func (t *Tries) look(up *entity.Upstream, req *Request) {
	t.looked = true
	if req == nil {
		return
	}
	value, ok := t.find(up, req, up.HashOn, up.HashOnHeader, up.HashOnQueryArg, up.HashOnURICapture)
	if !ok {
		value, ok = t.find(up, req, up.HashFallback, up.HashFallbackHeader, up.HashFallbackQueryArg, up.HashFallbackURICapture)
	}
	if ok {
		t.key, t.keyed = hash(value), true
	}
}

func (t *Tries) find(up *entity.Upstream, req *Request, on, header, queryArg, capture string) (string, bool) {
	switch on {
	case "consumer":
		return req.Consumer, req.Consumer != ""
	case "ip":
		return req.ClientIP.String(), req.ClientIP.IsValid()
	case "header":
		return headerValue(req.HTTP, header)
	case "cookie":
		if c, err := req.HTTP.Cookie(up.HashOnCookie); err == nil {
			return c.Value, true
		}
		t.Cookie = newCookie(up)
		return t.Cookie.Value, true
	case "path":
		return req.Path, req.Path != ""
	case "query_arg":
		return queryValue(req.HTTP.URL.RawQuery, queryArg)
	case "uri_capture":
		if req.Capture != nil {
			return req.Capture(capture)
		}
	}
	return "", false
}

// headerValue joins the header's lines as nginx does.
func headerValue(r *http.Request, name string) (string, bool) {
	if strings.EqualFold(name, "Host") {
		return r.Host, r.Host != ""
	}
	values := r.Header.Values(name)
	return strings.Join(values, ", "), len(values) > 0
}

// queryValue returns an argument's values in alphabetical order, with commas between. As in nginx an argument without
// a value reads "true", and no more than maxQueryArgs arguments are looked at.
//
// Kong: kong/runloop/balancer/init.lua get_query_arg
func queryValue(query, name string) (string, bool) {
	const maxQueryArgs = 100
	var values []string
	for n := 0; query != "" && n < maxQueryArgs; n++ {
		var arg string
		arg, query, _ = strings.Cut(query, "&")
		key, value, assigned := strings.Cut(arg, "=")
		if k, err := url.QueryUnescape(key); err == nil {
			key = k
		}
		if key != name || arg == "" {
			continue
		}
		if v, err := url.QueryUnescape(value); err == nil {
			value = v
		}
		if !assigned {
			value = "true"
		}
		values = append(values, value)
	}
	slices.Sort(values)
	return strings.Join(values, ","), len(values) > 0
}

// newCookie makes the cookie that binds a client to its target.
//
// Kong: kong/runloop/balancer/init.lua set_cookie; the attribute that Kong spells Same-Site is SameSite here.
func newCookie(up *entity.Upstream) *http.Cookie {
	path := up.HashOnCookiePath
	if path == "" {
		path = "/"
	}
	return &http.Cookie{
		Name: up.HashOnCookie, Value: uuid.NewString(), Path: path,
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}
