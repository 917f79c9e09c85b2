package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func reloadCommand(sys system) *cobra.Command {
	return steerCommand(sys, &cobra.Command{
		Use:   "reload",
		Short: "Have a running sidecar read its configuration anew",
		Long: "Have the running sidecar with the same prefix read its configuration anew. Where the new one is at fault the\n" +
			"old one serves on, the fault is printed and the exit code is 3.",
		Args: cobra.NoArgs,
	}, func(ctx context.Context, s *steerer, _ []string) error {
		status, answer, err := s.ask(ctx, http.MethodPost, "/reload", nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return configError{fault(answer)}
		}
		var done reloaded
		if err := json.Unmarshal(answer, &done); err != nil {
			return fmt.Errorf("read the sidecar's answer: %w", err)
		}
		if !done.Changed {
			_, err = fmt.Fprintln(sys.stdout, "nothing has changed: configuration", done.Hash)
			return err
		}
		_, err = fmt.Fprintln(sys.stdout, "in force: configuration", done.Hash)
		return err
	})
}

func exportCommand(sys system) *cobra.Command {
	return steerCommand(sys, &cobra.Command{
		Use:   "export",
		Short: "Print the configuration of a running sidecar as kong.yaml",
		Long:  "Print the configuration that the running sidecar with the same prefix serves as kong.yaml. It holds its secrets.",
		Args:  cobra.NoArgs,
	}, func(ctx context.Context, s *steerer, _ []string) error {
		status, answer, err := s.ask(ctx, http.MethodGet, "/configuration", nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fault(answer)
		}
		_, err = sys.stdout.Write(answer)
		return err
	})
}

// steerCommand is a command that asks a running sidecar.
func steerCommand(sys system, cmd *cobra.Command, body func(ctx context.Context, s *steerer, args []string) error) *cobra.Command {
	var o options
	o.flags(cmd)
	return command(cmd, func(ctx context.Context, args []string) error {
		if err := o.read(cmd); err != nil {
			return err
		}
		s, _, _, err := o.parse(sys)
		if err != nil {
			return err
		}
		return body(ctx, newSteerer(s), args)
	})
}
