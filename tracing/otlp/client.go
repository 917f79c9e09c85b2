package otlp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/proto"
)

// ScopeName is the instrumentation scope of whatever Config gives no other. Kong: kong/observability/otlp/init.lua
const ScopeName = "kong-internal"

// Compression of posts.
type Compression string

// The compressions there are.
const (
	None Compression = "none" // also ""
	Gzip Compression = "gzip"
)

// Config says where and how records are posted. What the environment says (OTEL_EXPORTER_OTLP_*, HTTP_PROXY) changes
// nothing of it.
type Config struct {
	Signal Signal
	Scope  string // the instrumentation scope; "": ScopeName
	// Endpoint is the URL posts go to, http or https, path and query used as they stand. User information in it
	// becomes basic authentication.
	Endpoint string
	// Headers are added to each post. Content-Type, Content-Encoding and Content-Length cannot be changed.
	Headers     map[string]string
	Compression Compression
	// ConnectTimeout bounds connecting and, once more, a TLS handshake (0: 1 s); SendTimeout is how long the receiver
	// may take nothing of a post (0: 5 s); ReadTimeout bounds the wait for an answer's header and, once more, its body
	// (0: 5 s).
	ConnectTimeout time.Duration
	SendTimeout    time.Duration
	ReadTimeout    time.Duration
	// CAFile holds the certificates that the receiver's is checked against ("": the system's); ClientCertFile and
	// ClientKeyFile hold ours ("": none). All are PEM, and read again for each new connection.
	CAFile         string
	ClientCertFile string
	ClientKeyFile  string
	Resource       Resource
	// Dial connects to the receiver, instead of net.Dialer; address is its host, a name or an IP, and port.
	Dial func(ctx context.Context, network, address string) (net.Conn, error) `json:"-"`
}

// Client posts frames as OTLP over HTTP, protobuf-encoded, on connections that are kept alive. It may be used by several
// goroutines at once. OpenTelemetry's client for traces carries logs and metrics too: their messages have the same shape.
type Client struct {
	signal    Signal
	library   otlptrace.Client
	transport *transport
	host      string
	resource  *resourcepb.Resource
	scope     *commonpb.InstrumentationScope
}

// NewClient checks c and makes a client. Nothing is sent yet; TLS files must be readable.
func NewClient(c Config) (*Client, error) {
	endpoint, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("make OTLP client: %w", err)
	}
	for name, value := range c.Headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("make OTLP client: header %q is not valid", name)
		}
	}
	switch c.Compression {
	case "", None, Gzip:
	default:
		return nil, fmt.Errorf("make OTLP client: compression %q is unknown, allowed are none and gzip", c.Compression)
	}
	if endpoint.Scheme == "https" {
		files := tlsFiles{ca: c.CAFile, cert: c.ClientCertFile, key: c.ClientKeyFile}
		if _, err := files.config(endpoint.Hostname()); err != nil {
			return nil, fmt.Errorf("make OTLP client: %w", err)
		}
	}
	c.ConnectTimeout = orDefault(c.ConnectTimeout, time.Second)
	c.SendTimeout = orDefault(c.SendTimeout, 5*time.Second)
	c.ReadTimeout = orDefault(c.ReadTimeout, 5*time.Second)
	t := newTransport(c, endpoint)
	return &Client{
		signal:    c.Signal,
		library:   newLibraryClient(t),
		transport: t,
		host:      endpoint.Host,
		resource:  c.Resource.message(),
		scope:     &commonpb.InstrumentationScope{Name: cmp.Or(c.Scope, ScopeName)},
	}, nil
}

// newLibraryClient makes otlptracehttp's client with every option set that it would otherwise take from the
// environment. The address is a stand-in: t knows the real one.
func newLibraryClient(t *transport) otlptrace.Client {
	return otlptracehttp.NewClient(
		otlptracehttp.WithEndpointURL("http://receiver/"),
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf),
		otlptracehttp.WithCompression(otlptracehttp.NoCompression),
		otlptracehttp.WithHeaders(nil),
		otlptracehttp.WithTLSClientConfig(nil),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}),
		otlptracehttp.WithMaxRequestSize(0), // the queue bounds posts
		otlptracehttp.WithHTTPClient(&http.Client{
			Transport:     t,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
	)
}

// Send posts n frames and waits for the answer. Without an error the receiver has accepted them but for the rejected
// ones; so it has when the error says Accepted, which then tells what the receiver had to say. An error is an *Error
// unless ctx has ended. Of metrics a receiver rejects data points: as many metrics are counted, at most all.
func (c *Client) Send(ctx context.Context, frames []byte, n int) (rejected int64, err error) {
	return c.send(ctx, c.resource, frames, n)
}

// SendWithHead is Send for records of another resource: head is its Bytes.
func (c *Client) SendWithHead(ctx context.Context, head, frames []byte, n int) (rejected int64, err error) {
	resource := &resourcepb.Resource{}
	if err := proto.Unmarshal(head, resource); err != nil {
		resource = c.resource // better from here than not at all
	}
	return c.send(ctx, resource, frames, n)
}

func (c *Client) send(ctx context.Context, resource *resourcepb.Resource, frames []byte, n int) (rejected int64, err error) {
	var all []*tracepb.ResourceSpans
	for _, part := range byResource(frames) {
		records := &tracepb.ScopeSpans{Scope: c.scope}
		records.ProtoReflect().SetUnknown(part.frames)
		of, err := extend(resource, part.attributes)
		if err != nil {
			return 0, fmt.Errorf("post %s to %s: %w", c.signal.Records(), c.host, err)
		}
		all = append(all, &tracepb.ResourceSpans{Resource: of, ScopeSpans: []*tracepb.ScopeSpans{records}})
	}
	var a answer
	err = c.library.UploadTraces(context.WithValue(ctx, answerKey{}, &a), all)
	switch {
	case a.status/100 == 2:
		rejected = min(max(a.rejected, 0), int64(n))
		if a.message != "" {
			return rejected, &Error{Status: a.status, text: fmt.Sprintf("post %s to %s: %d of %d rejected: %s",
				c.signal.Records(), c.host, rejected, n, a.message)}
		}
		return rejected, nil
	case a.status != 0:
		return 0, statusError(c.signal, c.host, &a)
	case ctx.Err() != nil:
		return 0, fmt.Errorf("post %s to %s: %w", c.signal.Records(), c.host, ctx.Err())
	case a.err != "":
		return 0, &Error{text: fmt.Sprintf("post %s to %s: %s", c.signal.Records(), c.host, a.err)}
	default:
		return 0, fmt.Errorf("post %s to %s: %w", c.signal.Records(), c.host, err)
	}
}

// Close closes idle connections. Posts in flight end by themselves.
func (c *Client) Close() { c.transport.http.CloseIdleConnections() }

// parseEndpoint checks the URL. Its errors do not repeat it, since it may hold a password.
func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, errors.New("endpoint is not a URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("endpoint is not a URL with the scheme http or https")
	}
	if u.Hostname() == "" {
		return nil, errors.New("endpoint has no host")
	}
	return u, nil
}

func orDefault(d, standard time.Duration) time.Duration {
	if d <= 0 {
		return standard
	}
	return d
}
