package settings

import (
	"path/filepath"
	"strings"
	"time"
)

// key is one honoured setting: a row of the table below.
type key struct {
	name  string
	def   string   // as it would stand in kong.conf; "" = unset. prefix is worked out, see defaultPrefix.
	over  []string // other names of it that win over name, the strongest first
	under []string // other names of it that name wins over
	old   bool     // the names in under are deprecated
	// secret keeps the value out of entries, faults and logs. own marks a setting that Kong does not know.
	secret, own bool
	set         func(d *draft, value string) error // value is trimmed and never empty
}

// draft is Settings in the making, with what has to be put together at the end.
type draft struct {
	Settings
	newDNS                        bool
	legacyDNS, resolver           DNS
	ssl, adminSSL, guiSSL, status certAndKey
	suite                         string
	lowestTLS, highestTLS         uint16
}

type certAndKey struct{ cert, key []string }

// to makes a key's set from a field and the decoder of its type.
func to[T any](field func(*draft) *T, decode func(string) (T, error)) func(*draft, string) error {
	return func(d *draft, value string) error {
		v, err := decode(value)
		if err == nil {
			*field(d) = v
		}
		return err
	}
}

func text(value string) (string, error)    { return value, nil }
func list(value string) ([]string, error)  { return splitList(value), nil }
func pems(value string) ([]string, error)  { return pemOrPaths(value), nil }
func pem(value string) (string, error)     { return pemOrPath(value), nil }
func cleaned(value string) (string, error) { return filepath.Clean(value), nil }
func natural(value string) (int, error)    { return parseInt(value, 0, 1<<31-1) }
func positive(value string) (int, error)   { return parseInt(value, 1, 1<<31-1) }
func port(value string) (int, error)       { return parseInt(value, 1, 65535) }
func anyFamily(value string) ([]string, error) {
	return parseRecordTypes(value, "A", "AAAA", "SRV")
}

func anyRecord(value string) ([]string, error) {
	return parseRecordTypes(value, "LAST", "SRV", "A", "AAAA", "CNAME")
}

// choice decodes an enumeration.
func choice(allowed ...string) func(string) (string, error) {
	return func(value string) (string, error) { return value, oneOf(value, allowed...) }
}

// parameters reads names in lower case; off is none.
func parameters(value string) ([]string, error) {
	if value == "off" {
		return nil, nil
	}
	return splitList(strings.ToLower(value)), nil
}

// keys is every honoured setting. The defaults are Kong's, save where a comment says otherwise.
// Kong: kong/templates/kong_defaults.lua, kong/conf_loader/constants.lua CONF_PARSERS
var keys = []key{
	// Where to listen. Admin API and page answer on loopback only and without TLS, until someone says otherwise.
	{
		name: "proxy_listen", def: "0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384",
		set: to(func(d *draft) *[]Listener { return &d.ProxyListen }, parseListeners),
	},
	{
		name: "admin_listen", def: "127.0.0.1:8001",
		set: to(func(d *draft) *[]Listener { return &d.AdminListen }, parseListeners),
	},
	{
		name: "admin_gui_listen", def: "127.0.0.1:8002",
		set: to(func(d *draft) *[]Listener { return &d.AdminGUIListen }, parseListeners),
	},
	{
		name: "status_listen", def: "127.0.0.1:8007",
		set: to(func(d *draft) *[]Listener { return &d.StatusListen }, parseListeners),
	},

	// What to serve. Kong's default database is postgres; here it is none where a configuration is given, else sqlite.
	{
		name: "database",
		set:  to(func(d *draft) *string { return &d.Database }, choice("off", "sqlite", "postgres")),
	},
	{
		name: "pg_host", def: "127.0.0.1",
		set: to(func(d *draft) *string { return &d.Postgres.Host }, text),
	},
	{
		name: "pg_port", def: "5432",
		set: to(func(d *draft) *int { return &d.Postgres.Port }, port),
	},
	{
		name: "pg_user", def: "kong",
		set: to(func(d *draft) *string { return &d.Postgres.User }, text),
	},
	{
		name: "pg_password", secret: true,
		set: to(func(d *draft) *string { return &d.Postgres.Password }, text),
	},
	{
		name: "pg_database", def: "kong",
		set: to(func(d *draft) *string { return &d.Postgres.Database }, text),
	},
	{
		name: "pg_schema",
		set:  to(func(d *draft) *string { return &d.Postgres.Schema }, text),
	},
	{
		name: "pg_timeout", def: "5000",
		set: to(func(d *draft) *time.Duration { return &d.Postgres.Timeout }, parseMilliseconds),
	},
	{
		name: "pg_pool_size",
		set:  to(func(d *draft) *int { return &d.Postgres.PoolSize }, positive),
	},
	{
		name: "pg_ssl", def: "off",
		set: to(func(d *draft) *bool { return &d.Postgres.SSL }, parseBool),
	},
	{
		name: "pg_ssl_required", def: "off",
		set: to(func(d *draft) *bool { return &d.Postgres.SSLRequired }, parseBool),
	},
	{
		name: "pg_ssl_verify", def: "off",
		set: to(func(d *draft) *bool { return &d.Postgres.SSLVerify }, parseBool),
	},
	{
		name: "pg_ssl_cert",
		set:  to(func(d *draft) *string { return &d.Postgres.SSLKeyPair.Cert }, text),
	},
	{
		name: "pg_ssl_cert_key", secret: true,
		set: to(func(d *draft) *string { return &d.Postgres.SSLKeyPair.Key }, text),
	},
	{
		name: "db_cache_ttl", def: "0",
		set: to(func(d *draft) *time.Duration { return &d.DBCacheTTL }, parseSeconds),
	},
	{
		name: "declarative_config",
		set:  to(func(d *draft) *[]string { return &d.DeclarativeConfig }, list),
	},
	{
		name: "declarative_config_string", secret: true,
		set: to(func(d *draft) *string { return &d.DeclarativeConfigString }, text),
	},
	{
		name: "prefix",
		set:  to(func(d *draft) *string { return &d.Prefix }, cleaned),
	},
	{
		name: "router_flavor", def: "traditional_compatible",
		set: to(func(d *draft) *string { return &d.RouterFlavor }, choice("traditional_compatible")),
	},
	{
		name: "node_id",
		set:  to(func(d *draft) *string { return &d.NodeID }, parseUUID),
	},

	// Tracing is what this program is for: it is on, and every request is traced. In Kong both are the other way.
	{
		name: "tracing_instrumentations", def: "all", under: []string{"opentelemetry_tracing"}, old: true,
		set: to(func(d *draft) *[]string { return &d.TracingInstrumentations }, parseInstrumentations),
	},
	{
		name: "tracing_sampling_rate", def: "1", under: []string{"opentelemetry_tracing_sampling_rate"}, old: true,
		set: to(func(d *draft) *float64 { return &d.TracingSamplingRate }, parseRate),
	},
	{
		name: "redacted_query_params", own: true,
		def: "token, access_token, id_token, refresh_token, api_key, apikey, api-key, password, passwd, pwd, secret, " +
			"client_secret, signature, sig, X-Amz-Signature, X-Amz-Security-Token, X-Amz-Credential, X-Goog-Signature, " +
			"auth, authorization, jwt, session, sessionid",
		set: to(func(d *draft) *[]string { return &d.RedactedQueryParams }, parameters),
	},

	{
		name: "log_level", def: "notice",
		set: to(func(d *draft) *string { return &d.LogLevel },
			choice("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg")),
	},
	{
		name: "proxy_access_log", def: "off", // Kong writes to logs/access.log
		set: to(func(d *draft) *string { return &d.ProxyAccessLog }, text),
	},
	{
		name: "log_format", def: "text", own: true,
		set: to(func(d *draft) *string { return &d.LogFormat }, choice("text", "json")),
	},

	// Whom to believe, and what to tell.
	{
		name: "trusted_ips",
		set:  func(d *draft, value string) (err error) { d.TrustedIPs, err = parseTrusted(value); return err },
	},
	{
		name: "real_ip_header", def: "X-Real-IP", over: []string{"nginx_proxy_real_ip_header"},
		set: to(func(d *draft) *string { return &d.RealIPHeader }, parseHeaderName),
	},
	{
		name: "real_ip_recursive", def: "off", over: []string{"nginx_proxy_real_ip_recursive"},
		set: to(func(d *draft) *bool { return &d.RealIPRecursive }, parseBool),
	},
	{
		name: "port_maps",
		set:  to(func(d *draft) *map[int]int { return &d.PortMaps }, parsePortMaps),
	},
	{
		name: "headers", def: "server_tokens, latency_tokens, X-Kong-Request-Id",
		set: to(func(d *draft) *ResponseHeaders { return &d.Headers }, parseHeaders),
	},
	{
		name: "headers_upstream", def: "X-Kong-Request-Id",
		set: to(func(d *draft) *UpstreamHeaders { return &d.HeadersUpstream }, parseUpstreamHeaders),
	},
	{
		name: "allow_debug_header", def: "off",
		set: to(func(d *draft) *bool { return &d.AllowDebugHeader }, parseBool),
	},
	{
		name: "admin_token", own: true, secret: true,
		set: to(func(d *draft) *string { return &d.AdminToken }, text),
	},

	{
		name: "nginx_admin_ssl_verify_client", def: "off",
		set: to(func(d *draft) *bool { return &d.AdminVerifyClient }, parseBool),
	},
	{
		name: "nginx_admin_ssl_client_certificate",
		set:  to(func(d *draft) *string { return &d.AdminClientCA }, text),
	},

	// Names of upstreams.
	{
		name: "dns_resolver",
		set: func(d *draft, value string) (err error) {
			d.legacyDNS.Servers, err = parseNameservers(value)
			return err
		},
	},
	{
		name: "dns_hostsfile", def: "/etc/hosts",
		set: to(func(d *draft) *string { return &d.legacyDNS.HostsFile }, text),
	},
	{
		name: "dns_order", def: "LAST, SRV, A, CNAME",
		set: to(func(d *draft) *[]string { return &d.legacyDNS.Order }, anyRecord),
	},
	{
		name: "dns_valid_ttl",
		set:  to(func(d *draft) *time.Duration { return &d.legacyDNS.ValidTTL }, parseSeconds),
	},
	{
		name: "dns_stale_ttl", def: "3600",
		set: to(func(d *draft) *time.Duration { return &d.legacyDNS.StaleTTL }, parseSeconds),
	},
	{
		name: "dns_not_found_ttl", def: "30",
		set: to(func(d *draft) *time.Duration { return &d.legacyDNS.NotFoundTTL }, parseSeconds),
	},
	{
		name: "dns_error_ttl", def: "1",
		set: to(func(d *draft) *time.Duration { return &d.legacyDNS.ErrorTTL }, parseSeconds),
	},
	{
		name: "dns_cache_size", def: "10000",
		set: to(func(d *draft) *int { return &d.legacyDNS.CacheSize }, positive),
	},
	{
		name: "new_dns_client", def: "off",
		set: to(func(d *draft) *bool { return &d.newDNS }, parseBool),
	},
	{
		name: "resolver_address",
		set: func(d *draft, value string) (err error) {
			d.resolver.Servers, err = parseNameservers(value)
			return err
		},
	},
	{
		name: "resolver_hosts_file", def: "/etc/hosts",
		set: to(func(d *draft) *string { return &d.resolver.HostsFile }, text),
	},
	{
		name: "resolver_family", def: "A, SRV",
		set: to(func(d *draft) *[]string { return &d.resolver.Order }, anyFamily),
	},
	{
		name: "resolver_valid_ttl",
		set:  to(func(d *draft) *time.Duration { return &d.resolver.ValidTTL }, parseSeconds),
	},
	{
		name: "resolver_stale_ttl", def: "3600",
		set: to(func(d *draft) *time.Duration { return &d.resolver.StaleTTL }, parseSeconds),
	},
	{
		name: "resolver_error_ttl", def: "1",
		set: to(func(d *draft) *time.Duration { return &d.resolver.ErrorTTL }, parseSeconds),
	},
	{
		name: "resolver_lru_cache_size", def: "10000",
		set: to(func(d *draft) *int { return &d.resolver.CacheSize }, positive),
	},

	// TLS.
	{
		name: "ssl_cert",
		set:  to(func(d *draft) *[]string { return &d.ssl.cert }, pems),
	},
	{
		name: "ssl_cert_key", secret: true,
		set: to(func(d *draft) *[]string { return &d.ssl.key }, pems),
	},
	{
		name: "admin_ssl_cert",
		set:  to(func(d *draft) *[]string { return &d.adminSSL.cert }, pems),
	},
	{
		name: "admin_ssl_cert_key", secret: true,
		set: to(func(d *draft) *[]string { return &d.adminSSL.key }, pems),
	},
	{
		name: "admin_gui_ssl_cert",
		set:  to(func(d *draft) *[]string { return &d.guiSSL.cert }, pems),
	},
	{
		name: "admin_gui_ssl_cert_key", secret: true,
		set: to(func(d *draft) *[]string { return &d.guiSSL.key }, pems),
	},
	{
		name: "status_ssl_cert",
		set:  to(func(d *draft) *[]string { return &d.status.cert }, pems),
	},
	{
		name: "status_ssl_cert_key", secret: true,
		set: to(func(d *draft) *[]string { return &d.status.key }, pems),
	},
	{
		name: "ssl_cipher_suite", def: "intermediate",
		set: to(func(d *draft) *string { return &d.suite }, choice("modern", "intermediate", "old", "fips", "custom")),
	},
	{
		name: "ssl_protocols", def: "TLSv1.2 TLSv1.3",
		set: func(d *draft, value string) (err error) {
			d.lowestTLS, d.highestTLS, err = parseProtocols(value)
			return err
		},
	},
	{
		name: "client_ssl", def: "off",
		set: to(func(d *draft) *bool { return &d.ClientSSL }, parseBool),
	},
	{
		name: "client_ssl_cert",
		set:  to(func(d *draft) *string { return &d.ClientSSLKeyPair.Cert }, pem),
	},
	{
		name: "client_ssl_cert_key", secret: true,
		set: to(func(d *draft) *string { return &d.ClientSSLKeyPair.Key }, pem),
	},
	{
		name: "lua_ssl_trusted_certificate", def: "system",
		set: to(func(d *draft) *[]string { return &d.LuaSSLTrustedCertificate }, pems),
	},
	{
		name: "lua_ssl_verify_depth", def: "1",
		set: to(func(d *draft) *int { return &d.LuaSSLVerifyDepth }, natural),
	},

	// Bounds. client_max_body_size is nginx's own name of it, which Kong itself does not read.
	{
		name: "nginx_http_client_max_body_size", def: "0",
		over: []string{"nginx_proxy_client_max_body_size"}, under: []string{"client_max_body_size"},
		set: to(func(d *draft) *int64 { return &d.ClientMaxBodySize }, parseSize),
	},
	{
		name: "nginx_admin_client_max_body_size", def: "10m",
		set: to(func(d *draft) *int64 { return &d.AdminClientMaxBodySize }, parseSize),
	},
	{
		name: "nginx_http_client_header_timeout", def: "60s", over: []string{"nginx_proxy_client_header_timeout"},
		set: to(func(d *draft) *time.Duration { return &d.Clients.Header }, parseTime),
	},
	{
		name: "nginx_http_client_body_timeout", def: "60s", over: []string{"nginx_proxy_client_body_timeout"},
		set: to(func(d *draft) *time.Duration { return &d.Clients.Body }, parseTime),
	},
	{
		name: "nginx_http_send_timeout", def: "60s", over: []string{"nginx_proxy_send_timeout"},
		set: to(func(d *draft) *time.Duration { return &d.Clients.Send }, parseTime),
	},
	{
		name: "nginx_http_keepalive_timeout", def: "75s", over: []string{"nginx_proxy_keepalive_timeout"},
		set: to(func(d *draft) *time.Duration { return &d.Clients.Idle }, parseTime),
	},
	{
		name: "nginx_http_large_client_header_buffers", def: "4 8k",
		over: []string{"nginx_proxy_large_client_header_buffers"},
		set:  to(func(d *draft) *HeaderBuffers { return &d.Clients.Buffers }, parseHeaderBuffers),
	},
	{
		name: "sidekong_memory_limit", def: "0", own: true,
		set: to(func(d *draft) *int64 { return &d.MemoryLimit }, parseSize),
	},
	{
		name: "queue_storage", def: "memory", own: true,
		set: to(func(d *draft) *string { return &d.QueueStorage }, choice("memory", "disk")),
	},
	{
		name: "traces_store_size", def: "64m", own: true,
		set: to(func(d *draft) *int64 { return &d.TracesStoreSize }, parseSize),
	},
	{
		name: "traces_store", own: true,
		set: to(func(d *draft) *string { return &d.TracesStore }, text),
	},
	{
		name: "upstream_keepalive_pool_size", def: "512",
		set: to(func(d *draft) *int { return &d.UpstreamKeepalive.PoolSize }, natural),
	},
	{
		name: "upstream_keepalive_max_requests", def: "10000",
		set: to(func(d *draft) *int { return &d.UpstreamKeepalive.MaxRequests }, natural),
	},
	{
		name: "upstream_keepalive_idle_timeout", def: "60",
		set: to(func(d *draft) *time.Duration { return &d.UpstreamKeepalive.IdleTimeout }, parseSeconds),
	},
	{
		name: "shutdown_timeout", def: "8", own: true,
		set: to(func(d *draft) *time.Duration { return &d.ShutdownTimeout }, parseSeconds),
	},

	{
		name: "trace_context_trusted_only", def: "off", own: true,
		set: to(func(d *draft) *bool { return &d.TraceContextTrustedOnly }, parseBool),
	},
	{
		name: "trusted_consumer_headers", def: "off", own: true,
		set: to(func(d *draft) *bool { return &d.TrustedConsumerHeaders }, parseBool),
	},
	{
		name: "long_request_report", def: "0", own: true,
		set: to(func(d *draft) *time.Duration { return &d.LongRequestReport }, parseSeconds),
	},

	// A Kong that is read.
	{
		name: "kong_admin", own: true,
		set: to(func(d *draft) *string { return &d.KongAdmin.Address }, parseHTTPURL),
	},
	{
		name: "kong_admin_token", own: true, secret: true,
		set: to(func(d *draft) *string { return &d.KongAdmin.Token }, text),
	},
	{
		name: "kong_admin_workspace", own: true,
		set: to(func(d *draft) *string { return &d.KongAdmin.Workspace }, text),
	},
	{
		name: "kong_admin_ca_cert", own: true,
		set: to(func(d *draft) *string { return &d.KongAdmin.CAFile }, text),
	},
	{
		name: "kong_admin_client_cert", own: true,
		set: to(func(d *draft) *string { return &d.KongAdmin.CertFile }, text),
	},
	{
		name: "kong_admin_client_cert_key", own: true,
		set: to(func(d *draft) *string { return &d.KongAdmin.KeyFile }, text),
	},
	{
		name: "kong_admin_server_name", own: true,
		set: to(func(d *draft) *string { return &d.KongAdmin.ServerName }, text),
	},
	{
		name: "kong_admin_interval", def: "10", own: true,
		set: to(func(d *draft) *time.Duration { return &d.KongAdmin.Interval }, parseSeconds),
	},

	// Lua.
	{
		name: "untrusted_lua", def: "sandbox",
		set: to(func(d *draft) *string { return &d.UntrustedLua }, choice("off", "sandbox", "on")),
	},
	{
		name: "untrusted_lua_sandbox_requires",
		set:  to(func(d *draft) *[]string { return &d.UntrustedLuaSandboxRequires }, list),
	},
	{
		name: "untrusted_lua_sandbox_environment",
		set:  to(func(d *draft) *[]string { return &d.UntrustedLuaSandboxEnvironment }, list),
	},
}

// names gives all names of a setting, the strongest first.
func (k *key) names() []string {
	names := append([]string(nil), k.over...)
	names = append(names, k.name)
	return append(names, k.under...)
}

// honoured finds a setting by any of its names.
var honoured = func() map[string]*key {
	byName := make(map[string]*key)
	for i := range keys {
		for _, name := range keys[i].names() {
			byName[name] = &keys[i]
		}
	}
	return byName
}()

// defaultPrefix is sidekong under the user's folder for state, or under the one for temporary files where there is no
// user. Kong's, /usr/local/kong, would be shared with a Kong on the same machine.
func defaultPrefix(environ []string) string {
	if dir := getenv(environ, "XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "sidekong")
	}
	if dir := getenv(environ, "HOME"); filepath.IsAbs(dir) && dir != "/" {
		return filepath.Join(dir, ".local", "state", "sidekong")
	}
	if dir := getenv(environ, "TMPDIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "sidekong")
	}
	return "/tmp/sidekong"
}

// getenv finds a variable in a list as os.Environ gives it; the first one counts.
func getenv(environ []string, name string) string {
	for _, entry := range environ {
		if n, value, ok := strings.Cut(entry, "="); ok && n == name {
			return value
		}
	}
	return ""
}
