package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	otelapi "go.opentelemetry.io/otel"
	"golang.org/x/sync/errgroup"

	"sidekong/admin"
	"sidekong/configs"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
	"sidekong/configs/settings"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// options are what the command line of run and of settings says.
type options struct {
	conf         string
	upstream     string
	otlpEndpoint string
	settings     map[string]string // those that were given
}

// settingFlags are settings that have a flag of their own; --set takes any.
var settingFlags = []struct{ name, usage string }{
	{"proxy-listen", `addresses for requests, such as "0.0.0.0:8000, 0.0.0.0:8443 ssl http2"`},
	{"status-listen", "address of /status, /status/ready and /metrics, or off"},
	{"declarative-config", "kong.yaml, a list of files, or a folder"},
	{"tracing-sampling-rate", "share of requests to trace, 0 to 1"},
	{"log-level", "debug, info, notice, warn or error"},
	{"log-format", "text or json"},
	{"trusted-ips", "peers whose forwarding headers are believed"},
	{"kong-admin", "Admin API of the Kong behind --upstream; its routes and services give names to spans"},
}

func (o *options) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.conf, "conf", "c", "", "kong.conf")
	for _, flag := range settingFlags {
		cmd.Flags().String(flag.name, "", flag.usage)
	}
	cmd.Flags().StringArray("set", nil, "any setting of kong.conf as name=value; may be repeated")
}

// read collects the settings that were given as flags.
func (o *options) read(cmd *cobra.Command) error {
	o.settings = map[string]string{}
	for _, flag := range settingFlags {
		if f := cmd.Flags().Lookup(flag.name); f.Changed {
			o.settings[strings.ReplaceAll(flag.name, "-", "_")] = f.Value.String()
		}
	}
	set, err := cmd.Flags().GetStringArray("set")
	if err != nil {
		return usageError{err}
	}
	for _, pair := range set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return usageError{fmt.Errorf("--set %q: want name=value", pair)}
		}
		o.settings[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return nil
}

// parse reads all settings.
func (o *options) parse(sys system) (*settings.Settings, settings.OTel, []settings.Warning, error) {
	s, warnings, err := settings.Parse(settings.Source{Flags: o.settings, Environ: sys.environ, File: o.conf})
	otel, more, otelErr := settings.ParseOTel(sys.environ, nil)
	if err = errors.Join(err, otelErr); err != nil {
		return nil, otel, nil, configError{err}
	}
	if o.otlpEndpoint != "" {
		otel.Endpoint = o.otlpEndpoint
	}
	return s, otel, append(warnings, more...), nil
}

func runCommand(sys system) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Aliases:    []string{"start", "docker-start"}, // Kong's names
		Use:        "run",
		Short:      "Run the proxy",
		SuggestFor: []string{"serve"},
		Long: "Run the proxy with Kong's configuration: kong.yaml (declarative_config), KONG_ variables and kong.conf.\n" +
			"With --upstream and no kong.yaml, every request goes to that address.",
		Args: cobra.NoArgs,
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.upstream, "upstream", "", "proxy everything to this URL")
	cmd.Flags().StringVar(&o.otlpEndpoint, "otlp-endpoint", "", "URL to post traces to where kong.yaml names none, used as it stands")
	return command(cmd, func(ctx context.Context, _ []string) error {
		if err := o.read(cmd); err != nil {
			return err
		}
		s, otel, warnings, err := o.parse(sys)
		if err != nil {
			return err
		}
		logger := newLogger(sys.stderr, s.LogFormat, s.LogLevel)
		for _, w := range warnings {
			logger.Warn(w.Text, "setting", w.Key, "origin", w.Origin)
		}
		app, err := build(ctx, sys, s, otel, o.upstream, logger)
		if err != nil {
			return err
		}
		return app.run(ctx, nil)
	})
}

// app is the running program: every part once, in the order of building.
type app struct {
	settings  *settings.Settings
	logger    *slog.Logger
	loader    configs.Loader
	sources   []configs.Source
	forward   *entity.Service // where everything goes, with --upstream
	naming    bool            // the configuration is that of the Kong behind us: it gives names and no plugins but one
	poller    *configs.Poller // reads that Kong's configuration; nil: none
	implicit  *entity.Plugin  // where the configuration has no opentelemetry plugin
	exporters *opentelemetry.Exporters
	sinks     sinks
	resolver  *dns.Resolver
	tracer    *tracing.Tracer
	gateway   *proxy.Gateway
	store     *configs.Store
	counts    connections
	serving   atomic.Bool // the proxy's listeners are open
	draining  atomic.Bool
	fault     atomic.Pointer[string] // of the newest configuration
}

// build makes the parts and loads the configuration. Nothing listens yet.
func build(ctx context.Context, sys system, s *settings.Settings, otel settings.OTel, upstream string, logger *slog.Logger) (*app, error) {
	// The OpenTelemetry library quotes environment variables that it cannot read; they may hold secrets.
	otelapi.SetLogger(logr.Discard())
	a := &app{settings: s, logger: logger, exporters: opentelemetry.NewExporters(logger)}
	if s.NodeID == "" {
		s.NodeID = uuid.NewString()
	}
	defaults := exporterDefaults(s, otel)
	roots, err := authorities(s.LuaSSLTrustedCertificate)
	if err != nil {
		return nil, err
	}
	a.sinks = newSinks(logger, roots)
	registry := plugins(a.exporters, defaults, functionOptions(s, roots), a.sinks)
	a.loader = configs.Loader{Schemas: entity.NewSchemas(registry.Configs()), LookupEnv: lookup(sys.environ)}
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
	options := gatewayOptions(s, otel)
	a.tracer = tracing.NewTracer(instrumentations, s.TracingSamplingRate)
	options.Tracer = a.tracer
	options.Registry, options.Resolver, options.Logger = registry, a.resolver, logger
	options.Forward, options.RootCAs = a.forward, roots
	proxy.ServerToken = "sidekong/" + buildVersion()
	if a.gateway, err = proxy.New(options); err != nil {
		return nil, err
	}
	if err := a.gateway.Apply(snapshot); err != nil {
		return nil, configError{err}
	}
	a.store = configs.NewStore(snapshot)
	a.store.Subscribe(a.gateway.Apply)
	return a, nil
}

// chooseSources says where the configuration comes from, and with --upstream where requests go.
func (a *app) chooseSources(ctx context.Context, upstream string) error {
	s := a.settings
	switch {
	case s.DeclarativeConfigString != "":
		a.sources = []configs.Source{configs.Text("declarative_config_string", s.DeclarativeConfigString)}
	case len(s.DeclarativeConfig) > 0:
		a.sources = []configs.Source{configs.Files(s.DeclarativeConfig...)}
	}
	if s.KongAdmin.Address != "" && (upstream == "" || a.sources != nil) {
		return usageError{errors.New("kong_admin goes with --upstream, the address of that Kong's proxy, and without declarative_config")}
	}
	if upstream == "" {
		if a.sources == nil {
			notice(a.logger, "no configuration: every request is answered 404. Set declarative_config to a kong.yaml or use --upstream")
		}
		return nil
	}
	everything, err := configs.Upstream(upstream)
	if err != nil {
		return usageError{fmt.Errorf("--upstream: %w", err)}
	}
	snapshot, _, err := a.loader.Load(ctx, everything)
	if err != nil {
		return err
	}
	a.forward = snapshot.Services[0]
	a.naming = a.sources != nil || s.KongAdmin.Address != ""
	switch {
	case a.naming:
		kong := *a.forward
		kong.Name = "kong"
		a.forward = &kong
	default:
		a.sources = []configs.Source{everything}
	}
	if s.KongAdmin.Address == "" {
		return nil
	}
	k := s.KongAdmin
	source, err := configs.NewKongAdmin(configs.KongAdminOptions{
		Address: k.Address, Workspace: k.Workspace, Token: k.Token, CAFile: k.CAFile, CertFile: k.CertFile, KeyFile: k.KeyFile,
		ServerName: k.ServerName, Kinds: []string{"services", "routes", "plugins"}, Plugins: []string{opentelemetry.Name},
		Schemas: a.loader.Schemas, Logger: a.logger,
	})
	if err != nil {
		return configError{fmt.Errorf("kong_admin: %w", err)}
	}
	a.poller = &configs.Poller{
		Source: source, Loader: a.loader, Interval: k.Interval, StartEmpty: true, Logger: a.logger,
		Apply: func(snapshot *configs.Snapshot) error {
			_, err := a.store.Replace(a.complete(snapshot))
			return err
		},
	}
	return nil
}

// first reads the configuration for the first time.
func (a *app) first(ctx context.Context) (*configs.Snapshot, error) {
	if a.poller != nil {
		snapshot, err := a.poller.First(ctx)
		if err != nil {
			return nil, err
		}
		return a.complete(snapshot), nil
	}
	snapshot, warnings, err := a.load(ctx)
	for _, w := range warnings {
		a.logger.Warn(w.String())
	}
	return snapshot, err
}

// load reads the configuration from its files.
func (a *app) load(ctx context.Context) (*configs.Snapshot, []declarative.Warning, error) {
	snapshot, warnings, err := a.loader.Load(ctx, a.sources...)
	if err != nil {
		return nil, nil, configError{err}
	}
	return a.complete(snapshot), warnings, nil
}

// complete adds an implicit global opentelemetry plugin where a configuration has none at all. Of a Kong's behind us it
// leaves the global opentelemetry plugin alone: whatever else it configures runs there.
func (a *app) complete(snapshot *configs.Snapshot) *configs.Snapshot {
	done := *snapshot
	if a.naming {
		done.Upstreams, done.Targets = nil, nil
		done.ActivePlugins = nil
		for _, p := range snapshot.ActivePlugins {
			if p.Name == opentelemetry.Name && configs.ScopeOf(p) == (configs.Scope{}) && a.implicit.Config["traces_endpoint"] == nil {
				done.ActivePlugins = []*entity.Plugin{p}
			}
		}
		if len(done.ActivePlugins) > 0 {
			return &done
		}
	} else if slices.ContainsFunc(snapshot.Plugins, func(p *entity.Plugin) bool { return p.Name == opentelemetry.Name }) {
		return &done
	}
	if a.implicit.Config["traces_endpoint"] == nil && a.store == nil {
		notice(a.logger, "requests are traced but nothing is exported: no opentelemetry plugin is configured and neither --otlp-endpoint nor OTEL_EXPORTER_OTLP_ENDPOINT is set")
	}
	done.ActivePlugins = append(slices.Clip(done.ActivePlugins), a.implicit)
	return &done
}

// reload takes the configuration from its sources anew. Where that fails, the old one serves on.
func (a *app) reload(ctx context.Context) error {
	if a.poller != nil {
		return a.poller.Reload(ctx)
	}
	snapshot, warnings, err := a.load(ctx)
	changed := false
	if err == nil {
		for _, w := range warnings {
			a.logger.Warn(w.String())
		}
		changed, err = a.store.Replace(snapshot)
	}
	if err != nil {
		text := err.Error()
		a.fault.Store(&text)
		a.logger.Error("the configuration stays as it is: the new one is at fault", "error", err)
		return err
	}
	a.fault.Store(nil)
	notice(a.logger, "configuration read", "changed", changed, "hash", snapshot.Hash)
	return nil
}

// run listens and serves until ctx ends, then drains. listening, if not nil, is told the addresses.
func (a *app) run(ctx context.Context, listening func(proxy []net.Addr)) error {
	s := a.settings
	proxyTLS, err := serverTLSFor(s.ProxyListen, s.SSL, s, a.logger)
	if err != nil {
		return err
	}
	proxyTLS = preferring(a.gateway.Certificate, proxyTLS)
	statusTLS, err := serverTLSFor(s.StatusListen, s.StatusSSL, s, a.logger)
	if err != nil {
		return err
	}

	clients := clientLimits(s.Clients)
	var servers []*http.Server
	var listeners []net.Listener
	var addresses []net.Addr
	group, groupCtx := errgroup.WithContext(ctx)
	listen := func(l settings.Listener, srv *http.Server, counts *connections) (net.Addr, error) {
		listener, err := clients.open(ctx, l, counts, s.TrustedIPs)
		if err != nil {
			return nil, err
		}
		servers, listeners = append(servers, srv), append(listeners, listener)
		group.Go(func() error { return serve(srv, listener, l.SSL) })
		return listener.Addr(), nil
	}
	shutdown := func() {
		for _, srv := range servers {
			_ = srv.Close() // whatever it says, the program ends
		}
	}
	status := admin.StatusHandler(a.status())
	for _, l := range s.StatusListen {
		if _, err := listen(l, clients.server(status, l, statusTLS, a.logger), &connections{}); err != nil {
			shutdown()
			return fmt.Errorf("status_listen: %w", err)
		}
	}
	// The listeners of the proxy are the last to open: who can reach it, can use it.
	proxyServers := len(servers)
	for _, l := range s.ProxyListen {
		srv := clients.server(a.gateway, l, proxyTLS, a.logger)
		srv.ConnContext = a.gateway.ConnContext
		address, err := listen(l, srv, &a.counts)
		if err != nil {
			shutdown()
			return fmt.Errorf("proxy_listen: %w", err)
		}
		addresses = append(addresses, address)
	}
	a.serving.Store(true)
	notice(a.logger, "serving", "proxy", addresses, "routes", len(a.store.Snapshot().ActiveRoutes), "version", buildVersion())
	if listening != nil {
		listening(addresses)
	}
	group.Go(func() error {
		a.reloadOnHangup(groupCtx)
		return nil
	})
	group.Go(func() error {
		(&memoryWatch{limit: memoryLimit(s.MemoryLimit), shed: a.tracer.Shed, logger: a.logger}).run(groupCtx)
		return nil
	})
	if a.poller != nil {
		group.Go(func() error { return a.poller.Run(groupCtx) })
	}

	<-groupCtx.Done()
	a.drain(servers[proxyServers:], listeners[proxyServers:])
	shutdown()
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func (a *app) reloadOnHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			_ = a.reload(ctx) // it has logged and is in /status
		}
	}
}

// announcement is how long listeners stay open when answers say already that their connections end: in that time
// clients and balancers go elsewhere. It is not needed, and not waited for, when no connection is open.
const announcement = time.Second

// settlement is how long connections that are open when the listeners close may still bring a request.
const settlement = 300 * time.Millisecond

// drain ends the service without cutting a request: not ready any more, answers carry Connection: close, a moment later
// listeners stop, requests end, queues flush, all within shutdown_timeout.
func (a *app) drain(servers []*http.Server, listeners []net.Listener) {
	timeout := a.settings.ShutdownTimeout
	notice(a.logger, "draining", "timeout", timeout)
	a.draining.Store(true)
	a.gateway.Drain()
	whole, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	// A tenth of the time, a second at most, is the queues' own, even where requests would use all of it.
	requests, cancelRequests := context.WithTimeout(whole, timeout-min(timeout/10, time.Second))
	defer cancelRequests()
	a.allGone(requests, min(announcement, timeout/5))
	for _, l := range listeners {
		_ = l.Close() // it fails where it is closed already
	}
	// A server that is shut down does not answer a request that it reads from then on (net/http conn.serve), so what was
	// accepted last gets a moment to be read.
	a.allGone(requests, min(settlement, timeout/10))
	var group errgroup.Group
	for _, srv := range servers {
		group.Go(func() error { return srv.Shutdown(requests) })
	}
	if err := group.Wait(); err != nil {
		a.logger.Warn("requests are cut off: shutdown_timeout is over", "error", err)
		for _, srv := range servers {
			_ = srv.Close()
		}
	}
	var logs sync.WaitGroup
	logs.Go(func() { a.sinks.close(whole, a.logger) })
	a.exporters.Close(whole)
	logs.Wait()
	a.gateway.Close()
	a.resolver.Close()
	notice(a.logger, "stopped")
}

// allGone waits until no connection to the proxy is open, but not longer than d.
func (a *app) allGone(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for a.counts.open.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func serverTLSFor(listeners []settings.Listener, pairs []settings.KeyPair, s *settings.Settings, logger *slog.Logger) (*tls.Config, error) {
	for _, l := range listeners {
		if l.SSL {
			return serverTLS(pairs, s.SSLMinVersion, s.SSLMaxVersion, logger)
		}
	}
	return nil, nil //nolint:nilnil // no listener needs one
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
