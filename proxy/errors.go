package proxy

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"sidekong/proxy/plugin"
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

// statusNoAnswer is recorded where a plugin has the connection closed without an answer. nginx: NGX_HTTP_CLOSE
const statusNoAnswer = 444

// failure is why the gateway answers in the upstream's place.
type failure struct {
	status  int
	message string
	cause   error  // for logs and spans; nil: the message says it all
	form    string // of the page: nginxForm or ""
}

func (f *failure) Error() string {
	if f.cause != nil {
		return f.cause.Error()
	}
	return f.message
}

func (f *failure) Unwrap() error { return f.cause }

// nginxForm is the form of pages that answer for nginx where the request prefers none. Kong: kong.conf error_default_type
const nginxForm = "text/plain"

// errorPage renders Kong's error page in the form that the request prefers, else in form, "" being JSON.
// Kong: kong/pdk/response.lua error, kong/error_handlers.lua
func errorPage(r *http.Request, status int, message, requestID, form string) (header http.Header, body []byte) {
	prefer := strings.Join(r.Header["Accept"], ",")
	if prefer == "" {
		prefer = cmp.Or(r.Header.Get("Content-Type"), form)
	}
	if strings.HasPrefix(prefer, "application/grpc") {
		return http.Header{
			"Content-Type": {"application/grpc"},
			"Grpc-Status":  {strconv.Itoa(grpcStatus(status))},
			"Grpc-Message": {message},
		}, nil
	}
	contentType, body := plugin.Page(prefer, message, requestID)
	return http.Header{"Content-Type": {contentType}}, body
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
