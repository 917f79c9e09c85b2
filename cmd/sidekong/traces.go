package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/sys/unix"

	"sidekong/admin/manager"
	"sidekong/admin/traces"
	"sidekong/tracing/otlp"
)

func tracesCommand(sys system) *cobra.Command {
	var o options
	var address string
	var limit int
	p := tracePrinter{out: sys.stdout, log: sys.stderr}
	cmd := &cobra.Command{
		Use:   "traces [filter]",
		Short: "Print traces of a running sidecar",
		Long: "Print the newest traces of a running sidecar as trees, the newest last; with --follow go on with each that comes.\n" +
			"The filter is the page's: sidekong traces --follow 'status>=500 duration>100ms http.route=/x some text'",
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&address, "address", "", "URL of the sidecar's page; without it, what admin_gui_listen says")
	cmd.Flags().BoolVarP(&p.follow, "follow", "f", false, "go on until interrupted")
	cmd.Flags().IntVarP(&limit, "limit", "n", 10, "how many to begin with, at most 1000")
	cmd.Flags().BoolVar(&p.json, "json", false, "print OTLP JSON, a trace a line")
	cmd.Flags().BoolVar(&p.tree.Attributes, "attributes", false, "print every attribute")
	return command(cmd, func(ctx context.Context, args []string) error {
		if err := o.read(cmd); err != nil {
			return err
		}
		s, _, _, err := o.parse(sys)
		if err != nil {
			return err
		}
		if p.pageClient, err = newPageClient(s, address); err != nil {
			return err
		}
		p.filter = strings.Join(args, " ")
		if _, err := traces.ParseFilter(p.filter); err != nil {
			return usageError{err}
		}
		lookupEnv := lookup(sys.environ)
		if _, set := lookupEnv("NO_COLOR"); !set && isTerminal(sys.stdout) {
			p.tree.Colour = true
		}
		p.width = terminalWidth(sys.stdout)
		return p.run(ctx, limit)
	})
}

// terminalWidth is the number of columns of a terminal, 0 for what is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(w) {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// A followed trace is printed when nothing has come for it for traceQuiet: spans of others join it later.
const (
	traceQuiet   = 400 * time.Millisecond
	maxWaiting   = 1000             // traces that are not printed yet; beyond, the oldest is printed as it is
	askTimeout   = 10 * time.Second // for one answer
	maxAnswer    = 64 << 20
	maxTreeSpans = 2000 // a tree of more is not for a terminal
	askAgain     = time.Second
)

// tracePrinter asks a sidecar's page for traces and prints them.
type tracePrinter struct {
	*pageClient
	out, log io.Writer
	filter   string
	follow   bool
	json     bool
	tree     otlp.TreeOptions
	width    int // of the terminal, 0: lines are not cut
}

func (p *tracePrinter) run(ctx context.Context, limit int) error {
	var list manager.List
	query := url.Values{"filter": {p.filter}, "limit": {strconv.Itoa(limit)}}
	if err := p.ask(ctx, "/api/traces?"+query.Encode(), &list); err != nil {
		return err
	}
	for i := len(list.Traces) - 1; i >= 0; i-- {
		if err := p.print(ctx, &list.Traces[i]); err != nil {
			return err
		}
	}
	if !p.follow {
		return nil
	}
	for after := list.Resume; ; {
		next, err := p.stream(ctx, after)
		var refused refusal
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was asked to end
		case errors.As(err, &refused) && refused.status < 500:
			return err
		}
		after = next
		fmt.Fprintf(p.log, "sidekong: %v; asking again\n", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(askAgain):
		}
	}
}

// arrival is a trace that is not printed yet.
type arrival struct {
	row  traces.Summary
	last time.Time
}

// stream prints what comes until the stream or ctx ends, and tells where to go on.
func (p *tracePrinter) stream(ctx context.Context, after string) (next string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	query := url.Values{"filter": {p.filter}, "after": {after}}
	body, err := p.get(ctx, "/api/traces/stream?"+query.Encode())
	if err != nil {
		return after, err
	}
	defer body.Close()
	events, ended := make(chan event), make(chan error, 1)
	go func() { ended <- readEvents(ctx, body, events) }()

	next = after
	var waiting []arrival
	tick := time.NewTicker(traceQuiet / 4)
	defer tick.Stop()
	for {
		select {
		case e := <-events:
			next = e.id
			if e.name != "trace" {
				continue
			}
			var row traces.Summary
			if err := json.Unmarshal(e.data, &row); err != nil {
				return next, fmt.Errorf("read the sidecar's stream: %w", err)
			}
			waiting = arrive(waiting, row, time.Now())
		case err := <-ended:
			cancel()
			return next, errors.Join(err, p.printQuiet(context.WithoutCancel(ctx), &waiting, time.Now().Add(traceQuiet)))
		case now := <-tick.C:
			if err := p.printQuiet(ctx, &waiting, now); err != nil {
				return next, err
			}
		}
	}
}

// arrive notes that a trace has come or changed.
func arrive(waiting []arrival, row traces.Summary, now time.Time) []arrival {
	for i := range waiting {
		if waiting[i].row.ID == row.ID {
			waiting[i] = arrival{row, now}
			return waiting
		}
	}
	if len(waiting) >= maxWaiting {
		waiting[0].last = time.Time{} // it is printed next
	}
	return append(waiting, arrival{row, now})
}

// printQuiet prints those for which nothing has come of late.
func (p *tracePrinter) printQuiet(ctx context.Context, waiting *[]arrival, now time.Time) error {
	kept := (*waiting)[:0]
	for _, a := range *waiting {
		if now.Sub(a.last) < traceQuiet {
			kept = append(kept, a)
			continue
		}
		if err := p.print(ctx, &a.row); err != nil {
			return err
		}
	}
	*waiting = kept
	return nil
}

// event is a server-sent event.
type event struct {
	name, id string
	data     []byte
}

// readEvents reads server-sent events to the stream's end.
func readEvents(ctx context.Context, stream io.Reader, events chan<- event) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 1<<20)
	var e event
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if e.data != nil {
				select {
				case events <- e:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			e = event{}
		case field == "event":
			e.name = value
		case field == "id":
			e.id = value
		case field == "data":
			e.data = []byte(value)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("follow the sidecar: %w", err)
	}
	return errors.New("the sidecar has ended the stream")
}

// print prints one trace. One that has left the sidecar in the meantime is passed over.
func (p *tracePrinter) print(ctx context.Context, row *traces.Summary) error {
	var body []byte
	err := p.ask(ctx, "/api/traces/"+row.ID+"/otlp", &body)
	var refused refusal
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if p.json {
		_, err := p.out.Write(append(bytes.TrimSpace(body), '\n'))
		return err
	}
	var data tracepb.TracesData
	if err := traces.UnmarshalJSON(body, &data); err != nil {
		return fmt.Errorf("read trace %s: %w", row.ID, err)
	}
	tidy(&data)
	at := time.UnixMicro(int64(row.Time * 1000)).Format("15:04:05.000")
	var text strings.Builder
	fmt.Fprintf(&text, "%s  trace %s  %d spans\n", at, row.ID, row.Spans)
	if row.Spans > maxTreeSpans {
		text.WriteString("  (too large to be shown here)\n")
	} else if err := otlp.WriteTree(&text, data.GetResourceSpans(), p.tree); err != nil {
		return err
	}
	text.WriteByte('\n')
	for line := range strings.Lines(text.String()) {
		if _, err := io.WriteString(p.out, cutLine(line, p.width)); err != nil {
			return err
		}
	}
	return nil
}

// tidy takes control characters out of what is printed: it comes from whoever sent the spans, and a terminal would
// obey it.
func tidy(data *tracepb.TracesData) {
	for _, rs := range data.GetResourceSpans() {
		tidyAttributes(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				s.Name = tidyText(s.GetName())
				tidyAttributes(s.GetAttributes())
				for _, e := range s.GetEvents() {
					e.Name = tidyText(e.GetName())
					tidyAttributes(e.GetAttributes())
				}
			}
		}
	}
}

func tidyAttributes(pairs []*commonpb.KeyValue) {
	for _, pair := range pairs {
		pair.Key = tidyText(pair.GetKey())
		tidyValue(pair.GetValue())
	}
}

func tidyValue(v *commonpb.AnyValue) {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		v.StringValue = tidyText(v.StringValue)
	case *commonpb.AnyValue_ArrayValue:
		for _, element := range v.ArrayValue.GetValues() {
			tidyValue(element)
		}
	case *commonpb.AnyValue_KvlistValue:
		tidyAttributes(v.KvlistValue.GetValues())
	}
}

func tidyText(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return '·'
		}
		return c
	}, text)
}

// cutLine shortens a line, which ends with a line feed, to so many columns; escape sequences take none. 0: it stays.
func cutLine(line string, width int) string {
	if width <= 0 {
		return line
	}
	columns, escape, last := 0, false, 0
	for i, c := range line {
		switch {
		case escape:
			escape = c != 'm'
		case c == '\x1b':
			escape = true
		case c == '\n':
			return line
		default:
			if columns++; columns == width {
				last = i
			}
		}
		if columns > width {
			reset := ""
			if strings.Contains(line, "\x1b") {
				reset = "\x1b[0m"
			}
			return line[:last] + "…" + reset + "\n"
		}
	}
	return line
}
