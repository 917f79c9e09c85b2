package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"sidekong/proxy/balancer"
	"sidekong/proxy/dns"
	"sidekong/proxy/http1"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// maxReplay bounds the request bodies that are held in memory so that they can be sent again to another target, in
// bytes. A longer body, and one whose length is not declared, is sent once.
const maxReplay = 16 << 10

// discard is ReverseProxy's log: what it would write there is in the spans and in our own log.
var discard = log.New(io.Discard, "", 0)

// copyBuffers are what bodies are copied through.
var copyBuffers = &bufferPool{}

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[32 << 10]byte); ok {
		return b[:]
	}
	return make([]byte, 32<<10)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }

// forward sends the request upstream and its answer back. ReverseProxy calls the methods below in their order.
func (x *exchange) forward() {
	x.dropHopByHop()
	x.watch()
	if err := x.holdBody(); err != nil {
		x.handleError(x.w, x.r, err)
		return
	}
	x.openDuplex()
	defer x.upload.stop()
	x.proxy.ServeHTTP(x.w, x.r)
}

// holdBody reads a short body, so that it can be sent more than once.
func (x *exchange) holdBody() error {
	if x.r.ContentLength <= 0 || x.r.ContentLength > maxReplay || x.place.upstream.retries == 0 {
		return nil
	}
	x.sent = make([]byte, x.r.ContentLength)
	if _, err := io.ReadFull(x.r.Body, x.sent); err != nil {
		return &http1.Error{Phase: http1.Body, Err: err}
	}
	return nil
}

// rewriteOutbound makes the upstream request of the client's. ReverseProxy has cloned it and removed the hop-by-hop
// and forwarding headers.
func (x *exchange) rewriteOutbound(pr *httputil.ProxyRequest) {
	out := pr.Out
	up := x.place.upstream
	out.URL = &url.URL{Scheme: up.scheme}
	if x.sent != nil {
		out.Body, out.GetBody = nil, nil // each try sets its own
	}
	out.Trailer = pr.In.Trailer  // filled when the body has been read
	delete(out.Header, "Expect") // as nginx: whoever reads the client's body asks for it
	if forwarded := pr.In.Header["Forwarded"]; forwarded != nil {
		out.Header["Forwarded"] = forwarded
	}
	x.setForwarded(out.Header)
	if x.rt.forward != nil {
		x.trip.Target, out.Host = x.target, x.r.Host
		return
	}
	x.trip.Target, out.Host = x.match.UpstreamPath(), x.match.UpstreamHost(x.r.Host)
	if mark := strings.IndexByte(x.target, '?'); mark >= 0 {
		x.trip.Target += x.target[mark:]
	}
}

// RoundTrip is the loop over the tries: pick and resolve an address, send, and where that fails before there is an
// answer, go round. Only the last failure is returned.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	for {
		x.tries++
		to, err := x.pick(req.Context())
		if err != nil {
			return nil, err
		}
		res, err := x.send(req, to)
		if err == nil {
			return res, nil
		}
		if !x.mayRetry(req, err) {
			return nil, err
		}
		if req, err = x.nextTry(req); err != nil {
			return nil, err
		}
	}
}

// endpoint is where a try goes.
type endpoint struct {
	ip   netip.Addr
	text string // of ip
	port int
	name string // for the Host header, TLS and the span
}

// pick finds the address to connect to now. Kong: kong/runloop/balancer/init.lua execute
func (x *exchange) pick(ctx context.Context) (endpoint, error) {
	up := x.place.upstream
	var span tracing.Span
	if x.trace.Has(tracing.DNSQuery) {
		span = x.trace.StartSpan("kong.dns", tracing.KindClient, x.root)
	}
	to, err := endpoint{name: up.service.Host, port: up.service.Port}, error(nil)
	domain := to.name
	if up.balancer != nil {
		if to, err = x.pickTarget(ctx, up.balancer); err == nil {
			domain, _, _ = net.SplitHostPort(x.peerPick.Target.Target) // it was checked when it was loaded
		}
	} else {
		var address dns.Address
		address, err = x.gw.options.Resolver.Resolve(ctx, to.name, to.port)
		to.ip, to.port = address.IP, address.Port
	}
	if err == nil {
		to.text = to.ip.String()
	}
	if !span.Recording() && err == nil {
		return to, nil
	}
	span.SetString("dns.record.domain", domain)
	if err == nil {
		span.SetInt("dns.record.port", int64(to.port))
		span.SetString("dns.record.ip", to.text)
		span.End()
		return to, nil
	}
	span.SetInt("dns.record.port", int64(up.service.Port))
	span.RecordError(err.Error())
	span.SetStatus(tracing.StatusError, "")
	span.End()
	switch {
	case ctx.Err() != nil:
		return to, ctx.Err()
	case errors.Is(err, balancer.ErrNoHealthyTarget):
		return to, &failure{status: http.StatusServiceUnavailable, message: msgNoPeer, cause: err}
	case errors.Is(err, dns.ErrNotFound):
		return to, &failure{status: http.StatusServiceUnavailable, message: msgNameResolution, cause: err}
	default:
		return to, &failure{status: http.StatusInternalServerError, message: err.Error(), cause: err}
	}
}

// pickTarget asks the upstream's balancer; what becomes of the pick is told to it by reportTry.
func (x *exchange) pickTarget(ctx context.Context, b *balancer.Balancer) (endpoint, error) {
	request := balancer.Request{HTTP: x.r, ClientIP: x.ctx.Client, Path: x.path}
	if x.ctx.Consumer != nil {
		request.Consumer = x.ctx.Consumer.ID
	}
	if x.match.Captures != nil {
		request.Capture = func(group string) (string, bool) {
			value, ok := x.match.Captures[group]
			return value, ok
		}
	}
	pick, err := b.Pick(ctx, &request, &x.picks)
	if err != nil {
		return endpoint{}, err
	}
	x.peerPick, x.picked = pick, true
	return endpoint{ip: pick.IP, port: pick.Port, name: pick.Hostname}, nil
}

// reportTry tells the balancer what became of the try in hand, once.
func (x *exchange) reportTry(outcome balancer.Outcome) {
	if x.picked {
		x.picked = false
		x.place.upstream.balancer.Report(x.peerPick, outcome)
	}
}

// send makes one try. Its span stays open when there is an answer: it ends with the answer's body.
func (x *exchange) send(req *http.Request, to endpoint) (*http.Response, error) {
	up := x.place.upstream
	begun := time.Now()
	x.sentAt = begun
	if x.left.IsZero() {
		x.left = begun
	}
	if x.trace.Has(tracing.Balancer) {
		x.try = x.trace.StartReserved("kong.balancer", tracing.KindClient, x.root, x.trace.At(begun), x.reserved)
		x.describeTry(to)
	}
	req.URL.Host = net.JoinHostPort(to.text, strconv.Itoa(to.port))
	if up.balancer != nil && x.rt.forward == nil && !x.ctx.Route.PreserveHost {
		req.Host = hostHeader(to, up.scheme)
	}
	if x.sent != nil {
		req.Body = io.NopCloser(bytes.NewReader(x.sent))
	}
	x.trip.ConnectTimeout, x.trip.WriteTimeout, x.trip.ReadTimeout = up.connect, up.write, up.read
	res, err := up.transport.Do(req, &x.trip)
	if err != nil {
		x.describeFailure(err)
		x.reportTry(x.outcome(err))
		return nil, err
	}
	x.response, x.upstreamStatus = res, res.StatusCode
	x.describeTrip(begun)
	return res, nil
}

// hostHeader is a target's name with its port where that is not the scheme's own.
// Kong: kong/runloop/balancer/init.lua set_host_header
func hostHeader(to endpoint, scheme string) string {
	if scheme == "http" && to.port == 80 || scheme == "https" && to.port == 443 {
		return to.name
	}
	return to.name + ":" + strconv.Itoa(to.port)
}

// outcome is what a failed try, or with no error the one that was answered, says of its target.
func (x *exchange) outcome(err error) balancer.Outcome {
	if x.r.Context().Err() != nil {
		return balancer.Outcome{Failure: balancer.Abandoned}
	}
	if err == nil {
		return balancer.Outcome{Status: x.upstreamStatus, Latency: x.answered.Sub(x.sentAt)}
	}
	var timeout interface{ Timeout() bool }
	var fault *http1.Error
	switch {
	case errors.As(err, &fault) && (fault.Phase == http1.Prepare || fault.Phase == http1.Body):
		return balancer.Outcome{Failure: balancer.Abandoned}
	case errors.As(err, &timeout) && timeout.Timeout():
		return balancer.Outcome{Failure: balancer.TimedOut}
	default:
		return balancer.Outcome{Failure: balancer.Broken}
	}
}

// mayRetry decides whether a failed try is followed by another.
// nginx: proxy_next_upstream error timeout (Kong's setting), and its rule for methods that are not idempotent.
func (x *exchange) mayRetry(req *http.Request, err error) bool {
	if x.tries > x.place.upstream.retries || req.Context().Err() != nil {
		return false
	}
	var fault *http1.Error
	if !errors.As(err, &fault) || fault.Phase == http1.Prepare || fault.Phase == http1.Body {
		return false
	}
	if x.trip.BodyTouched && x.sent == nil {
		return false
	}
	return !x.trip.Wrote || idempotent(req.Method)
}

// idempotent reports whether a method may be sent again after the upstream may have seen it. RFC 9110, 9.2.2
func idempotent(method string) bool {
	switch method {
	case http.MethodPost, http.MethodPatch, "LOCK":
		return false
	default:
		return true
	}
}

// nextTry makes the request of the next try. The last one's may still be in use by the transport.
func (x *exchange) nextTry(req *http.Request) (*http.Request, error) {
	next := *req
	address := *req.URL
	next.URL = &address
	next.Header = req.Header.Clone()
	x.trip = http1.Trip{Target: x.trip.Target}
	x.reserved = tracing.NewSpanID()
	if !x.ctx.OutboundIsRoot {
		x.ctx.Outbound = x.reserved
	}
	x.ctx.Request.Header, next.Header = next.Header, x.ctx.Request.Header
	err := x.plugins.Balance(&x.ctx)
	x.ctx.Request.Header, next.Header = next.Header, x.ctx.Request.Header
	if err != nil {
		return nil, &failure{status: http.StatusInternalServerError, message: msgUnexpected, cause: err}
	}
	return &next, nil
}

// modifyResponse sees the upstream's answer before its head goes to the client.
func (x *exchange) modifyResponse(res *http.Response) error {
	x.answered = time.Now()
	x.ctx.Response = plugin.Response{Status: res.StatusCode, Header: res.Header, Source: plugin.FromService}
	if err := x.plugins.FilterHeader(&x.ctx); err != nil {
		res.Body.Close()
		x.abort(err)
	}
	res.StatusCode = x.ctx.Response.Status
	x.status = res.StatusCode
	x.interim.answered(x.status)
	if res.StatusCode != http.StatusSwitchingProtocols {
		x.takeHeader(res)
	}
	header := x.ctx.Response.Header
	x.addOwnHeaders(header, true)
	if cookie := x.picks.Cookie; cookie != nil {
		header.Add("Set-Cookie", cookie.String())
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil // the connection is handed over; its end is the handler's
	}
	x.body = responseBody{x: x, source: res.Body, streamed: streamed(res)}
	res.Body = &x.body
	return nil
}

// takeHeader moves an answer's headers to the client's. ReverseProxy would copy them one by one.
func (x *exchange) takeHeader(res *http.Response) {
	if isEventStream(res.Header) {
		res.ContentLength = -1 // ReverseProxy flushes each piece then, as it does for that type
	}
	header := x.w.Header()
	maps.Copy(header, res.Header)
	res.Header, x.ctx.Response.Header = nil, header
}

func isEventStream(h http.Header) bool {
	const eventStream = "text/event-stream"
	kind := first(h, "Content-Type")
	return len(kind) >= len(eventStream) && strings.EqualFold(kind[:len(eventStream)], eventStream)
}

// handleError answers when there is no answer from upstream.
func (x *exchange) handleError(_ http.ResponseWriter, r *http.Request, err error) {
	x.fault = err
	if (r.Context().Err() != nil || clientGone(err)) && !lateBody(err) {
		x.status = statusClientClosed
		panic(http.ErrAbortHandler)
	}
	why := classify(err)
	if why.status >= 500 {
		x.gw.options.Logger.Warn("upstream fails", x.logAttrs("service", x.place.upstream.service.Name, "status", why.status, "tries", x.tries, "error", err)...)
	}
	x.fail(why.status, why.message, nil)
}

// clientGone reports whether an error means that the client's connection ended before its body did.
func clientGone(err error) bool {
	var fault *http1.Error
	var network net.Error
	return errors.As(err, &fault) && fault.Phase == http1.Body &&
		(errors.Is(err, io.ErrUnexpectedEOF) || errors.As(fault.Err, &network))
}

// lateBody reports whether the client did not send the request's body in time. net/http ends the request's context then.
func lateBody(err error) bool {
	var fault *http1.Error
	return errors.As(err, &fault) && fault.Phase == http1.Body && fault.Timeout()
}

// classify says which status and message an error means.
func classify(err error) *failure {
	var known *failure
	if errors.As(err, &known) {
		return known
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &failure{status: http.StatusRequestEntityTooLarge, message: msgTooLarge, cause: err}
	}
	if lateBody(err) {
		return &failure{status: http.StatusRequestTimeout, message: msgSlowBody, cause: err}
	}
	var fault *http1.Error
	if errors.As(err, &fault) && fault.Phase == http1.Body {
		return &failure{status: http.StatusBadRequest, message: msgBadRequest, cause: err}
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &failure{status: http.StatusGatewayTimeout, message: msgTimeout, cause: err}
	}
	return &failure{status: http.StatusBadGateway, message: msgBadGateway, cause: err}
}

// responseBody is the upstream's body on its way to the client.
type responseBody struct {
	x      *exchange
	source io.ReadCloser
	held   []byte // what the plugins made of the last piece and did not fit
	err    error  // what comes after held
	ended  bool

	streamed bool // ReverseProxy flushes it after each write
}

// streamed reports whether ReverseProxy flushes an answer as it comes. httputil: (*ReverseProxy).flushInterval
func streamed(res *http.Response) bool {
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return res.ContentLength < 0 || media == "text/event-stream"
}

func (b *responseBody) Read(p []byte) (n int, err error) {
	if b.err == nil && len(b.held) == 0 {
		n, b.err = b.source.Read(p)
		if b.x.plugins.FiltersBody() {
			b.filter(p[:n])
			n = 0
		}
	}
	if len(b.held) > 0 {
		n = copy(p, b.held)
		b.held = b.held[n:]
	}
	if b.err == nil || len(b.held) > 0 || n > 0 && b.err != io.EOF {
		return n, nil
	}
	if !b.ended {
		b.ended = true
		b.x.reading.End()
		if b.err != io.EOF {
			b.x.bodyFailed(b.err)
		}
	}
	return n, b.err
}

// filter runs the body_filter phase for one piece.
func (b *responseBody) filter(piece []byte) {
	eof := b.err == io.EOF
	if len(piece) == 0 && !eof {
		return
	}
	out, err := b.x.plugins.FilterBody(&b.x.ctx, piece, eof)
	switch {
	case err != nil:
		b.x.gw.options.Logger.Error("plugin fails", b.x.logAttrs("error", err)...)
		b.err = &failure{message: msgUnexpected, cause: err}
	case b.x.mayHaveBody():
		b.held = out
	}
}

// mayHaveBody reports whether the answer to the client is of a kind that can have a body.
func (x *exchange) mayHaveBody() bool {
	return x.r.Method != http.MethodHead && x.status != http.StatusNoContent && x.status != http.StatusNotModified
}

func (b *responseBody) Close() error { return b.source.Close() }

// bodyFailed notes that the answer's body broke off, and lets the client have what there is of it.
func (x *exchange) bodyFailed(err error) {
	if x.r.Context().Err() != nil {
		return // because the client went away
	}
	x.fault = err
	if plugin := (*failure)(nil); !errors.As(err, &plugin) {
		x.try.RecordError(err.Error())
		x.try.SetStatus(tracing.StatusError, "")
	}
	// ReverseProxy flushes a streamed answer itself, the first time on a goroutine of its own: a second flush at the
	// same time would write the head twice.
	if !x.body.streamed {
		_ = http.NewResponseController(x.w).Flush()
	}
}

// endBody ends what lasts as long as the answer's body.
func (x *exchange) endBody() {
	if x.trace == nil {
		return
	}
	now := x.trace.Now()
	x.reading.EndAt(now)
	x.try.EndAt(now)
}
