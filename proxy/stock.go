package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sidekong/proxy/http1"
	"sidekong/proxy/router"
)

// stock carries what is not plain HTTP/1.1 through net/http's Transport, and tells of the trip as http1 does.
type stock struct {
	http2     bool
	tls       *tls.Config // nil: not encrypted
	keepalive Keepalive
	dial      func(ctx context.Context, network, address string) (net.Conn, error) // nil: the usual one

	mu         sync.Mutex
	transports map[transportKey]*http.Transport
}

// transportKey is what requests have in common that share a transport: the TLS server name, which is the name in the
// Host header, as in Kong (proxy_ssl_name), and the time-outs, which are the service's unless a plugin set others.
type transportKey struct {
	serverName           string
	connect, write, read time.Duration
}

// maxTransports bounds the transports of one service. Where preserve_host lets clients choose the name, one that was
// made earlier goes for each further one.
const maxTransports = 256

func (s *stock) transport(host string, trip *http1.Trip) *http.Transport {
	key := transportKey{connect: trip.ConnectTimeout, write: trip.WriteTimeout, read: trip.ReadTimeout}
	if s.tls != nil {
		key.serverName = router.HostName(host)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.transports[key]; t != nil {
		return t
	}
	if s.transports == nil {
		s.transports = map[transportKey]*http.Transport{}
	}
	if len(s.transports) >= maxTransports {
		for other, t := range s.transports {
			t.CloseIdleConnections()
			delete(s.transports, other)
			break
		}
	}
	t := s.newTransport(key)
	s.transports[key] = t
	return t
}

func (s *stock) newTransport(key transportKey) *http.Transport {
	t := &http.Transport{
		DialContext:            s.dial,
		TLSHandshakeTimeout:    key.connect,
		ResponseHeaderTimeout:  key.read,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    s.keepalive.PoolSize,
		DisableKeepAlives:      s.keepalive.PoolSize == 0,
		IdleConnTimeout:        s.keepalive.IdleTimeout,
		MaxResponseHeaderBytes: http1.DefaultMaxResponseHeaderBytes,
		Protocols:              new(http.Protocols),
	}
	if t.DialContext == nil {
		dialer := &net.Dialer{Timeout: key.connect}
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return pacedConn{conn, key.write}, nil
		}
	}
	if s.tls != nil {
		t.TLSClientConfig = s.tls.Clone()
		t.TLSClientConfig.ServerName = key.serverName
	}
	switch {
	case s.http2 && s.tls == nil:
		t.Protocols.SetUnencryptedHTTP2(true)
	case s.http2:
		t.Protocols.SetHTTP2(true)
	default:
		t.Protocols.SetHTTP1(true)
	}
	return t
}

// pacedConn bounds each write, which net/http's Transport does not.
type pacedConn struct {
	net.Conn
	timeout time.Duration // 0: no bound
}

func (c pacedConn) Write(p []byte) (int, error) {
	if c.timeout > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

func (s *stock) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transports {
		t.CloseIdleConnections()
	}
}

// watch is what the transport's own goroutines note of a try. They may do so after the try is over, so a watch is
// never used again.
type watch struct {
	base               time.Time
	connected, sent    atomic.Int64 // nanoseconds after base; 0: not yet
	got, reused, wrote atomic.Bool
	cancel             context.CancelFunc // called when the answer's body ends; after an upgrade the request's end does
}

func (w *watch) now() int64 { return max(int64(time.Since(w.base)), 1) }

func (w *watch) at(offset int64) time.Time {
	if offset == 0 {
		return time.Time{}
	}
	return w.base.Add(time.Duration(offset))
}

// Do implements doer. Connect and read time-outs are the transport's.
func (s *stock) Do(req *http.Request, trip *http1.Trip) (*http.Response, error) {
	w := &watch{base: time.Now()}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(req.Context())
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			w.got.Store(true)
			w.reused.Store(info.Reused)
			if !info.Reused {
				w.connected.Store(w.now())
			}
		},
		WroteHeaderField: func(string, []string) { w.wrote.Store(true) },
		WroteRequest:     func(httptrace.WroteRequestInfo) { w.sent.Store(w.now()) },
	})
	out := req.WithContext(ctx)
	if trip.Target != "" {
		out.URL = targetURL(req.URL, trip.Target)
	}
	hadBody := req.Body != nil && req.Body != http.NoBody
	res, err := s.transport(req.Host, trip).RoundTrip(out)
	trip.Fallback = true
	trip.Reused, trip.Wrote, trip.BodyTouched = w.reused.Load(), w.wrote.Load(), hadBody && w.got.Load()
	trip.Connected, trip.RequestSent = w.at(w.connected.Load()), w.at(w.sent.Load())
	if err != nil {
		w.cancel()
		return nil, &http1.Error{Phase: phase(err, w), Err: err}
	}
	trip.HeadersRead = time.Now()
	if res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = newTimedBody(res.Body, trip.ReadTimeout, w.cancel)
	}
	return res, nil
}

// timedBody bounds each wait for bytes of a body, which net/http's Transport does not.
type timedBody struct {
	io.ReadCloser
	timeout time.Duration
	timer   *time.Timer // nil: no bound
	late    atomic.Bool
	cancel  context.CancelFunc
}

func newTimedBody(body io.ReadCloser, timeout time.Duration, cancel context.CancelFunc) *timedBody {
	b := &timedBody{ReadCloser: body, timeout: timeout, cancel: cancel}
	if timeout > 0 {
		b.timer = time.AfterFunc(timeout, func() {
			b.late.Store(true)
			cancel()
		})
		b.timer.Stop()
	}
	return b
}

func (b *timedBody) Read(p []byte) (int, error) {
	if b.timer != nil {
		b.timer.Reset(b.timeout)
		defer b.timer.Stop()
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		if b.late.Load() {
			err = os.ErrDeadlineExceeded
		}
		err = &http1.Error{Phase: http1.Read, Err: err}
	}
	return n, err
}

// Close cancels first: over HTTP/2 the transport's own Close waits for the request's body, which may never end where the
// answer came early.
func (b *timedBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// phase says where a request through net/http's Transport failed.
func phase(err error, w *watch) http1.Phase {
	var tooLarge *http.MaxBytesError
	var certificate *tls.CertificateVerificationError
	var dial *net.OpError
	switch {
	case errors.As(err, &tooLarge):
		return http1.Body
	case errors.As(err, &certificate), errors.As(err, &dial) && dial.Op == "dial", !w.got.Load():
		return http1.Connect
	case w.sent.Load() == 0:
		return http1.Write
	default:
		return http1.Read
	}
}

// targetURL makes net/http send a request target as it stands. A target that begins with "//" cannot be opaque.
func targetURL(base *url.URL, target string) *url.URL {
	u := &url.URL{Scheme: base.Scheme, Host: base.Host}
	if !strings.HasPrefix(target, "//") {
		u.Opaque = target
		return u
	}
	path, query, found := strings.Cut(target, "?")
	u.RawPath, u.RawQuery, u.ForceQuery = path, query, found && query == ""
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path = plain
	} else {
		u.Path = path
	}
	return u
}
