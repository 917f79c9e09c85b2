package http1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
)

// exchange is one request and its answer on one connection. It is the answer's
// body as well, and gives the connection back or closes it exactly once.
type exchange struct {
	t    *Transport
	req  *http.Request
	c    *conn
	up   *upload     // nil where the request left before the answer was waited for
	stop func() bool // stops watching the request's context; nil if that never ends

	res   http.Response // where the head is read by us and not by net/http
	src   io.Reader     // the body as net/http reads it; nil: left bytes of c.br
	left  int64
	keep  bool         // the connection may be used again once the body is read
	state atomic.Int32 // of the body
	end   error        // that Read came to
}

// The states of a body. Close may come while a Read blocks, and has to end it.
const (
	bodyOpen = iota
	bodyReading
	bodyEnded // read to the end, or to an error
	bodyClosed
)

// try sends m on c and reads the head of the answer. stale says that a connection from
// the pool was dead and that the request may be sent again. On error the request's body
// is left to the caller where m.stream still stands.
func (t *Transport) try(req *http.Request, c *conn, m *message, trip *Trip) (res *http.Response, stale bool, err error) {
	c.begin(t.maxHeaderBytes(), trip)
	x := &exchange{t: t, req: req, c: c, keep: !m.close}
	if ctx := req.Context(); ctx.Done() != nil {
		x.stop = context.AfterFunc(ctx, c.abort)
	}
	res, stale, err = x.run(m, trip)
	if err == nil {
		err = x.open(res)
	}
	if err != nil {
		x.abandon()
		return nil, stale, err
	}
	return res, false, nil
}

// run is the story of an exchange up to the head of its final answer.
func (x *exchange) run(m *message, trip *Trip) (res *http.Response, stale bool, err error) {
	n, writeErr := x.c.Write(m.buf)
	trip.Wrote = trip.Wrote || n > 0
	if writeErr != nil {
		if err = x.fail(Write, writeErr); n == 0 || isTimeout(err) {
			return nil, n == 0 && isStale(trip, err), err
		}
		// The upstream may have answered before it closed: read on without the body.
		x.dropBody(m)
	}

	if m.stream && m.expect {
		if res, err = x.awaitContinue(); err != nil {
			return nil, false, err
		}
		if res != nil {
			x.dropBody(m)
		}
	}
	if m.stream {
		trip.BodyTouched = true
		x.up = startUpload(x.c, m, x.req)
		m.stream = false
	} else if writeErr == nil && res == nil {
		trip.RequestSent = instant(clock())
	}

	if res == nil {
		if err = x.awaitAnswer(); err != nil {
			stale = x.up == nil && m.replay && isStale(trip, err)
			if writeErr != nil && !stale {
				err = x.fail(Write, writeErr)
			}
			return nil, stale, err
		}
		if res, err = x.readHead(false); err != nil {
			return nil, false, x.fail(Read, err)
		}
	}
	if x.up != nil && x.up.ended(0) && x.up.err == nil {
		trip.RequestSent = instant(x.up.sent)
	}
	trip.HeadersRead = instant(clock())
	return res, false, nil
}

// awaitAnswer waits for the first byte of an answer.
func (x *exchange) awaitAnswer() error {
	_, err := x.c.br.Peek(1)
	if err == nil {
		return nil
	}
	if err == io.EOF {
		err = errNothingToRead
	}
	return x.fail(Read, err)
}

// dropBody gives up sending the body of m, which ends the use of the connection.
func (x *exchange) dropBody(m *message) {
	if m.stream {
		closeBody(x.req)
	}
	m.stream, x.keep = false, false
}

// abandon ends a failed exchange. It waits a moment for the upload, so that as a rule
// nobody reads the request's body any more when the caller learns of the failure.
func (x *exchange) abandon() {
	if x.stop != nil {
		x.stop()
	}
	x.c.Conn.Close()
	if x.up != nil {
		x.up.ended(uploadGrace)
	}
	x.c.end()
}

// isStale says whether err looks like that of a connection that the upstream had
// given up.
func isStale(trip *Trip, err error) bool {
	var e *Error
	return trip.Reused && errors.As(err, &e) && !e.Timeout() && (e.Phase == Write || e.Phase == Read)
}

func isTimeout(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Timeout()
}

// awaitContinue waits until the upstream wants the body, which it also does by saying
// nothing. It returns the final answer where that came instead.
func (x *exchange) awaitContinue() (*http.Response, error) {
	c := x.c
	wait := cmp.Or(x.t.ExpectContinueTimeout, DefaultExpectContinueTimeout)
	timeout := c.readTimeout
	c.readTimeout = wait
	if timeout > 0 {
		c.readTimeout = min(wait, timeout)
	}
	err := x.awaitAnswer()
	c.readTimeout = timeout
	if isTimeout(err) {
		c.err = nil // the wait for the answer itself is still to come
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	res, err := x.readHead(true)
	if err != nil {
		return nil, x.fail(Read, err)
	}
	return res, nil
}

// readHead reads the head of the final answer and hands on the informational ones
// before it. With until100 it ends at "100 Continue" and returns nil.
func (x *exchange) readHead(until100 bool) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(x.req.Context())
	for {
		res, err := x.parseHead()
		if err != nil {
			return nil, err
		}
		if res.StatusCode < 100 || res.StatusCode > 199 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, nil
		}
		if trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header)); err != nil {
				return nil, err
			}
			x.c.limit = x.t.maxHeaderBytes() // who looks at them bounds them
		}
		if until100 && res.StatusCode == http.StatusContinue {
			return nil, nil
		}
	}
}

// parseHead reads one head. The usual ones are read here, all others by net/http.
func (x *exchange) parseHead() (*http.Response, error) {
	br := x.c.br
	if _, err := br.Peek(1); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if x.req.Method != http.MethodHead {
		buf, _ := br.Peek(br.Buffered())
		if n := parsePlainHead(buf, &x.res); n > 0 {
			_, _ = br.Discard(n) // it is buffered
			x.res.Request = x.req
			return &x.res, nil
		}
	}
	res, err := http.ReadResponse(br, x.req)
	if err != nil {
		if x.c.err != nil && x.c.err != io.EOF {
			err = x.c.err // a line cut off by a time-out or the limit is read as a malformed one
		}
		return nil, err
	}
	// net/http lets names with spaces pass: "Content-Length :" would be a length for others and none for us.
	for name := range res.Header {
		if !validName(name) {
			return nil, fmt.Errorf("invalid header name %q", name)
		}
	}
	return res, nil
}

// open makes res ready for the caller.
func (x *exchange) open(res *http.Response) error {
	c := x.c
	c.limit = math.MaxInt64
	if res.Close || res.StatusCode < 200 {
		x.keep = false
	}
	switch {
	case isUpgrade(res):
		if x.up != nil && (!x.up.ended(uploadGrace) || x.up.err != nil) {
			return &Error{Phase: Read, Err: errEarlyUpgrade}
		}
		if x.stop != nil && !x.stop() {
			return context.Cause(x.req.Context())
		}
		x.stop = nil
		u, err := newUpgraded(c)
		if err != nil {
			return &Error{Phase: Read, Err: err}
		}
		res.Body = u
	case res == &x.res && res.ContentLength > 0:
		x.left = res.ContentLength
		res.Body = x
	case res == &x.res || res.Body == http.NoBody:
		res.Body = http.NoBody
		x.finish(true)
	default:
		x.src = res.Body
		res.Body = x
	}
	return nil
}

// Read reads the answer's body.
func (x *exchange) Read(p []byte) (int, error) {
	if !x.state.CompareAndSwap(bodyOpen, bodyReading) {
		if x.state.Load() == bodyEnded {
			return 0, x.end
		}
		return 0, errBodyClosed
	}
	n, err := x.read(p)
	next := int32(bodyOpen)
	if err != nil {
		next = bodyEnded
		if err != io.EOF {
			err = x.fail(Read, err)
		}
		x.end = err
	}
	closed := !x.state.CompareAndSwap(bodyReading, next)
	if closed && err == nil {
		err = errBodyClosed
	}
	if err != nil {
		x.finish(err == io.EOF && !closed)
	}
	return n, err
}

func (x *exchange) read(p []byte) (int, error) {
	if x.src != nil {
		return x.src.Read(p)
	}
	if int64(len(p)) > x.left {
		p = p[:x.left]
	}
	n, err := x.c.br.Read(p)
	x.left -= int64(n)
	switch {
	case x.left == 0:
		err = io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close ends the exchange. A connection with an unread body is closed, unless the
// rest has come already.
func (x *exchange) Close() error {
	switch x.state.Swap(bodyClosed) {
	case bodyReading:
		x.c.Conn.Close() // the Read finishes
	case bodyOpen:
		complete := x.src == nil && x.left <= int64(x.c.br.Buffered())
		if complete {
			_, _ = x.c.br.Discard(int(x.left)) // it is buffered
		}
		x.finish(complete)
	}
	return nil
}

// finish gives the connection back, if the answer was read completely and nothing
// speaks against using it again, and closes it otherwise.
func (x *exchange) finish(complete bool) {
	c := x.c
	complete = complete && x.keep && c.br.Buffered() == 0
	if x.up != nil && complete {
		complete = x.up.ended(uploadGrace) && x.up.err == nil
	}
	if x.stop != nil && !x.stop() {
		complete = false // the context ended, and the connection with it
	}
	if complete {
		x.t.keep(c)
		return
	}
	c.close()
}

// fail says why err happened: the end of the context and the failure of the body
// close the connection, which then shows as an error of reading or writing.
func (x *exchange) fail(phase Phase, err error) error {
	if ctx := x.req.Context(); ctx.Err() != nil {
		// net/http's server ends the context of a request whose body is late.
		if x.up != nil && x.up.ended(uploadGrace) && x.up.err != nil && lateBody(x.up.err) {
			return x.up.err
		}
		return context.Cause(ctx)
	}
	if x.up != nil && x.up.ended(0) && x.up.err != nil && (x.up.err.Phase == Body || x.up.err.Timeout()) {
		return x.up.err
	}
	return &Error{Phase: phase, Err: err}
}

// lateBody says whether err means that the time for the request's body ran out.
func lateBody(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Phase == Body && e.Timeout()
}
