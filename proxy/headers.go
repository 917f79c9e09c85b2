package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sidekong/proxy/router"
)

// ServerToken names the gateway in Via and Server. cmd sets its version once, before any gateway is made.
var ServerToken = "sidekong"

// field is a header as it came in.
type field struct {
	name   string
	values []string
}

// takeHopByHop removes Connection and Upgrade, which concern the client's connection alone, before plugins see the
// headers, and gives the fields that Connection names: they are meant for us, so that plugins may read them, and go no
// further. ReverseProxy removes them too, but after the plugins: a client that names traceparent in Connection would
// strip ours. An upgrade to WebSocket stays, no other does, as in Kong. Kong: kong/runloop/handler.lua access.after
func takeHopByHop(h http.Header) (named []field) {
	websocket := false
	if upgrade := h["Upgrade"]; upgrade != nil {
		websocket = len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket")
		if !websocket {
			delete(h, "Upgrade")
		}
	}
	connection := h["Connection"]
	if connection == nil {
		if websocket {
			delete(h, "Upgrade") // without Connection: Upgrade it is none
		}
		return nil
	}
	upgrades := false
	for _, line := range connection {
		if line == "keep-alive" || line == "close" {
			continue
		}
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name == "Upgrade" {
				upgrades = true
				continue
			}
			if values := h[name]; values != nil && name != "Te" {
				named = append(named, field{name, values})
			}
		}
	}
	delete(h, "Connection")
	switch {
	case websocket && upgrades:
		h["Connection"] = []string{"Upgrade"}
	case websocket:
		delete(h, "Upgrade")
	}
	return named
}

// dropHopByHop removes the fields that the client meant for us alone, unless a plugin has written them anew.
func (x *exchange) dropHopByHop() {
	for _, f := range x.hopByHop {
		if slices.Equal(x.r.Header[f.name], f.values) {
			delete(x.r.Header, f.name)
		}
	}
}

// writer sets headers of one value each, which share one allocation.
type writer struct {
	header http.Header
	values []string
}

func (w *writer) set(name, value string) {
	w.values = append(w.values, value)
	n := len(w.values)
	w.header[name] = w.values[n-1 : n : n]
}

// setForwarded writes what tells the upstream about the client. Kong: kong/runloop/handler.lua access.before
func (x *exchange) setForwarded(out http.Header) {
	in := x.r.Header
	w := writer{out, make([]string, 0, 9)}
	client := x.clientText()
	if previous := in["X-Forwarded-For"]; len(previous) > 0 {
		w.set("X-Forwarded-For", strings.Join(previous, ", ")+", "+x.peer.text)
	} else {
		w.set("X-Forwarded-For", client)
	}
	w.set("X-Real-Ip", client)
	w.set("X-Forwarded-Proto", x.forwardedProto())
	w.set("X-Forwarded-Host", x.forwardedHost())
	w.set("X-Forwarded-Port", x.forwardedPort())
	path, prefix := "", ""
	if x.peer.trusted {
		path, prefix = first(in, "X-Forwarded-Path"), first(in, "X-Forwarded-Prefix")
	}
	if path == "" {
		path = router.ForwardedPath(x.target)
	}
	if prefix == "" && x.rt.forward == nil {
		prefix = x.match.ForwardedPrefix()
	}
	w.set("X-Forwarded-Path", path)
	if prefix != "" {
		w.set("X-Forwarded-Prefix", prefix)
	} else {
		delete(out, "X-Forwarded-Prefix")
	}
	w.set("Via", x.gw.via(in["Via"], httpVersion(x.r.ProtoMajor, x.r.ProtoMinor)))
	if x.gw.options.UpstreamRequestID {
		w.set("X-Kong-Request-Id", x.ctx.RequestID)
	}
	delete(out, "Proxy") // never an environment variable of a CGI program behind us
}

// clientText is the client's address as text.
func (x *exchange) clientText() string {
	if x.ctx.Client == x.peer.addr.Addr() {
		return x.peer.text
	}
	return x.ctx.Client.String()
}

func first(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// forwardedProto is the scheme that the client used, as far as a trusted peer knows.
func (x *exchange) forwardedProto() string {
	if x.peer.trusted {
		if proto := first(x.r.Header, "X-Forwarded-Proto"); proto != "" {
			return proto
		}
	}
	return x.ctx.Scheme
}

func (x *exchange) forwardedHost() string {
	if x.peer.trusted {
		if host := first(x.r.Header, "X-Forwarded-Host"); host != "" {
			return host
		}
	}
	return x.ctx.Host
}

// forwardedPort is the port that the client used: the listener's, whatever the Host header says.
func (x *exchange) forwardedPort() string {
	if x.peer.trusted {
		if port := first(x.r.Header, "X-Forwarded-Port"); port != "" {
			return port
		}
	}
	if mapped, ok := x.gw.options.PortMaps[x.peer.local]; ok {
		return strconv.Itoa(mapped)
	}
	return strconv.Itoa(x.peer.local)
}

func (g *Gateway) via(previous []string, version string) string {
	own := g.via11
	if version != "1.1" {
		own = version + " " + ServerToken
	}
	if len(previous) > 0 {
		return strings.Join(previous, ", ") + ", " + own
	}
	return own
}

// httpVersion writes a version as Via does: 1.0, 1.1, 2.
func httpVersion(major, minor int) string {
	switch {
	case major == 1 && minor == 1:
		return "1.1"
	case major >= 2:
		return strconv.Itoa(major)
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor)
}

// addOwnHeaders adds the gateway's headers to an answer. Kong: kong/runloop/handler.lua header_filter.after
func (x *exchange) addOwnHeaders(h http.Header, proxied bool) {
	headers := x.gw.options.Headers
	w := writer{h, make([]string, 0, 6)}
	if proxied {
		if headers.Has(HeaderUpstreamStatus) {
			w.set("X-Kong-Upstream-Status", strconv.Itoa(x.upstreamStatus))
		}
		if headers.Has(HeaderUpstreamLatency) {
			w.set("X-Kong-Upstream-Latency", milliseconds(x.answered.Sub(x.left)))
		}
		if headers.Has(HeaderProxyLatency) {
			w.set("X-Kong-Proxy-Latency", milliseconds(x.left.Sub(x.arrived)))
		}
		if headers.Has(HeaderVia) {
			w.set("Via", x.gw.via(h["Via"], x.up.version))
		}
		if headers.Has(HeaderServer) && h["Server"] == nil {
			w.set("Server", ServerToken)
		}
	} else {
		if headers.Has(HeaderResponseLatency) {
			w.set("X-Kong-Response-Latency", milliseconds(x.answered.Sub(x.arrived)))
		}
		if headers.Has(HeaderServer) {
			w.set("Server", ServerToken)
		}
	}
	if headers.Has(HeaderRequestID) {
		w.set("X-Kong-Request-Id", x.ctx.RequestID)
	}
	if x.gw.options.AllowDebugHeader && first(x.r.Header, "Kong-Debug") == "1" {
		x.addDebugHeaders(h)
	}
	if x.r.ProtoMajor == 1 && (x.gw.draining.Load() || x.upload.open()) {
		h["Connection"] = []string{"close"}
	}
}

// addDebugHeaders names what matched. Kong: kong/runloop/handler.lua, kong.conf allow_debug_header
func (x *exchange) addDebugHeaders(h http.Header) {
	if route := x.ctx.Route; route != nil {
		h["Kong-Route-Id"] = []string{route.ID}
		if route.Name != "" {
			h["Kong-Route-Name"] = []string{route.Name}
		}
	}
	if service := x.ctx.Service; service != nil {
		h["Kong-Service-Id"] = []string{service.ID}
		if service.Name != "" {
			h["Kong-Service-Name"] = []string{service.Name}
		}
	}
}

// keepType keeps net/http from guessing the type of an answer that has none.
func keepType(h http.Header) {
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil
	}
}

// declaredLength is what an answer's Content-Length says, less than 0 where it says nothing.
func declaredLength(h http.Header) int64 {
	n, err := strconv.ParseUint(first(h, "Content-Length"), 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 0), 10) }
