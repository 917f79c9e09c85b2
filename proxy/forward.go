package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"maps"
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

// holdBody makes the request's body one that can be sent more than once: where plugins have it in memory anyway, and
// where it is short.
func (x *exchange) holdBody() error {
	if body, ok := x.ctx.HeldBody(); ok {
		x.ctx.ReplayBody()
		x.sent = body
		if body == nil {
			x.sent = []byte{}
		}
		return nil
	}
	if x.r.ContentLength <= 0 || x.r.ContentLength > maxReplay || x.up.retries == 0 {
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
	out, o := pr.Out, &x.ctx.Outgoing
	out.URL = &url.URL{Scheme: x.up.scheme}
	out.Trailer = pr.In.Trailer // filled when the body has been read
	if x.sent != nil {
		out.Body, out.GetBody = nil, nil // each try sets its own
		if len(out.Trailer) == 0 || o.Body != nil {
			out.ContentLength, out.TransferEncoding, out.Trailer = int64(len(x.sent)), nil, nil
		}
	}
	delete(out.Header, "Expect") // as nginx: whoever reads the client's body asks for it
	if forwarded := pr.In.Header["Forwarded"]; forwarded != nil {
		out.Header["Forwarded"] = forwarded
	}
	x.setForwarded(out.Header)
	if o.Method != "" {
		out.Method = o.Method
	}
	x.trip.Target = x.outboundTarget()
	switch {
	case o.Host != "":
		out.Host = o.Host
	case o.TargetHost != "" && !x.preservesHost():
		out.Host = o.TargetHost // Kong: kong/pdk/service.lua set_target
	case x.rt.forward != nil:
		out.Host = x.r.Host
	default:
		out.Host = x.match.UpstreamHost(x.r.Host)
	}
}

// preservesHost reports whether the Host header goes upstream as the client sent it.
func (x *exchange) preservesHost() bool { return x.rt.forward != nil || x.ctx.Route.PreserveHost }

// outboundTarget is the request target that goes upstream: what routing chose, with the client's query, unless plugins
// say otherwise.
func (x *exchange) outboundTarget() string {
	o, path, query := &x.ctx.Outgoing, x.ctx.UpstreamPath, ""
	if x.rt.forward != nil && o.Path == nil && o.Query == nil {
		return x.target
	}
	if mark := strings.IndexByte(x.target, '?'); mark >= 0 {
		query = x.target[mark:]
	}
	if o.Path != nil {
		path = *o.Path
	}
	if o.Query != nil {
		if query = *o.Query; query != "" {
			query = "?" + query
		}
	}
	return path + query
}

// RoundTrip is the loop over the tries: pick and resolve an address, send, and where that fails before there is an
// answer, go round. Only the last failure is returned.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	for {
		x.tries++
		begun := time.Now()
		to, err := x.pick(req.Context())
		if err != nil {
			return nil, err
		}
		res, err := x.send(req, to, begun)
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
	ip      netip.Addr
	text    string // of ip
	port    int
	address string // ip and port
	name    string // for the Host header, TLS and the span
}

// pick finds the address to connect to now. Kong: kong/runloop/balancer/init.lua execute
func (x *exchange) pick(ctx context.Context) (endpoint, error) {
	up := x.up
	var span tracing.Span
	if x.trace.Has(tracing.DNSQuery) {
		span = x.trace.StartSpan("kong.dns", tracing.KindClient, x.root)
	}
	to, err := endpoint{}, error(nil)
	domain := up.service.Host
	if up.balancer != nil {
		if to, err = x.pickTarget(ctx, up.balancer); err == nil {
			domain = x.peerPick.Domain()
		}
	} else {
		to, err = x.resolve(ctx)
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

// resolve finds an address of the service's host.
func (x *exchange) resolve(ctx context.Context) (endpoint, error) {
	up := x.up
	found, err := x.gw.options.Resolver.Resolve(ctx, up.service.Host, up.service.Port)
	if err != nil {
		return endpoint{name: up.service.Host}, err
	}
	if last := up.last.Load(); last != nil && last.ip == found.IP && last.port == found.Port {
		return *last, nil
	}
	to := endpoint{ip: found.IP, text: found.IP.String(), port: found.Port, name: up.service.Host}
	to.address = net.JoinHostPort(to.text, strconv.Itoa(to.port))
	up.last.Store(&to)
	return to, nil
}

// pickTarget asks the upstream's balancer; what becomes of the pick is told to it by reportTry.
func (x *exchange) pickTarget(ctx context.Context, b *balancer.Balancer) (endpoint, error) {
	var request *balancer.Request
	if b.Hashing() {
		request = x.balancerRequest()
	}
	pick, err := b.Pick(ctx, request, &x.picks)
	if err != nil {
		return endpoint{}, err
	}
	x.peerPick, x.picked = pick, true
	return endpoint{ip: pick.IP, text: pick.Text(), port: pick.Port, address: pick.Endpoint(), name: pick.Hostname}, nil
}

// balancerRequest is what consistent hashing looks at.
func (x *exchange) balancerRequest() *balancer.Request {
	request := &balancer.Request{HTTP: x.r, ClientIP: x.ctx.Client, Path: x.path}
	if x.ctx.Consumer != nil {
		request.Consumer = x.ctx.Consumer.ID
	}
	if captures := x.match.Captures; captures != nil {
		request.Capture = func(group string) (string, bool) {
			value, ok := captures[group]
			return value, ok
		}
	}
	return request
}

// reportTry tells the balancer what became of the try in hand, once.
func (x *exchange) reportTry(outcome balancer.Outcome) {
	if x.picked {
		x.picked = false
		x.up.balancer.Report(x.peerPick, outcome)
	}
}

// send makes one try. Its span stays open when there is an answer: it ends with the answer's body.
func (x *exchange) send(req *http.Request, to endpoint, picked time.Time) (*http.Response, error) {
	up := x.up
	begun := time.Now()
	x.sentAt = begun
	x.attempts = append(x.attempts, plugin.Try{Began: picked, Duration: begun.Sub(picked), IP: to.text, Port: to.port})
	if x.left.IsZero() {
		x.left = begun
	}
	if x.trace.Has(tracing.Balancer) {
		x.try = x.trace.StartReserved("kong.balancer", tracing.KindClient, x.root, x.trace.At(begun), x.reserved)
		x.describeTry(to)
	}
	req.URL.Host = to.address
	if up.balancer != nil && x.ctx.Outgoing.Host == "" && !x.preservesHost() {
		req.Host = x.targetHost(to)
	}
	switch {
	case len(x.sent) > 0:
		req.Body = io.NopCloser(bytes.NewReader(x.sent))
	case x.sent != nil:
		req.Body = http.NoBody
	}
	x.trip.ConnectTimeout, x.trip.WriteTimeout, x.trip.ReadTimeout = up.connect, up.write, up.read
	res, err := up.transport.Do(req, &x.trip)
	if err != nil {
		x.describeFailure(err)
		x.reportTry(x.outcome(err))
		try := &x.attempts[len(x.attempts)-1]
		try.Code, try.State = classify(err).status, "failed"
		return nil, err
	}
	x.response, x.upstreamStatus = res, res.StatusCode
	x.ctx.Summary.UpstreamStatus = res.StatusCode
	x.describeTrip(begun)
	return res, nil
}

// targetHost is the name of the target in hand with its port where that is not the scheme's own.
// Kong: kong/runloop/balancer/init.lua set_host_header
func (x *exchange) targetHost(to endpoint) string {
	scheme := x.up.scheme
	if scheme == "http" && to.port == 80 || scheme == "https" && to.port == 443 {
		return to.name
	}
	return x.peerPick.Authority()
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
	if x.tries > x.up.retries || req.Context().Err() != nil {
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
	upgraded := res.StatusCode == http.StatusSwitchingProtocols
	x.ctx.Response = plugin.Response{Status: res.StatusCode, Header: res.Header, Source: plugin.FromService}
	if x.ctx.Outgoing.Buffered && !upgraded {
		if err := x.buffer(res); err != nil {
			return err
		}
	}
	x.answered = x.trip.HeadersRead
	if x.answered.IsZero() || x.ctx.Response.Body != nil {
		x.answered = time.Now()
	}
	if x.ctx.Outgoing.Method == http.MethodHead && x.r.Method != http.MethodHead {
		delete(res.Header, "Content-Length") // of a body that does not come
	}
	if x.ctx.Early != nil {
		mergeEarly(res.Header, x.ctx.Early)
	}
	if err := x.filterHeader(); err != nil {
		res.Body.Close()
		x.abort(err)
	}
	res.StatusCode = x.ctx.Response.Status
	x.status = res.StatusCode
	x.interim.answered(x.status)
	if !upgraded {
		x.takeHeader(res)
	}
	header := x.ctx.Response.Header
	x.addOwnHeaders(header, true)
	keepType(header)
	if cookie := x.picks.Cookie; cookie != nil {
		header.Add("Set-Cookie", cookie.String())
	}
	if upgraded {
		return nil // the connection is handed over; its end is the handler's
	}
	x.body = responseBody{x: x, source: res.Body, whole: x.ctx.Response.Body, room: -1, streamed: res.ContentLength < 0}
	if x.plugins.AltersBody() {
		x.body.room = declaredLength(header)
	}
	res.Body = &x.body
	return nil
}

// mergeEarly adds what plugins set of the answer's header before there was one. How long the answer is, its own says.
func mergeEarly(h, early http.Header) {
	for name, values := range early {
		if name != "Content-Length" && name != "Transfer-Encoding" {
			h[name] = values
		}
	}
}

// maxBuffered bounds the answers that are read whole before their header filter phase, in bytes.
const maxBuffered = 32 << 20

var errBuffered = errors.New("answer is too long to be buffered")

// buffer reads the answer whole. Kong: kong.service.request.enable_buffering
func (x *exchange) buffer(res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBuffered+1))
	if err == nil && len(body) > maxBuffered {
		err = errBuffered
	}
	if err != nil {
		x.try.RecordError(err.Error())
		x.try.SetStatus(tracing.StatusError, "")
		return err
	}
	x.ctx.Response.Body = body
	if body == nil {
		x.ctx.Response.Body = []byte{}
	}
	return nil
}

// takeHeader moves an answer's headers to the client's. ReverseProxy would copy them one by one.
func (x *exchange) takeHeader(res *http.Response) {
	if isEventStream(res.Header) || x.plugins.AltersBody() && res.Header["Content-Length"] == nil {
		res.ContentLength = -1 // ReverseProxy flushes each piece then. httputil: (*ReverseProxy).flushInterval
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
		x.gw.options.Logger.Warn("upstream fails", x.logAttrs("service", x.up.service.Name, "status", why.status, "tries", x.tries, "error", err)...)
	}
	x.fail(why.status, why.message, nil, why.form)
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
		return &failure{status: http.StatusRequestEntityTooLarge, message: msgTooLarge, cause: err, form: nginxForm}
	}
	if lateBody(err) {
		return &failure{status: http.StatusRequestTimeout, message: msgSlowBody, cause: err, form: nginxForm}
	}
	var fault *http1.Error
	if errors.As(err, &fault) && fault.Phase == http1.Body {
		return &failure{status: http.StatusBadRequest, message: msgBadRequest, cause: err, form: nginxForm}
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &failure{status: http.StatusGatewayTimeout, message: msgTimeout, cause: err, form: nginxForm}
	}
	return &failure{status: http.StatusBadGateway, message: msgBadGateway, cause: err, form: nginxForm}
}

// responseBody is the upstream's body on its way to the client.
type responseBody struct {
	x      *exchange
	source io.ReadCloser
	whole  []byte // the body where it was read before; else nil
	held   []byte // what the plugins made of the last piece and did not fit
	room   int64  // of what plugins make, up to the length that the answer declares; less than 0: no bound
	err    error  // what comes after held
	ended  bool

	streamed bool // ReverseProxy flushes it after each write
}

func (b *responseBody) Read(p []byte) (n int, err error) {
	if b.err == nil && len(b.held) == 0 {
		piece := b.whole
		if piece != nil {
			b.err = io.EOF
		} else {
			n, b.err = b.source.Read(p)
			piece = p[:n]
		}
		switch {
		case b.x.plugins.FiltersBody():
			b.filter(piece)
			n = 0
		case b.whole != nil:
			b.held = piece
		}
	}
	if len(b.held) > 0 {
		if n = min(len(p), len(b.held)); &p[0] != &b.held[0] { // a filter seldom changes what it sees
			copy(p, b.held)
		}
		b.held = b.held[n:]
	}
	b.x.written += int64(n)
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
	if len(piece) == 0 && !eof || b.x.r.Method == http.MethodHead {
		return
	}
	out, err := b.x.plugins.FilterBody(&b.x.ctx, piece, eof)
	switch {
	case err != nil:
		b.x.pluginFails(err)
		b.err = &failure{message: msgUnexpected, cause: err}
	case b.x.mayHaveBody():
		if b.room >= 0 {
			out = out[:min(int64(len(out)), b.room)] // more would be taken for another answer
			b.room -= int64(len(out))
		}
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
func (x *exchange) endBody(ended time.Time) {
	if x.trace == nil {
		return
	}
	x.plugins.EndBody(&x.ctx)
	at := x.trace.At(ended)
	x.reading.EndAt(at)
	x.try.EndAt(at)
}
