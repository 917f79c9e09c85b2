package main

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"sidekong/configs/settings"
)

// limits are what a listener grants its clients.
type limits struct {
	header      time.Duration // for a request's head, from its first byte or from the connection's begin
	body        time.Duration // without a byte of a request's body while it is waited for
	send        time.Duration // without a byte of an answer leaving while one waits to
	idle        time.Duration // between two requests
	headerBytes int           // of a request's head: 431 beyond. HTTP/1 has 4 KiB more, the size of a buffer
	lineBytes   int           // of a request line: 414 beyond
}

// clientLimits are those that settings give. nginx takes any number of header lines as long as they fit into its
// buffers; here a head may be twice as long.
func clientLimits(c settings.Clients) limits {
	return limits{
		header: c.Header, body: c.Body, send: c.Send, idle: c.Idle,
		headerBytes: 2 * c.Buffers.Number * c.Buffers.Size, lineBytes: c.Buffers.Size,
	}
}

// uriTooLong is Kong's answer to a request line beyond the limit. Kong: kong/error_handlers.lua
const uriTooLong = "{\n  \"message\":\"URI too long\"\n}"

// guard puts the limits that net/http's server knows nothing of before a handler.
//
// Over HTTP/1 they are deadlines of the connection: those for reading are set here, those for writing by clientConn.
// Over HTTP/2 a connection's deadline would end all its streams, so that each stream's reads and writes are watched.
func (m limits) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hasBody := r.Body != nil && r.Body != http.NoBody
		if r.ProtoMajor == 1 && hasBody {
			body := &deadlineBody{ReadCloser: r.Body, control: http.NewResponseController(w), timeout: m.body}
			body.renew() // net/http may read the body before an answer leaves, whether the handler does or not
			defer body.leave()
			r.Body = body
		}
		if len(r.Method)+len(r.RequestURI)+len(r.Proto)+len("  \r\n") > m.lineBytes {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusRequestURITooLong)
			_, _ = io.WriteString(w, uriTooLong)
			return
		}
		if r.ProtoMajor == 1 {
			if r.ProtoMinor == 0 || len(r.TransferEncoding) > 0 {
				w = &closingWriter{ResponseWriter: w}
			}
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		if hasBody {
			body := &watchedBody{ReadCloser: r.Body}
			body.watch = watch{timeout: m.body, expire: control.SetReadDeadline}
			defer body.watch.stop()
			r.Body = body
		}
		answer := &watchedWriter{ResponseWriter: w}
		answer.watch = watch{timeout: m.send, expire: control.SetWriteDeadline}
		defer answer.watch.stop()
		next.ServeHTTP(answer, r)
		if answer.watch.timer != nil { // what is still buffered leaves after the handler
			_ = control.SetWriteDeadline(time.Now().Add(m.send))
		}
	})
}

// closingWriter ends the connection with the answer. Two kinds of request get it, because net/http silently drops one of
// their two framings: a chunked one may have had a Content-Length as well, one of HTTP/1.0 a Transfer-Encoding. A proxy
// before us that went by the other framing takes different bytes for the next request than we do; so there is none.
// RFC 9112, 6.1
type closingWriter struct {
	http.ResponseWriter
	final bool // the answer's head has been written, not only an informational one
}

func (w *closingWriter) WriteHeader(status int) {
	if status >= 200 && !w.final {
		w.final = true
		w.Header().Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *closingWriter) Write(p []byte) (int, error) {
	if !w.final {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (w *closingWriter) FlushError() error {
	if !w.final {
		w.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *closingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// slack is how much later than its time a deadline may lie: moving it costs as much as a small system call, so it is
// moved once for many reads.
func slack(timeout time.Duration) time.Duration { return timeout / 16 }

// deadlineBody is a request's body over HTTP/1. Reading it fails with os.ErrDeadlineExceeded when nothing comes for
// timeout, or up to a sixteenth longer. At the body's end net/http lifts the deadline, to wait for the client to leave.
type deadlineBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration

	mu   sync.Mutex
	by   time.Time
	left bool // the handler has: the connection is another request's
}

func (b *deadlineBody) Read(p []byte) (int, error) {
	b.renew()
	return b.ReadCloser.Read(p)
}

// leave keeps a transport that still reads from touching the connection after the handler.
func (b *deadlineBody) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
}

func (b *deadlineBody) renew() {
	b.mu.Lock()
	defer b.mu.Unlock()
	want := time.Now().Add(b.timeout)
	if want.After(b.by) && !b.left {
		b.by = want.Add(slack(b.timeout))
		_ = b.control.SetReadDeadline(b.by) // where that fails, the next read does
	}
}

// watch ends a stream's read or write that takes too long.
type watch struct {
	timeout time.Duration
	expire  func(time.Time) error // ends what waits when it is given a time that has passed

	mu      sync.Mutex
	timer   *time.Timer // nil: never begun
	until   time.Time   // zero: nothing waits
	stopped bool
}

func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	w.until = time.Now().Add(w.timeout)
	if w.timer == nil {
		w.timer = time.AfterFunc(w.timeout, w.fire)
	} else {
		w.timer.Reset(w.timeout)
	}
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = time.Time{}
	if w.timer != nil {
		w.timer.Stop()
	}
}

// stop ends watching for good. Once a handler has returned net/http's ResponseWriter must not be used, and a transport
// may still be reading the request's body.
func (w *watch) stop() {
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

// fire may run late, when another wait has begun.
func (w *watch) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); !w.until.IsZero() && !now.Before(w.until) {
		_ = w.expire(now.Add(-time.Second))
	}
}

// watchedBody is a request's body over HTTP/2. Reading it fails with os.ErrDeadlineExceeded when nothing comes in time.
type watchedBody struct {
	io.ReadCloser
	watch watch
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.watch.begin()
	defer b.watch.end()
	return b.ReadCloser.Read(p)
}

// watchedWriter is where an answer over HTTP/2 goes. A client that grants no window in time has its stream reset.
type watchedWriter struct {
	http.ResponseWriter
	watch watch
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	w.watch.begin()
	defer w.watch.end()
	return w.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (w *watchedWriter) FlushError() error {
	w.watch.begin()
	defer w.watch.end()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// clientConn is a client's connection. A Write fails with os.ErrDeadlineExceeded when the client takes no byte for
// send, or up to a sixteenth longer; a deadline that is set from outside stands instead.
type clientConn struct {
	*net.TCPConn
	counts *connections
	send   time.Duration
	close  sync.Once

	mu      sync.Mutex
	by      time.Time // deadline that Write has set
	foreign bool      // a deadline that others set stands
}

func (c *clientConn) Write(p []byte) (int, error) {
	written := 0
	for {
		if err := c.renew(); err != nil {
			return written, err
		}
		n, err := c.TCPConn.Write(p[written:])
		written += n
		if err == nil || n == 0 || !c.mayGoOn(err) {
			return written, err
		}
	}
}

// ReadFrom sends what r has. It is there so that TCPConn's own, which heeds no limit, is not.
func (c *clientConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

func (c *clientConn) renew() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := time.Now().Add(c.send)
	if c.foreign || !want.After(c.by) {
		return nil
	}
	c.by = want.Add(slack(c.send))
	return c.TCPConn.SetWriteDeadline(c.by)
}

// mayGoOn reports whether a Write that failed after it had got rid of some bytes only ran out of our own time.
func (c *clientConn) mayGoOn(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	timeout, ok := err.(net.Error) //nolint:errorlint // TCPConn returns it bare
	return ok && timeout.Timeout() && !c.foreign
}

// SetWriteDeadline implements net.Conn. A zero time gives the deadline back to Write.
func (c *clientConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.foreign, c.by = !t.IsZero(), time.Time{}
	return c.TCPConn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *clientConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *clientConn) Close() error {
	c.close.Do(func() { c.counts.open.Add(-1) })
	return c.TCPConn.Close()
}
