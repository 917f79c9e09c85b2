package httplog

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sidekong/tracing/queue"
)

// retireTime is how long a queue that no configuration uses any more may take to deliver what it holds.
const retireTime = 30 * time.Second

// Senders are the queues of all instances with the clients that empty them. Instances with equal settings share one,
// also over a reload.
type Senders struct {
	log     *slog.Logger
	roots   *x509.CertPool
	mu      sync.Mutex
	active  map[[sha256.Size]byte]*sender
	ending  map[*sender]struct{}
	closed  bool
	life    context.Context // ends with the time that Close has
	end     context.CancelFunc
	running sync.WaitGroup
}

// Stats are one queue's counts.
type Stats struct {
	Endpoint string // scheme, host and path; no query, no user information
	queue.Stats
}

// NewSenders makes an empty set. Servers' certificates are verified with roots; nil: the system's. Close ends it.
func NewSenders(log *slog.Logger, roots *x509.CertPool) *Senders {
	s := &Senders{
		log: log, roots: roots, active: map[[sha256.Size]byte]*sender{}, ending: map[*sender]struct{}{},
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// sender is a queue with its client.
type sender struct {
	owner  *Senders
	key    [sha256.Size]byte
	users  int // guarded by the owner's lock
	client *client
	queue  *queue.Queue
	cancel context.CancelFunc
	done   chan struct{}
}

// acquire gives the sender of a configuration and counts a user.
func (ss *Senders) acquire(c *config) (*sender, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("identify queue: %w", err)
	}
	key := sha256.Sum256(raw)
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed {
		return nil, errors.New("queues are closed")
	}
	if s := ss.active[key]; s != nil {
		s.users++
		return s, nil
	}
	client, err := newClient(c, ss.roots)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &sender{owner: ss, key: key, users: 1, client: client, cancel: cancel, done: make(chan struct{})}
	s.queue = queue.New(client.public, c.settings(), client, ss.log.With("plugin", Name))
	ss.active[key] = s
	ss.running.Go(func() {
		defer close(s.done)
		_ = s.queue.Run(ctx) // ends by Close alone
	})
	return s, nil
}

// release counts a user off. After the last one the queue delivers what it holds in the background and ends.
func (s *sender) release() {
	ss := s.owner
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.users--
	if s.users > 0 || ss.active[s.key] != s || ss.closed {
		return
	}
	delete(ss.active, s.key)
	ss.ending[s] = struct{}{}
	ss.running.Go(func() {
		ctx, cancel := context.WithTimeout(ss.life, retireTime)
		defer cancel()
		s.close(ctx)
	})
}

// close flushes and ends the queue, which logs its account.
func (s *sender) close(ctx context.Context) {
	if err := s.queue.Close(ctx); err != nil {
		s.owner.log.Warn("requests are not logged", "plugin", Name, "endpoint", s.client.public, "error", err)
	}
	s.cancel()
	<-s.done
	s.client.close()
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	delete(s.owner.ending, s)
}

// Close flushes all queues at once, as long as ctx lasts, and waits for their end.
func (ss *Senders) Close(ctx context.Context) {
	ss.mu.Lock()
	ss.closed = true
	var closing []*sender
	for key, s := range ss.active {
		closing = append(closing, s)
		delete(ss.active, key)
		ss.ending[s] = struct{}{}
	}
	ss.mu.Unlock()
	defer context.AfterFunc(ctx, ss.end)() // those that end already have no more time than the others
	var each sync.WaitGroup
	for _, s := range closing {
		each.Go(func() { s.close(ctx) })
	}
	each.Wait()
	ss.running.Wait()
	ss.end()
}

// Stats lists the queues that have not ended.
func (ss *Senders) Stats() []Stats {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	var all []Stats
	for _, s := range ss.active {
		all = append(all, Stats{s.client.public, s.queue.Stats()})
	}
	for s := range ss.ending {
		all = append(all, Stats{s.client.public, s.queue.Stats()})
	}
	return all
}
