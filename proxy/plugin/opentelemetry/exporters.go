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
	"net/url"
	"slices"
	"sync"
	"time"

	"sidekong/tracing/otlp"
	"sidekong/tracing/queue"
)

// retireTime is how long an exporter that no configuration uses any more may take to deliver what it holds.
const retireTime = 30 * time.Second

// Exporters are the queues of all plugin instances, with the clients that empty them. Instances with equal settings
// share one, also over a reload: it lives as long as anything uses it.
type Exporters struct {
	log     *slog.Logger
	mu      sync.Mutex
	active  map[string]*exporter
	retired Stats // of exporters that have ended
	closed  bool
	running sync.WaitGroup
}

// NewExporters makes an empty set. Close ends it.
func NewExporters(log *slog.Logger) *Exporters {
	return &Exporters{log: log, active: map[string]*exporter{}, retired: Stats{ID: "retired"}}
}

// exporter is a queue with its client.
type exporter struct {
	owner    *Exporters
	key      string
	endpoint string
	users    int
	queue    *queue.Queue
	client   *otlp.Client
	cancel   context.CancelFunc
	done     chan struct{}
}

// Stats are one exporter's counts.
type Stats struct {
	ID       string // tells exporters with equal endpoints apart
	Endpoint string // scheme, host and path; no query, no user information
	queue.Stats
}

// acquire gives the exporter of these settings and counts a user.
func (e *Exporters) acquire(client otlp.Config, settings queue.Settings) (*exporter, error) {
	raw, err := json.Marshal([]any{client, settings})
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
	c, err := otlp.NewClient(client)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &exporter{
		owner: e, key: key, endpoint: publicURL(client.Endpoint), users: 1, client: c, cancel: cancel, done: make(chan struct{}),
	}
	x.queue = queue.New(x.endpoint, settings, c, e.log)
	e.active[key] = x
	e.running.Go(func() {
		defer close(x.done)
		_ = x.queue.Run(ctx) // ends by Close alone
	})
	return x, nil
}

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
	e.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), retireTime)
		defer cancel()
		x.close(ctx)
	})
}

// close flushes, ends and accounts.
func (x *exporter) close(ctx context.Context) {
	e := x.owner
	if err := x.queue.Close(ctx); err != nil {
		e.log.Warn("spans are lost", "endpoint", x.endpoint, "error", err)
	}
	x.cancel()
	<-x.done
	x.client.Close()
	stats := x.queue.Stats()
	e.log.Info("exporter ends", "endpoint", x.endpoint, "created", stats.Created, "delivered", stats.Delivered,
		"rejected", stats.Rejected, "dropped", stats.Dropped.Total())
	e.mu.Lock()
	defer e.mu.Unlock()
	e.retired.add(stats)
}

func (s *Stats) add(more queue.Stats) {
	s.Created += more.Created
	s.Delivered += more.Delivered
	s.Rejected += more.Rejected
	s.Posts += more.Posts
	s.Retries += more.Retries
	for i := range more.Dropped {
		s.Dropped[i] += more.Dropped[i]
	}
}

// Close flushes all queues at once, as long as ctx lasts, and waits for their end.
func (e *Exporters) Close(ctx context.Context) {
	e.mu.Lock()
	e.closed = true
	var closing []*exporter
	for key, x := range e.active {
		closing = append(closing, x)
		delete(e.active, key)
	}
	e.mu.Unlock()
	var each sync.WaitGroup
	for _, x := range closing {
		each.Go(func() { x.close(ctx) })
	}
	each.Wait()
	e.running.Wait()
}

// Stats lists the exporters by endpoint; what those that have ended had counted comes last, if there was any.
func (e *Exporters) Stats() []Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []Stats
	for _, x := range e.active {
		all = append(all, Stats{ID: x.key[:8], Endpoint: x.endpoint, Stats: x.queue.Stats()})
	}
	slices.SortFunc(all, func(a, b Stats) int {
		return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.ID, b.ID))
	})
	if e.retired.Created > 0 {
		all = append(all, e.retired)
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
