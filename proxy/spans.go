package proxy

import (
	"strconv"
	"strings"
	"time"

	"sidekong/tracing"
)

// name is an attribute's name under each convention; "" where one has no such attribute.
type name struct{ kong, stable string }

// Attributes of the root span and of the tries. Kong: kong/observability/tracing/instrumentation.lua
// Stable: OpenTelemetry semantic conventions, HTTP spans 1.23 and later.
var (
	attrMethod        = name{"http.method", "http.request.method"}
	attrURL           = name{"http.url", ""}
	attrPath          = name{"", "url.path"}
	attrQuery         = name{"", "url.query"}
	attrHost          = name{"http.host", "server.address"}
	attrHostPort      = name{"", "server.port"}
	attrScheme        = name{"http.scheme", "url.scheme"}
	attrFlavor        = name{"http.flavor", "network.protocol.version"}
	attrClient        = name{"http.client_ip", "client.address"}
	attrPeer          = name{"net.peer.ip", "network.peer.address"}
	attrPeerPort      = name{"net.peer.port", "network.peer.port"}
	attrPeerName      = name{"net.peer.name", ""}
	attrStatus        = name{"http.status_code", "http.response.status_code"}
	attrRoute         = name{"http.route", "http.route"}
	attrErrorType     = name{"", "error.type"}
	attrServerAddress = name{"server.address", "server.address"}
	attrServerPort    = name{"server.port", "server.port"}
)

// set adds an attribute under the names of the conventions in force, unless a plugin has set it already.
func (c Conventions) set(to tracing.Defaults, n name, value tracing.Value) {
	if c&KongConventions != 0 && n.kong != "" {
		to.Set(n.kong, value)
	}
	if c&StableConventions != 0 && n.stable != "" && (n.stable != n.kong || c&KongConventions == 0) {
		to.Set(n.stable, value)
	}
}

// describeRoot gives the root its attributes. It is done at the end, so that a request that is not sampled doesn't
// pay for it.
func (x *exchange) describeRoot() {
	c, root := x.gw.options.Conventions, x.root.Defaults()
	x.describeRequest(root)
	c.set(root, attrStatus, tracing.IntValue(int64(x.status)))
	if x.status >= 500 || x.fault != nil && x.status != statusClientClosed {
		x.root.SetStatus(tracing.StatusError, "")
		c.set(root, attrErrorType, tracing.StringValue(strconv.Itoa(x.status)))
	}
}

// describeRequest says what is known of the request once it is routed.
func (x *exchange) describeRequest(root tracing.Defaults) {
	c, r := x.gw.options.Conventions, x.r
	target := x.rt.secrets.URI(x.target)
	c.set(root, attrMethod, tracing.StringValue(r.Method))
	if c&KongConventions != 0 {
		c.set(root, attrURL, tracing.StringValue(x.ctx.Scheme+"://"+x.ctx.Host+target))
	}
	if c&StableConventions != 0 {
		path, query, found := strings.Cut(target, "?")
		c.set(root, attrPath, tracing.StringValue(path))
		if found && query != "" {
			c.set(root, attrQuery, tracing.StringValue(query))
		}
		c.set(root, attrHostPort, tracing.IntValue(int64(x.peer.local)))
	}
	c.set(root, attrHost, tracing.StringValue(x.ctx.Host))
	c.set(root, attrScheme, tracing.StringValue(x.ctx.Scheme))
	c.set(root, attrFlavor, tracing.StringValue(flavor(r.ProtoMajor, r.ProtoMinor)))
	c.set(root, attrClient, tracing.StringValue(x.clientText()))
	c.set(root, attrPeer, tracing.StringValue(x.peer.text))
	root.Set("kong.request.id", tracing.StringValue(x.ctx.RequestID))
	if x.ctx.Route != nil {
		if x.match.Path != "" {
			c.set(root, attrRoute, tracing.StringValue(x.match.Path))
		}
		if x.ctx.Route.Name != "" {
			root.Set("kong.route.name", tracing.StringValue(x.ctx.Route.Name))
		}
		if x.ctx.Service != nil && x.ctx.Service.Name != "" {
			root.Set("kong.service.name", tracing.StringValue(x.ctx.Service.Name))
		}
	}
	if consumer := x.ctx.Consumer; consumer != nil {
		if consumer.ID != "" {
			root.Set("kong.consumer.id", tracing.StringValue(consumer.ID))
		}
		if consumer.Username != "" {
			root.Set("kong.consumer.username", tracing.StringValue(consumer.Username))
		}
	}
}

// flavor writes a version as Kong's http.flavor does: "1.1", "2.0".
func flavor(major, minor int) string {
	switch {
	case major == 1 && minor == 1:
		return "1.1"
	case major == 2:
		return "2.0"
	default:
		return strconv.Itoa(major) + "." + strconv.Itoa(minor)
	}
}

// describeTry says where a try goes.
func (x *exchange) describeTry(to endpoint) {
	if !x.try.Recording() {
		return
	}
	c, up := x.gw.options.Conventions, x.up
	try := x.try.Defaults()
	try.Set("try_count", tracing.IntValue(int64(x.tries)))
	c.set(try, attrPeer, tracing.StringValue(to.text))
	c.set(try, attrPeerPort, tracing.IntValue(int64(to.port)))
	c.set(try, attrPeerName, tracing.StringValue(to.name))
	c.set(try, attrServerAddress, tracing.StringValue(to.name))
	c.set(try, attrServerPort, tracing.IntValue(int64(to.port)))
	if up.service.Name != "" {
		try.Set("peer.service", tracing.StringValue(up.service.Name))
	}
}

// describeFailure ends the span of a try that got no answer.
func (x *exchange) describeFailure(err error) {
	if !x.try.Recording() {
		return
	}
	status := classify(err).status
	if x.r.Context().Err() != nil {
		status = statusClientClosed
	} else {
		x.try.SetStatus(tracing.StatusError, "")
		x.try.RecordError(err.Error())
	}
	x.gw.options.Conventions.set(x.try.Defaults(), attrStatus, tracing.IntValue(int64(status)))
	x.try.End()
	x.try = tracing.Span{}
}

// describeTrip adds what became known with the answer's head: its status and the upstream phase.
func (x *exchange) describeTrip(begun time.Time) {
	if x.try.Recording() && x.upstreamStatus >= 500 {
		x.try.SetStatus(tracing.StatusError, "")
	}
	if x.try.Recording() {
		x.gw.options.Conventions.set(x.try.Defaults(), attrStatus, tracing.IntValue(int64(x.upstreamStatus)))
	}
	if !x.trace.Has(tracing.Upstream) || !x.trace.Has(tracing.Balancer) {
		return
	}
	trip := &x.trip
	if trip.Connected.After(begun) {
		begun = trip.Connected
	}
	read := trip.HeadersRead
	if read.IsZero() {
		read = time.Now()
	}
	sent := trip.RequestSent
	if sent.IsZero() || sent.After(read) {
		sent = read // the answer came first
	}
	if sent.Before(begun) {
		begun = sent
	}
	t := x.trace
	t.StartSpanAt("kong.send_request_to_upstream", tracing.KindInternal, x.try, t.At(begun)).EndAt(t.At(sent))
	t.StartSpanAt("kong.read_headers_from_upstream", tracing.KindInternal, x.try, t.At(sent)).EndAt(t.At(read))
	x.reading = t.StartSpanAt("kong.read_body_from_upstream", tracing.KindInternal, x.try, t.At(read))
}
