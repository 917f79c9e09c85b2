package proxy

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The answers that the gateway gives by itself. Kong: kong/error_handlers.lua, kong/runloop/handler.lua
const (
	msgBadRequest     = "Bad request"
	msgNoRoute        = "no Route matched with those values"
	msgNotAllowed     = "Method not allowed"
	msgNoService      = "no Service found with those values"
	msgNoPeer         = "failure to get a peer from the ring-balancer"
	msgNameResolution = "name resolution failed"
	msgUnexpected     = "An unexpected error occurred"
	msgSlowBody       = "Request timeout"
	msgTooLarge       = "Payload too large"
	msgBadGateway     = "An invalid response was received from the upstream server"
	msgTimeout        = "The upstream server is timing out"
	msgUnavailable    = "The upstream server is currently unavailable"
	msgUseHTTPS       = "Please use HTTPS protocol"
	msgUseHTTP2       = "Please use HTTP2 protocol"
	msgNotGRPC        = "Non-gRPC request matched gRPC route"
)

// statusClientClosed is nginx's status for a request whose client went away before there was an answer. It is
// recorded, not sent.
const statusClientClosed = 499

// failure is why the gateway answers in the upstream's place.
type failure struct {
	status  int
	message string
	cause   error // for logs and spans; nil: the message says it all
}

func (f *failure) Error() string {
	if f.cause != nil {
		return f.cause.Error()
	}
	return f.message
}

func (f *failure) Unwrap() error { return f.cause }

// errorPage renders Kong's error page in the form that the request prefers: JSON, HTML, XML or plain text.
// Kong: kong/tools/http.lua get_error_template, kong/pdk/response.lua error
func errorPage(r *http.Request, status int, message, requestID string) (header http.Header, body []byte) {
	prefer := strings.Join(r.Header["Accept"], ",")
	if prefer == "" {
		prefer = r.Header.Get("Content-Type")
	}
	if strings.HasPrefix(prefer, "application/grpc") {
		return http.Header{
			"Content-Type": {"application/grpc"},
			"Grpc-Status":  {strconv.Itoa(grpcStatus(status))},
			"Grpc-Message": {message},
		}, nil
	}
	contentType, template := pageFor(prefer)
	return http.Header{"Content-Type": {contentType}}, fmt.Appendf(nil, template, message, requestID)
}

// grpcStatus maps a status to gRPC's. Kong: kong/pdk/response.lua HTTP_TO_GRPC_STATUS
func grpcStatus(status int) int {
	switch status {
	case 200:
		return 0
	case 400:
		return 3
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 5
	case 409:
		return 6
	case 500:
		return 13
	case 429:
		return 8
	case 499:
		return 1
	case 501:
		return 12
	case 503:
		return 14
	case 504:
		return 4
	default:
		return 2
	}
}

var pages = []struct{ mime, kind, contentType, template string }{
	{"application/json", "application", "application/json; charset=utf-8", "{\n  \"message\":\"%s\",\n  \"request_id\":\"%s\"\n}"},
	{"text/html", "", "text/html; charset=utf-8", `<!doctype html>
<html>
  <head>
    <meta charset="utf-8">
    <title>Error</title>
  </head>
  <body>
    <h1>Error</h1>
    <p>%s.</p>
    <p>request_id: %s</p>
  </body>
</html>
`},
	{"text/plain", "text", "text/plain; charset=utf-8", "%s\nrequest_id: %s\n"},
	{"application/xml", "", "application/xml; charset=utf-8", `<?xml version="1.0" encoding="UTF-8"?>
<error>
  <message>%s</message>
  <requestid>%s</requestid>
</error>
`},
}

// pageFor chooses a page by the quality values of an Accept header; JSON where nothing fits.
// Kong: kong/tools/http.lua get_response_type
func pageFor(accept string) (contentType, template string) {
	contentType, template = pages[0].contentType, pages[0].template
	best := 0.0
	for part := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(strings.ToLower(part), ";")
		kind, sub, ok := strings.Cut(strings.TrimSpace(media), "/")
		if !ok {
			continue
		}
		quality := 1.0
		for param := range strings.SplitSeq(params, ";") {
			if q, ok := strings.CutPrefix(strings.TrimSpace(param), "q="); ok {
				quality, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
			}
		}
		if quality <= best {
			continue
		}
		best = quality
		for _, page := range pages {
			if page.mime == kind+"/"+sub || sub == "*" && (page.kind == kind || kind == "*" && page.kind == "application") {
				contentType, template = page.contentType, page.template
				break
			}
		}
	}
	return contentType, template
}
