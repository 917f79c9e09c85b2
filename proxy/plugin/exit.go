package plugin

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// JSONType is the content type of the JSON that Kong itself writes.
const JSONType = "application/json; charset=utf-8"

// ExitError answers the request with Kong's error page, in the form that its Accept header asks for. header is added to
// the answer's; nil: nothing. Kong: kong/pdk/response.lua error
func (c *Context) ExitError(status int, message string, header http.Header) {
	answer := Answer{Status: status, Header: http.Header{}}
	if isGRPC(c.Request) {
		code := grpcStatus(status)
		answer.Header["Content-Type"] = []string{"application/grpc"}
		answer.Header["Grpc-Status"] = []string{strconv.Itoa(code)}
		answer.Header["Grpc-Message"] = []string{grpcMessages[code]}
		answer.Body = []byte{}
	} else {
		contentType, page := Page(strings.Join(c.Request.Header["Accept"], ","), message, c.RequestID)
		answer.Header["Content-Type"], answer.Body = []string{contentType}, page
	}
	for name, values := range header {
		answer.Header[http.CanonicalHeaderKey(name)] = values
	}
	c.Exit(answer)
}

// ExitMessage answers the request with the JSON object {"message": …}. Kong: kong/pdk/response.lua exit with a table
func (c *Context) ExitMessage(status int, message string) {
	if isGRPC(c.Request) {
		c.Exit(Answer{Status: status, Body: []byte{}, Header: http.Header{
			"Content-Type": {"application/grpc"},
			"Grpc-Status":  {strconv.Itoa(grpcStatus(status))},
			"Grpc-Message": {message},
		}})
		return
	}
	c.ExitJSON(status, map[string]string{"message": message})
}

// ExitJSON answers the request with a value as JSON.
func (c *Context) ExitJSON(status int, value any) {
	body, err := EncodeJSON(value)
	if err != nil { // nothing that a plugin makes itself
		c.ExitError(http.StatusInternalServerError, "An unexpected error occurred", nil)
		return
	}
	c.Exit(Answer{Status: status, Header: http.Header{"Content-Type": {JSONType}}, Body: body})
}

// ExitBare answers the request without a body of its own: with Kong's error page for the statuses that Kong has one
// for, else with nginx's, else with nothing. Kong: kong/pdk/response.lua exit; nginx: error_page
func (c *Context) ExitBare(status int) {
	if message, ok := pageMessages[status]; ok {
		prefer := strings.Join(c.Request.Header["Accept"], ",")
		if prefer == "" {
			prefer = c.Request.Header.Get("Content-Type")
		}
		if prefer == "" {
			prefer = "text/plain"
		}
		contentType, page := Page(prefer, message, c.RequestID)
		c.Exit(Answer{Status: status, Source: FromError, Header: http.Header{"Content-Type": {contentType}}, Body: page})
		return
	}
	if title, ok := builtinTitles[status]; ok {
		c.Exit(Answer{Status: status, Header: http.Header{"Content-Type": {"text/html; charset=UTF-8"}}, Body: builtinPage(title)})
		return
	}
	c.Exit(Answer{Status: status, Header: NoContentType(), Body: []byte{}})
}

// NoContentType is a header that keeps net/http from guessing a content type.
func NoContentType() http.Header { return http.Header{"Content-Type": nil} }

// EncodeJSON writes a value as JSON on one line, with <, > and & as they are.
func EncodeJSON(value any) ([]byte, error) {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(out.String(), "\n")), nil
}

// pageMessages are the statuses for which Kong has its own error page. Kong: kong/error_handlers.lua
var pageMessages = map[int]string{
	400: "Bad request",
	404: "Not found",
	405: "Method not allowed",
	408: "Request timeout",
	411: "Length required",
	412: "Precondition failed",
	413: "Payload too large",
	414: "URI too long",
	417: "Expectation failed",
	494: "Request header or cookie too large",
	500: "An unexpected error occurred",
	502: "An invalid response was received from the upstream server",
	503: "The upstream server is currently unavailable",
	504: "The upstream server is timing out",
}

// builtinTitles are the statuses for which nginx has a page of its own. nginx: ngx_http_special_response.c
var builtinTitles = map[int]string{
	301: "301 Moved Permanently",
	302: "302 Found",
	303: "303 See Other",
	307: "307 Temporary Redirect",
	308: "308 Permanent Redirect",
	401: "401 Authorization Required",
	402: "402 Payment Required",
	403: "403 Forbidden",
	406: "406 Not Acceptable",
	409: "409 Conflict",
	410: "410 Gone",
	415: "415 Unsupported Media Type",
	416: "416 Requested Range Not Satisfiable",
	421: "421 Misdirected Request",
	429: "429 Too Many Requests",
	501: "501 Not Implemented",
	505: "505 HTTP Version Not Supported",
	507: "507 Insufficient Storage",
}

func builtinPage(title string) []byte {
	return []byte("<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
}

// isGRPC tells a gRPC call, whose caller reads headers and no page. Kong: kong/pdk/response.lua is_grpc_request
func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// grpcMessages are the names of gRPC's status codes. Kong: kong/pdk/response.lua GRPC_MESSAGES
var grpcMessages = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
	"ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable",
	"DataLoss", "Unauthenticated",
}

// grpcStatus maps a status to gRPC's. Kong: kong/pdk/response.lua HTTP_TO_GRPC_STATUS, send
func grpcStatus(status int) int {
	switch status {
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
	}
	switch {
	case status >= 500:
		return 13
	case status >= 400:
		return 3
	case status >= 200 && status < 300:
		return 0
	default:
		return 2
	}
}
