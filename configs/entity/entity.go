// Package entity holds Kong's configuration entities (services, routes, upstreams, targets, plugins, consumers,
// certificates and credentials) with the defaults, the rules and the error texts of Kong Gateway 3.9.
//
// An entity has two shapes. As an Object it is what JSON or YAML said: field names to values; a Schema fills in its
// defaults and checks it. As a struct (Service, Route, …) it is what the proxy works with: read-only, every default
// present, decoded from a checked Object.
package entity

// Object is an entity or a record as JSON gives it. Values are nil (an explicit null), bool, float64, string,
// []any and Object (map[string]any). A missing key and a nil value differ, as they do in Kong.
type Object = map[string]any

// Ref points to another entity by its id.
type Ref struct {
	ID string `json:"id"`
}

// Meta is what every entity has.
type Meta struct {
	ID        string   `json:"id"`
	Tags      []string `json:"tags"`
	CreatedAt int64    `json:"created_at"` // seconds since 1970
	UpdatedAt int64    `json:"updated_at"` // seconds since 1970
}

// Service is a backend that routes lead to. Kong: kong/db/schema/entities/services.lua
type Service struct {
	Meta
	Name              string   `json:"name"`
	Enabled           bool     `json:"enabled"`
	Protocol          string   `json:"protocol"` // http, https, grpc, grpcs, tcp, tls, udp, tls_passthrough, ws, wss
	Host              string   `json:"host"`     // a name, an address, or the name of an Upstream
	Port              int      `json:"port"`
	Path              string   `json:"path"` // "" when unset
	Retries           int      `json:"retries"`
	ConnectTimeout    int      `json:"connect_timeout"` // milliseconds
	WriteTimeout      int      `json:"write_timeout"`   // milliseconds
	ReadTimeout       int      `json:"read_timeout"`    // milliseconds
	ClientCertificate *Ref     `json:"client_certificate"`
	TLSVerify         *bool    `json:"tls_verify"`
	TLSVerifyDepth    *int     `json:"tls_verify_depth"`
	CACertificates    []string `json:"ca_certificates"` // ids
}

// Route says which requests go to which service. Kong: kong/db/schema/entities/routes.lua
//
// A nil list was not set; an empty one was set to [] and that can matter to the router.
type Route struct {
	Meta
	Name                    string              `json:"name"`
	Protocols               []string            `json:"protocols"`
	Methods                 []string            `json:"methods"`
	Hosts                   []string            `json:"hosts"`
	Paths                   []string            `json:"paths"` // regular expressions begin with ~
	Headers                 map[string][]string `json:"headers"`
	SNIs                    []string            `json:"snis"`
	Sources                 []CIDRPort          `json:"sources"`
	Destinations            []CIDRPort          `json:"destinations"`
	HTTPSRedirectStatusCode int                 `json:"https_redirect_status_code"`
	RegexPriority           int64               `json:"regex_priority"`
	StripPath               bool                `json:"strip_path"`
	PathHandling            string              `json:"path_handling"`
	PreserveHost            bool                `json:"preserve_host"`
	RequestBuffering        bool                `json:"request_buffering"`
	ResponseBuffering       bool                `json:"response_buffering"`
	Service                 *Ref                `json:"service"` // nil: a route without a service
}

// CIDRPort is one source or destination of a stream route.
type CIDRPort struct {
	IP   string `json:"ip"`
	Port int    `json:"port"`
}

// Upstream is a set of targets behind one name. Kong: kong/db/schema/entities/upstreams.lua
type Upstream struct {
	Meta
	Name                   string       `json:"name"`
	Algorithm              string       `json:"algorithm"` // round-robin, least-connections, consistent-hashing, latency
	HashOn                 string       `json:"hash_on"`   // none, consumer, ip, header, cookie, path, query_arg, uri_capture
	HashFallback           string       `json:"hash_fallback"`
	HashOnHeader           string       `json:"hash_on_header"`
	HashFallbackHeader     string       `json:"hash_fallback_header"`
	HashOnCookie           string       `json:"hash_on_cookie"`
	HashOnCookiePath       string       `json:"hash_on_cookie_path"`
	HashOnQueryArg         string       `json:"hash_on_query_arg"`
	HashFallbackQueryArg   string       `json:"hash_fallback_query_arg"`
	HashOnURICapture       string       `json:"hash_on_uri_capture"`
	HashFallbackURICapture string       `json:"hash_fallback_uri_capture"`
	Slots                  int          `json:"slots"`
	HealthChecks           HealthChecks `json:"healthchecks"`
	HostHeader             string       `json:"host_header"`
	ClientCertificate      *Ref         `json:"client_certificate"`
	UseSRVName             bool         `json:"use_srv_name"`
}

// HealthChecks are an upstream's active and passive checks.
type HealthChecks struct {
	Threshold float64      `json:"threshold"` // percent of the upstream's weight that must be healthy
	Active    ActiveCheck  `json:"active"`
	Passive   PassiveCheck `json:"passive"`
}

// ActiveCheck probes targets on a schedule.
type ActiveCheck struct {
	Type                   string              `json:"type"`    // http, https, tcp, grpc, grpcs
	Timeout                float64             `json:"timeout"` // seconds
	Concurrency            int                 `json:"concurrency"`
	HTTPPath               string              `json:"http_path"`
	HTTPSSNI               string              `json:"https_sni"`
	HTTPSVerifyCertificate bool                `json:"https_verify_certificate"`
	Headers                map[string][]string `json:"headers"`
	Healthy                HealthyRule         `json:"healthy"`
	Unhealthy              UnhealthyRule       `json:"unhealthy"`
}

// PassiveCheck learns from the traffic itself.
type PassiveCheck struct {
	Type      string        `json:"type"`
	Healthy   HealthyRule   `json:"healthy"`
	Unhealthy UnhealthyRule `json:"unhealthy"`
}

// HealthyRule says what makes a target healthy. Interval (seconds) is used by active checks alone; 0 is off.
type HealthyRule struct {
	Interval     float64 `json:"interval"`
	HTTPStatuses []int   `json:"http_statuses"`
	Successes    int     `json:"successes"`
}

// UnhealthyRule says what makes a target unhealthy. Interval (seconds) is used by active checks alone; 0 is off.
type UnhealthyRule struct {
	Interval     float64 `json:"interval"`
	HTTPStatuses []int   `json:"http_statuses"`
	HTTPFailures int     `json:"http_failures"`
	TCPFailures  int     `json:"tcp_failures"`
	Timeouts     int     `json:"timeouts"`
}

// Target is one address of an upstream. Kong: kong/db/schema/entities/targets.lua
type Target struct {
	Meta
	Upstream Ref    `json:"upstream"`
	Target   string `json:"target"` // host:port
	Weight   int    `json:"weight"` // 0 takes it out
}

// Plugin is one configured instance of a plugin. Kong: kong/db/schema/entities/plugins.lua
type Plugin struct {
	Meta
	Name         string   `json:"name"`
	InstanceName string   `json:"instance_name"`
	Enabled      bool     `json:"enabled"`
	Protocols    []string `json:"protocols"`
	Service      *Ref     `json:"service"`
	Route        *Ref     `json:"route"`
	Consumer     *Ref     `json:"consumer"`
	Config       Object   `json:"config"` // checked by the plugin's own schema, defaults filled in
}

// Consumer is somebody who calls. Kong: kong/db/schema/entities/consumers.lua
type Consumer struct {
	Meta
	Username string `json:"username"`
	CustomID string `json:"custom_id"`
}

// Certificate is a certificate with its key, and a second pair of another key type if there is one.
type Certificate struct {
	Meta
	Cert    string `json:"cert"`
	Key     string `json:"key"`
	CertAlt string `json:"cert_alt"`
	KeyAlt  string `json:"key_alt"`
}

// CACertificate is a certificate that upstream servers are verified with.
type CACertificate struct {
	Meta
	Cert       string `json:"cert"`
	CertDigest string `json:"cert_digest"` // SHA-256 of the DER form, hexadecimal
}

// SNI maps a server name to a certificate.
type SNI struct {
	Meta
	Name        string `json:"name"`
	Certificate Ref    `json:"certificate"`
}

// KeyAuthCredential is a consumer's API key.
type KeyAuthCredential struct {
	Meta
	Consumer Ref    `json:"consumer"`
	Key      string `json:"key"`
	TTL      *int64 `json:"ttl"` // seconds
}

// BasicAuthCredential is a consumer's user name with its password's digest.
type BasicAuthCredential struct {
	Meta
	Consumer Ref    `json:"consumer"`
	Username string `json:"username"`
	Password string `json:"password"`
}
