package otlp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/klauspost/compress/gzip"
	logscollectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricscollectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	maxAnswer  = 64 << 10 // bytes read of an answer, header and body each
	maxMessage = 200      // characters kept of a receiver's message
)

// An answer is what a transport learned from one post.
type answer struct {
	status     int // 0: none came
	retryAfter string
	rejected   int64  // records, of a partial success
	message    string // the receiver's, made harmless
	at         time.Time
	err        string // why there is no status, made harmless
}

// answerKey finds the *answer in a post's context.
type answerKey struct{}

// A transport carries the library's requests to the endpoint. It decides on everything but the request's body: the
// endpoint as configured to the letter, headers, compression, TLS and time-outs, so that nothing in the environment of
// the process changes them. Answers are read here; the library gets the bare status.
type transport struct {
	endpoint *url.URL
	header   http.Header
	host     string // a configured Host header, or ""
	gzip     bool
	secrets  *strings.Replacer
	body     time.Duration // the time for an answer's body
	http     *http.Transport
}

func newTransport(c Config, endpoint *url.URL) *transport {
	t := &transport{
		endpoint: endpoint,
		header:   http.Header{},
		gzip:     c.Compression == Gzip,
		secrets:  newSecrets(c, endpoint),
		body:     c.ReadTimeout,
	}
	if user := endpoint.User; user != nil {
		password, _ := user.Password()
		r := http.Request{Header: t.header}
		r.SetBasicAuth(user.Username(), password)
	}
	for name, value := range c.Headers {
		t.header.Set(name, value)
	}
	t.host = t.header.Get("Host")
	t.header.Set("Content-Type", "application/x-protobuf")
	t.header.Del("Content-Encoding")
	if t.gzip {
		t.header.Set("Content-Encoding", "gzip")
	}

	connect := c.Dial
	if connect == nil {
		connect = (&net.Dialer{}).DialContext
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
		defer cancel()
		conn, err := connect(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &sendConn{Conn: conn, timeout: c.SendTimeout}, nil
	}
	files := tlsFiles{ca: c.CAFile, cert: c.ClientCertFile, key: c.ClientKeyFile}
	t.http = &http.Transport{
		DialContext: dial,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			config, err := files.config(endpoint.Hostname())
			if err != nil {
				return nil, err
			}
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
			defer cancel()
			secure := tls.Client(conn, config)
			if err := secure.HandshakeContext(ctx); err != nil {
				conn.Close()
				return nil, err
			}
			return secure, nil
		},
		ResponseHeaderTimeout:  c.ReadTimeout,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true, // an answer is too small to be worth it, and unpacking would need a bound
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
	}
	return t
}

// RoundTrip sends the body of r to the endpoint and leaves what came back in the answer of r's context.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	out, _ := r.Context().Value(answerKey{}).(*answer)
	if out == nil {
		return nil, errors.New("round trip: not a post of ours")
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	request, err := t.request(ctx, r)
	if err != nil {
		return nil, err
	}
	response, err := t.http.RoundTrip(request)
	if err != nil {
		out.err = t.secrets.Replace(err.Error())
		return nil, err
	}
	defer response.Body.Close()
	timer := time.AfterFunc(t.body, cancel)
	defer timer.Stop()

	out.at = time.Now()
	out.status = response.StatusCode
	out.retryAfter = response.Header.Get("Retry-After")
	// The status has decided. A body that breaks off or makes no sense changes nothing.
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	var message string
	if response.StatusCode/100 == 2 {
		out.rejected, message = partialSuccess(kind, body)
	} else {
		message = statusMessage(kind, body)
	}
	out.message = t.harmless(message)
	return &http.Response{
		StatusCode: response.StatusCode,
		Status:     response.Status,
		Proto:      response.Proto,
		ProtoMajor: response.ProtoMajor,
		ProtoMinor: response.ProtoMinor,
		Header:     http.Header{},
		Body:       http.NoBody,
		Request:    r,
	}, nil
}

// request makes what is sent out of what the library made.
func (t *transport) request(ctx context.Context, r *http.Request) (*http.Request, error) {
	request := r.Clone(ctx)
	target := *t.endpoint
	target.User = nil
	request.URL = &target
	request.Host = t.host // "": the URL's
	request.Header = t.header.Clone()
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", r.UserAgent())
	}
	if t.gzip {
		body, err := compress(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		request.ContentLength = int64(len(body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		if request.Body, err = request.GetBody(); err != nil {
			return nil, err
		}
	}
	return request, nil
}

var writers = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

func compress(body io.Reader) ([]byte, error) {
	w := writers.Get().(*gzip.Writer)
	defer writers.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	if _, err := io.Copy(w, body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// partialSuccess reads a 2xx answer. What the answers for the signals differ in is a name that JSON alone shows.
func partialSuccess(kind string, body []byte) (rejected int64, message string) {
	switch kind {
	case "application/x-protobuf":
		var m collectorpb.ExportTraceServiceResponse
		if proto.Unmarshal(body, &m) == nil {
			return m.GetPartialSuccess().GetRejectedSpans(), m.GetPartialSuccess().GetErrorMessage()
		}
	case "application/json":
		var spans collectorpb.ExportTraceServiceResponse
		var logs logscollectorpb.ExportLogsServiceResponse
		var metrics metricscollectorpb.ExportMetricsServiceResponse
		lenient := protojson.UnmarshalOptions{DiscardUnknown: true}
		for _, m := range []proto.Message{&spans, &logs, &metrics} {
			if lenient.Unmarshal(body, m) != nil {
				return 0, ""
			}
		}
		rejected = spans.GetPartialSuccess().GetRejectedSpans() + logs.GetPartialSuccess().GetRejectedLogRecords() +
			metrics.GetPartialSuccess().GetRejectedDataPoints()
		return rejected, spans.GetPartialSuccess().GetErrorMessage()
	}
	return 0, ""
}

// statusMessage reads any other answer: the message that OTLP provides for developers. Bodies of another kind are
// no business of ours.
func statusMessage(kind string, body []byte) string {
	var m statuspb.Status
	if kind != "application/x-protobuf" || proto.Unmarshal(body, &m) != nil {
		return ""
	}
	return m.GetMessage()
}

// harmless makes a receiver's text fit for a log line: no secrets, no control characters, not long.
func (t *transport) harmless(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, t.secrets.Replace(text))
	if runes := []rune(text); len(runes) > maxMessage {
		text = string(runes[:maxMessage]) + "…"
	}
	return text
}

// newSecrets replaces what must not be repeated: header values and their words, user information and query of the
// endpoint, should a receiver quote them.
func newSecrets(c Config, endpoint *url.URL) *strings.Replacer {
	var pairs []string
	add := func(secret string) {
		if len(secret) >= 3 { // shorter ones are no secrets and occur everywhere
			pairs = append(pairs, secret, "REDACTED")
		}
	}
	for _, value := range c.Headers {
		add(value)
		for word := range strings.FieldsSeq(value) {
			add(word)
		}
	}
	if user := endpoint.User; user != nil {
		password, _ := user.Password()
		add(user.String())
		add(user.Username())
		add(password)
	}
	add(endpoint.RawQuery)
	for _, values := range endpoint.Query() {
		for _, value := range values {
			add(value)
		}
	}
	return strings.NewReplacer(pairs...)
}

// A sendConn fails when the peer takes nothing for timeout.
type sendConn struct {
	net.Conn
	timeout time.Duration
}

// sendStep is the number of bytes for which the peer has timeout, so that a large post over a slow line does not fail.
const sendStep = 64 << 10

func (c *sendConn) Write(p []byte) (n int, err error) {
	for first := true; first || n < len(p); first = false {
		if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[n:min(n+sendStep, len(p))])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
