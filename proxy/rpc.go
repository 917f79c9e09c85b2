package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"sidekong/tracing"
)

// isGRPC reports whether a request is a gRPC call.
func isGRPC(r *http.Request) bool {
	kind := r.Header["Content-Type"]
	return len(kind) > 0 && strings.HasPrefix(kind[0], "application/grpc")
}

// rpcFailed reports whether a status is a server's failure. A client's span counts every status but OK as an error.
// OpenTelemetry semantic conventions, gRPC.
func rpcFailed(status int) bool {
	switch status {
	case 2, 4, 12, 13, 14, 15: // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
		return true
	}
	return false
}

// describeCall adds what a gRPC call is to the spans of the last try and of the request.
func (x *exchange) describeCall() {
	if !x.root.Recording() || x.response == nil || !isGRPC(x.r) {
		return
	}
	path, _, _ := strings.Cut(x.trip.Target, "?")
	service, method := path, ""
	if slash := strings.LastIndexByte(path, '/'); slash >= 0 {
		service, method = strings.TrimPrefix(path[:slash], "/"), path[slash+1:]
	}
	status, known := rpcStatus(x.ctx.Response.Header, x.response.Trailer)
	for _, span := range []tracing.Span{x.root, x.try} {
		to := span.Defaults()
		to.Set("rpc.system", tracing.StringValue("grpc"))
		to.Set("rpc.service", tracing.StringValue(service))
		to.Set("rpc.method", tracing.StringValue(method))
		if known {
			to.Set("rpc.grpc.status_code", tracing.IntValue(int64(status)))
		}
	}
	if !known {
		return
	}
	if status != 0 {
		x.try.SetStatus(tracing.StatusError, "")
	}
	if rpcFailed(status) {
		x.root.SetStatus(tracing.StatusError, "")
		x.gw.options.Conventions.set(x.root.Defaults(), attrErrorType, tracing.StringValue(strconv.Itoa(status)))
	}
}

// rpcStatus is the status of a call: in the trailer, or in the head of an answer that has nothing else.
func rpcStatus(header, trailer http.Header) (status int, known bool) {
	text := trailer.Get("Grpc-Status")
	if text == "" {
		text = header.Get("Grpc-Status")
	}
	status, err := strconv.Atoi(text)
	return status, err == nil
}
