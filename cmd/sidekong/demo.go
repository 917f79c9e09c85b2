package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"sidekong/admin/traces"
	"sidekong/propagation"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
	"sidekong/tracing/queue"
)

// demoConfig is what the demo's sidecar serves: the backend's and the receiver's URL come in.
const demoConfig = `
_format_version: "3.0"
services:
- name: hello
  url: %[1]s
  routes:
  - {name: hello, paths: [/hello]}
  - {name: slow, paths: [/slow], strip_path: false}
  - {name: fails, paths: [/fails], strip_path: false}
- name: orders
  url: %[1]s
  routes:
  - {name: order, paths: ["~/orders/(?<id>\\d+)$"], methods: [GET, DELETE], strip_path: false}
  - {name: orders, paths: [/orders], methods: [GET, POST], strip_path: false}
plugins:
- name: opentelemetry
  config:
    traces_endpoint: %[2]s/v1/traces
    resource_attributes: {service.name: sidekong}
    queue: {max_batch_size: 200, max_coalescing_delay: 0.1}
- name: sidekong-capture
  service: orders
`

// demoFlags are where the demo listens and what it shows.
type demoFlags struct {
	listen, page string
	browser      bool
	tree         otlp.TreeOptions
}

func demoCommand(sys system) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start an example backend, the sidecar in front of it, a page and a receiver that print the traces",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8000", "address of the sidecar")
	cmd.Flags().StringVar(&f.page, "page", "127.0.0.1:8002", "address of the page")
	cmd.Flags().BoolVar(&f.browser, "browser", isTerminal(sys.stdout), "open the page in a browser")
	cmd.Flags().BoolVar(&f.tree.Attributes, "attributes", false, "print every attribute")
	return command(cmd, func(ctx context.Context, _ []string) error {
		f.tree.Colour = isTerminal(sys.stdout) && os.Getenv("NO_COLOR") == ""
		prefix, err := os.MkdirTemp("", "sidekong-demo")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(prefix) }() // it is the system's to clean up otherwise
		return demo(ctx, sys, prefix, f)
	})
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// demo runs until ctx ends: receiver, backend and sidecar, the ends of one trace each.
func demo(ctx context.Context, sys system, prefix string, f demoFlags) error {
	level := newLogLevel("warn")
	logger := newLogger(sys.stderr, "text", level)
	group, ctx := errgroup.WithContext(ctx)

	receiver := newReceiver(sys.stdout, f.tree)
	receiverURL, err := serveLocal(ctx, group, receiver)
	if err != nil {
		return err
	}
	group.Go(func() error { return receiver.print(ctx) })

	backend, err := newDemoBackend(receiverURL+"/v1/traces", logger)
	if err != nil {
		return err
	}
	group.Go(func() error { return backend.queue.Run(context.WithoutCancel(ctx)) })
	backendURL, err := serveLocal(ctx, group, backend)
	if err != nil {
		return err
	}

	o := options{settings: map[string]string{ // the environment has no say in them
		"proxy_listen": f.listen, "status_listen": "off", "admin_listen": "off", "admin_gui_listen": f.page, "prefix": prefix,
		"declarative_config_string": fmt.Sprintf(demoConfig, backendURL, receiverURL), "log_level": "warn",
	}}
	settings, otel, _, err := o.parse(system{stdout: sys.stdout, stderr: sys.stderr})
	if err != nil {
		return err
	}
	app, err := build(ctx, sys, settings, otel, "", logger, level)
	if err != nil {
		return err
	}
	receiver.shown = app.page.store
	group.Go(func() error {
		return app.run(ctx, func(at addresses) {
			group.Go(func() error {
				return tour(ctx, sys.stdout, "http://"+at.proxy[0].String(), "http://"+at.page[0].String(), receiver, f.browser)
			})
		})
	})
	group.Go(func() error {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return backend.queue.Close(closing)
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// tour sends the first requests and says how to send more.
func tour(ctx context.Context, out io.Writer, url, page string, traces *receiver, browser bool) error {
	if err := seed(ctx, url); err != nil {
		return err
	}
	if err := traces.begin(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "Sidekong listens on %s. Its page with all traces: %s\nThree requests as a start:\n\n", url, page)
	for i, path := range []string{"/hello/world", "/slow", "/fails"} {
		if err := visit(ctx, http.MethodGet, url+path, ""); err != nil {
			return err
		}
		if err := traces.wait(ctx, i+1); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "Send more, each is shown as it arrives, here and on %[2]s:\n\n"+
		"  curl %[1]s/hello/you\n"+
		"  curl -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' %[1]s/hello\n"+
		"  curl -H 'b3: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1' %[1]s/hello\n"+
		"  curl -H 'Content-Type: application/json' -d '{\"item\": \"tea\", \"password\": \"secret\"}' %[1]s/orders\n"+
		"  curl %[1]s/nowhere\n\n"+
		"Ctrl-C ends the demo. Your own backend: sidekong run --upstream http://localhost:3000\n\n", url, page)
	if browser {
		openBrowser(ctx, page)
	}
	return nil
}

// seed sends what a small shop sees, so that the page has something to show.
func seed(ctx context.Context, url string) error {
	for i := range 12 {
		order := fmt.Sprintf(`{"item": "tea", "quantity": %d, "customer": {"email": "ann@example.com", "password": "secret"}}`, i+1)
		for _, request := range []struct{ method, path, body string }{
			{http.MethodPost, "/orders", order},
			{http.MethodGet, fmt.Sprintf("/orders?page=%d&token=secret", i), ""},
			{http.MethodGet, fmt.Sprintf("/orders/%d", 1000+i), ""},
			{http.MethodGet, "/hello/" + []string{"ann", "bob", "eve"}[i%3], ""},
		} {
			if err := visit(ctx, request.method, url+request.path, request.body); err != nil {
				return err
			}
		}
	}
	return errors.Join(visit(ctx, http.MethodDelete, url+"/orders/1003", ""), visit(ctx, http.MethodGet, url+"/nowhere", ""))
}

// visit sends a request and drops the answer.
func visit(ctx context.Context, method, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// openBrowser shows a page where there is a way to; where there is none its address has been printed.
func openBrowser(ctx context.Context, url string) {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...)
	if cmd.Start() == nil {
		_ = cmd.Process.Release()
	}
}

// serveLocal serves on a free port of this machine until ctx ends.
func serveLocal(ctx context.Context, group *errgroup.Group, handler http.Handler) (url string, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	group.Go(func() error { return serve(s, listener, false) })
	group.Go(func() error {
		<-ctx.Done()
		time.Sleep(500 * time.Millisecond) // the sidecar flushes first
		return s.Close()
	})
	return "http://" + listener.Addr().String(), nil
}

const demoBackendName = "backend"

// demoBackend answers, and reports a span of its own below the caller's, as an instrumented service does.
type demoBackend struct {
	propagator *propagation.Propagator
	tracer     *tracing.Tracer
	queue      *queue.Queue
}

func newDemoBackend(endpoint string, logger *slog.Logger) (*demoBackend, error) {
	propagator, err := propagation.New(propagation.Config{HeaderType: "preserve"})
	if err != nil {
		return nil, err
	}
	client, err := otlp.NewClient(otlp.Config{Endpoint: endpoint, Resource: otlp.Resource{"service.name": demoBackendName}})
	if err != nil {
		return nil, err
	}
	settings := queue.DefaultSettings()
	settings.MaxCoalescingDelay = 50 * time.Millisecond
	return &demoBackend{
		propagator: propagator, tracer: tracing.NewTracer(tracing.Request, 1), queue: queue.New("backend", settings, client, logger),
	}, nil
}

// ServeHTTP answers with the request's own path and headers; /slow takes a while and /fails fails.
func (b *demoBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	trace := b.tracer.Start(time.Now())
	defer trace.Release()
	span := trace.StartSpan(r.Method+" "+r.URL.Path, tracing.KindServer, tracing.Span{})
	in := b.propagator.Extract(r.Header)
	trace.Adopt(tracing.Adoption{TraceID: in.TraceID, Parent: in.SpanID, Sampled: in.TraceID.IsValid() && in.Sampled != tracing.Drop})

	status := http.StatusOK
	switch r.URL.Path {
	case "/slow":
		time.Sleep(200 * time.Millisecond)
	case "/fails":
		status = http.StatusInternalServerError
		span.SetStatus(tracing.StatusError, "")
	}
	answer := any(map[string]any{"path": r.URL.Path, "headers": r.Header})
	if order, ok := strings.CutPrefix(r.URL.Path, "/orders"); ok {
		status, answer = orders(r.Method, strings.TrimPrefix(order, "/"))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer) // the client may have gone
	}

	span.SetString("http.method", r.Method)
	span.SetString("http.target", r.URL.Path)
	span.SetInt("http.status_code", int64(status))
	span.End()
	if trace.Recording() {
		b.queue.Append(otlp.Frames{Trace: trace})
	}
}

// orders is a shop without a memory.
func orders(method, id string) (status int, answer any) {
	order := map[string]any{"id": 1000, "item": "tea", "quantity": 2, "paid": true, "placed": "2026-01-02T15:04:05Z"}
	switch {
	case method == http.MethodDelete:
		return http.StatusNoContent, nil
	case method == http.MethodPost:
		return http.StatusCreated, order
	case id == "":
		return http.StatusOK, []any{order, order}
	default:
		order["id"], _ = strconv.Atoi(id) // the route takes digits alone
		return http.StatusOK, order
	}
}

// A trace is printed when nothing has come for it for so long: quiet where every parent is there, patience where one
// is missing, such as a caller's that reports elsewhere.
const (
	quiet    = 150 * time.Millisecond
	patience = 1500 * time.Millisecond
)

// receiver takes spans by OTLP/HTTP and prints each trace when it is complete, as far as that can be told.
type receiver struct {
	out     io.Writer
	options otlp.TreeOptions
	mu      sync.Mutex
	waiting map[string]*pending // by trace id
	begun   bool                // before, traces are dropped
	printed int
	changed chan struct{} // closed and replaced when a trace was printed

	shown *traces.Store // the page's, which gets what the backend reports
}

type pending struct {
	spans []*tracepb.ResourceSpans
	last  time.Time
}

// whole reports whether every span's parent has come.
func (p *pending) whole() bool {
	spans := map[string]bool{"": true}
	for _, rs := range p.spans {
		spans[string(rs.GetScopeSpans()[0].GetSpans()[0].GetSpanId())] = true
	}
	for _, rs := range p.spans {
		if !spans[string(rs.GetScopeSpans()[0].GetSpans()[0].GetParentSpanId())] {
			return false
		}
	}
	return true
}

func newReceiver(out io.Writer, options otlp.TreeOptions) *receiver {
	return &receiver{out: out, options: options, waiting: map[string]*pending{}, changed: make(chan struct{})}
}

// ServeHTTP takes one post.
func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	var request collectorpb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range request.GetResourceSpans() {
		if c.shown != nil && serviceOf(rs) == demoBackendName {
			c.shown.TakeSpans([]*tracepb.ResourceSpans{rs})
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, span := range ss.GetSpans() {
				id := string(span.GetTraceId())
				p := c.waiting[id]
				if p == nil {
					p = &pending{}
					c.waiting[id] = p
				}
				p.last = time.Now()
				p.spans = append(p.spans, &tracepb.ResourceSpans{
					Resource: rs.GetResource(), ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span}}},
				})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// print prints traces until ctx ends.
func (c *receiver) print(ctx context.Context) error {
	tick := time.NewTicker(quiet / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := c.printQuiet(); err != nil {
				return err
			}
		}
	}
}

func (c *receiver) printQuiet() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range c.waiting {
		if since := time.Since(p.last); since < quiet || since < patience && !p.whole() {
			continue
		}
		delete(c.waiting, id)
		if !c.begun {
			continue
		}
		fmt.Fprintf(c.out, "trace %x\n", id)
		if err := otlp.WriteTree(c.out, p.spans, c.options); err != nil {
			return err
		}
		fmt.Fprintln(c.out)
		c.printed++
		close(c.changed)
		c.changed = make(chan struct{})
	}
	return nil
}

// serviceOf is the service that reports spans.
func serviceOf(rs *tracepb.ResourceSpans) string {
	for _, attribute := range rs.GetResource().GetAttributes() {
		if attribute.GetKey() == "service.name" {
			return attribute.GetValue().GetStringValue()
		}
	}
	return ""
}

// begin waits until what came so far has been dropped, and prints what comes from then on.
func (c *receiver) begin(ctx context.Context) error {
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		c.mu.Lock()
		if len(c.waiting) == 0 {
			c.begun = true
		}
		begun := c.begun
		c.mu.Unlock()
		if begun {
			return nil
		}
	}
}

// wait waits until n traces have been printed.
func (c *receiver) wait(ctx context.Context, n int) error {
	for {
		c.mu.Lock()
		printed, changed := c.printed, c.changed
		c.mu.Unlock()
		if printed >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
