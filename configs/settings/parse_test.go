package settings

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// files is a ReadFile over a map.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	data, ok := f[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(data), nil
}

// source makes a Source of a kong.conf, an environment and flags.
func source(conf string, environ []string, flags map[string]string) Source {
	src := Source{Flags: flags, Environ: environ}
	contents := files{"kong.conf": conf, "/run/secret": "s3cret\n", "/run/level": "debug\n", "/run/empty": "\n"}
	if conf != "" {
		src.File = "kong.conf"
	}
	src.ReadFile = contents.read
	return src
}

func warningLines(warnings []Warning) string {
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.String())
	}
	return strings.Join(lines, "\n")
}

func entryOf(t *testing.T, s *Settings, key string) Entry {
	t.Helper()
	for _, e := range s.Entries() {
		if e.Key == key {
			return e
		}
	}
	t.Fatalf("no entry for %s", key)
	return Entry{}
}

func TestDefaults(t *testing.T) {
	got, warnings, err := Parse(Source{Environ: []string{"HOME=/home/a"}})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("got error %v, warnings %v, want neither", err, warnings)
	}
	want := &Settings{
		ProxyListen: []Listener{
			{Address: "0.0.0.0:8000", ReusePort: true, Backlog: 16384},
			{Address: "0.0.0.0:8443", SSL: true, HTTP2: true, ReusePort: true, Backlog: 16384},
		},
		AdminListen:             []Listener{{Address: "127.0.0.1:8001"}},
		AdminGUIListen:          []Listener{{Address: "127.0.0.1:8002"}},
		StatusListen:            []Listener{{Address: "127.0.0.1:8007"}},
		Database:                "sqlite",
		Postgres:                Postgres{Host: "127.0.0.1", Port: 5432, User: "kong", Database: "kong", Timeout: 5 * time.Second},
		Prefix:                  "/home/a/.local/state/sidekong",
		TracingInstrumentations: []string{"all"},
		TracingSamplingRate:     1,
		RedactedQueryParams: []string{
			"token", "access_token", "id_token", "refresh_token", "api_key", "apikey", "api-key", "password", "passwd",
			"pwd", "secret", "client_secret", "signature", "sig", "x-amz-signature", "x-amz-security-token",
			"x-amz-credential", "x-goog-signature", "auth", "authorization", "jwt", "session", "sessionid",
		},
		LogLevel:     "notice",
		LogFormat:    "text",
		RealIPHeader: "X-Real-IP",
		Headers: ResponseHeaders{
			Server: true, Via: true, ProxyLatency: true, ResponseLatency: true, UpstreamLatency: true, AdminLatency: true,
			RequestID: true,
		},
		HeadersUpstream: UpstreamHeaders{RequestID: true},
		RouterFlavor:    "traditional_compatible",
		DNS: DNS{
			HostsFile: "/etc/hosts", Order: []string{"LAST", "SRV", "A", "CNAME"}, StaleTTL: time.Hour,
			NotFoundTTL: 30 * time.Second, ErrorTTL: time.Second, CacheSize: 10000,
		},
		SSLMinVersion:            tls.VersionTLS12,
		SSLMaxVersion:            tls.VersionTLS13,
		LuaSSLTrustedCertificate: []string{"system"},
		LuaSSLVerifyDepth:        1,
		AdminClientMaxBodySize:   10 << 20,
		Clients: Clients{
			Header: time.Minute, Body: time.Minute, Send: time.Minute, Idle: 75 * time.Second,
			Buffers: HeaderBuffers{Number: 4, Size: 8 << 10},
		},
		QueueStorage:      "memory",
		TracesStoreSize:   64 << 20,
		UpstreamKeepalive: Keepalive{PoolSize: 512, MaxRequests: 10000, IdleTimeout: time.Minute},
		ShutdownTimeout:   8 * time.Second,
		KongAdmin:         KongAdmin{Interval: 10 * time.Second},
		UntrustedLua:      "sandbox",
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Settings{})); diff != "" {
		t.Error("settings (-want +got):\n" + diff)
	}
	for _, e := range got.Entries() {
		if e.Origin != "default" {
			t.Errorf("origin of %s: got %q, want default", e.Key, e.Origin)
		}
	}
	if !slices.IsSortedFunc(got.Entries(), func(a, b Entry) int { return strings.Compare(a.Key, b.Key) }) {
		t.Error("entries are not sorted by key")
	}
}

func TestPrecedence(t *testing.T) {
	const conf = "# mine\nlog_level = info\n"
	tests := []struct {
		name    string
		conf    string
		environ []string
		flags   map[string]string
		want    Entry
	}{
		{"default", "", nil, nil, Entry{Key: "log_level", Value: "notice", Origin: "default"}},
		{"file", conf, nil, nil, Entry{Key: "log_level", Value: "info", Origin: "kong.conf:2"}},
		{"later line", conf + "log_level = warn\n", nil, nil, Entry{Key: "log_level", Value: "warn", Origin: "kong.conf:3"}},
		{"environment", conf, []string{"KONG_LOG_LEVEL=error"}, nil, Entry{Key: "log_level", Value: "error", Origin: "environment KONG_LOG_LEVEL"}},
		{"first of two in the environment", "", []string{"KONG_LOG_LEVEL=error", "KONG_LOG_LEVEL=crit"}, nil, Entry{Key: "log_level", Value: "error", Origin: "environment KONG_LOG_LEVEL"}},
		{"environment, by file", conf, []string{"KONG_LOG_LEVEL_FILE=/run/level"}, nil, Entry{Key: "log_level", Value: "debug", Origin: "environment KONG_LOG_LEVEL_FILE"}},
		{"environment, by file, value empty", conf, []string{"KONG_LOG_LEVEL=", "KONG_LOG_LEVEL_FILE=/run/level"}, nil, Entry{Key: "log_level", Value: "debug", Origin: "environment KONG_LOG_LEVEL_FILE"}},
		{"environment, file's name empty", conf, []string{"KONG_LOG_LEVEL_FILE="}, nil, Entry{Key: "log_level", Value: "info", Origin: "kong.conf:2"}},
		{"flag", conf, []string{"KONG_LOG_LEVEL=error"}, map[string]string{"log-level": "debug"}, Entry{Key: "log_level", Value: "debug", Origin: "flag --log-level"}},
		{"flag with _", "", nil, map[string]string{"log_level": "debug"}, Entry{Key: "log_level", Value: "debug", Origin: "flag --log-level"}},
		{"empty environment hides the file", conf, []string{"KONG_LOG_LEVEL="}, nil, Entry{Key: "log_level", Value: "notice", Origin: "default"}},
		{"empty file hides nothing else", conf, []string{"KONG_LOG_LEVEL_FILE=/run/empty"}, nil, Entry{Key: "log_level", Value: "notice", Origin: "default"}},
		{"empty line", "log_level =\n", nil, nil, Entry{Key: "log_level", Value: "notice", Origin: "default"}},
		{"ours by Kong's prefix", "", []string{"KONG_LOG_FORMAT=json"}, nil, Entry{Key: "log_format", Value: "json", Origin: "environment KONG_LOG_FORMAT"}},
		{"ours by our prefix", "log_format = text\n", []string{"SIDEKONG_LOG_FORMAT=json"}, nil, Entry{Key: "log_format", Value: "json", Origin: "environment SIDEKONG_LOG_FORMAT"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, warnings, err := Parse(source(tt.conf, tt.environ, tt.flags))
			if err != nil || len(warnings) > 0 {
				t.Fatalf("got error %v, warnings %v, want neither", err, warnings)
			}
			if diff := cmp.Diff(tt.want, entryOf(t, s, tt.want.Key)); diff != "" {
				t.Error("entry (-want +got):\n" + diff)
			}
			for _, e := range s.Entries() {
				if e.Key == "log_level" && e.Value != s.LogLevel || e.Key == "log_format" && e.Value != s.LogFormat {
					t.Errorf("entry %s is %q, the settings have %q and %q", e.Key, e.Value, s.LogLevel, s.LogFormat)
				}
			}
		})
	}
}

// Every field that Parse can fill is filled from a kong.conf that sets all there is.
func TestEveryField(t *testing.T) {
	const conf = `
proxy_listen = 127.0.0.1:1 ssl
admin_listen = 127.0.0.1:2 ssl
admin_gui_listen = 127.0.0.1:3 ssl
status_listen = 127.0.0.1:4 ssl
database = postgres
pg_host = db
pg_port = 5433
pg_user = u
pg_password = p4ss
pg_database = d
pg_schema = s
pg_timeout = 1500
pg_pool_size = 3
pg_ssl = on
pg_ssl_required = on
pg_ssl_verify = on
pg_ssl_cert = /c8
pg_ssl_cert_key = /k8
db_cache_ttl = 60
declarative_config = /a/kong.yaml, /b
prefix = /var/lib/x/
node_id = 1b4e28ba-2fa1-41d2-883f-0016d3cca427
tracing_instrumentations = request, upstream
tracing_sampling_rate = 0.25
redacted_query_params = Key
log_level = crit
log_format = json
proxy_access_log = /dev/stdout
queue_storage = disk
trusted_ips = 10.0.0.0/8
real_ip_header = X-Forwarded-For
real_ip_recursive = on
port_maps = 80:1
headers = Via
headers_upstream = off
allow_debug_header = on
router_flavor = traditional_compatible
admin_token = t0ken
nginx_admin_ssl_verify_client = on
nginx_admin_ssl_client_certificate = /ca3
dns_resolver = 192.0.2.53
dns_hostsfile = /h
dns_order = A
dns_valid_ttl = 1
dns_stale_ttl = 2
dns_not_found_ttl = 3
dns_error_ttl = 4
dns_cache_size = 5
ssl_cert = /c1, /c2
ssl_cert_key = /k1, /k2
admin_ssl_cert = /c3
admin_ssl_cert_key = /k3
admin_gui_ssl_cert = /c4
admin_gui_ssl_cert_key = /k4
status_ssl_cert = /c5
status_ssl_cert_key = /k5
ssl_cipher_suite = custom
ssl_protocols = TLSv1.1 TLSv1.2
client_ssl = on
client_ssl_cert = /c6
client_ssl_cert_key = /k6
lua_ssl_trusted_certificate = system, /ca
lua_ssl_verify_depth = 3
nginx_http_client_max_body_size = 8m
nginx_admin_client_max_body_size = 1m
nginx_http_client_header_timeout = 5
nginx_proxy_client_body_timeout = 1m 30s
nginx_http_send_timeout = 500ms
nginx_http_keepalive_timeout = 1h1m
nginx_http_large_client_header_buffers = 8 16k
sidekong_memory_limit = 256m
traces_store_size = 1m
traces_store = /t.db
upstream_keepalive_pool_size = 7
upstream_keepalive_max_requests = 8
upstream_keepalive_idle_timeout = 9
shutdown_timeout = 1.5
trace_context_trusted_only = on
trusted_consumer_headers = on
long_request_report = 30
kong_admin = https://kong:8444
kong_admin_token = k0ng
kong_admin_workspace = w
kong_admin_ca_cert = /ca2
kong_admin_client_cert = /c7
kong_admin_client_cert_key = /k7
kong_admin_server_name = kong.test
kong_admin_interval = 3
untrusted_lua = on
untrusted_lua_sandbox_requires = a.b, c
untrusted_lua_sandbox_environment = d
`
	got, warnings, err := Parse(source(conf, nil, nil))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("got error %v, warnings %v, want neither", err, warnings)
	}
	want := &Settings{
		ProxyListen:    []Listener{{Address: "127.0.0.1:1", SSL: true}},
		AdminListen:    []Listener{{Address: "127.0.0.1:2", SSL: true}},
		AdminGUIListen: []Listener{{Address: "127.0.0.1:3", SSL: true}},
		StatusListen:   []Listener{{Address: "127.0.0.1:4", SSL: true}},
		Database:       "postgres",
		Postgres: Postgres{
			Host: "db", Port: 5433, User: "u", Password: "p4ss", Database: "d", Schema: "s", Timeout: 1500 * time.Millisecond,
			PoolSize: 3, SSL: true, SSLRequired: true, SSLVerify: true, SSLKeyPair: KeyPair{"/c8", "/k8"},
		},
		DBCacheTTL:              time.Minute,
		DeclarativeConfig:       []string{"/a/kong.yaml", "/b"},
		Prefix:                  "/var/lib/x",
		NodeID:                  "1b4e28ba-2fa1-41d2-883f-0016d3cca427",
		TracingInstrumentations: []string{"request", "upstream"},
		TracingSamplingRate:     0.25,
		RedactedQueryParams:     []string{"key"},
		LogLevel:                "crit",
		LogFormat:               "json",
		ProxyAccessLog:          "/dev/stdout",
		QueueStorage:            "disk",
		TrustedIPs:              []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		RealIPHeader:            "X-Forwarded-For",
		RealIPRecursive:         true,
		PortMaps:                map[int]int{1: 80},
		Headers:                 ResponseHeaders{Via: true},
		AllowDebugHeader:        true,
		RouterFlavor:            "traditional_compatible",
		AdminToken:              "t0ken",
		AdminVerifyClient:       true,
		AdminClientCA:           "/ca3",
		TraceContextTrustedOnly: true,
		TrustedConsumerHeaders:  true,
		LongRequestReport:       30 * time.Second,
		KongAdmin: KongAdmin{
			Address: "https://kong:8444", Token: "k0ng", Workspace: "w", CAFile: "/ca2", CertFile: "/c7", KeyFile: "/k7",
			ServerName: "kong.test", Interval: 3 * time.Second,
		},
		DNS: DNS{
			Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}, HostsFile: "/h", Order: []string{"A"},
			ValidTTL: time.Second, StaleTTL: 2 * time.Second, NotFoundTTL: 3 * time.Second, ErrorTTL: 4 * time.Second, CacheSize: 5,
		},
		SSL:                      []KeyPair{{"/c1", "/k1"}, {"/c2", "/k2"}},
		AdminSSL:                 []KeyPair{{"/c3", "/k3"}},
		AdminGUISSL:              []KeyPair{{"/c4", "/k4"}},
		StatusSSL:                []KeyPair{{"/c5", "/k5"}},
		SSLMinVersion:            tls.VersionTLS11,
		SSLMaxVersion:            tls.VersionTLS12,
		ClientSSL:                true,
		ClientSSLKeyPair:         KeyPair{"/c6", "/k6"},
		LuaSSLTrustedCertificate: []string{"system", "/ca"},
		LuaSSLVerifyDepth:        3,
		ClientMaxBodySize:        8 << 20,
		AdminClientMaxBodySize:   1 << 20,
		Clients: Clients{
			Header: 5 * time.Second, Body: 90 * time.Second, Send: 500 * time.Millisecond, Idle: 61 * time.Minute,
			Buffers: HeaderBuffers{Number: 8, Size: 16 << 10},
		},
		MemoryLimit:                    256 << 20,
		TracesStoreSize:                1 << 20,
		TracesStore:                    "/t.db",
		UpstreamKeepalive:              Keepalive{PoolSize: 7, MaxRequests: 8, IdleTimeout: 9 * time.Second},
		ShutdownTimeout:                1500 * time.Millisecond,
		UntrustedLua:                   "on",
		UntrustedLuaSandboxRequires:    []string{"a.b", "c"},
		UntrustedLuaSandboxEnvironment: []string{"d"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Settings{}), cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{})); diff != "" {
		t.Error("settings (-want +got):\n" + diff)
	}
	// Whoever adds a field adds it here, too.
	elsewhere := []string{"DeclarativeConfigString", "HeadersUpstream"}
	for field, value := range reflect.ValueOf(*got).Fields() {
		if value.IsZero() && !slices.Contains(elsewhere, field.Name) {
			t.Errorf("the file leaves %s at its zero value", field.Name)
		}
	}
}

func TestNewDNSClient(t *testing.T) {
	const conf = `
new_dns_client = on
resolver_address = [2001:db8::1]:5353
resolver_hosts_file = /h
resolver_family = SRV, AAAA
resolver_valid_ttl = 1
resolver_stale_ttl = 2
resolver_error_ttl = 3
resolver_lru_cache_size = 4
dns_order = A
`
	s, warnings, err := Parse(source(conf, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := DNS{
		NewClient: true, Servers: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:5353")}, HostsFile: "/h",
		Order: []string{"SRV", "AAAA"}, ValidTTL: time.Second, StaleTTL: 2 * time.Second, NotFoundTTL: 3 * time.Second,
		ErrorTTL: 3 * time.Second, CacheSize: 4,
	}
	if diff := cmp.Diff(want, s.DNS, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Error("dns (-want +got):\n" + diff)
	}
	if got, want := warningLines(warnings), "kong.conf:10: dns_order: has no effect unless new_dns_client is off"; got != want {
		t.Errorf("warnings: got %q, want %q", got, want)
	}
}

func TestOtherNames(t *testing.T) {
	tests := []struct {
		name     string
		conf     string
		environ  []string
		check    func(*Settings) any
		want     any
		warnings string
	}{
		{
			"deprecated instrumentations", "",
			[]string{"KONG_OPENTELEMETRY_TRACING=request"},
			func(s *Settings) any { return s.TracingInstrumentations },
			[]string{"request"},
			"environment KONG_OPENTELEMETRY_TRACING: opentelemetry_tracing: is deprecated; its name is tracing_instrumentations now",
		},
		{
			"the new name wins, even from a weaker source", "tracing_sampling_rate = 0.5\n",
			[]string{"KONG_OPENTELEMETRY_TRACING_SAMPLING_RATE=0.1"},
			func(s *Settings) any { return s.TracingSamplingRate }, 0.5,
			"environment KONG_OPENTELEMETRY_TRACING_SAMPLING_RATE: opentelemetry_tracing_sampling_rate: is ignored, since tracing_sampling_rate is set",
		},
		{
			"nginx's own name of the body limit", "client_max_body_size = 1k\n", nil,
			func(s *Settings) any { return s.ClientMaxBodySize }, int64(1024), "",
		},
		{
			"the narrower block wins", "nginx_http_client_max_body_size = 1k\nnginx_proxy_client_max_body_size = 2k\n", nil,
			func(s *Settings) any { return s.ClientMaxBodySize }, int64(2048),
			"kong.conf:1: nginx_http_client_max_body_size: is ignored, since nginx_proxy_client_max_body_size is set",
		},
		{
			"a file for a name that begins like a family's", "",
			[]string{"KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE_FILE=/run/size"},
			func(s *Settings) any { return s.ClientMaxBodySize }, int64(3), "",
		},
		{
			"real_ip_header by its directive", "",
			[]string{"KONG_NGINX_PROXY_REAL_IP_HEADER=X-Forwarded-For"},
			func(s *Settings) any { return s.RealIPHeader }, "X-Forwarded-For", "",
		},
		{
			"a name that ends in _file", "new_dns_client=on\n",
			[]string{"KONG_RESOLVER_HOSTS_FILE=/hosts"},
			func(s *Settings) any { return s.DNS.HostsFile }, "/hosts", "",
		},
		{
			"both prefixes", "",
			[]string{"KONG_LOG_FORMAT=text", "SIDEKONG_LOG_FORMAT=json"},
			func(s *Settings) any { return s.LogFormat }, "json",
			"environment KONG_LOG_FORMAT: log_format: is ignored, since SIDEKONG_LOG_FORMAT is set",
		},
		{
			"off alone redacts nothing", "redacted_query_params = off\n", nil,
			func(s *Settings) any { return len(s.RedactedQueryParams) }, 0, "",
		},
		{
			"file before string", "declarative_config = /a\ndeclarative_config_string = {}\n", nil,
			func(s *Settings) any { return s.DeclarativeConfigString }, "",
			"kong.conf:2: declarative_config_string: is ignored, since declarative_config is set",
		},
		{
			"secret from a file, without its line ends", "",
			[]string{"KONG_ADMIN_TOKEN_FILE=/run/secret"},
			func(s *Settings) any { return s.AdminToken }, "s3cret", "",
		},
		{
			"our prefix for a file", "",
			[]string{"KONG_ADMIN_TOKEN=abc", "SIDEKONG_ADMIN_TOKEN_FILE=/run/secret"},
			func(s *Settings) any { return s.AdminToken }, "s3cret",
			"environment KONG_ADMIN_TOKEN: admin_token: is ignored, since SIDEKONG_ADMIN_TOKEN_FILE is set",
		},
		{
			"string alone", "",
			[]string{"KONG_DECLARATIVE_CONFIG_STRING={\"_format_version\":\"3.0\"}"},
			func(s *Settings) any { return s.DeclarativeConfigString }, `{"_format_version":"3.0"}`, "",
		},
		{
			"suite decides the protocols", "ssl_cipher_suite = modern\nssl_protocols = TLSv1.2\n", nil,
			func(s *Settings) any { return []uint16{s.SSLMinVersion, s.SSLMaxVersion} },
			[]uint16{tls.VersionTLS13, tls.VersionTLS13},
			"kong.conf:2: ssl_protocols: has no effect: ssl_cipher_suite is not custom",
		},
		{
			"old suite", "ssl_cipher_suite = old\n", nil,
			func(s *Settings) any { return s.SSLMinVersion }, uint16(tls.VersionTLS10), "",
		},
		{
			"fips suite", "ssl_cipher_suite = fips\n", nil,
			func(s *Settings) any { return s.SSLMaxVersion }, uint16(tls.VersionTLS12), "",
		},
		{
			"proxy_protocol without an address that has it", "real_ip_header = proxy_protocol\n", nil,
			func(s *Settings) any { return s.RealIPHeader }, "proxy_protocol",
			"kong.conf:1: real_ip_header: has no effect: no address of proxy_listen has proxy_protocol",
		},
		{
			"certificate without a TLS address is not looked at", "ssl_cert = /c\nproxy_listen = 127.0.0.1:1\n", nil,
			func(s *Settings) any { return len(s.SSL) }, 0, "",
		},
		{
			"the same free port", "proxy_listen = 127.0.0.1:0\nadmin_listen = 127.0.0.1:0\n", nil,
			func(s *Settings) any { return s.AdminListen[0].Address }, "127.0.0.1:0", "",
		},
		{
			"off", "proxy_listen = off\nadmin_listen = off\nadmin_gui_listen = off\nstatus_listen = off\n", nil,
			func(s *Settings) any {
				return len(s.ProxyListen) + len(s.AdminListen) + len(s.AdminGUIListen) + len(s.StatusListen)
			}, 0, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := source(tt.conf, tt.environ, nil)
			src.ReadFile = files{"kong.conf": tt.conf, "/run/size": "3", "/run/secret": "s3cret\n\n"}.read
			s, warnings, err := Parse(src)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tt.check(s)); diff != "" {
				t.Error("setting (-want +got):\n" + diff)
			}
			if diff := cmp.Diff(tt.warnings, warningLines(warnings)); diff != "" {
				t.Error("warnings (-want +got):\n" + diff)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name    string
		conf    string
		environ []string
		flags   map[string]string
		want    string
	}{
		{
			"value in a file", "\n  log_level = loud # so\n", nil, nil,
			`kong.conf:2:15: log_level: "loud" is not one of the values; allowed: debug, info, notice, warn, error, crit, alert, emerg`,
		},
		{
			"quoted value", "log_format = \"json\"\n", nil, nil,
			`kong.conf:1:14: log_format: "\"json\"" is not one of the values (quotes are part of the value); allowed: text, json`,
		},
		{
			"value in the environment", "",
			[]string{"KONG_TRACING_SAMPLING_RATE=2"},
			nil,
			`environment KONG_TRACING_SAMPLING_RATE: tracing_sampling_rate: "2" is not a number in range; allowed: 0 to 1`,
		},
		{
			"value of a flag", "", nil,
			map[string]string{"shutdown-timeout": "soon"},
			`flag --shutdown-timeout: shutdown_timeout: "soon" is not a number of seconds in range; allowed: 0 to 1000000000`,
		},
		{"no such flag", "", nil, map[string]string{"frobnicate": "1"}, `flag --frobnicate: frobnicate: there is no such setting`},
		{"flag without an effect", "", nil, map[string]string{"pg_backlog": "x"}, `flag --pg-backlog: pg_backlog: there is no such setting`},
		{"database", "database = cassandra\n", nil, nil, `kong.conf:1:12: database: "cassandra" is not one of the values; allowed: off, sqlite, postgres`},
		{"time", "nginx_http_send_timeout = 1s 1m\n", nil, nil, `kong.conf:1:27: nginx_http_send_timeout: "1s 1m" is not a time; allowed: seconds, or numbers with ms, s, m, h, d, w, M or y behind them, such as 90s or 1m 30s`},
		{"buffers", "nginx_http_large_client_header_buffers = 4\n", nil, nil, `kong.conf:1:42: nginx_http_large_client_header_buffers: "4" is not a number of buffers and their size; allowed: such as "4 8k"; 1 to 1024 of 128 bytes to 16m`},
		{
			"router", "router_flavor = expressions\n", nil, nil,
			`kong.conf:1:17: router_flavor: "expressions" is not one of the values; allowed: traditional_compatible`,
		},
		{
			"instrumentation", "",
			[]string{"KONG_TRACING_INSTRUMENTATIONS=router,dns"},
			nil,
			`environment KONG_TRACING_INSTRUMENTATIONS: tracing_instrumentations: "dns" is not one of the values; allowed: ` + strings.Join(instrumentations, ", "),
		},
		{
			"by its deprecated name", "opentelemetry_tracing_sampling_rate = x\n", nil, nil,
			`kong.conf:1:39: opentelemetry_tracing_sampling_rate: "x" is not a number in range; allowed: 0 to 1`,
		},
		{
			"value and file", "",
			[]string{"KONG_ADMIN_TOKEN=abc", "KONG_ADMIN_TOKEN_FILE=/run/secret"},
			nil,
			`environment KONG_ADMIN_TOKEN_FILE: admin_token: is given twice, as a value and as a file; allowed: one of KONG_ADMIN_TOKEN and KONG_ADMIN_TOKEN_FILE`,
		},
		{
			"no such file", "",
			[]string{"KONG_ADMIN_TOKEN_FILE=/run/none"},
			nil,
			`environment KONG_ADMIN_TOKEN_FILE: admin_token: read file: open /run/none: file does not exist`,
		},
		{
			"vault", "admin_token = {vault://env/token}\n", nil, nil,
			`kong.conf:1:15: admin_token: references to vaults are not resolved; allowed: the value itself, or KONG_X_FILE with the path of a file that holds it`,
		},
		{"certificate without a key", "ssl_cert = /c\n", nil, nil, `kong.conf:1:12: ssl_cert: ssl_cert_key is missing; allowed: both or neither`},
		{
			"key without a certificate", "",
			[]string{"KONG_SSL_CERT_KEY=/k"},
			nil,
			`environment KONG_SSL_CERT_KEY: ssl_cert_key: ssl_cert is missing; allowed: both or neither`,
		},
		{
			"more keys than certificates", "ssl_cert = /c\nssl_cert_key = /k, /l\n", nil, nil,
			`kong.conf:2:16: ssl_cert_key: 2 keys are given for 1 certificates; allowed: as many keys as certificates, in the same order`,
		},
		{
			"client key without a certificate", "client_ssl = on\nclient_ssl_cert_key = /k\n", nil, nil,
			`kong.conf:2:23: client_ssl_cert_key: client_ssl_cert is missing; allowed: both or neither`,
		},
		{
			"one address twice", "status_listen = 127.0.0.1:8001\n", nil, nil,
			`kong.conf:1:17: status_listen: 127.0.0.1:8001 is also an address of admin_listen`,
		},
		{
			"one address twice, the second by default", "proxy_listen = 127.0.0.1:8001\n", nil, nil,
			`kong.conf:1:16: proxy_listen: 127.0.0.1:8001 is also an address of admin_listen`,
		},
		{
			"several", "log_level = x\nnonsense\nlog_format = y\n", nil, nil,
			"kong.conf:2:1: this line assigns nothing; allowed: key = value, or a comment that begins with #\n" +
				`kong.conf:1:13: log_level: "x" is not one of the values; allowed: debug, info, notice, warn, error, crit, alert, emerg` + "\n" +
				`kong.conf:3:14: log_format: "y" is not one of the values; allowed: text, json`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _, err := Parse(source(tt.conf, tt.environ, tt.flags))
			var faults Faults
			if !errors.As(err, &faults) || s != nil {
				t.Fatalf("got %v, %v, want no settings and Faults", s, err)
			}
			if diff := cmp.Diff(tt.want, faults.Error()); diff != "" {
				t.Error("faults (-want +got):\n" + diff)
			}
			if len(tt.environ) == 0 && len(tt.flags) == 0 {
				if diff := cmp.Diff([]Fault(faults), CheckFile("kong.conf", []byte(tt.conf))); diff != "" {
					t.Error("CheckFile differs from Parse (-Parse +CheckFile):\n" + diff)
				}
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	_, _, err := Parse(Source{File: "/etc/none.conf", ReadFile: files{}.read})
	want := "/etc/none.conf: read file: open /etc/none.conf: file does not exist"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestCheckFileAccepts(t *testing.T) {
	if got := CheckFile("kong.conf", []byte("# nothing\npg_host = db\nunknown_thing = 1\n")); len(got) > 0 {
		t.Errorf("got %v, want no fault", got)
	}
}

func TestWarnings(t *testing.T) {
	const conf = "pg_host = db\nproxy_lisen = off\nnginx_http_gzip = on\nrole =\nzzzzzz = 1\nLog_Level = debug\n"
	environ := []string{
		"PATH=/bin", "KONG_PG_BACKLOG=other", "KONG_PG_RO_PASSWORD_FILE=/run/secret", "KONG_VAULT_HCV_APPROLE_SECRET_ID_FILE=/x",
		"KONG_PLUGINSERVER_GO_SOCKET=/s", "SIDEKONG_PROXY_LISTEN=off", "SIDEKONG_LOG_FORMT=json", "KONG_log_level=debug",
		// What Kubernetes sets where services are called kong and kong-proxy.
		"KONG_PORT=tcp://10.0.0.1:80", "KONG_SERVICE_HOST=10.0.0.1", "KONG_SERVICE_PORT=80", "KONG_PROXY_SERVICE_PORT_HTTP=80",
		"KONG_PROXY_PORT_80_TCP=tcp://10.0.0.1:80", "KONG_PROXY_PORT_80_TCP_ADDR=10.0.0.1", "KONG_PROXY_PORT_80_TCP_PORT=80",
		"KONG_PROXY_PORT=8000",
	}
	s, warnings, err := Parse(source(conf, environ, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"environment SIDEKONG_PROXY_LISTEN: proxy_listen: is Kong's setting and has no effect; its variable is KONG_PROXY_LISTEN",
		"environment SIDEKONG_LOG_FORMT: log_formt: is not a setting; did you mean log_format?",
		"environment KONG_log_level: log_level: is not a setting; did you mean log_level?",
		"kong.conf:6: Log_Level: is not a setting; did you mean log_level?",
		"kong.conf:3: nginx_http_gzip: has no effect: there is no nginx to pass it to",
		"environment KONG_PG_BACKLOG: pg_backlog: has no effect: the database is asked in a way of this program's own",
		"environment KONG_PG_RO_PASSWORD_FILE: pg_ro_password: has no effect: the database is asked in a way of this program's own",
		"environment KONG_PLUGINSERVER_GO_SOCKET: pluginserver_go_socket: has no effect: there are no plugin servers",
		"kong.conf:2: proxy_lisen: is not a setting; did you mean proxy_listen?",
		"environment KONG_PROXY_PORT: proxy_port: is not a setting",
		"environment KONG_VAULT_HCV_APPROLE_SECRET_ID_FILE: vault_hcv_approle_secret_id_file: has no effect: values are not taken from vaults; KONG_X_FILE reads a value from a file",
		"kong.conf:5: zzzzzz: is not a setting",
	}, "\n")
	if diff := cmp.Diff(want, warningLines(warnings)); diff != "" {
		t.Error("warnings (-want +got):\n" + diff)
	}
	wantEntry := Entry{Key: "pg_backlog", Origin: "environment KONG_PG_BACKLOG", Note: "the database is asked in a way of this program's own"}
	if diff := cmp.Diff(wantEntry, entryOf(t, s, "pg_backlog")); diff != "" {
		t.Error("entry (-want +got):\n" + diff)
	}
}

// A secret is in the settings and nowhere else: neither in an entry, nor in a warning, nor in an error.
func TestSecrets(t *testing.T) {
	const secret = "hunter2"
	pem := "-----BEGIN PRIVATE KEY-----" + secret
	encoded := base64.StdEncoding.EncodeToString([]byte(pem))
	for i := range keys {
		k := &keys[i]
		if !k.secret {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			s, warnings, err := Parse(Source{Environ: []string{
				"KONG_PROXY_LISTEN=127.0.0.1:1", "KONG_" + strings.ToUpper(k.name) + "=" + secret,
			}})
			if err != nil {
				t.Fatal(err)
			}
			want := Entry{Key: k.name, Value: "******", Origin: "environment KONG_" + strings.ToUpper(k.name), Secret: true}
			if diff := cmp.Diff(want, entryOf(t, s, k.name)); diff != "" {
				t.Error("entry (-want +got):\n" + diff)
			}
			if strings.Contains(warningLines(warnings), secret) {
				t.Errorf("warnings hold the secret: %s", warningLines(warnings))
			}
		})
	}
	for _, tt := range []struct{ name, conf string }{
		{"key without a certificate", "ssl_cert_key = " + secret},
		{"reference to a vault", "admin_token = {vault://env/" + secret + "}"},
		{"unknown setting", "admin_tokn = " + secret},
		{"accepted setting", "pg_password = " + secret},
		{"family", "vault_hcv_token = " + secret},
		{"key behind a certificate", "proxy_listen = off\nssl_cert = " + strings.ReplaceAll(pem, "\n", "")},
		{"the same as base64", "proxy_listen = off\nssl_cert = " + encoded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, warnings, err := Parse(source(tt.conf, nil, nil))
			said := warningLines(warnings)
			if err != nil {
				said += err.Error()
			} else {
				for _, e := range s.Entries() {
					said += e.Value + e.Note
				}
			}
			if strings.Contains(said, secret) || strings.Contains(said, encoded) {
				t.Errorf("the secret is in: %s", said)
			}
		})
	}
	t.Run("decoder that refuses a secret", func(t *testing.T) {
		p := new(parser)
		p.invalid(&key{secret: true}, "admin_token", raw{value: secret, origin: "flag --admin-token"}, &invalid{secret, "is too short", "8 letters"})
		want := "flag --admin-token: admin_token: the value is too short; allowed: 8 letters"
		if got := p.faults.Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestDefaultPrefix(t *testing.T) {
	tests := []struct {
		environ []string
		want    string
	}{
		{[]string{"XDG_STATE_HOME=/s", "HOME=/h"}, "/s/sidekong"},
		{[]string{"XDG_STATE_HOME=s", "HOME=/h"}, "/h/.local/state/sidekong"},
		{[]string{"HOME=/", "TMPDIR=/t"}, "/t/sidekong"},
		{nil, "/tmp/sidekong"},
	}
	for _, tt := range tests {
		if got := defaultPrefix(tt.environ); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.environ, got, tt.want)
		}
	}
}

// No name stands in the tables twice, and no default is refused.
func TestTables(t *testing.T) {
	seen := make(map[string]bool)
	for i := range keys {
		for _, name := range keys[i].names() {
			if seen[name] {
				t.Errorf("%s is honoured twice", name)
			}
			seen[name] = true
		}
		if keys[i].def != "" {
			if err := keys[i].set(new(draft), keys[i].def); err != nil {
				t.Errorf("default of %s: %v", keys[i].name, err)
			}
		}
	}
	for _, group := range accepted {
		for name := range strings.FieldsSeq(group.names) {
			if seen[name] {
				t.Errorf("%s is in the tables twice", name)
			}
			seen[name] = true
		}
	}
}
