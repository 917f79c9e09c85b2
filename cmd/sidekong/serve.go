package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"sidekong/admin"
	"sidekong/configs/settings"
)

// addresses are those that listeners got.
type addresses struct{ proxy, status, admin, page []net.Addr }

// attributes are those of a log line; what is off is left out.
func (at addresses) attributes() []any {
	attributes := []any{"proxy", at.proxy}
	for _, listeners := range []struct {
		name string
		at   []net.Addr
	}{{"admin", at.admin}, {"page", at.page}, {"status", at.status}} {
		if len(listeners.at) > 0 {
			attributes = append(attributes, listeners.name, listeners.at)
		}
	}
	return attributes
}

// run listens and serves until ctx ends, then drains. listening, if not nil, is told the addresses.
func (a *app) run(ctx context.Context, listening func(addresses)) error {
	s := a.settings
	group, groupCtx := errgroup.WithContext(ctx)
	l := &listeners{ctx: ctx, group: group, limits: clientLimits(s.Clients), settings: s, logger: a.logger}
	defer l.shut()
	var at addresses
	if err := a.listenControl(l, &at); err != nil {
		return err
	}
	// The listeners of the proxy are the last to open: who can reach it, can use it.
	control := len(l.servers)
	tlsConfig, err := serverTLSFor(s.ProxyListen, s.SSL, s, a.logger)
	if err != nil {
		return err
	}
	tlsConfig = preferring(a.gateway.Certificate, tlsConfig)
	for _, address := range s.ProxyListen {
		srv := l.limits.server(a.gateway, address, tlsConfig, a.logger)
		srv.ConnContext = a.gateway.ConnContext
		opened, err := l.open(address, srv, &a.counts)
		if err != nil {
			return fmt.Errorf("proxy_listen: %w", err)
		}
		at.proxy = append(at.proxy, opened)
	}
	proxies := l.servers[control:]
	a.proxyAddresses.Store(&at.proxy)
	a.serving.Store(true)
	a.pacer.serve(a.gateway.Begun)
	notice(a.logger, "serving", append(at.attributes(), "routes", len(a.store.Snapshot().ActiveRoutes), "version", buildVersion())...)
	if listening != nil {
		listening(at)
	}
	group.Go(func() error {
		a.reloadOnHangup(groupCtx)
		return nil
	})
	group.Go(func() error {
		(&memoryWatch{limit: memoryLimit(s.MemoryLimit) - a.page.size, shed: a.tracer.Shed, logger: a.logger}).run(groupCtx)
		return nil
	})
	if a.poller != nil {
		group.Go(func() error { return a.poller.Run(groupCtx) })
	}

	switch {
	case a.stored:
		group.Go(func() error { return a.watchDatabase(groupCtx) })
	case len(s.DeclarativeConfig) > 0 && s.DeclarativeConfigString == "":
		group.Go(func() error {
			watchFiles(groupCtx, s.DeclarativeConfig, a.logger, func() { _ = a.reload(groupCtx) }) // it has logged and is in /status
			return nil
		})
	}
	if socket := listenSteering(ctx, s, a.logger); socket != nil {
		srv := &http.Server{Handler: a.steering(), ReadHeaderTimeout: time.Minute}
		l.servers = append(l.servers, srv)
		group.Go(func() error { return serve(srv, socket, false) })
	}
	a.page.run(groupCtx, group, a.logger)

	<-groupCtx.Done()
	a.drain(proxies, l.listeners[control:])
	l.shut()
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// proxied are the addresses of the proxy, none before it listens.
func (a *app) proxied() []net.Addr {
	if at := a.proxyAddresses.Load(); at != nil {
		return *at
	}
	return nil
}

// listenControl opens what is there to look at and to steer the program: status, Admin API, page.
func (a *app) listenControl(l *listeners, at *addresses) error {
	s := a.settings
	status, err := serverTLSFor(s.StatusListen, s.StatusSSL, s, a.logger)
	if err != nil {
		return err
	}
	if at.status, err = l.serve("status_listen", s.StatusListen, admin.StatusHandler(a.status()), status); err != nil {
		return err
	}
	if len(s.AdminListen) > 0 {
		if err := checkPublic("admin_listen", s.AdminListen, s.AdminToken); err != nil {
			return err
		}
		config, err := serverTLSFor(s.AdminListen, s.AdminSSL, s, a.logger)
		if err != nil {
			return err
		}
		if config, err = withClientCertificates(config, s.AdminVerifyClient, s.AdminClientCA, a.logger); err != nil {
			return err
		}
		handler, err := a.adminAPI(isPublic(s.AdminListen), nil)
		if err != nil {
			return configError{fmt.Errorf("admin_listen: %w", err)}
		}
		if at.admin, err = l.serve("admin_listen", s.AdminListen, handler, config); err != nil {
			return err
		}
	}
	if a.page.store == nil {
		return nil
	}
	if err := checkPublic("admin_gui_listen", s.AdminGUIListen, s.AdminToken); err != nil {
		return err
	}
	config, err := serverTLSFor(s.AdminGUIListen, s.AdminGUISSL, s, a.logger)
	if err != nil {
		return err
	}
	handler, err := a.manager(isPublic(s.AdminGUIListen), a.proxied)
	if err != nil {
		return configError{fmt.Errorf("admin_gui_listen: %w", err)}
	}
	at.page, err = l.serve("admin_gui_listen", s.AdminGUIListen, handler, config)
	return err
}

// listeners are the open listeners, each with the server behind it.
type listeners struct {
	ctx       context.Context
	group     *errgroup.Group
	limits    limits
	settings  *settings.Settings
	logger    *slog.Logger
	servers   []*http.Server
	listeners []net.Listener
}

// open opens a listener and serves it.
func (l *listeners) open(address settings.Listener, srv *http.Server, counts *connections) (net.Addr, error) {
	listener, err := l.limits.open(l.ctx, address, counts, l.settings.TrustedIPs)
	if err != nil {
		return nil, err
	}
	l.servers, l.listeners = append(l.servers, srv), append(l.listeners, listener)
	l.group.Go(func() error { return serve(srv, listener, address.SSL) })
	return listener.Addr(), nil
}

// serve opens the addresses of a setting. One that nobody asked for may be taken, by a Kong on the same machine for
// example: then the program does without.
func (l *listeners) serve(setting string, addresses []settings.Listener, handler http.Handler, config *tls.Config) (at []net.Addr, err error) {
	for _, address := range addresses {
		opened, err := l.open(address, l.limits.server(handler, address, config, l.logger), &connections{})
		switch {
		case errors.Is(err, syscall.EADDRINUSE) && l.settings.Origin(setting) == "default":
			l.logger.Warn("an address is taken: nothing listens there", "setting", setting, "address", address.Address)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", setting, err)
		default:
			at = append(at, opened)
		}
	}
	return at, nil
}

// shut closes the servers with all their connections.
func (l *listeners) shut() {
	for _, srv := range l.servers {
		_ = srv.Close() // whatever it says, the program ends
	}
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
	a.closeWithin(whole)
	notice(a.logger, "stopped")
}

// close lets go of everything that build opened.
func (a *app) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	a.closeWithin(ctx)
}

// closeWithin flushes the queues as long as ctx lasts, and closes everything.
func (a *app) closeWithin(ctx context.Context) {
	var logs sync.WaitGroup
	logs.Go(func() { a.sinks.close(ctx, a.logger) })
	a.exporters.Close(ctx)
	logs.Wait()
	a.gateway.Close()
	a.resolver.Close()
	a.page.close(a.logger)
	if err := a.db.Close(); err != nil {
		a.logger.Warn("close database", "error", err)
	}
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
