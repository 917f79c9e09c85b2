// Sidekong is a reverse-proxy sidecar that stands in front of Kong or of a backend, reads Kong's own configuration and
// reports each request as Kong-style OpenTelemetry spans.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // something went wrong while running
	exitUsage   = 2 // the command line is wrong
	exitConfig  = 3 // a configuration is invalid
)

// gcPercent lets the heap grow to five times what is in use before it is collected: a proxy keeps little and makes
// much garbage, so that most of a collection's cost is fixed. GOGC and GOMEMLIMIT win. docs/decisions/0007-memory.md
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, system{args: os.Args[1:], environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// system is what the program takes from its surroundings, so that tests can give it others.
type system struct {
	args           []string
	environ        []string
	stdout, stderr io.Writer
}

// usageError marks an error in the command line.
type usageError struct{ error }

// configError marks an invalid configuration.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }

// run runs the command that args name and returns the exit code.
func run(ctx context.Context, sys system) int {
	root := &cobra.Command{
		Use:   "sidekong",
		Short: "Kong's traces, with or without Kong",
		Long: "Sidekong is a reverse proxy that reads Kong's configuration and reports each request as Kong-style\n" +
			"OpenTelemetry spans. Start with: sidekong demo",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetArgs(withoutKong(sys.args))
	root.SetOut(sys.stdout)
	root.SetErr(sys.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(runCommand(sys), checkCommand(sys), settingsCommand(sys), healthCommand(sys), demoCommand(sys), tracesCommand(sys), inventoryCommand(sys), versionCommand(sys),
		reloadCommand(sys), exportCommand(sys), explainCommand(sys), doctorCommand(sys))

	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	var config configError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &config):
		fmt.Fprintln(sys.stderr, err)
		return exitConfig
	case errors.As(err, &usage), !ranCommand(cmd):
		fmt.Fprintf(sys.stderr, "sidekong: %v\nRun '%s --help' for usage.\n", err, cmd.CommandPath())
		return exitUsage
	default:
		fmt.Fprintln(sys.stderr, "sidekong:", err)
		return exitFailure
	}
}

// withoutKong lets a compose file written for Kong's image stand as it is: there a command may be "kong docker-start" or
// "kong start", which here is run.
func withoutKong(args []string) []string {
	if len(args) > 0 && args[0] == "kong" {
		return args[1:]
	}
	return args
}

// ranCommand reports whether a subcommand began: what fails before, fails for the command line.
func ranCommand(cmd *cobra.Command) bool { return cmd.Annotations["began"] == "yes" }

// command marks when a command begins, so that run can tell a usage error from a failure.
func command(cmd *cobra.Command, body func(ctx context.Context, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.Annotations = map[string]string{"began": "yes"}
		return body(cmd.Context(), args)
	}
	return cmd
}

// version is set by the linker for releases; otherwise it comes from the build's version control stamp.
var version = ""

// buildVersion names this build.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return "devel"
	}
	return "devel-" + revision + dirty
}

func versionCommand(sys system) *cobra.Command {
	return command(&cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs},
		func(context.Context, []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintf(sys.stdout, "sidekong %s (%s)\n", buildVersion(), info.GoVersion)
			return err
		})
}
