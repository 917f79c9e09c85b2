package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"sidekong/admin"
	"sidekong/admin/api"
	"sidekong/admin/manager"
	"sidekong/configs/settings"
)

// kongVersion is the Kong whose Admin API ours is: tools look at it before they speak.
const kongVersion = "3.9.3"

// adminAPI makes the Admin API. public says that others than this machine's users can reach it; session, if not nil,
// tells who has logged in to the page that it is part of.
func (a *app) adminAPI(public bool, session func(*http.Request) bool) (http.Handler, error) {
	o := api.Options{
		DB: a.db, ReadOnly: !a.stored, Schemas: a.loader.Schemas,
		Status:      admin.StatusHandler(a.status()),
		Node:        a.node,
		LogLevel:    a.level.name,
		SetLogLevel: a.level.change,
		Health:      a.upstreamHealth,
		SetHealth:   a.setHealth,
		Token:       a.settings.AdminToken, Public: public, Session: session,
		MaxBody: a.settings.AdminClientMaxBodySize,
		Logger:  a.logger,
	}
	if a.stored {
		o.Applied = a.applied
	} else if a.poller == nil && !a.naming {
		o.Replace = a.replaceWhole
	}
	for _, name := range a.registry.Names() {
		if name == accessLogName {
			continue
		}
		d, _ := a.registry.Lookup(name)
		o.Plugins = append(o.Plugins, api.Plugin{Name: name, Version: kongVersion, Priority: d.Priority, Runs: d.New != nil})
	}
	return api.Handler(o)
}

// node is what the Admin API's / tells of the program.
func (a *app) node() map[string]any {
	hostname, _ := os.Hostname() // "" where there is none
	configuration := map[string]any{}
	for _, e := range a.settings.Entries() {
		if !e.Secret && e.Note == "" {
			configuration[e.Key] = e.Value
		}
	}
	configuration["database"] = a.databaseName()
	return map[string]any{
		"version": kongVersion, "sidekong_version": buildVersion(), "node_id": a.settings.NodeID, "hostname": hostname,
		"lua_version": "GopherLua 5.1", "configuration": configuration, "pids": map[string]any{"master": os.Getpid()},
	}
}

func (a *app) databaseName() string {
	switch {
	case !a.stored:
		return "off"
	case a.db.System() == "postgresql":
		return "postgres"
	default:
		return a.db.System()
	}
}

func (a *app) upstreamHealth(id string) (admin.Upstream, bool) {
	for _, h := range a.gateway.Health() {
		if h.Upstream.ID == id {
			return upstreamStatus(h), true
		}
	}
	return admin.Upstream{}, false
}

func (a *app) setHealth(upstreamID, target, address string, healthy bool) error {
	var one netip.AddrPort
	if address != "" {
		var err error
		if one, err = netip.ParseAddrPort(address); err != nil {
			return fmt.Errorf("address %s is not of the form ip:port", address)
		}
	}
	if !a.gateway.SetHealth(upstreamID, target, one, healthy) {
		return fmt.Errorf("target %s is not balanced here, or the upstream has no health checks", target)
	}
	return nil
}

// manager makes the page and its API.
func (a *app) manager(public bool, addresses func() []net.Addr) (http.Handler, error) {
	// Whoever comes through the page has shown the token, where one is wanted.
	adminHandler, err := a.adminAPI(public, func(*http.Request) bool { return true })
	if err != nil {
		return nil, err
	}
	o := manager.Options{
		Store: a.page.store, Logger: a.logger,
		Node: func() manager.Node {
			hostname, _ := os.Hostname() // "" where there is none
			n := manager.Node{
				Version: buildVersion(), ID: a.settings.NodeID, Hostname: hostname,
				Started: float64(a.started.UnixMicro()) / 1e3, Proxy: []string{}, Database: a.databaseName(),
				Admin: "/admin", ReadOnly: !a.stored, Tracing: a.tracer.Instrumentations() != 0, Receiver: true,
			}
			for i, address := range addresses() {
				scheme := "http://"
				if a.settings.ProxyListen[i].SSL {
					scheme = "https://"
				}
				n.Proxy = append(n.Proxy, scheme+reachable(address.String()))
			}
			switch {
			case a.poller != nil:
				n.Reason = "The configuration is read from the Kong behind this sidecar."
			case !a.stored && a.sources != nil:
				n.Reason = "The configuration comes from files (database=off): change them and reload."
			case !a.stored:
				n.Reason = "There is no database (database=off)."
			}
			return n
		},
		Exporters: a.exporterStatus,
		Applied:   a.appliedTo,
		Inventory: a.page.inventory,
		Admin:     adminHandler,
		Login:     public,
		Token:     a.settings.AdminToken,
	}
	return manager.Handler(o), nil
}

// appliedTo is the configuration that a request's route, service and consumer have now.
func (a *app) appliedTo(route, service, consumer string) manager.Applied {
	get := func(kind, id string) any {
		if id == "" {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		object, err := a.db.Get(ctx, kind, id)
		if err != nil || object == nil {
			return nil
		}
		return api.HideSecrets(a.loader.Schemas, kind, object)
	}
	applied := manager.Applied{
		Route: get("routes", route), Service: get("services", service), Consumer: get("consumers", consumer), Plugins: []any{},
	}
	for _, p := range a.gateway.PluginsOf(route, service, consumer) {
		if object := get("plugins", p.ID); object != nil {
			applied.Plugins = append(applied.Plugins, object)
		}
	}
	return applied
}

// isPublic reports whether anyone but this machine's users can reach one of the listeners.
func isPublic(listeners []settings.Listener) bool {
	for _, l := range listeners {
		host, _, err := net.SplitHostPort(l.Address)
		if err != nil {
			return true
		}
		if addr, err := netip.ParseAddr(host); (err != nil || !addr.IsLoopback()) && host != "localhost" {
			return true
		}
	}
	return false
}

// checkPublic refuses listeners that strangers reach without a token.
func checkPublic(name string, listeners []settings.Listener, token string) error {
	if isPublic(listeners) && token == "" {
		return configError{fmt.Errorf("%s: an address that is not on loopback needs admin_token (KONG_ADMIN_TOKEN); allowed without: 127.0.0.1, [::1], off", name)}
	}
	return nil
}

// withClientCertificates makes a TLS listener ask for a certificate that one of the authorities in a file has signed.
func withClientCertificates(config *tls.Config, verify bool, file string, logger *slog.Logger) (*tls.Config, error) {
	switch {
	case !verify:
		return config, nil
	case config == nil:
		logger.Warn("nginx_admin_ssl_verify_client has no effect: no address of admin_listen has ssl")
		return nil, nil //nolint:nilnil // no TLS, as before
	case file == "":
		return nil, configError{errors.New("nginx_admin_ssl_verify_client: on needs nginx_admin_ssl_client_certificate, a file with the authorities of the clients' certificates")}
	}
	pem, err := readPEM(file)
	if err != nil {
		return nil, configError{fmt.Errorf("nginx_admin_ssl_client_certificate: %w", err)}
	}
	config = config.Clone()
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, configError{fmt.Errorf("nginx_admin_ssl_client_certificate: no certificate in %s", strings.TrimSpace(file))}
	}
	return config, nil
}
