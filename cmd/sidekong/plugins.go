package main

import (
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/basicauth"
	"sidekong/proxy/plugin/correlationid"
	"sidekong/proxy/plugin/filelog"
	"sidekong/proxy/plugin/function"
	"sidekong/proxy/plugin/httplog"
	"sidekong/proxy/plugin/keyauth"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/proxy/plugin/requesttermination"
)

// plugins are all that Sidekong knows. Those without a New are checked as Kong checks them but do not run.
func plugins(exporters *opentelemetry.Exporters, defaults opentelemetry.Defaults) *plugin.Registry {
	return plugin.NewRegistry(
		opentelemetry.Define(exporters, defaults),
		&plugin.Definition{Name: "pre-function", Priority: 1000000, Config: function.Config()},
		&plugin.Definition{Name: "post-function", Priority: -1000, Config: function.Config()},
		&plugin.Definition{Name: "basic-auth", Priority: 1100, Config: basicauth.Config()},
		&plugin.Definition{Name: "key-auth", Priority: 1250, Config: keyauth.Config()},
		&plugin.Definition{Name: "correlation-id", Priority: 100001, Config: correlationid.Config()},
		&plugin.Definition{Name: "request-termination", Priority: 2, Config: requesttermination.Config()},
		&plugin.Definition{Name: "file-log", Priority: 9, Config: filelog.Config()},
		&plugin.Definition{Name: "http-log", Priority: 12, Config: httplog.Config()},
	)
}
