package proxy

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"sidekong/proxy/balancer"
	"sidekong/proxy/http1"
	"sidekong/proxy/plugin"
	"sidekong/proxy/router"
	"sidekong/tracing"
)

// exchange is all state of one request. Its phases are methods, in this file in the order they run; forward.go goes
// on where the request leaves. Each phase reports whether the request goes on; where it does not, it has been answered.
//
// An exchange is used again for a later request, so nothing that outlives ServeHTTP may point to it.
type exchange struct {
	gw       *Gateway
	proxy    httputil.ReverseProxy
	ctx      plugin.Context
	attempts []plugin.Try // those that were given an address
	notes    plugin.Notes
	passage
}

// passage is the part of an exchange that is cleared as it stands.
type passage struct {
	rt      *runtime
	w       http.ResponseWriter
	r       *http.Request
	peer    *peer
	arrived time.Time
	target  string // request target in origin form, as sent
	path    string // normalised

	hopByHop []field // that Connection names

	plugins *plugin.Chain
	match   router.Match
	place   *place    // what the matched route leads to; nil: no match
	up      *upstream // where the request goes; nil: nowhere yet

	trace    *tracing.Trace
	root     tracing.Span
	reserved tracing.SpanID // of the next try's span

	trip     http1.Trip
	sent     []byte       // the request's body where it is short enough to be sent again; nil: it is not
	try      tracing.Span // the try in hand; the last one ends with the body
	tries    int
	picks    balancer.Tries
	picked   bool // peerPick has not been reported on yet
	peerPick balancer.Pick
	sentAt   time.Time    // when the try in hand began
	reading  tracing.Span // kong.read_body_from_upstream
	body     responseBody
	upload   *duplex        // the request's body where it is streamed over HTTP/1; else nil
	response *http.Response // upstream's; for the trailer
	interim  *interim       // nil: the request is not watched
	fault    error          // why the answer is not whole

	status         int // what the client got; 0: nothing yet
	upstreamStatus int
	left           time.Time // when the request was first sent upstream
	answered       time.Time // when the answer's head was there

	received, written int64 // bytes of the request's head, where they are counted, and of the answer's body
}

func newExchange(g *Gateway) *exchange {
	x := &exchange{gw: g}
	x.proxy = httputil.ReverseProxy{
		Rewrite:        x.rewriteOutbound,
		Transport:      x,
		ModifyResponse: x.modifyResponse,
		ErrorHandler:   x.handleError,
		BufferPool:     copyBuffers,
		ErrorLog:       discard,
	}
	return x
}

// start begins the exchange: identity, addresses, the root span.
func (x *exchange) start(w http.ResponseWriter, r *http.Request, rt *runtime, at time.Time) {
	g := x.gw
	x.w, x.r, x.rt, x.arrived = w, r, rt, at
	x.peer = g.peerOf(r)
	x.target = router.OriginForm(r.RequestURI)
	x.trace = g.options.Tracer.Start(at)
	x.root = x.trace.StartSpanAt("kong", tracing.KindServer, tracing.Span{}, 0)

	c := &x.ctx
	c.Request, c.RequestID, c.Logger = r, newRequestID(), g.options.Logger
	c.Peer, c.PeerText, c.PeerPort, c.PeerTrusted = x.peer.addr.Addr(), x.peer.text, x.peer.addr.Port(), x.peer.trusted
	c.Edge = g.options.Edge && !x.peer.trusted
	client := g.clientOf(r, x.peer)
	c.Client, c.ClientPort = client.Addr(), client.Port()
	c.Arrived, c.LocalPort = at, uint16(x.peer.local)
	if g.options.Observer != nil {
		c.Notes = &x.notes
	}
	c.Scheme = "http"
	if r.TLS != nil {
		c.Scheme = "https"
	}
	c.Host = router.HostName(r.Host)
	c.ForwardedURI = x.target
	c.Trace, c.Root, c.Span = x.trace, x.root, x.root
	x.plugins = rt.global
	if rt.sizes {
		x.received = requestHead(r)
	}
	x.hopByHop = takeHopByHop(r.Header)
}

// newRequestID makes 32 hexadecimal digits, as nginx's $request_id.
func newRequestID() string {
	var raw [16]byte
	var digits [32]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	hex.Encode(digits[:], raw[:])
	return string(digits[:])
}

// admit refuses what nginx refuses before Kong sees it.
func (x *exchange) admit() bool {
	r := x.r
	if status := router.Refuse(r.Method, r.RequestURI, r.Host, r.ProtoAtLeast(1, 1)); status != 0 {
		message := msgBadRequest
		if status == http.StatusMethodNotAllowed {
			message = msgNotAllowed
		}
		x.refuse(status, message, nil, nginxForm)
		return false
	}
	var ok bool
	if x.path, _, _, ok = router.Normalize(x.target); !ok {
		x.refuse(http.StatusBadRequest, msgBadRequest, nil, nginxForm)
		return false
	}
	if bound := x.gw.options.MaxBodySize; bound > 0 {
		if r.ContentLength > bound {
			x.refuse(http.StatusRequestEntityTooLarge, msgTooLarge, nil, nginxForm)
			return false
		}
		if r.ContentLength < 0 {
			r.Body = http.MaxBytesReader(x.w, r.Body, bound)
		}
	}
	return true
}

// rewrite runs the global plugins that act before routing.
func (x *exchange) rewrite() bool {
	if !x.rt.rewrites {
		return true
	}
	if !x.ran(x.rt.global.Rewrite(&x.ctx), nginxForm) {
		return false
	}
	x.ctx.Outgoing.Path = nil // routing chooses it. Kong: kong/runloop/handler.lua access.before
	return true
}

// route finds the route and answers what Kong answers by itself. Kong: kong/runloop/handler.lua access.before
func (x *exchange) route() bool {
	var span tracing.Span
	if x.trace.Has(tracing.Router) {
		span = x.trace.StartSpan("kong.router", tracing.KindInternal, x.root)
	}
	x.reserve()
	c := &x.ctx
	request := x.routed()
	match, ok := x.rt.router.Match(&request)
	if !ok && x.rt.forward != nil {
		span.End()
		x.place = x.rt.forward
		c.UpstreamPath = router.ForwardedPath(x.target)
		return true
	}
	if !ok {
		span.SetStatus(tracing.StatusError, "")
		span.End()
		x.refuse(http.StatusNotFound, msgNoRoute, nil, "")
		return false
	}
	span.End()
	x.match = match
	x.place = x.rt.places[match.Route]
	c.Route, c.Service, c.Captures = match.Route, match.Service, match.Captures
	if x.rt.forward != nil {
		c.UpstreamPath = router.ForwardedPath(x.target)
	} else {
		c.UpstreamPath = x.match.UpstreamPath()
	}
	if answer, ok := match.Answer(&request, x.forwardedProto(), x.forwardedHost()); ok && x.rt.forward == nil {
		x.refuse(answer.Status, answer.Message, answer.Header, "")
		return false
	}
	return true
}

// reserve makes the id of the span that the upstream will hang its own spans below, before that span begins.
// Kong: kong/observability/tracing/instrumentation.lua precreate_balancer_span
func (x *exchange) reserve() {
	x.reserved = tracing.NewSpanID()
	x.ctx.Outbound = x.reserved
	if x.trace != nil && !x.trace.Has(tracing.Balancer) {
		x.ctx.Outbound, x.ctx.OutboundIsRoot = x.root.ID(), true
	}
	x.ctx.OutboundIsRoot = x.ctx.OutboundIsRoot || x.trace == nil
}

// access runs the plugins of the route.
func (x *exchange) access() bool {
	x.plugins = x.place.chain
	if x.gw.options.ConsumerHeaders {
		if err := x.nameConsumer(); err != nil {
			return x.ran(err, "")
		}
	}
	if !x.ran(x.plugins.Access(&x.ctx), "") {
		return false
	}
	if x.place.upstream == nil {
		x.fail(http.StatusServiceUnavailable, msgNoService, nil, "")
		return false
	}
	if err := x.redirect(); err != nil {
		x.gw.options.Logger.Error("plugin sends the request where it cannot go", x.logAttrs("error", err)...)
		x.fail(http.StatusInternalServerError, msgUnexpected, nil, "")
		return false
	}
	return true
}

// ran looks at how a phase of plugins ended. form is that of the page for an error.
func (x *exchange) ran(err error, form string) bool {
	var body *plugin.BodyError
	switch {
	case errors.As(err, &body):
		x.handleError(x.w, x.r, &http1.Error{Phase: http1.Body, Err: body.Err})
		return false
	case err != nil:
		x.pluginFails(err)
		x.fail(http.StatusInternalServerError, msgUnexpected, nil, form)
		return false
	}
	answer := x.ctx.Answer()
	switch {
	case answer == nil:
		return true
	case answer.Abort:
		x.status = cmp.Or(answer.Status, statusNoAnswer)
		panic(http.ErrAbortHandler)
	case answer.Source == plugin.FromService:
		answer.Source = plugin.FromExit
	}
	x.answer(answer)
	return false
}

// refuse answers before the access phase: the global plugins see the answer, as in Kong.
func (x *exchange) refuse(status int, message string, header http.Header, form string) {
	x.plugins = x.rt.global
	x.plugins.Skip(&x.ctx)
	x.fail(status, message, header, form)
}

// fail answers with Kong's error page, in a form where the request prefers none.
func (x *exchange) fail(status int, message string, header http.Header, form string) {
	page, body := errorPage(x.r, status, message, x.ctx.RequestID, form)
	maps.Copy(page, header)
	if message == "" { // a bare redirect
		delete(page, "Content-Type")
		body = nil
	}
	x.answer(&plugin.Answer{Status: status, Header: page, Body: body, Source: plugin.FromError})
}

// answer sends an answer that no upstream gave.
func (x *exchange) answer(a *plugin.Answer) {
	h, body := x.w.Header(), a.Body
	mergeEarly(h, x.ctx.Early)
	for name, values := range a.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	switch {
	case a.Chunked:
		delete(h, "Content-Length")
	case body != nil && a.Header["Content-Length"] == nil:
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	x.answered = time.Now()
	x.ctx.Response = plugin.Response{Status: a.Status, Header: h, Source: a.Source}
	if err := x.filterHeader(); err != nil {
		x.abort(err)
	}
	x.addOwnHeaders(h, false)
	keepType(h)
	if x.plugins.FiltersBody() && x.r.Method != http.MethodHead {
		filtered, err := x.plugins.FilterBody(&x.ctx, body, true)
		if err != nil {
			x.abort(err)
		}
		body = filtered
	}
	x.status = x.ctx.Response.Status
	x.w.WriteHeader(x.status)
	if declared := declaredLength(h); declared >= 0 && declared < int64(len(body)) {
		body = body[:declared] // more would be taken for another answer
	}
	n, err := x.w.Write(body)
	x.written = int64(n)
	if err != nil && err != http.ErrBodyNotAllowed {
		x.fault = err
	}
	if a.Chunked {
		_ = http.NewResponseController(x.w).Flush()
	}
}

// filterHeader runs the header filter phase. A status that no answer can have is the fault of whoever set it.
func (x *exchange) filterHeader() error {
	given := x.ctx.Response.Status
	if err := x.plugins.FilterHeader(&x.ctx); err != nil {
		return err
	}
	upgraded := given == http.StatusSwitchingProtocols && x.ctx.Response.Source == plugin.FromService
	if status := x.ctx.Response.Status; (status < 200 || status > 999) && !(upgraded && status == given) {
		return fmt.Errorf("status %d is none of an answer", status)
	}
	return nil
}

// abort closes the connection without an answer, as Kong does when a plugin fails after the answer has begun.
func (x *exchange) abort(err error) {
	x.fault, x.status = err, http.StatusInternalServerError
	x.pluginFails(err)
	panic(http.ErrAbortHandler)
}

// pluginFails logs the error of the plugin that ran last.
func (x *exchange) pluginFails(err error) {
	x.gw.options.Logger.ErrorContext(x.r.Context(), "plugin fails", x.logAttrs("plugin", x.ctx.PluginName(), "error", err)...)
}

// finish ends the request, however it went: it also runs while the handler panics.
func (x *exchange) finish() {
	x.interim.end()
	ended := time.Now()
	x.describeCall()
	x.endBody(ended)
	x.reportTry(x.outcome(x.fault))
	if x.status == 0 {
		x.status = statusClientClosed
	}
	x.summarize(ended)
	if x.root.Recording() {
		x.describeRoot()
		x.root.EndAt(x.trace.At(ended))
	}
	if x.rt.lingers && x.written > 0 && declaredLength(x.w.Header()) >= 0 {
		// What net/http holds back until ServeHTTP returns.
		_ = http.NewResponseController(x.w).Flush()
	}
	x.plugins.Log(&x.ctx)
	if observe := x.gw.options.Observer; observe != nil {
		observe(&x.ctx)
		x.notes.Reset()
	}
	x.debugSpans()
	x.gw.stats.count(x, ended)
	x.trace.Release()
	x.ctx.Reset()
	x.rt.release()
	clear(x.attempts)
	x.attempts, x.passage = x.attempts[:0], passage{}
	x.gw.exchanges.Put(x)
}

// logAttrs are the attributes of every log record of this request, with further ones.
func (x *exchange) logAttrs(more ...any) []any {
	attrs := append(more, "request_id", x.ctx.RequestID)
	if id := x.trace.ID(); id.IsValid() {
		attrs = append(attrs, "trace_id", id.String())
	}
	return attrs
}

// debugSpans writes the record of the request that Kong writes at debug level.
// Kong: kong/observability/tracing/instrumentation.lua runloop_log_after
func (x *exchange) debugSpans() {
	logger := x.gw.options.Logger
	if x.trace == nil || !logger.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	var spans strings.Builder
	for i := range x.trace.Len() {
		record := x.trace.Record(i)
		spans.WriteString("\nSpan #" + strconv.Itoa(i+1) + " name=" + record.Name)
		if record.Ended {
			spans.WriteString(" duration=" + strconv.FormatFloat(float64(record.End-record.Start)/1e6, 'f', 6, 64) + "ms")
		}
		separator := " attributes={"
		for attr := range x.trace.Attrs(i) {
			spans.WriteString(separator + strconv.Quote(attr.Key) + ":" + attr.Value.String())
			separator = ","
		}
		if separator == "," {
			spans.WriteByte('}')
		}
	}
	logger.Debug("collected "+strconv.Itoa(x.trace.Len())+" spans: "+spans.String(), x.logAttrs("status", x.status)...)
}

// clientOf finds who asks: the peer, or what a trusted peer says in the real-IP header.
// nginx: ngx_http_realip_module, ngx_http_get_forwarded_addr
func (g *Gateway) clientOf(r *http.Request, p *peer) netip.AddrPort {
	if !p.trusted || g.options.RealIPHeader == "" {
		return p.addr
	}
	if g.options.RealIPHeader == proxyProtocol {
		if p.proxied != nil {
			if client, ok := p.proxied.ProxiedAddr(); ok {
				return client
			}
		}
		return p.addr
	}
	values := r.Header[g.options.RealIPHeader]
	client := p.addr
	for i := len(values) - 1; i >= 0; i-- {
		parts := strings.Split(values[i], ",")
		for j := len(parts) - 1; j >= 0; j-- {
			addr, ok := parseClient(strings.TrimSpace(parts[j]))
			if !ok {
				return client
			}
			client = addr
			if !g.options.RealIPRecursive || !contains(g.options.TrustedIPs, addr.Addr()) {
				return client
			}
		}
	}
	return client
}

// parseClient reads an address with or without a port, which is 0 then.
func parseClient(text string) (netip.AddrPort, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(addr.Unmap().WithZone(""), 0), true
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), true
	}
	return netip.AddrPort{}, false
}
