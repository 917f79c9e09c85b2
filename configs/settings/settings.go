// Package settings reads what an operator sets about the program itself: where it listens, what it traces, whom it
// trusts. The names and the meaning are Kong's, so a kong.conf or a set of KONG_ variables written for Kong works.
//
// A setting comes from the first of these that has it: a command-line flag, the environment, kong.conf, the default. In
// the environment the setting proxy_listen is KONG_PROXY_LISTEN; KONG_PROXY_LISTEN_FILE names a file whose content is
// the value. Settings that Kong does not know may also be written SIDEKONG_X, which wins over KONG_X. An empty value
// says nothing of its own and hides what comes after it: the setting has its default, as in Kong.
//
// Every setting that Kong 3.9 publishes is known here: it is honoured, or accepted with one warning that says why it
// means nothing. Whatever else begins with KONG_ is named in a warning, never an error, because Kong ignores it too.
package settings

import (
	"net/netip"
	"time"
)

// Settings is the checked outcome. It is read-only after Parse.
type Settings struct {
	ProxyListen    []Listener // requests to be proxied; none when proxy_listen is off
	AdminListen    []Listener // the Admin API
	AdminGUIListen []Listener // the page
	StatusListen   []Listener // status, readiness and metrics

	DeclarativeConfig       []string // files and folders, in order
	DeclarativeConfigString string   // YAML or JSON; secret, since a configuration holds credentials
	Database                string   // "off", "sqlite", "postgres"; unless set, off where a declarative configuration is given, else sqlite
	Postgres                Postgres
	DBCacheTTL              time.Duration // how long what was asked of the database is remembered; 0 = until it changes
	Prefix                  string        // folder for what the program keeps; may not exist yet

	TracingInstrumentations []string // as given, no repeats: ["off"], or any of the others, "all" and "request" included
	TracingSamplingRate     float64  // 0 to 1
	RedactedQueryParams     []string // names, lower case, whose values http.url and logs do not show

	LogLevel  string // debug, info, notice, warn, error, crit, alert, emerg
	LogFormat string // text, json

	ProxyAccessLog string // file that gets a JSON record of each request; "" = none

	TrustedIPs       []netip.Prefix // peers whose forwarding headers and trace context count; masked, IPv4 never mapped
	RealIPHeader     string         // header that names the client, or "proxy_protocol"
	RealIPRecursive  bool           // search that header past trusted addresses
	PortMaps         map[int]int    // listening port → port that clients see
	Headers          ResponseHeaders
	HeadersUpstream  UpstreamHeaders
	AllowDebugHeader bool // answer "Kong-Debug: 1" with Kong-Route-Id and its like

	RouterFlavor string // "traditional_compatible"
	DNS          DNS

	SSL              []KeyPair // for ssl listeners of proxy_listen; none: the caller makes a self-signed one
	AdminSSL         []KeyPair // the same for admin_listen
	AdminGUISSL      []KeyPair // the same for admin_gui_listen
	StatusSSL        []KeyPair // the same for status_listen
	SSLMinVersion    uint16    // crypto/tls version, from ssl_cipher_suite, or from ssl_protocols where that is custom
	SSLMaxVersion    uint16
	ClientSSL        bool    // offer a certificate to upstreams that ask
	ClientSSLKeyPair KeyPair // zero: none was given

	LuaSSLTrustedCertificate []string // "system", a path, or PEM: authorities to trust
	LuaSSLVerifyDepth        int      // certificates between a peer's and a trusted one

	ClientMaxBodySize      int64 // bytes of a proxied request's body; 0 = no limit
	AdminClientMaxBodySize int64 // bytes of a body sent to the Admin API; 0 = no limit
	Clients                Clients
	UpstreamKeepalive      Keepalive
	ShutdownTimeout        time.Duration // how long requests may take to end after SIGTERM

	MemoryLimit     int64  // bytes that the program may take before it sheds telemetry; 0 = that of GOMEMLIMIT
	QueueStorage    string // "memory", "disk": of the implicit plugin's queue
	TracesStoreSize int64  // bytes of traces that are kept for the page; 0 = none
	TracesStore     string // file that keeps them across restarts; "" = none

	UntrustedLua                   string   // off, sandbox, on
	UntrustedLuaSandboxRequires    []string // modules that sandboxed Lua may require
	UntrustedLuaSandboxEnvironment []string // further globals that sandboxed Lua sees

	// TraceContextTrustedOnly is for a public edge: the trace of a peer that trusted_ips does not name is not
	// continued but linked to.
	TraceContextTrustedOnly bool
	// TrustedConsumerHeaders is for standing behind a Kong: X-Consumer-ID and X-Consumer-Username of a peer that
	// trusted_ips names say who asks.
	TrustedConsumerHeaders bool
	LongRequestReport      time.Duration // requests that last longer are reported while they last; 0 = not
	KongAdmin              KongAdmin

	AdminToken        string // secret; "" = none
	AdminVerifyClient bool   // TLS listeners of the Admin API want a certificate that AdminClientCA has signed
	AdminClientCA     string // a path or PEM
	NodeID            string // a UUID, lower case; "" = the caller makes one

	entries []Entry
}

// KongAdmin is the Admin API of a running Kong whose configuration is read.
type KongAdmin struct {
	Address                               string // URL; "" = none
	Token                                 string // secret; for Kong's RBAC
	Workspace                             string // of Kong Enterprise
	CAFile, CertFile, KeyFile, ServerName string
	Interval                              time.Duration
}

// ResponseHeaders says which headers of Kong's an answer carries.
type ResponseHeaders struct {
	Server, Via                                                  bool
	ProxyLatency, ResponseLatency, UpstreamLatency, AdminLatency bool // X-Kong-…-Latency
	UpstreamStatus                                               bool // X-Kong-Upstream-Status
	RequestID                                                    bool // X-Kong-Request-Id
}

// UpstreamHeaders says which headers of Kong's a request to an upstream carries.
type UpstreamHeaders struct {
	RequestID bool // X-Kong-Request-Id
}

// DNS says how names of upstreams become addresses.
//
// With new_dns_client = on the values come from resolver_*, else from dns_*; Kong reads them the same way.
type DNS struct {
	NewClient   bool             // SRV is asked only for names like _ldap._tcp.example.com, and nothing else for them
	Servers     []netip.AddrPort // none: those of resolv.conf
	HostsFile   string
	Order       []string      // of LAST, SRV, A, AAAA, CNAME
	ValidTTL    time.Duration // replaces every answer's own; 0 = the answer's own
	StaleTTL    time.Duration // how long past its TTL an answer may serve while a new one is fetched
	NotFoundTTL time.Duration // how long "no such name" is remembered
	ErrorTTL    time.Duration // how long any other failure is remembered
	CacheSize   int           // answers
}

// KeyPair is a certificate with its key. Each is a path, or PEM text where it contains "-----BEGIN".
type KeyPair struct {
	Cert, Key string
}

// Postgres is where the database is. Kong: kong.conf pg_*
type Postgres struct {
	Host, User, Password, Database, Schema string // Schema "" = the user's default
	Port                                   int
	Timeout                                time.Duration // for connecting and for a query
	PoolSize                               int           // connections at most; 0 = the database package's own bound
	SSL, SSLRequired, SSLVerify            bool
	SSLKeyPair                             KeyPair // paths; zero: no client certificate
}

// Clients is what proxy listeners grant their clients. nginx: the directives of these names
type Clients struct {
	Header  time.Duration // client_header_timeout: for a request's head
	Body    time.Duration // client_body_timeout: between two reads of a body
	Send    time.Duration // send_timeout: between two writes of an answer
	Idle    time.Duration // keepalive_timeout: between two requests
	Buffers HeaderBuffers
}

// HeaderBuffers bounds a request's head. nginx: large_client_header_buffers
type HeaderBuffers struct {
	Number int
	Size   int // bytes
}

// Keepalive bounds idle connections to upstreams.
type Keepalive struct {
	PoolSize    int           // idle connections per upstream address; 0 = none are kept
	MaxRequests int           // requests before a connection is closed; 0 = no limit
	IdleTimeout time.Duration // 0 = no limit
}

// Entry is one setting as `sidekong settings` shows it.
type Entry struct {
	Key    string // canonical name
	Value  string // as it would stand in kong.conf; masked when Secret; empty when Note is set
	Origin string // "default", "environment KONG_X", "kong.conf:12", "flag --x"
	Secret bool
	Note   string // why the setting has no effect; empty for one that has
}

// Entries gives every honoured setting and every other one that was set, by name.
func (s *Settings) Entries() []Entry { return append([]Entry(nil), s.entries...) }

// Origin says where a setting's value comes from, as in Entry; "" for what is none of the settings.
func (s *Settings) Origin(key string) string {
	for _, e := range s.entries {
		if e.Key == key {
			return e.Origin
		}
	}
	return ""
}

// Warning is something that the operator should know and that stops nothing.
type Warning struct {
	Origin string // as in Entry; "environment" for OTEL_X
	Key    string
	Text   string
}

// String gives one line.
func (w Warning) String() string { return w.Origin + ": " + w.Key + ": " + w.Text }
