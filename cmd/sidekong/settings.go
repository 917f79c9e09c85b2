package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func settingsCommand(sys system) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Print every setting with its value and where it comes from",
		Args:  cobra.NoArgs,
	}
	o.flags(cmd)
	return command(cmd, func(context.Context, []string) error {
		if err := o.read(cmd); err != nil {
			return err
		}
		s, _, warnings, err := o.parse(sys)
		if err != nil {
			return err
		}
		for _, w := range warnings {
			fmt.Fprintln(sys.stderr, w)
		}
		for _, e := range s.Entries() {
			value := e.Value
			if e.Note != "" {
				value = "(no effect: " + e.Note + ")"
			}
			if _, err := fmt.Fprintf(sys.stdout, "%-34s  %-30s  %s\n", e.Key, value, e.Origin); err != nil {
				return err
			}
		}
		return nil
	})
}
