package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// Options are what a Gateway is made of besides the entities that it serves. They do not change while it runs.
type Options struct {
	Tracer   *tracing.Tracer
	Registry *plugin.Registry
	Resolver *dns.Resolver
	Logger   *slog.Logger

	// Database, if not nil, knows the consumers and credentials; else they are those of the snapshot.
	Database *Database

	TrustedIPs      []netip.Prefix // peers whose forwarding headers are believed
	RealIPHeader    string         // where a trusted peer names the client: X-Real-IP, X-Forwarded-For, …
	RealIPRecursive bool           // of a list of addresses take the last that is not trusted itself
	PortMaps        map[int]int    // listening port → port that clients see

	Headers           Headers // which headers of its own the gateway adds to answers
	UpstreamRequestID bool    // send X-Kong-Request-Id upstream
	AllowDebugHeader  bool    // answer Kong-Debug: 1 with the names of what matched
	Conventions       Conventions
	RedactedQuery     []string // query parameters whose values are never recorded
	MaxBodySize       int64    // bytes of a request's body; 0: no bound

	Keepalive  Keepalive
	RootCAs    *x509.CertPool   // for upstreams' certificates; nil: the system's
	ClientCert *tls.Certificate // shown to upstreams that ask; nil: none

	// Edge is for a listener that strangers reach: the trace of a caller that is not in TrustedIPs is not continued. A
	// new one begins, with a link to the caller's.
	Edge bool
	// ConsumerHeaders is for standing behind a Kong: X-Consumer-ID and X-Consumer-Username of a peer in TrustedIPs name
	// the consumer; those of others are removed.
	ConsumerHeaders bool
	// LongRequest is how long a traced request may take until it is reported while it is still under way; 0: never.
	LongRequest time.Duration

	// Isolate says what becomes of a configuration with an entity that cannot be served. False: it is refused, for
	// somebody has just written it and is told. True: all the rest is served, the fault is logged and one of Faults. Then
	// a route is as if it were not there, requests to a service end with 502, a target gets none, handshakes for an SNI
	// fail, and requests that a plugin would act on end with 500.
	Isolate bool

	// Pause, if not nil, is called again and again while a configuration is compiled, which takes a while where there is much:
	// it may take a rest, in which requests are served.
	Pause func()

	// Observer, if not nil, sees every request when it is complete, after its log phase: the trace is settled, the
	// Summary whole. Plugins fill in Context.Notes then. It may not keep anything of the context.
	Observer func(*plugin.Context)

	// Forward, if not nil, is where every request goes as it came in, path, query, Host header and all, whatever the
	// matched route says: routes only give names to spans. It is for standing in front of a Kong that does the rest,
	// or of one backend.
	Forward *entity.Service
}

// Keepalive are the connections to upstreams that wait for their next request.
type Keepalive struct {
	PoolSize    int           // idle connections for each address; 0: none are kept
	MaxRequests int           // on one connection; 0: no bound
	IdleTimeout time.Duration // 0: no bound
}

// Headers is a set of the headers that the gateway adds to answers. Kong: kong.conf headers
type Headers uint16

// The headers. LatencyTokens and ServerTokens are Kong's names for groups.
const (
	HeaderUpstreamLatency Headers = 1 << iota
	HeaderProxyLatency
	HeaderResponseLatency
	HeaderUpstreamStatus
	HeaderRequestID
	HeaderVia
	HeaderServer

	LatencyTokens  = HeaderUpstreamLatency | HeaderProxyLatency | HeaderResponseLatency
	ServerTokens   = HeaderVia | HeaderServer
	DefaultHeaders = LatencyTokens | ServerTokens | HeaderRequestID
)

// Has reports whether any header of set is in h.
func (h Headers) Has(set Headers) bool { return h&set != 0 }

// Conventions says which names span attributes get.
type Conventions uint8

// Kong's own names, which follow OpenTelemetry's conventions of 2021, and the stable HTTP ones. Both can be set.
const (
	KongConventions Conventions = 1 << iota
	StableConventions
)
