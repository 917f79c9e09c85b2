package router

import (
	"net/http"
	"slices"
	"strings"
)

// Answer is what Kong itself answers, right after routing and before any plugin, to a request that its route does not
// take in this form.
type Answer struct {
	Status  int
	Message string      // for the error body, "" for a response without one
	Header  http.Header // to add to the response
}

// Answer reports whether Kong answers the request itself: a redirect or 426 to a plain request for a route that takes
// https alone, 426 and 415 to a request for a gRPC route that is not gRPC over HTTP/2. The protocol and the host are
// those that the client used, after trusted X-Forwarded headers; the host as HostName gives it.
//
// A route without a service is no case for this: its 503 comes after the plugins, one of which may answer.
//
// Kong: kong/runloop/handler.lua access.before
func (m *Match) Answer(req *Request, proto, host string) (Answer, bool) {
	has := func(protocol string) bool { return slices.Contains(m.Route.Protocols, protocol) }

	if has("https") && !has("http") && proto != "https" {
		return httpsOnly(m.Route.HTTPSRedirectStatusCode, "https://"+host+req.Target), true
	}
	if !has("grpc") && !has("grpcs") {
		return Answer{}, false
	}
	switch {
	case !strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc"):
		return Answer{Status: http.StatusUnsupportedMediaType, Message: "Non-gRPC request matched gRPC route"}, true
	case !req.HTTP2:
		return upgradeTo("HTTP/2", "Please use HTTP2 protocol"), true
	case !has("grpc") && proto != "https":
		return Answer{Status: http.StatusOK, Header: http.Header{
			"Content-Type": {"application/grpc"},
			"Grpc-Status":  {"1"},
			"Grpc-Message": {"gRPC request matched gRPCs route"},
		}}, true
	}
	return Answer{}, false
}

func httpsOnly(status int, location string) Answer {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return Answer{Status: status, Header: http.Header{"Location": {location}}}
	}
	return upgradeTo("TLS/1.2, HTTP/1.1", "Please use HTTPS protocol")
}

func upgradeTo(protocols, message string) Answer {
	return Answer{Status: http.StatusUpgradeRequired, Message: message, Header: http.Header{
		"Connection": {"Upgrade"},
		"Upgrade":    {protocols},
	}}
}
