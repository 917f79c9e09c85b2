package opentelemetry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"sidekong/tracing/otlp"
	"sidekong/tracing/queue"
)

// retireTime is how long an exporter that no configuration uses any more may take to deliver what it holds.
const retireTime = 30 * time.Second

// keepTime is how long spans on disk are kept for a receiver that is not configured any more. It is longer than any
// storage_max_age, so that nothing goes that somebody would send.
const keepTime = 31 * 24 * time.Hour

// Exporters are the queues of all plugin instances, with the clients that empty them, one for each signal. Instances with equal settings
// share one, also over a reload: it lives as long as anything uses it.
type Exporters struct {
	log     *slog.Logger
	lines   logLines
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // nil: net.Dialer's
	health  func() []TargetHealth
	mu      sync.Mutex
	active  map[string]*exporter   // by key
	ending  map[*exporter]struct{} // no longer active, not yet ended
	retired map[string]*Stats      // of exporters that have ended, by signal
	closing chan struct{}          // closed by Close
	life    context.Context        // ends with the time that Close has
	end     context.CancelFunc
	closed  bool
	swept   bool // old files were looked for
	made    int  // exporters so far
	running sync.WaitGroup
}

// NewExporters makes an empty set. Close ends it.
func NewExporters(log *slog.Logger) *Exporters {
	e := &Exporters{
		log: log, active: map[string]*exporter{}, ending: map[*exporter]struct{}{}, retired: map[string]*Stats{},
		closing: make(chan struct{}),
	}
	e.life, e.end = context.WithCancel(context.Background())
	return e
}

// ResolveWith makes exporters ask resolve for the address of a receiver that is named, instead of the system. It is
// called before the first plugin instance is made.
func (e *Exporters) ResolveWith(resolve func(ctx context.Context, host string, port int) (netip.AddrPort, error)) {
	e.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, text, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		port, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
		to, err := resolve(ctx, host, port)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, to.String())
	}
}

// exporter is a queue with its client.
type exporter struct {
	owner    *Exporters
	key      string
	number   int // tells it from others with the same key
	signal   string
	endpoint string
	meter    *meter // of metrics; else nil
	users    int
	stored   bool // its queue keeps spans on disk
	queue    *queue.Queue
	client   *otlp.Client // nil: fault
	fault    error        // why nothing can be sent, whatever the receiver does
	cancel   context.CancelFunc
	done     chan struct{}
}

// Stats are one exporter's counts.
type Stats struct {
	ID       string // tells exporters with equal endpoints apart
	Signal   string // traces, logs, access_logs or metrics
	Endpoint string // scheme, host and path; no query, no user information
	queue.Stats
}

// The names of what exporters export, as Stats give them.
const (
	signalTraces     = "traces"
	signalLogs       = "logs"
	signalAccessLogs = "access_logs"
	signalMetrics    = "metrics"
)

// acquire gives the exporter of these settings and counts a user. What an exporter of metrics measures is in measure. One
// that has a fault counts what it cannot send, as Kong goes on with requests then.
func (e *Exporters) acquire(signal string, client otlp.Config, settings queue.Settings, measure *measure) (*exporter, error) {
	raw, err := json.Marshal([]any{signal, client, settings, measure})
	if err != nil {
		return nil, fmt.Errorf("identify exporter: %w", err)
	}
	sum := sha256.Sum256(raw)
	key := hex.EncodeToString(sum[:])
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errors.New("exporters are closed")
	}
	if x := e.active[key]; x != nil {
		x.users++
		return x, nil
	}
	client.Dial = e.dial
	settings.Records = client.Signal.Records()
	c, fault := otlp.NewClient(client)
	var sender queue.Sender = c
	if fault != nil {
		sender = refusing{fault}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.made++
	x := &exporter{
		owner: e, key: key, number: e.made, signal: signal, endpoint: publicURL(client.Endpoint), users: 1, stored: settings.Storage != nil,
		client: c, fault: fault, cancel: cancel, done: make(chan struct{}),
	}
	if x.stored && !e.swept {
		e.swept = true
		root := filepath.Dir(settings.Storage.Folder)
		e.running.Go(func() { queue.Sweep(root, keepTime, e.log) })
	}
	log := e.log
	if client.Signal == otlp.Logs {
		log = e.lines.direct(log) // trouble with sending lines is none of the lines to send
	}
	x.queue = queue.New(x.endpoint, settings, sender, log)
	e.active[key] = x
	e.running.Go(func() {
		defer close(x.done)
		_ = x.queue.Run(ctx) // ends by Close alone
	})
	if measure != nil {
		x.meter = newMeter(*measure, x.queue, e.health)
		e.running.Go(x.meter.run)
	}
	return x, nil
}

// refusing is the sender of an exporter that has no client: all that it is given is counted as lost.
type refusing struct{ fault error }

// Send is for queue.Sender.
func (r refusing) Send(context.Context, []byte, int) (int64, error) { return 0, r.fault }

// release counts a user off. The last one's exporter delivers what it holds in the background and ends.
func (x *exporter) release() {
	e := x.owner
	e.mu.Lock()
	defer e.mu.Unlock()
	x.users--
	if x.users > 0 || e.active[x.key] != x || e.closed {
		return
	}
	delete(e.active, x.key)
	e.ending[x] = struct{}{}
	e.running.Go(func() {
		ctx, cancel := context.WithTimeout(e.life, retireTime)
		defer cancel()
		if x.stored {
			x.settle(ctx)
		}
		x.close(ctx)
	})
}

// settle gives the queue time to deliver what it holds: when it is closed, what is on disk stays there until somebody
// has a queue for the same receiver again.
func (x *exporter) settle(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for x.queue.Stats().Queued > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		case <-x.owner.closing:
			return
		}
	}
}

// close flushes, ends and accounts.
func (x *exporter) close(ctx context.Context) {
	e := x.owner
	if x.meter != nil {
		x.meter.stop() // it pushes what it has
	}
	if err := x.queue.Close(ctx); err != nil {
		e.log.Warn("telemetry is lost", "signal", x.signal, "endpoint", x.endpoint, "error", err)
	}
	x.cancel()
	<-x.done
	if x.client != nil {
		x.client.Close()
	}
	stats := x.queue.Stats()
	account := []any{
		"signal", x.signal, "endpoint", x.endpoint, "created", stats.Created, "delivered", stats.Delivered, "rejected", stats.Rejected,
		"dropped", stats.Dropped.Total(),
	}
	if x.stored {
		account = append(account, "recovered", stats.Recovered, "left_on_disk", stats.Queued)
	}
	e.log.Info("exporter ends", account...)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.ending, x)
	if e.retired[x.signal] == nil {
		e.retired[x.signal] = &Stats{ID: retiredID(x.signal), Signal: x.signal}
	}
	e.retired[x.signal].add(stats)
}

// retiredID names the row of all exporters of a signal that have ended.
func retiredID(signal string) string {
	if signal == signalTraces {
		return "retired"
	}
	return "retired-" + signal
}

// add leaves out what is queued on disk, on both sides of the account: it is created anew by the queue that finds it.
func (s *Stats) add(more queue.Stats) {
	s.Created += more.Created - more.Queued
	s.Recovered += more.Recovered
	s.Delivered += more.Delivered
	s.Rejected += more.Rejected
	s.Posts += more.Posts
	s.Retries += more.Retries
	for i := range more.Dropped {
		s.Dropped[i] += more.Dropped[i]
	}
}

// Close flushes all queues at once, as long as ctx lasts, and waits for their end. Log lines are not sent from now on.
func (e *Exporters) Close(ctx context.Context) {
	e.lines.ended.Store(true)
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.closing)
	}
	var closing []*exporter
	for key, x := range e.active {
		closing = append(closing, x)
		delete(e.active, key)
		e.ending[x] = struct{}{}
	}
	e.mu.Unlock()
	defer context.AfterFunc(ctx, e.end)() // those that end already have no more time than the others
	var each sync.WaitGroup
	for _, x := range closing {
		each.Go(func() { x.close(ctx) })
	}
	each.Wait()
	e.running.Wait()
	e.end()
}

// Stats lists the exporters by endpoint; what those that have ended had counted comes last, by signal, if there was any.
func (e *Exporters) Stats() []Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []Stats
	for _, x := range e.active {
		all = append(all, Stats{ID: x.key[:8], Signal: x.signal, Endpoint: x.endpoint, Stats: x.queue.Stats()})
	}
	for x := range e.ending {
		// The same settings may be active again.
		id := fmt.Sprintf("%s-%d", x.key[:8], x.number)
		all = append(all, Stats{ID: id, Signal: x.signal, Endpoint: x.endpoint, Stats: x.queue.Stats()})
	}
	slices.SortFunc(all, func(a, b Stats) int {
		return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Signal, b.Signal), cmp.Compare(a.ID, b.ID))
	})
	for _, signal := range slices.Sorted(maps.Keys(e.retired)) {
		if e.retired[signal].Created > 0 {
			all = append(all, *e.retired[signal])
		}
	}
	return all
}

// publicURL is an endpoint without what may be secret in it.
func publicURL(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "(unreadable URL)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
