package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	otelapi "go.opentelemetry.io/otel"

	"sidekong/configs"
	"sidekong/configs/database"
	"sidekong/configs/entity"
	"sidekong/configs/settings"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// app is the running program: every part once, in the order of building.
type app struct {
	settings *settings.Settings
	logger   *slog.Logger
	loader   configs.Loader
	sources  []configs.Source
	forward  *entity.Service // where everything goes, with --upstream
	naming   bool            // the configuration is that of the Kong behind us: it gives names and no plugins but one
	poller   *configs.Poller // reads that Kong's configuration; nil: none
	implicit *entity.Plugin  // where the configuration has no opentelemetry plugin

	db          database.DB           // what the Admin API shows
	memory      *database.Memory      // db where there is no database; else nil
	stored      bool                  // the configuration is in a database
	credentials *database.Credentials // nil: those of the snapshot
	reloading   sync.Mutex
	read        reading                // held by reloading
	unreachable atomic.Pointer[string] // why the database cannot be asked; nil: it can

	started        time.Time
	level          *logLevel
	page           page
	roots          *x509.CertPool
	registry       *plugin.Registry
	exporters      *opentelemetry.Exporters
	sinks          sinks
	resolver       *dns.Resolver
	tracer         *tracing.Tracer
	gateway        *proxy.Gateway
	store          *configs.Store
	counts         connections
	proxyAddresses atomic.Pointer[[]net.Addr]
	serving        atomic.Bool // the proxy's listeners are open
	pacer          pacer
	draining       atomic.Bool
	fault          atomic.Pointer[string] // of the newest configuration
}

// build makes the parts and loads the configuration. Nothing listens yet.
func build(ctx context.Context, sys system, s *settings.Settings, otel settings.OTel, upstream string, logger *slog.Logger, level *logLevel) (*app, error) {
	// The OpenTelemetry library quotes environment variables that it cannot read; they may hold secrets.
	otelapi.SetLogger(logr.Discard())
	a := &app{settings: s, logger: logger, level: level, exporters: opentelemetry.NewExporters(logger), started: time.Now()}
	logger = slog.New(a.exporters.LogHandler(logger.Handler())) // from here on lines go to logs_endpoint too
	a.logger = logger
	if s.NodeID == "" {
		s.NodeID = uuid.NewString()
	}
	defaults := exporterDefaults(s, otel)
	roots, err := authorities(s.LuaSSLTrustedCertificate)
	if err != nil {
		return nil, err
	}
	a.roots = roots
	a.sinks = newSinks(logger, roots)
	a.registry = plugins(a.exporters, defaults, functionOptions(s, roots), a.sinks)
	schemas := a.registry.Configs()
	delete(schemas, accessLogName) // it is for a setting, not for configurations
	a.loader = configs.Loader{Schemas: entity.NewSchemas(schemas), LookupEnv: lookup(sys.environ), Pause: a.pacer.pause}
	a.implicit = opentelemetry.Implicit(otel.Endpoint, defaults)

	if err := a.chooseSources(ctx, upstream); err != nil {
		return nil, err
	}
	snapshot, err := a.first(ctx)
	if err != nil {
		return nil, err
	}
	instrumentations, err := tracing.ParseInstrumentations(s.TracingInstrumentations)
	if err != nil {
		return nil, configError{fmt.Errorf("tracing_instrumentations: %w", err)}
	}
	if otel.Disabled {
		instrumentations = tracing.Off
	}
	if a.resolver, err = dns.New(dnsConfig(s.DNS)); err != nil {
		return nil, err
	}
	a.exporters.ResolveWith(func(ctx context.Context, host string, port int) (netip.AddrPort, error) {
		to, err := a.resolver.Resolve(ctx, host, port)
		return netip.AddrPortFrom(to.IP, uint16(to.Port)), err
	})
	a.exporters.MeasureHealth(a.targetHealth)
	options := gatewayOptions(s, otel)
	a.tracer = tracing.NewTracer(instrumentations, s.TracingSamplingRate)
	options.Tracer = a.tracer
	options.Registry, options.Resolver, options.Logger = a.registry, a.resolver, logger
	options.Forward, options.RootCAs = a.forward, roots
	// What a file says somebody has just written; what a database or a Kong says is in force already.
	options.Pause = a.loader.Pause
	options.Isolate = a.stored || a.poller != nil
	if a.credentials != nil {
		options.Database = &proxy.Database{Credentials: a.credentials, System: a.db.System(), Observe: observeQueries}
	}
	if err := a.openPage(ctx, defaults); err != nil {
		return nil, err
	}
	if a.page.store != nil {
		options.Observer = observer{a.page.store}.observe
	}
	proxy.ServerToken = "sidekong/" + buildVersion()
	if a.gateway, err = proxy.New(options); err != nil {
		return nil, err
	}
	if err := a.gateway.Apply(snapshot); err != nil {
		return nil, configError{err}
	}
	if a.memory != nil {
		a.memory.Replace(snapshot.Document)
	}
	a.store = configs.NewStore(snapshot)
	a.store.Subscribe(a.gateway.Apply)
	return a, nil
}

func lookup(environ []string) func(string) (string, bool) {
	values := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

func exporterDefaults(s *settings.Settings, otel settings.OTel) opentelemetry.Defaults {
	return opentelemetry.Defaults{
		Endpoint:           otel.Endpoint,
		Headers:            otel.Headers,
		Compression:        otlp.Compression(otel.Compression),
		CAFile:             otel.Certificate,
		ClientCertFile:     otel.ClientCertificate,
		ClientKeyFile:      otel.ClientKey,
		ServiceName:        otel.ServiceName,
		ServiceVersion:     buildVersion(),
		InstanceID:         s.NodeID,
		ResourceAttributes: maps.Clone(otel.ResourceAttributes),
		Timeout:            otel.Timeout,
		StorageFolder:      filepath.Join(s.Prefix, "queue"),
		Storage:            s.QueueStorage,
		Disabled:           otel.Disabled || !otel.Export,
	}
}

func dnsConfig(d settings.DNS) dns.Config {
	config := dns.DefaultConfig()
	for _, server := range d.Servers {
		config.Nameservers = append(config.Nameservers, server.String())
	}
	config.HostsFile, config.Order = d.HostsFile, d.Order
	config.ValidTTL, config.StaleTTL = d.ValidTTL, d.StaleTTL
	config.NotFoundTTL, config.ErrorTTL, config.CacheSize = d.NotFoundTTL, d.ErrorTTL, d.CacheSize
	return config
}

func gatewayOptions(s *settings.Settings, otel settings.OTel) proxy.Options {
	o := proxy.Options{
		TrustedIPs:        s.TrustedIPs,
		RealIPHeader:      http.CanonicalHeaderKey(s.RealIPHeader),
		RealIPRecursive:   s.RealIPRecursive,
		PortMaps:          s.PortMaps,
		UpstreamRequestID: s.HeadersUpstream.RequestID,
		AllowDebugHeader:  s.AllowDebugHeader,
		RedactedQuery:     s.RedactedQueryParams,
		MaxBodySize:       s.ClientMaxBodySize,
		Keepalive:         proxy.Keepalive(s.UpstreamKeepalive),
		Conventions:       proxy.KongConventions,
		Edge:              s.TraceContextTrustedOnly,
		ConsumerHeaders:   s.TrustedConsumerHeaders,
		LongRequest:       s.LongRequestReport,
	}
	for header, wanted := range map[proxy.Headers]bool{
		proxy.HeaderServer: s.Headers.Server, proxy.HeaderVia: s.Headers.Via,
		proxy.HeaderProxyLatency: s.Headers.ProxyLatency, proxy.HeaderResponseLatency: s.Headers.ResponseLatency,
		proxy.HeaderUpstreamLatency: s.Headers.UpstreamLatency, proxy.HeaderUpstreamStatus: s.Headers.UpstreamStatus,
		proxy.HeaderRequestID: s.Headers.RequestID,
	} {
		if wanted {
			o.Headers |= header
		}
	}
	switch otel.SemConv {
	case "http":
		o.Conventions = proxy.StableConventions
	case "http/dup":
		o.Conventions = proxy.KongConventions | proxy.StableConventions
	}
	return o
}

// authorities are the certificates that upstreams are verified with; nil: the system's.
func authorities(trusted []string) (*x509.CertPool, error) {
	if len(trusted) == 0 {
		return nil, nil //nolint:nilnil // nil is the system's own
	}
	pool := x509.NewCertPool()
	if slices.Contains(trusted, "system") {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("lua_ssl_trusted_certificate: %w", err)
		}
		pool = system
	}
	for _, from := range trusted {
		if from == "system" {
			continue
		}
		pem, err := readPEM(from)
		if err != nil {
			return nil, configError{fmt.Errorf("lua_ssl_trusted_certificate: %w", err)}
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, configError{errors.New("lua_ssl_trusted_certificate: no certificate in it")}
		}
	}
	return pool, nil
}

// observeQueries tells of the statements that are sent to the database.
func observeQueries(ctx context.Context, begin func(statement string) (end func(error))) context.Context {
	return database.Observe(ctx, func(_ context.Context, statement string) func(error) { return begin(statement) })
}
