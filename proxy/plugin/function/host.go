package function

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	lua "github.com/yuin/gopher-lua"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// Host is what scripts need of the gateway for one request. All methods are called on the goroutine that runs the
// phase.
type Host interface {
	// Facts are what is known of the request in this phase. What has no value yet is zero.
	Facts() Facts

	// RequestHeader is the request's header as plugins see it; Host is not in it. Changes in rewrite and access go
	// upstream. Names in it need not be canonical: a script may set x_one beside X-One.
	RequestHeader() http.Header

	// Upstream is what scripts have changed about the request that goes upstream. Changes in rewrite and access
	// count; a Path set in rewrite is lost to routing.
	Upstream() *plugin.Outgoing

	// RequestBody reads the whole body, which still goes upstream afterwards; it may be called more than once.
	// limit is in bytes, 0 standing for none; a longer body gives plugin.ErrBodyTooLarge and its length where it is known.
	RequestBody(limit int64) (body []byte, length int64, err error)

	// Response is the answer's head, from the header filter phase on; before that it is nil.
	Response() *plugin.Response

	// EarlyHeader is what scripts set of the answer's header before there is one. The gateway adds it to whatever
	// answer there will be, in the place of what is there already.
	EarlyHeader() http.Header

	// UpstreamStatus is the status that the upstream answered with, 0 before that.
	UpstreamStatus() int

	// BufferedBody is the upstream's whole body where Upstream().Buffered was set, from the header filter phase on.
	BufferedBody() ([]byte, bool)

	// Exit answers the request here, in rewrite and access: the later plugins of the phase are skipped, the header
	// filter, body filter and log phases run.
	Exit(plugin.Answer)

	// State is a place that all scripts share for what they keep of the request until its end.
	State() *any

	// Trace is the request's trace, nil when tracing is off. Root is its root span; Active is the span that new ones
	// hang below: that of the running plugin's phase where it is traced, else the root; no span in the log phase.
	Trace() *tracing.Trace
	Root() tracing.Span
	Active() (tracing.Span, bool)

	// SetActive makes another span the active one, ok false none. It stays active for later phases too, whose own
	// plugin spans hang below it.
	SetActive(span tracing.Span, ok bool)

	// Authenticate says who asks. It changes what kong.client.get_consumer gives and which instances of plugins
	// run from here on.
	Authenticate(consumer *entity.Consumer, credential any)

	// Consumer finds a consumer by its id, or by its username where byName is true; nil where there is none.
	Consumer(id string, byName bool) (*entity.Consumer, error)

	// HasUpstream reports whether an Upstream entity of that name exists.
	HasUpstream(name string) bool

	// SetLogValue keeps a value, as JSON, for the record that logging plugins write. key may have dots; mode is set,
	// add (only where there is none) or replace (only where there is one). LogRecord is that record, in the log phase.
	SetLogValue(key string, value json.RawMessage, mode string)
	LogRecord() any

	// Masked is a URL as a span may show it: without user information and the values of secret parameters.
	Masked(url string) string

	Logger() *slog.Logger
	Context() context.Context // ends when the client goes away
}

// Facts describe a request.
type Facts struct {
	Method         string
	Target         string // as the client sent it: path and query
	Path           string // normalised: decoded where that is safe, dots and double slashes resolved
	Major, Minor   int    // HTTP version
	Scheme         string // http or https, of the listener
	Host           string // without port, lower case; the server's name without a Host header
	HostHeader     string // as sent
	Port           int    // that the client connected to
	Peer           netip.AddrPort
	Client         netip.Addr // by real_ip_header where the peer is trusted
	ClientPort     int        // likewise
	PeerTrusted    bool
	RequestID      string
	Arrived        time.Time
	UpstreamPath   string // path that routing chose, without query; "" before
	UpstreamScheme string
	Route          *entity.Route
	Service        *entity.Service
	Consumer       *entity.Consumer
	Credential     any
	Captures       map[string]string // of the route's path, by number ("0" for the whole) and by name
	BytesSent      int64             // to the client, in the log phase
	RequestLength  int64             // of head and body, as far as it is known
	ServerAddr     string            // that the client connected to
}

// hostKey is where a request keeps its host.
type hostKey struct{}

// contextHost is the gateway as far as plugin.Context shows it. All plugins that run scripts share one for a request.
type contextHost struct {
	ctx     *plugin.Context
	running *owner
	phase   phase
	facts   Facts // those that do not change
	state   any
}

// hostOf gives the host of a request for a phase.
func (o *owner) hostOf(ctx *plugin.Context, p phase) *contextHost {
	h, _ := ctx.Value(hostKey{}).(*contextHost)
	if h == nil {
		h = &contextHost{ctx: ctx}
		h.facts = h.lasting()
		ctx.SetValue(hostKey{}, h)
		ctx.Shared = h.shared
	}
	h.running, h.phase = o, p
	return h
}

// lasting are the facts that are known when a request arrives.
func (h *contextHost) lasting() Facts {
	c := h.ctx
	r := c.Request
	f := Facts{
		Method: r.Method, Target: c.ForwardedURI, Major: r.ProtoMajor, Minor: r.ProtoMinor, Scheme: c.Scheme,
		Host: c.Host, HostHeader: r.Host, Port: int(c.LocalPort), Peer: netip.AddrPortFrom(c.Peer, c.PeerPort),
		Client: c.Client, ClientPort: int(c.ClientPort), PeerTrusted: c.PeerTrusted, RequestID: c.RequestID,
		Arrived: c.Arrived,
	}
	f.Path = normalizePath(rawPath(f.Target))
	if f.Host == "" {
		f.Host = serverName
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if address, err := netip.ParseAddrPort(local.String()); err == nil {
			f.ServerAddr = address.Addr().Unmap().String()
		}
	}
	return f
}

func (h *contextHost) Facts() Facts {
	c, f := h.ctx, h.facts
	f.Route, f.Service, f.Consumer, f.Credential = c.Route, c.Service, c.Consumer, c.Credential
	f.Captures, f.UpstreamPath = c.Captures, c.UpstreamPath
	if c.Service != nil {
		f.UpstreamScheme = c.Service.Protocol
	}
	f.RequestLength, f.BytesSent = max(c.Request.ContentLength, 0), c.Summary.BytesSent
	if h.phase == logging {
		f.RequestLength = c.Summary.BytesReceived
	}
	return f
}

func (h *contextHost) RequestHeader() http.Header { return h.ctx.Request.Header }
func (h *contextHost) Upstream() *plugin.Outgoing { return &h.ctx.Outgoing }
func (h *contextHost) UpstreamStatus() int        { return h.ctx.Summary.UpstreamStatus }
func (h *contextHost) State() *any                { return &h.state }
func (h *contextHost) Trace() *tracing.Trace      { return h.ctx.Trace }
func (h *contextHost) Root() tracing.Span         { return h.ctx.Root }
func (h *contextHost) Logger() *slog.Logger       { return h.ctx.Logger }
func (h *contextHost) Context() context.Context   { return h.ctx.Request.Context() }
func (h *contextHost) Exit(a plugin.Answer)       { h.ctx.Exit(a) }

func (h *contextHost) RequestBody(limit int64) ([]byte, int64, error) { return h.ctx.Body(limit) }

func (h *contextHost) EarlyHeader() http.Header {
	if h.ctx.Early == nil {
		h.ctx.Early = http.Header{}
	}
	return h.ctx.Early
}

func (h *contextHost) Response() *plugin.Response {
	if h.phase&(headerFilter|bodyFilter|logging) == 0 {
		return nil
	}
	return &h.ctx.Response
}

func (h *contextHost) BufferedBody() ([]byte, bool) {
	return h.ctx.Response.Body, h.ctx.Response.Body != nil
}

func (h *contextHost) Active() (tracing.Span, bool) {
	if h.phase == logging {
		return tracing.Span{}, false
	}
	return h.ctx.ActiveSpan()
}

func (h *contextHost) SetActive(span tracing.Span, ok bool) { h.ctx.SetActiveSpan(span, ok) }

func (h *contextHost) Authenticate(consumer *entity.Consumer, credential any) {
	h.ctx.Consumer, h.ctx.Credential = consumer, credential
}

func (h *contextHost) Consumer(id string, byName bool) (*entity.Consumer, error) {
	if h.running.env.Directory == nil {
		return nil, nil //nolint:nilnil // no consumer is what a gateway without consumers has
	}
	return h.running.env.Directory.Consumer(h.ctx, id, byName)
}

func (h *contextHost) HasUpstream(name string) bool {
	return h.running.env.HasUpstream != nil && h.running.env.HasUpstream(name)
}

func (h *contextHost) SetLogValue(key string, value json.RawMessage, mode string) {
	h.ctx.SetLogValue(key, value, mode)
}

func (h *contextHost) LogRecord() any {
	return h.running.recorder.Record(h.ctx)
}

func (h *contextHost) Masked(url string) string { return h.running.secrets.URI(url) }

// shared is plugin.Context.Shared: a value of kong.ctx.shared as text.
func (h *contextHost) shared(name string) (string, bool) {
	req, _ := h.state.(*request)
	if req == nil {
		return "", false
	}
	req.worker.mu.Lock()
	defer req.worker.mu.Unlock()
	if req.shared == nil {
		return "", false
	}
	switch v := req.shared.RawGetString(name).(type) {
	case lua.LString, lua.LNumber:
		return toString(v)
	case lua.LBool:
		return v.String(), true
	default:
		return "", false
	}
}
