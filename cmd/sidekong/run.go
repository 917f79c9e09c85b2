package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sidekong/configs/settings"
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
	{"store", "file that keeps the page's traces across restarts"},
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
			name := strings.ReplaceAll(flag.name, "-", "_")
			if name == "store" {
				name = "traces_store"
			}
			o.settings[name] = f.Value.String()
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
		level := newLogLevel(s.LogLevel)
		logger := newLogger(sys.stderr, s.LogFormat, level)
		for _, w := range warnings {
			logger.Warn(w.Text, "setting", w.Key, "origin", w.Origin)
		}
		app, err := build(ctx, sys, s, otel, o.upstream, logger, level)
		if err != nil {
			return err
		}
		return app.run(ctx, nil)
	})
}
