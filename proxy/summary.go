package proxy

import (
	"net/http"
	"time"
)

// summarize says how the request went, for those who look at it when it is over.
func (x *exchange) summarize(ended time.Time) {
	s := &x.ctx.Summary
	s.Fault, s.Tries = x.fault, x.attempts
	s.Request, s.Upstream, s.Receive = ended.Sub(x.arrived), -1, -1
	s.UpstreamStatus = x.upstreamStatus
	switch {
	case !x.left.IsZero():
		s.UpstreamURI = x.trip.Target
		s.Gateway = x.left.Sub(x.arrived)
		if x.upstreamStatus != 0 {
			s.Upstream = x.answered.Sub(x.left)
			s.Receive = ended.Sub(x.answered)
		}
	case !x.answered.IsZero():
		s.Gateway = x.answered.Sub(x.arrived)
	default:
		s.Gateway = -1
	}
	if x.rt.sizes {
		s.BytesReceived = x.received + x.bodyReceived()
		s.BytesSent = answerHead(x.status, x.w.Header()) + x.written
	}
	x.ctx.Response.Status = x.status
}

// bodyReceived is how many bytes of the request's body came, as far as that is known.
func (x *exchange) bodyReceived() int64 {
	if x.upload != nil {
		return x.upload.n.Load()
	}
	if x.r.ContentLength > 0 {
		return x.r.ContentLength
	}
	body, _ := x.ctx.HeldBody()
	if x.ctx.Outgoing.Body != nil {
		return 0
	}
	return int64(len(body))
}

// requestHead is the length of a request's head as it stands on an HTTP/1 connection.
func requestHead(r *http.Request) int64 {
	n := len(r.Method) + len(" ") + len(r.RequestURI) + len(" HTTP/1.1\r\n") + headerLength(r.Header) + len("\r\n")
	if r.Host != "" {
		n += len("Host: ") + len(r.Host) + len("\r\n")
	}
	return int64(n)
}

// answerHead is the length of an answer's head, without what the server adds: Date, and how the body is framed.
func answerHead(status int, h http.Header) int64 {
	return int64(len("HTTP/1.1 200 ") + len(http.StatusText(status)) + len("\r\n") + headerLength(h) + len("\r\n"))
}

func headerLength(h http.Header) (n int) {
	for name, values := range h {
		for _, value := range values {
			n += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	return n
}
