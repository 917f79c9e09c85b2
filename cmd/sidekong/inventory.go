package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sidekong/admin/inventory"
)

// compareTimeout bounds what a comparison may take.
const compareTimeout = 30 * time.Second

func inventoryCommand(sys system) *cobra.Command {
	var o options
	var address, compare string
	var openAPI, asJSON bool
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "Print the API as a running sidecar has observed it",
		Long: "Print the endpoints that a running sidecar has seen, as a table, as an OpenAPI document, or compared with one:\n" +
			"what was seen and is not in it, and what is in it and was not seen.",
		Args: cobra.NoArgs,
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&address, "address", "", "URL of the sidecar's page; without it, what admin_gui_listen says")
	cmd.Flags().BoolVar(&openAPI, "openapi", false, "print an OpenAPI 3.1 document")
	cmd.Flags().StringVar(&compare, "compare", "", "an OpenAPI file, JSON or YAML, to compare with")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command(cmd, func(ctx context.Context, _ []string) error {
		if err := o.read(cmd); err != nil {
			return err
		}
		s, _, _, err := o.parse(sys)
		if err != nil {
			return err
		}
		c, err := newPageClient(s, address)
		if err != nil {
			return err
		}
		switch {
		case openAPI:
			return c.copyTo(ctx, sys.stdout, "/api/inventory/openapi")
		case compare != "":
			return c.compare(ctx, sys.stdout, compare, asJSON)
		case asJSON:
			return c.copyTo(ctx, sys.stdout, "/api/inventory")
		default:
			return c.printInventory(ctx, sys.stdout)
		}
	})
}

// copyTo prints an answer as it comes.
func (p *pageClient) copyTo(ctx context.Context, out io.Writer, path string) error {
	var answer []byte
	if err := p.ask(ctx, path, &answer); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s\n", bytes.TrimSpace(answer))
	return err
}

func (p *pageClient) printInventory(ctx context.Context, out io.Writer) error {
	var view inventory.View
	if err := p.ask(ctx, "/api/inventory", &view); err != nil {
		return err
	}
	if len(view.Endpoints) == 0 {
		_, err := fmt.Fprintln(out, "nothing has been observed yet")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "METHOD\tPATH\tHOST\tCALLS\tSTATUSES\tP95\tSENSITIVE")
	for _, e := range view.Endpoints {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%.1f ms\t%s\n", e.Method, e.Path, e.Host, e.Calls,
			strings.Join(slices.Sorted(maps.Keys(e.Statuses)), " "), e.Latency.P95, strings.Join(e.Sensitive, ", "))
	}
	return table.Flush()
}

// compare prints how what was seen differs from a document.
func (p *pageClient) compare(ctx context.Context, out io.Writer, name string, asJSON bool) error {
	document, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	answer, err := p.send(ctx, http.MethodPost, "/api/inventory/compare", bytes.NewReader(document))
	if err != nil {
		return err
	}
	defer answer.Close()
	text, err := io.ReadAll(io.LimitReader(answer, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the sidecar's answer: %w", err)
	}
	if asJSON {
		_, err = fmt.Fprintf(out, "%s\n", bytes.TrimSpace(text))
		return err
	}
	var differences inventory.Comparison
	if err := json.Unmarshal(text, &differences); err != nil {
		return fmt.Errorf("read the sidecar's answer: %w", err)
	}
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, kind := range []struct {
		name string
		all  []inventory.Difference
	}{{"undocumented", differences.Undocumented}, {"unseen", differences.Unseen}} {
		for _, d := range kind.all {
			fmt.Fprintf(table, "%s\t%s\t%s%s\t%s\n", kind.name, d.Method, d.Host, d.Path, d.Detail)
		}
	}
	if len(differences.Undocumented)+len(differences.Unseen) == 0 {
		fmt.Fprintln(table, "what was seen and what is documented are the same")
	}
	return table.Flush()
}
