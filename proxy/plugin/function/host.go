package function

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// ErrBodyTooLarge says that a request's body is longer than was asked for.
var ErrBodyTooLarge = errors.New("body is too large")

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
	Upstream() *Upstream

	// RequestBody reads the whole body, which still goes upstream afterwards; it may be called more than once.
	// limit is in bytes, 0 standing for none; a longer body gives ErrBodyTooLarge and its length where it is known.
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
	Exit(Answer)

	// State is a place that the two plugins share for what they keep of the request until its end.
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

	// HasUpstream reports whether an Upstream entity of that name exists.
	HasUpstream(name string) bool

	// SetLogValue keeps a value, as JSON, for the record that logging plugins write. key may have dots; mode is set,
	// add (only where there is none) or replace (only where there is one). LogRecord is that record, in the log phase.
	SetLogValue(key string, value json.RawMessage, mode string)
	LogRecord() any

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
	Captures       []string // of the route's path, the whole match first
	NamedCaptures  map[string]string
	BytesSent      int64  // to the client, in the log phase
	RequestLength  int64  // of head and body, as far as it is known
	ServerAddr     string // that the client connected to
}

// Upstream holds what scripts set for the request that goes upstream. Zero values and nil leave things alone.
type Upstream struct {
	Method, Scheme string
	Path           *string // escaped, without query
	Query          *string // raw, without the question mark; empty: none
	Host           string
	Body           *[]byte
	TargetHost     string // set_target: connect here, no balancer
	TargetPort     int
	Name           string // set_upstream
	Retries        *int
	Connect        time.Duration // timeouts
	Write, Read    time.Duration
	Buffered       bool // read the whole answer before its header filter phase
}

// Answer is what a script answers a request with.
type Answer struct {
	plugin.Answer
	Source  plugin.Source
	Abort   bool // close the connection without an answer
	Chunked bool // the length is not declared: ngx.say
}

// contextHost is the gateway as far as plugin.Context shows it. It lives in the plugin's state of the request.
type contextHost struct {
	ctx      *plugin.Context
	phase    phase
	upstream Upstream
	early    http.Header
	state    any
	body     []byte
	read     bool
	active   *tracing.Span // set by a script; the zero span stands for none
}

// hostOf gives the host of a request for a phase.
func hostOf(ctx *plugin.Context, p phase) *contextHost {
	h, _ := ctx.State().(*contextHost)
	if h == nil || h.ctx != ctx {
		h = &contextHost{ctx: ctx}
		ctx.SetState(h)
	}
	h.phase = p
	return h
}

func (h *contextHost) Facts() Facts {
	c := h.ctx
	r := c.Request
	f := Facts{
		Method: r.Method, Target: c.ForwardedURI, Major: r.ProtoMajor, Minor: r.ProtoMinor, Scheme: c.Scheme,
		Host: c.Host, HostHeader: r.Host, Client: c.Client, PeerTrusted: c.PeerTrusted, RequestID: c.RequestID,
		Route: c.Route, Service: c.Service, Consumer: c.Consumer, Credential: c.Credential,
		RequestLength: max(r.ContentLength, 0),
	}
	f.Path = normalizePath(rawPath(f.Target))
	f.Peer, _ = netip.ParseAddrPort(r.RemoteAddr)
	f.Peer = netip.AddrPortFrom(c.Peer, f.Peer.Port())
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if address, err := netip.ParseAddrPort(local.String()); err == nil {
			f.Port, f.ServerAddr = int(address.Port()), address.Addr().Unmap().String()
		}
	}
	if c.Trace != nil {
		f.Arrived = c.Trace.Start()
	} else {
		f.Arrived = time.Now()
	}
	if c.Service != nil {
		f.UpstreamScheme = c.Service.Protocol
	}
	return f
}

func (h *contextHost) RequestHeader() http.Header { return h.ctx.Request.Header }
func (h *contextHost) Upstream() *Upstream        { return &h.upstream }
func (h *contextHost) State() *any                { return &h.state }
func (h *contextHost) Trace() *tracing.Trace      { return h.ctx.Trace }
func (h *contextHost) Root() tracing.Span         { return h.ctx.Root }
func (h *contextHost) Logger() *slog.Logger       { return h.ctx.Logger }
func (h *contextHost) Context() context.Context   { return h.ctx.Request.Context() }
func (h *contextHost) HasUpstream(string) bool    { return false }
func (h *contextHost) UpstreamStatus() int        { return 0 }
func (h *contextHost) LogRecord() any             { return struct{}{} }

func (h *contextHost) SetLogValue(string, json.RawMessage, string) {}
func (h *contextHost) BufferedBody() ([]byte, bool)                { return nil, false }

func (h *contextHost) EarlyHeader() http.Header {
	if h.early == nil {
		h.early = http.Header{}
	}
	return h.early
}

func (h *contextHost) Response() *plugin.Response {
	if h.phase&(headerFilter|bodyFilter|logging) == 0 {
		return nil
	}
	return &h.ctx.Response
}

// apply makes what scripts changed about the upstream's request part of the request, as far as that is done there.
func (h *contextHost) apply() {
	r := h.ctx.Request
	if h.upstream.Method != "" {
		r.Method = h.upstream.Method
	}
	if body := h.upstream.Body; body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(*body)), int64(len(*body))
		r.Header["Content-Length"] = []string{strconv.Itoa(len(*body))}
	}
}

// mergeEarly adds the headers that were set ahead of the answer.
func (h *contextHost) mergeEarly() {
	maps.Copy(h.ctx.Response.Header, h.early)
}

// RequestBody reads the body and puts it back. What is beyond the limit stays unread.
func (h *contextHost) RequestBody(limit int64) ([]byte, int64, error) {
	r := h.ctx.Request
	if h.read {
		return h.body, int64(len(h.body)), nil
	}
	if limit > 0 && r.ContentLength > limit {
		return nil, r.ContentLength, ErrBodyTooLarge
	}
	source := io.Reader(r.Body)
	if limit > 0 {
		source = io.LimitReader(r.Body, limit+1)
	}
	body, err := io.ReadAll(source)
	if err != nil {
		return nil, 0, err
	}
	if limit > 0 && int64(len(body)) > limit {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		return nil, int64(len(body)), ErrBodyTooLarge
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.body, h.read = body, true
	return body, int64(len(body)), nil
}

// Exit hands the answer on with the headers that were set ahead of it.
func (h *contextHost) Exit(a Answer) {
	if a.Abort {
		panic(http.ErrAbortHandler)
	}
	for name, values := range h.early {
		if a.Header[name] == nil {
			a.Header[name] = values
		}
	}
	h.ctx.Exit(a.Answer)
}

func (h *contextHost) Active() (tracing.Span, bool) {
	switch {
	case h.phase == logging || h.ctx.Trace == nil:
		return tracing.Span{}, false
	case h.active != nil:
		return *h.active, *h.active != tracing.Span{}
	case h.phase == bodyFilter:
		return h.ctx.Root, true
	default:
		return h.ctx.Span, true
	}
}

func (h *contextHost) SetActive(span tracing.Span, ok bool) {
	if !ok {
		span = tracing.Span{}
	}
	h.active = &span
	if span == h.ctx.Span {
		h.active = nil
	}
}

func (h *contextHost) Authenticate(consumer *entity.Consumer, credential any) {
	h.ctx.Consumer, h.ctx.Credential = consumer, credential
}
