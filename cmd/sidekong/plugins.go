package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"sidekong/configs/entity"
	"sidekong/configs/settings"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/basicauth"
	"sidekong/proxy/plugin/capture"
	"sidekong/proxy/plugin/correlationid"
	"sidekong/proxy/plugin/filelog"
	"sidekong/proxy/plugin/function"
	"sidekong/proxy/plugin/httplog"
	"sidekong/proxy/plugin/keyauth"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/proxy/plugin/requesttermination"
	"sidekong/proxy/plugin/requesttransformer"
	"sidekong/proxy/plugin/responsetransformer"
)

// plugins are all that Sidekong knows. Those without a New are checked as Kong checks them but do not run.
func plugins(exporters *opentelemetry.Exporters, defaults opentelemetry.Defaults, functions function.Options, logs sinks) *plugin.Registry {
	lua := function.New(functions)
	defaults.Lua = lua
	return plugin.NewRegistry(append(lua.Definitions(),
		opentelemetry.Define(exporters, defaults),
		capture.Define(),
		basicauth.Define(),
		keyauth.Define(),
		correlationid.Define(),
		requesttermination.Define(defaults.InstanceID),
		requesttransformer.Define(),
		responsetransformer.Define(),
		filelog.Define(logs.files, lua),
		accessLog(logs.files, lua),
		httplog.Define(logs.senders, lua),
	)...)
}

// functionOptions is what Lua functions may do.
func functionOptions(s *settings.Settings, roots *x509.CertPool) function.Options {
	return function.Options{
		UntrustedLua:       function.Mode(s.UntrustedLua),
		SandboxRequires:    s.UntrustedLuaSandboxRequires,
		SandboxEnvironment: s.UntrustedLuaSandboxEnvironment,
		NodeID:             s.NodeID,
		Trusted: func(addr netip.Addr) bool {
			return slices.ContainsFunc(s.TrustedIPs, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
		},
		Client: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig:    &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				DisableCompression: true, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 16,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // as lua-resty-http
		},
	}
}

// accessLogName is the file-log plugin in the service of the setting proxy_access_log. It has a name of its own, so that
// it runs beside a file-log that is configured.
const accessLogName = "sidekong-access-log"

func accessLog(files *filelog.Files, lua plugin.Lua) *plugin.Definition {
	d := *filelog.Define(files, lua)
	d.Name = accessLogName
	return &d
}

// accessLogTo is the plugin that writes every request to a file.
func accessLogTo(path string) *entity.Plugin {
	return &entity.Plugin{
		Meta: entity.Meta{ID: entity.ID("plugins", accessLogName)}, Name: accessLogName, Enabled: true,
		Protocols: []string{"grpc", "grpcs", "http", "https"}, Config: entity.Object{"path": path, "reopen": true},
	}
}
