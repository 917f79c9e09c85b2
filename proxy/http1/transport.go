// Package http1 sends HTTP/1.1 requests over plain TCP on the goroutine of the
// caller.
//
// net/http's Transport keeps two goroutines per connection, one that writes and
// one that reads, so each request costs two hand-offs between goroutines and
// their scheduling. A reverse proxy already has a goroutine per request that
// waits for the answer. [Transport] uses that one: it takes a connection from
// the pool, writes the request, reads the head of the answer and hands out a
// body that reads on. A connection owns no goroutine. One is started, and ends
// with the request, only where a request's body is long, of unknown length or
// waits for "100 Continue", so that an answer can come while the body leaves.
//
// It is made to sit below [net/http/httputil.ReverseProxy], and behaves as
// net/http's Transport with DisableCompression does, with these differences:
//
//   - Requests with an "https" URL, CONNECT and requests with the
//     deprecated Cancel channel go to Fallback.
//   - A body of at most 16 KiB with a declared length is read entirely before a
//     connection is taken and leaves in one write together with the head. A body
//     that is shorter or longer than declared then reaches no upstream at all.
//   - A body of unknown length is always chunked, also where TransferEncoding
//     says "identity".
//   - Where a final answer comes instead of "100 Continue" the body is not
//     sent and the connection is closed.
//   - Only GET, HEAD, OPTIONS and TRACE without a body are sent again, once and
//     on a new connection, if a connection from the pool turns out to be dead. An
//     Idempotency-Key changes nothing. A request of which the kernel took no byte
//     is sent again whatever its method.
//   - A request target with a space, and header names that differ from Host,
//     Content-Length, Transfer-Encoding or Trailer by case only, are errors.
//   - An answer with a header whose name is no token, such as "Content-Length ", is
//     an error.
//   - An upgrade (101) before the request has left entirely is an error.
//   - Of a [net/http/httptrace.ClientTrace] only Got1xxResponse is called.
package http1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Defaults of a zero Transport.
const (
	DefaultMaxIdlePerHost         = 256
	DefaultIdleTimeout            = 55 * time.Second
	DefaultMaxResponseHeaderBytes = 64 << 10
	DefaultExpectContinueTimeout  = time.Second
)

// Transport is an [http.RoundTripper] for HTTP/1.1 over plain TCP. The zero
// value is ready for use. Its fields must not change after the first request; its
// methods may be called by several goroutines at once.
type Transport struct {
	// Dial opens a connection; nil means a net.Dialer with its defaults. The
	// context ends with the request's or with Trip.ConnectTimeout. Connections
	// that do not implement syscall.Conn serve one request each, because they
	// cannot be examined before they are used again.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// MaxIdlePerHost bounds the idle connections kept for one address; 0 means
	// DefaultMaxIdlePerHost, less than 0 none.
	MaxIdlePerHost int

	// MaxIdle bounds the idle connections over all addresses; beyond it the one
	// that has been idle longest is closed. 0 means no bound.
	MaxIdle int

	// IdleTimeout closes connections that were not used for so long. It should
	// stay below the time after which the upstream closes them. 0 means
	// DefaultIdleTimeout.
	IdleTimeout time.Duration

	// MaxRequestsPerConn closes a connection after so many requests; 0 means no
	// bound.
	MaxRequestsPerConn int

	// MaxResponseHeaderBytes bounds status line and headers of an answer. Informational
	// answers that nobody looks at count too. 0 means DefaultMaxResponseHeaderBytes.
	MaxResponseHeaderBytes int

	// ExpectContinueTimeout is how long a request with "Expect: 100-continue"
	// waits for an answer before its body is sent anyway. 0 means
	// DefaultExpectContinueTimeout.
	ExpectContinueTimeout time.Duration

	// Fallback gets the requests that are not for us; nil makes them fail.
	Fallback http.RoundTripper

	pool pool
}

// Trip is what the caller of [Transport.Do] says and learns about one request. Do sets
// the second half anew, and writes to it only before it returns. The times are monotonic: compare them
// with each other and with time.Now, their wall clock is that of the process's
// start carried forward.
type Trip struct {
	// Target is written as the request target byte for byte; empty means
	// URL.RequestURI(). The fallback gets it as URL.Opaque, which cannot carry
	// a Target that begins with "//"; there the URL stands.
	Target string

	// ConnectTimeout bounds the dial, WriteTimeout each write and ReadTimeout
	// each wait for bytes of the answer, which begins when the request has left
	// entirely. 0 means none. They fire at most a sixteenth of themselves and at most
	// 50 ms late. They do not reach the fallback.
	ConnectTimeout, WriteTimeout, ReadTimeout time.Duration

	// StreamBody sends the body as it comes however short it is.
	StreamBody bool

	Outcome
}

// Outcome is the half of a [Trip] that [Transport.Do] fills in.
type Outcome struct {
	// Fallback says that the fallback carried the request; all other fields
	// are then unset.
	Fallback bool

	// Reused says that the connection had carried a request before.
	Reused bool

	// Wrote says that at least one byte of the request may have reached an
	// upstream, so that only an idempotent request may be sent again.
	Wrote bool

	// BodyTouched says that the request's body has been read from, even if only
	// in part, so that a caller who sends the request again has to provide a new one.
	BodyTouched bool

	// Connected is when the dial ended; zero on a reused connection.
	Connected time.Time

	// RequestSent is when the last byte of the request was handed to the kernel;
	// zero where the answer was there before, or as soon as, that was known.
	RequestSent time.Time

	// HeadersRead is when the head of the final answer had been read.
	HeadersRead time.Time
}

// RoundTrip implements [http.RoundTripper] without time-outs.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var trip Trip
	return t.Do(req, &trip)
}

// Do sends req and returns its answer as [http.RoundTripper] describes. An error
// is an [*Error], or the cause of the context's end where that was the reason and the
// body was not late.
func (t *Transport) Do(req *http.Request, trip *Trip) (*http.Response, error) {
	trip.Outcome = Outcome{}
	if req.URL != nil && !ours(req) {
		return t.fallBack(req, trip)
	}
	ctx := req.Context()
	m, addr, err := t.prepare(ctx, req, trip)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	defer m.free()

	c, err := t.connection(ctx, addr, trip)
	if err != nil {
		if m.stream {
			closeBody(req)
		}
		return nil, err
	}
	res, stale, err := t.try(req, c, m, trip)
	if stale {
		if c, err = t.dial(ctx, addr, trip); err == nil {
			res, _, err = t.try(req, c, m, trip)
		}
	}
	if err != nil && m.stream {
		closeBody(req)
	}
	return res, err
}

// CloseIdleConnections closes the connections that no request uses. Those in use
// are closed when their request ends, unless another request begins before.
func (t *Transport) CloseIdleConnections() {
	t.pool.closeAll()
	if f, ok := t.Fallback.(interface{ CloseIdleConnections() }); ok {
		f.CloseIdleConnections()
	}
}

// ours says whether req can be carried without the fallback.
func ours(req *http.Request) bool {
	return req.URL.Scheme == "http" && req.Method != http.MethodConnect && req.Cancel == nil //nolint:staticcheck // whoever sets it wants it honoured
}

func (t *Transport) fallBack(req *http.Request, trip *Trip) (*http.Response, error) {
	trip.Fallback = true
	if t.Fallback == nil {
		closeBody(req)
		return nil, &Error{Phase: Prepare, Err: fmt.Errorf("no transport for %s %s", req.Method, req.URL.Scheme)}
	}
	if trip.Target != "" && !strings.HasPrefix(trip.Target, "//") {
		req2 := *req
		req2.URL = &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, User: req.URL.User, Opaque: trip.Target}
		req = &req2
	}
	return t.Fallback.RoundTrip(req)
}

// prepare makes everything that needs no connection.
func (t *Transport) prepare(ctx context.Context, req *http.Request, trip *Trip) (*message, string, error) {
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	addr, err := address(req.URL)
	if err != nil {
		return nil, "", &Error{Phase: Prepare, Err: err}
	}
	m, err := newMessage(req, trip)
	if err != nil {
		if ctx.Err() != nil && !lateBody(err) {
			err = context.Cause(ctx)
		}
		return nil, "", err
	}
	return m, addr, nil
}

// address is where to dial for u: its host with a port.
func address(u *url.URL) (string, error) {
	if u == nil || u.Host == "" {
		return "", errors.New("no host in request URL")
	}
	port := u.Port()
	if port != "" && isASCII(u.Host) {
		return u.Host, nil
	}
	name := u.Hostname()
	if ascii, err := httpguts.PunycodeHostPort(name); err == nil {
		name = ascii
	}
	return net.JoinHostPort(name, cmp.Or(port, "80")), nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// connection takes one from the pool or dials.
func (t *Transport) connection(ctx context.Context, addr string, trip *Trip) (*conn, error) {
	if c := t.pool.get(addr, t.idleTimeout()); c != nil {
		trip.Reused = true
		return c, nil
	}
	return t.dial(ctx, addr, trip)
}

var dialer net.Dialer

func (t *Transport) dial(ctx context.Context, addr string, trip *Trip) (*conn, error) {
	trip.Reused = false
	dial := t.Dial
	if dial == nil {
		dial = dialer.DialContext
	}
	dialCtx := ctx
	if trip.ConnectTimeout > 0 {
		var cancel context.CancelFunc
		dialCtx, cancel = context.WithTimeout(ctx, trip.ConnectTimeout)
		defer cancel()
	}
	nc, err := dial(dialCtx, "tcp", addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &Error{Phase: Connect, Err: err}
	}
	trip.Connected = instant(clock())
	return newConn(nc, addr), nil
}

func (t *Transport) idleTimeout() time.Duration {
	return cmp.Or(t.IdleTimeout, DefaultIdleTimeout)
}

func (t *Transport) maxHeaderBytes() int64 {
	return int64(cmp.Or(t.MaxResponseHeaderBytes, DefaultMaxResponseHeaderBytes))
}

// keep returns c to the pool, or closes it where it is not wanted there.
func (t *Transport) keep(c *conn) {
	if c.raw == nil || t.MaxIdlePerHost < 0 || t.MaxRequestsPerConn > 0 && c.uses >= t.MaxRequestsPerConn {
		c.close()
		return
	}
	t.pool.put(c, cmp.Or(t.MaxIdlePerHost, DefaultMaxIdlePerHost), t.MaxIdle, t.idleTimeout())
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
