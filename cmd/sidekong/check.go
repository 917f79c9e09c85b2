package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/configs/settings"
	"sidekong/proxy"
	"sidekong/proxy/dns"
	"sidekong/proxy/plugin/function"
	"sidekong/proxy/plugin/opentelemetry"
)

func checkCommand(sys system) *cobra.Command {
	return command(&cobra.Command{
		Use:   "check FILE...",
		Short: "Check kong.yaml and kong.conf files",
		Long: "Check configuration files, each by itself: *.conf as kong.conf, anything else as kong.yaml or its JSON\n" +
			"twin, a folder as the files in it. Every fault is a line file:line:column: field: what is wrong.\n" +
			"Exit code 0: no fault, 1: a file could not be read, 2: wrong command line, 3: faults.",
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, files []string) error {
		faulty := false
		for _, file := range files {
			ok, err := checkFile(ctx, sys, file)
			if err != nil {
				return err
			}
			faulty = faulty || !ok
		}
		if faulty {
			return configError{errors.New("sidekong: the configuration is at fault")}
		}
		return nil
	})
}

// checkFile prints the faults and warnings of one file; an error is one of reading it.
func checkFile(ctx context.Context, sys system, file string) (ok bool, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	if filepath.Ext(file) == ".conf" && !info.IsDir() {
		data, err := os.ReadFile(file)
		if err != nil {
			return false, err
		}
		faults := settings.CheckFile(file, data)
		for _, fault := range faults {
			fmt.Fprintln(sys.stdout, fault)
		}
		return len(faults) == 0, nil
	}
	silent := slog.New(slog.DiscardHandler)
	logs := newSinks(silent, nil) // which open nothing before the first request
	defer logs.close(ctx, silent)
	registry := plugins(nil, opentelemetry.Defaults{Disabled: true}, function.Options{}, logs)
	loader := configs.Loader{Schemas: entity.NewSchemas(registry.Configs()), LookupEnv: lookup(sys.environ)}
	snapshot, warnings, err := loader.Load(ctx, configs.Files(file))
	if err != nil {
		fmt.Fprintln(sys.stdout, err)
		return false, nil
	}
	for _, w := range warnings {
		fmt.Fprintln(sys.stderr, w)
	}
	// What only shows when the parts are put together: the same code as a running sidecar's.
	resolver, err := dns.New(dns.DefaultConfig())
	if err != nil {
		return false, err
	}
	defer resolver.Close()
	gateway, err := proxy.New(proxy.Options{Registry: registry, Resolver: resolver, Logger: newLogger(sys.stderr, "text", newLogLevel("error"))})
	if err != nil {
		return false, err
	}
	defer gateway.Close()
	if err := gateway.Apply(snapshot); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(sys.stdout, "%s: %s\n", file, strings.TrimSuffix(line, "\n"))
		}
		return false, nil
	}
	return true, nil
}
