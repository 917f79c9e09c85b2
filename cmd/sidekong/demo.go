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
	"sync"
	"time"

	"github.com/spf13/cobra"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

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
  url: %s
  routes:
  - {name: hello, paths: [/hello]}
  - {name: slow, paths: [/slow], strip_path: false}
  - {name: fails, paths: [/fails], strip_path: false}
plugins:
- name: opentelemetry
  config:
    traces_endpoint: %s/v1/traces
    resource_attributes: {service.name: sidekong}
    queue: {max_batch_size: 200, max_coalescing_delay: 0.1}
`

func demoCommand(sys system) *cobra.Command {
	var address string
	var attributes bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start an example backend, the sidecar in front of it and a receiver that prints the traces",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().StringVar(&address, "listen", "127.0.0.1:8000", "address of the sidecar")
	cmd.Flags().BoolVar(&attributes, "attributes", false, "print every attribute")
	return command(cmd, func(ctx context.Context, _ []string) error {
		colour := isTerminal(sys.stdout) && os.Getenv("NO_COLOR") == ""
		return demo(ctx, sys, address, otlp.TreeOptions{Colour: colour, Attributes: attributes})
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
func demo(ctx context.Context, sys system, address string, options otlp.TreeOptions) error {
	level := newLogLevel("warn")
	logger := newLogger(sys.stderr, "text", level)
	group, ctx := errgroup.WithContext(ctx)

	receiver := newReceiver(sys.stdout, options)
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

	o := demoOptions(address, fmt.Sprintf(demoConfig, backendURL, receiverURL))
	settings, otel, _, err := o.parse(system{stdout: sys.stdout, stderr: sys.stderr})
	if err != nil {
		return err
	}
	app, err := build(ctx, sys, settings, otel, "", logger, level)
	if err != nil {
		return err
	}
	group.Go(func() error {
		return app.run(ctx, func(listeners []net.Addr) {
			group.Go(func() error { return tour(ctx, sys.stdout, "http://"+listeners[0].String(), receiver) })
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

// demoOptions are the settings of the demo's sidecar. The environment has no say in them.
func demoOptions(address, config string) options {
	return options{settings: map[string]string{
		"proxy_listen": address, "status_listen": "off", "admin_listen": "off", "admin_gui_listen": "off",
		"declarative_config_string": config, "log_level": "warn",
	}}
}

// tour sends the first requests and says how to send more.
func tour(ctx context.Context, out io.Writer, url string, traces *receiver) error {
	fmt.Fprintf(out, "Sidekong listens on %s. Three requests as a start:\n\n", url)
	for i, path := range []string{"/hello/world", "/slow", "/fails"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if err := traces.wait(ctx, i+1); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "Send more, each is shown as it arrives:\n\n"+
		"  curl %[1]s/hello/you\n"+
		"  curl -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' %[1]s/hello\n"+
		"  curl -H 'b3: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1' %[1]s/hello\n"+
		"  curl %[1]s/nowhere\n\n"+
		"Ctrl-C ends the demo. Your own backend: sidekong run --upstream http://localhost:3000\n\n", url)
	return nil
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
	client, err := otlp.NewClient(otlp.Config{Endpoint: endpoint, Resource: otlp.Resource{"service.name": "backend"}})
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
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"path": r.URL.RequestURI(), "headers": r.Header})

	span.SetString("http.method", r.Method)
	span.SetString("http.target", r.URL.Path)
	span.SetInt("http.status_code", int64(status))
	span.End()
	if trace.Recording() {
		b.queue.Append(otlp.Frames{Trace: trace})
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
	printed int
	changed chan struct{} // closed and replaced when a trace was printed
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
