package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sidekong/proxy"
)

func explainCommand(sys system) *cobra.Command {
	var headers []string
	var consumer string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain METHOD URL",
		Short: "Say which route, plugins and upstream a request would get, and why",
		Long: "Ask the running sidecar with the same prefix what would become of a request, without sending it: which route and\n" +
			"why not others, the plugins by scope, the trace headers in and out, the sampling decision, the upstream.",
		Example: "  sidekong explain GET http://shop.example/orders/7 -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'",
		Args:    cobra.ExactArgs(2),
	}
	steerCommand(sys, cmd, func(ctx context.Context, s *steerer, args []string) error {
		asked := explainRequest{Method: strings.ToUpper(args[0]), URL: args[1], Header: http.Header{}, Consumer: consumer}
		for _, line := range headers {
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return usageError{fmt.Errorf("-H %q: want 'Name: value'", line)}
			}
			asked.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
		if _, err := asked.request(ctx); err != nil {
			return usageError{err}
		}
		status, answer, err := s.ask(ctx, http.MethodPost, "/explain", asked)
		switch {
		case err != nil:
			return err
		case status != http.StatusOK:
			return fault(answer)
		case asJSON:
			_, err := sys.stdout.Write(answer)
			return err
		}
		var e proxy.Explanation
		if err := json.Unmarshal(answer, &e); err != nil {
			return fmt.Errorf("read the sidecar's answer: %w", err)
		}
		return printExplanation(sys.stdout, &e)
	})
	cmd.Flags().StringArrayVarP(&headers, "header", "H", nil, "header of the request as 'Name: value'; may be repeated")
	cmd.Flags().StringVar(&consumer, "consumer", "", "username or id of who asks, as authentication would find")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printExplanation(out io.Writer, e *proxy.Explanation) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	if e.Refused != "" {
		line("answer", "%s (nothing is sent upstream)", e.Refused)
	}
	if r := e.Route; r != nil {
		line("route", "%s (id %s)", nameOr(r.Name, "without a name"), r.ID)
		if e.Path != "" {
			line("", "by its path %s", e.Path)
		}
		for _, group := range slices.Sorted(maps.Keys(e.Captures)) {
			line("", "captures %s = %s", group, e.Captures[group])
		}
	} else {
		line("route", "none")
	}
	if s := e.Service; s != nil {
		line("service", "%s (id %s)", nameOr(s.Name, "without a name"), s.ID)
	}
	if e.UpstreamURL != "" {
		line("upstream", "%s, Host: %s", e.UpstreamURL, e.UpstreamHost)
		for _, t := range e.Targets {
			line("", "target %s", t)
		}
	}
	for i, p := range e.Plugins {
		line(first(i, "plugins"), "%s (%s; id %s)", p.Name, p.Scope, p.ID)
	}
	for i, h := range e.TraceIn {
		line(first(i, "trace in"), "%s: %s", h[0], h[1])
	}
	for i, h := range e.TraceOut {
		line(first(i, "trace out"), "%s: %s", h[0], h[1])
	}
	if e.Sampling != "" {
		line("sampling", "%s", e.Sampling)
	}
	for i, f := range e.Faults {
		line(first(i, "fault"), "%s", f)
	}
	for i, o := range e.Others {
		line(first(i, "not"), "route %s: %s", o.Route, o.Why)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// first is name on the first of several lines.
func first(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

func nameOr(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}
