package configs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// KongAdminKinds are the kinds that a KongAdmin reads unless told otherwise. Targets come with their upstreams, by one
// request for each upstream. Certificates and credentials are not among them: no key or password is ever asked for.
var KongAdminKinds = []string{"services", "routes", "plugins", "consumers", "upstreams"}

// KongAdminOptions say where a Kong's Admin API is and how to talk to it.
type KongAdminOptions struct {
	Address   string      // http(s)://host[:port][/path]
	Workspace string      // of Kong Enterprise; "" is the default one
	Token     string      // what Kong's RBAC wants in the header Kong-Admin-Token; "" sends none
	Headers   http.Header // sent with every request, such as Authorization

	// TLS, from PEM files. The client's certificate is read anew for every connection.
	CAFile     string // "": the system's authorities
	CertFile   string
	KeyFile    string
	ServerName string // that Kong's certificate must have; "": the address's host

	Timeout time.Duration // of one request, from dialling to the last byte of its answer; 0: 10 s

	Kinds []string // among KongAdminKinds; nil: all
	// Plugins are the names of the plugins to take over. All others run in the Kong that is read, and are left out.
	Plugins []string

	Schemas *entity.Schemas
	Logger  *slog.Logger
}

// KongAdmin is a Source: the configuration of a running Kong, read from its Admin API. It sends GET and nothing else.
//
// That Kong may be of another version or edition. What Sidekong does not know is left out: fields of entities, and
// entities that the schemas of Kong 3.9 refuse, each with a warning in the log the first time. It is never an error.
// An error is an API that does not answer with a configuration.
type KongAdmin struct {
	options KongAdminOptions
	base    *url.URL
	client  *http.Client

	reading sync.Mutex // what follows belongs to the one read at a time
	pages   map[string]*adminPage
	warned  map[string]bool
	digest  [sha256.Size]byte
	input   declarative.Input
}

const (
	adminTimeout     = 10 * time.Second // for one request
	adminReadTimeout = 5 * time.Minute  // for all of them
	adminPageSize    = 1000             // Kong's largest
	adminMaxPages    = 10_000           // of one list
	adminAttempts    = 3                // at reading a configuration that changes meanwhile
)

// NewKongAdmin prepares to read. Nothing is sent yet.
func NewKongAdmin(o KongAdminOptions) (*KongAdmin, error) {
	base, err := adminAddress(o.Address)
	if err != nil {
		return nil, err
	}
	for _, kind := range o.Kinds {
		if !slices.Contains(KongAdminKinds, kind) {
			return nil, fmt.Errorf("kong admin: %q is not read; allowed: %s", kind, strings.Join(KongAdminKinds, ", "))
		}
	}
	if strings.Trim(o.Workspace, ".") == "" && o.Workspace != "" {
		return nil, fmt.Errorf("kong admin: %q is no workspace", o.Workspace)
	}
	config, err := adminTLS(o, base.Scheme == "https")
	if err != nil {
		return nil, err
	}
	if o.Kinds == nil {
		o.Kinds = KongAdminKinds
	}
	o.Timeout = cmp.Or(o.Timeout, adminTimeout)
	o.Headers = o.Headers.Clone()
	if o.Headers == nil {
		o.Headers = http.Header{}
	}
	if o.Token != "" {
		o.Headers.Set("Kong-Admin-Token", o.Token)
	}
	return &KongAdmin{options: o, base: base, client: &http.Client{
		Timeout: o.Timeout,
		// The token is for this address alone, so no redirect is followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ // without a proxy: the Admin API is a neighbour
			DialContext:            (&net.Dialer{Timeout: o.Timeout}).DialContext,
			TLSClientConfig:        config,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout:        90 * time.Second,
		},
	}}, nil
}

func adminAddress(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("kong admin %s: not an address; allowed: http://host[:port][/path] or https://…", redact(address))
	case u.User != nil:
		return nil, fmt.Errorf("kong admin %s: a user name or password cannot be part of it; use a header", u.Host)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("kong admin %s: a query or fragment cannot be part of it", u.Host)
	}
	return u.JoinPath("/"), nil
}

func adminTLS(o KongAdminOptions, secure bool) (*tls.Config, error) {
	if !secure {
		if o.CAFile != "" || o.CertFile != "" || o.KeyFile != "" || o.ServerName != "" {
			return nil, errors.New("kong admin: certificates and a server name need an address with https")
		}
		return nil, nil //nolint:nilnil // there is no TLS to configure
	}
	config := &tls.Config{ServerName: o.ServerName, MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kong admin: read authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kong admin: read authorities: no certificate in %s", o.CAFile)
		}
	}
	if o.CertFile == "" && o.KeyFile == "" {
		return config, nil
	}
	pair := func() (*tls.Certificate, error) {
		certificate, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kong admin: read client certificate: %w", err)
		}
		return &certificate, nil
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair() }
	_, err := pair() // to know at once
	return config, err
}

// String is the address.
func (k *KongAdmin) String() string { return strings.TrimSuffix(k.base.String(), "/") }

// Close ends the connections that wait for a next request.
func (k *KongAdmin) Close() { k.client.CloseIdleConnections() }

// Inputs reads the whole configuration: JSON, with Kong's ids. Where it changes while it is read, in a way that shows,
// it is read again. The same content gives the same bytes.
func (k *KongAdmin) Inputs(ctx context.Context) ([]declarative.Input, error) {
	k.reading.Lock()
	defer k.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, adminReadTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		picture, err := k.read(ctx)
		if errors.Is(err, errChanged) && attempt < adminAttempts {
			continue
		}
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(picture)
		if err != nil {
			return nil, fmt.Errorf("kong admin: %w", err)
		}
		digest := sha256.Sum256(text)
		if digest == k.digest {
			return []declarative.Input{k.input}, nil
		}
		adapted := adapt(picture, k.options.Schemas)
		if adapted.dangling > 0 && attempt < adminAttempts {
			continue
		}
		text, err = adapted.marshal()
		if err != nil {
			return nil, err
		}
		k.warn(adapted)
		k.digest, k.input = digest, declarative.Input{Name: k.String(), Data: text}
		return []declarative.Input{k.input}, nil
	}
}

// Fingerprint is a text that changes with the configuration, or "" where this Kong has none: Kong without a database
// tells the hash of its configuration. To ask costs one small request. A Kong that waits for its configuration is an
// error, as one that is away.
//
// Kong: kong/api/routes/health.lua
func (k *KongAdmin) Fingerprint(ctx context.Context) (string, error) {
	var status struct {
		Hash string `json:"configuration_hash"`
	}
	body, _, err := k.get(ctx, k.base.JoinPath("status"), "", 1<<20)
	var refused *refusal
	if errors.As(err, &refused) {
		return "", nil // the lists are asked for anyway, and say more
	}
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return "", nil //nolint:nilerr // likewise
	}
	if status.Hash == emptyHash {
		return "", errors.New("kong admin: this Kong has no configuration yet")
	}
	return status.Hash, nil
}

// emptyHash is what a Kong without a database has before it gets its first configuration, and again after a restart.
// Kong: kong/constants.lua DECLARATIVE_EMPTY_CONFIG_HASH
const emptyHash = "00000000000000000000000000000000"

// warn logs what was left out, unless the read before left it out as well.
func (k *KongAdmin) warn(a *adaptation) {
	warned := make(map[string]bool, len(a.omissions))
	for _, o := range a.omissions {
		key := o.what + "\x00" + o.why
		if warned[key] = true; !k.warned[key] {
			k.options.Logger.Warn("a part of Kong's configuration is left out", "part", o.what, "times", o.times, "first", o.first, "reason", o.why)
		}
	}
	k.warned = warned
}

// errChanged says that the configuration has changed while it was read.
var errChanged = errors.New("kong admin: the configuration changes faster than it can be read")

// refusal is an answer that is not the one that was asked for.
type refusal struct {
	path    string
	status  int
	code    int // Kong's error code
	message string
}

// Kong: kong/db/errors.lua INVALID_OFFSET
const codeInvalidOffset = 7

func (r *refusal) Error() string {
	text := fmt.Sprintf("kong admin: GET %s: %d %s", r.path, r.status, http.StatusText(r.status))
	if r.message != "" {
		text += fmt.Sprintf(" %q", r.message)
	}
	switch {
	case r.status == http.StatusUnauthorized || r.status == http.StatusForbidden:
		text += "; the token (Kong-Admin-Token) is missing or not good enough"
	case r.status >= 300 && r.status < 400:
		text += "; redirects are not followed"
	}
	return text
}

// adminPage is one page of a list.
type adminPage struct {
	etag    string
	objects []entity.Object
	offset  string // of the next page; "" at the end
}

// reading is one read of everything.
type reading struct {
	*KongAdmin
	ctx   context.Context // of Inputs, which it lives as long as
	pages map[string]*adminPage
	left  int64 // bytes
}

// read gets all lists. Plugins that are not to be taken over are dropped here, since their configuration may be secret.
func (k *KongAdmin) read(ctx context.Context) (map[string][]entity.Object, error) {
	r := &reading{KongAdmin: k, ctx: ctx, pages: map[string]*adminPage{}, left: declarative.MaxBytes}
	picture := map[string][]entity.Object{}
	for _, kind := range k.options.Kinds {
		list, err := r.list(kind)
		if err != nil {
			return nil, err
		}
		picture[kind] = list
	}
	picture["plugins"] = slices.DeleteFunc(picture["plugins"], func(plugin entity.Object) bool {
		name, _ := plugin["name"].(string)
		return !slices.Contains(k.options.Plugins, name)
	})
	for _, upstream := range picture["upstreams"] {
		id, _ := upstream["id"].(string)
		if id == "" || url.PathEscape(id) != id || strings.Trim(id, ".") == "" {
			continue // adapt leaves it out
		}
		targets, err := r.list("upstreams", id, "targets")
		var refused *refusal
		if errors.As(err, &refused) && refused.status == http.StatusNotFound {
			return nil, errChanged // the upstream is gone
		}
		if err != nil {
			return nil, err
		}
		picture["targets"] = append(picture["targets"], targets...)
	}
	for _, list := range picture {
		slices.SortStableFunc(list, func(a, b entity.Object) int {
			one, _ := a["id"].(string)
			other, _ := b["id"].(string)
			return strings.Compare(one, other)
		})
	}
	k.pages = r.pages
	return picture, nil
}

// list follows the pages of a list to its end. Of the answer's offset and next, offset is taken: next leaves out the
// workspace, and could lead anywhere.
//
// Kong: kong/api/endpoints.lua get_collection_endpoint
func (r *reading) list(path ...string) ([]entity.Object, error) {
	target := r.base
	if r.options.Workspace != "" {
		target = target.JoinPath(url.PathEscape(r.options.Workspace))
	}
	target = target.JoinPath(path...)
	var all []entity.Object
	offset := ""
	for range adminMaxPages {
		query := url.Values{"size": {strconv.Itoa(adminPageSize)}}
		if offset != "" {
			query.Set("offset", offset)
		}
		target.RawQuery = query.Encode()
		page, err := r.page(target)
		var refused *refusal
		if errors.As(err, &refused) && refused.code == codeInvalidOffset && offset != "" {
			return nil, errChanged
		}
		if err != nil {
			return nil, err
		}
		all = append(all, page.objects...)
		if page.offset == "" {
			return all, nil
		}
		if page.offset == offset {
			break
		}
		offset = page.offset
	}
	return nil, fmt.Errorf("kong admin: GET %s: its pages have no end", target.Path)
}

// page gets one page: from the last read where its ETag still holds.
func (r *reading) page(target *url.URL) (*adminPage, error) {
	address := target.String()
	known := r.KongAdmin.pages[address]
	etag := ""
	if known != nil {
		etag = known.etag
	}
	body, header, err := r.get(r.ctx, target, etag, r.left)
	if err != nil {
		return nil, err
	}
	if body == nil {
		r.pages[address] = known
		return known, nil
	}
	r.left -= int64(len(body))
	page, err := parsePage(body)
	if err != nil {
		return nil, fmt.Errorf("kong admin: GET %s: %w", target.Path, err)
	}
	if page.etag = header.Get("ETag"); page.etag != "" {
		r.pages[address] = page
	}
	return page, nil
}

// errNoList says nothing of the body, which may hold secrets.
var errNoList = errors.New("the answer is not a list of Kong's Admin API")

func parsePage(body []byte) (*adminPage, error) {
	var answer struct {
		Data   json.RawMessage `json:"data"`
		Offset string          `json:"offset"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Data == nil {
		return nil, errNoList
	}
	page := &adminPage{offset: answer.Offset}
	if string(bytes.TrimSpace(answer.Data)) == "{}" { // how Lua may write an empty list
		return page, nil
	}
	if err := json.Unmarshal(answer.Data, &page.objects); err != nil || page.objects == nil {
		return nil, errNoList
	}
	return page, nil
}

// get is the one place that sends. The body is nil where the content is still that of the etag. An answer that is not
// 200 is a *refusal.
func (k *KongAdmin) get(ctx context.Context, target *url.URL, etag string, bound int64) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, nil, fmt.Errorf("kong admin: %w", err)
	}
	req.Header = k.options.Headers.Clone()
	req.Header.Set("Accept", "application/json")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	res, err := k.client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("kong admin: %w", withoutQuery(err))
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotModified && etag != "" {
		return nil, res.Header, nil
	}
	if res.StatusCode != http.StatusOK {
		return nil, nil, k.refused(target, res)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, bound+1))
	if err != nil {
		return nil, nil, fmt.Errorf("kong admin: GET %s: read answer: %w", target.Path, err)
	}
	if int64(len(body)) > bound {
		return nil, nil, fmt.Errorf("kong admin: GET %s: the answers are larger than %d bytes", target.Path, int64(declarative.MaxBytes))
	}
	return body, res.Header, nil
}

// withoutQuery shortens what the client says about its request; offsets help nobody.
func withoutQuery(err error) error {
	var failure *url.Error
	if !errors.As(err, &failure) {
		return err
	}
	address, _, _ := strings.Cut(failure.URL, "?")
	return &url.Error{Op: "GET", URL: address, Err: failure.Err}
}

// refused makes the error of an answer, with Kong's own words where they are short and repeat no header that was sent.
func (k *KongAdmin) refused(target *url.URL, res *http.Response) *refusal {
	r := &refusal{path: target.Path, status: res.StatusCode}
	var answer struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil || json.Unmarshal(body, &answer) != nil {
		return r
	}
	r.code = answer.Code
	if len(answer.Message) > 200 {
		return r
	}
	for _, values := range k.options.Headers {
		for _, value := range values {
			if value != "" && strings.Contains(answer.Message, value) {
				return r
			}
		}
	}
	r.message = answer.Message
	return r
}
