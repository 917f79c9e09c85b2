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
	prefer := strings.Join(c.Request.Header["Accept"], ",")
	if prefer == "" {
		prefer = c.Request.Header.Get("Content-Type")
	}
	c.Exit(BareAnswer(status, prefer, c.RequestID))
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
