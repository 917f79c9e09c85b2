package configs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"sidekong/configs/declarative"
)

// Poller follows a source that cannot tell of its changes by itself, such as a running Kong's Admin API: it reads
// again and again, hands over what is new, and holds on to the last good picture while there is none.
//
// The fields are set before the first call and not changed after. First is called once, then Run; Reload and Status
// may be called at any time.
type Poller struct {
	Source Source // a KongAdmin; one with Fingerprint is asked for that first
	// Loader makes the snapshots. Its LookupEnv is not used: what comes from elsewhere must not read our environment.
	Loader Loader
	// Apply gets each snapshot whose content differs from the one before, one at a time. When it fails, the old one
	// serves on, and this content is not tried again. The warnings of declarative.Parse are dropped: they tell what
	// Kong would do, and this Kong does it. Apply must not call First or Reload.
	Apply func(*Snapshot) error

	Interval   time.Duration // between two reads; 0: 10 s. One tenth more or less, so that sidecars don't march in step
	StartEmpty bool          // First gives an empty snapshot where the source is away
	Logger     *slog.Logger

	reading     sync.Mutex // guards what follows: one read at a time
	digest      [sha256.Size]byte
	fingerprint string

	mu     sync.Mutex // guards status
	status PollerStatus
}

// PollerStatus is how a Poller stands. A zero time means never.
type PollerStatus struct {
	Source    string    `json:"source,omitempty"`
	ReadAt    time.Time `json:"read_at,omitzero"`    // when the source last showed its configuration
	ChangedAt time.Time `json:"changed_at,omitzero"` // when it last was a new one that was applied
	Hash      string    `json:"hash,omitempty"`      // of the snapshot that came from it
	AwaySince time.Time `json:"away_since,omitzero"` // zero while the source answers
	Failures  int       `json:"failures,omitempty"`  // reads in a row
	Error     string    `json:"error,omitempty"`     // of the last read
	Fault     string    `json:"fault,omitempty"`     // why the configuration that was read last is not the one that serves
}

// fingerprinter is a source that can cheaply tell whether it has changed. "" means that it cannot.
type fingerprinter interface {
	Fingerprint(ctx context.Context) (string, error)
}

const (
	pollInterval = 10 * time.Second
	firstRetry   = time.Second // after a failure, then twice as long each time
	lastRetry    = 30 * time.Second
	levelNotice  = slog.Level(2) // between info and warn, as in Kong
)

// First reads for the first time. Apply is not called: the snapshot is the caller's to begin with. Where there is none
// it is an error or, with StartEmpty, an empty snapshot.
func (p *Poller) First(ctx context.Context) (*Snapshot, error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	empty := func(err error, note func(error)) (*Snapshot, error) {
		if !p.StartEmpty || ctx.Err() != nil {
			return nil, err
		}
		note(err)
		return p.Loader.Snapshot(&declarative.Document{})
	}
	r, err := p.read(ctx, true)
	if err != nil {
		return empty(err, p.missed)
	}
	snapshot, err := p.load(ctx, r)
	if err != nil {
		return empty(err, func(err error) { p.refused(r, err) })
	}
	p.applied(r, snapshot)
	return snapshot, nil
}

// Run reads every Interval until ctx ends, more often at first when the source is away. It always returns nil.
func (p *Poller) Run(ctx context.Context) error {
	timer := time.NewTimer(p.pause())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			_ = p.poll(ctx, false) // logged, and in the status
			timer.Reset(p.pause())
		}
	}
}

// Reload reads now, even if the fingerprint says that nothing is new, and applies what it reads even if it was refused
// before.
func (p *Poller) Reload(ctx context.Context) error { return p.poll(ctx, true) }

// Status tells how things are.
func (p *Poller) Status() PollerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	status := p.status
	status.Source = p.name()
	return status
}

// pause is the time until the next read.
func (p *Poller) pause() time.Duration {
	interval := p.Interval
	if interval <= 0 {
		interval = pollInterval
	}
	pause := interval
	if failures := p.Status().Failures; failures > 0 {
		pause = min(firstRetry, interval) << min(failures-1, 10)
		pause = min(pause, max(interval, lastRetry))
	}
	return time.Duration(float64(pause) * (0.9 + 0.2*rand.Float64()))
}

// look is what one read has found.
type look struct {
	inputs      []declarative.Input
	digest      [sha256.Size]byte
	fingerprint string
	same        bool // as the last one that was applied or refused
}

// poll reads once and applies what is new.
func (p *Poller) poll(ctx context.Context, force bool) error {
	p.reading.Lock()
	defer p.reading.Unlock()
	r, err := p.read(ctx, force)
	if ctx.Err() != nil {
		return ctx.Err() // the end of the program is not a failure of Kong's
	}
	if err != nil {
		p.missed(err)
		return err
	}
	p.answered()
	if r.same && !force {
		return nil
	}
	snapshot, err := p.load(ctx, r)
	if err == nil {
		err = p.Apply(snapshot)
	}
	if err != nil {
		p.refused(r, err)
		return err
	}
	p.applied(r, snapshot)
	return nil
}

// read looks at the source. The fingerprint is taken first: what changes meanwhile is then seen the next time.
func (p *Poller) read(ctx context.Context, force bool) (*look, error) {
	r := &look{}
	if source, ok := p.Source.(fingerprinter); ok {
		fingerprint, err := source.Fingerprint(ctx)
		if err != nil {
			return nil, err
		}
		if fingerprint != "" && fingerprint == p.fingerprint && !force {
			r.same = true
			return r, nil
		}
		r.fingerprint = fingerprint
	}
	inputs, err := p.Source.Inputs(ctx)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	for _, input := range inputs {
		_, _ = fmt.Fprintf(hash, "%d %q ", len(input.Data), input.Name)
		_, _ = hash.Write(input.Data)
	}
	r.inputs = inputs
	hash.Sum(r.digest[:0])
	if r.same = r.digest == p.digest; r.same {
		p.fingerprint = r.fingerprint
	}
	return r, nil
}

func (p *Poller) load(ctx context.Context, r *look) (*Snapshot, error) {
	snapshot, _, err := Loader{Schemas: p.Loader.Schemas}.Load(ctx, given(r.inputs))
	return snapshot, err
}

// given is a source that has been read.
type given []declarative.Input

func (g given) Inputs(context.Context) ([]declarative.Input, error) { return g, nil }

func (p *Poller) name() string {
	if named, ok := p.Source.(fmt.Stringer); ok {
		return named.String()
	}
	return ""
}

// missed notes that the source shows no configuration, and tells so once.
func (p *Poller) missed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.status
	s.Failures++
	s.Error = err.Error()
	if !s.AwaySince.IsZero() {
		return
	}
	s.AwaySince = time.Now()
	keeps := "what was read at " + s.ReadAt.UTC().Format(time.RFC3339)
	if s.ReadAt.IsZero() {
		keeps = "an empty configuration"
	}
	p.Logger.Warn("Kong's Admin API is away since "+s.AwaySince.UTC().Format(time.RFC3339)+", serving on with "+keeps,
		"address", p.name(), "error", err)
}

// answered notes that the source shows its configuration.
func (p *Poller) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.status
	s.ReadAt = time.Now()
	if s.AwaySince.IsZero() {
		return
	}
	p.Logger.Log(context.Background(), levelNotice, "Kong's Admin API is back",
		"address", p.name(), "away", time.Since(s.AwaySince).Round(time.Second))
	s.AwaySince, s.Failures, s.Error = time.Time{}, 0, ""
}

// refused notes that this content cannot be served.
func (p *Poller) refused(r *look, err error) {
	p.digest, p.fingerprint = r.digest, r.fingerprint
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Fault = err.Error()
	p.Logger.Error("the configuration stays as it is: the one that Kong's Admin API shows now is at fault",
		"address", p.name(), "error", err)
}

// applied notes that a snapshot is being served.
func (p *Poller) applied(r *look, snapshot *Snapshot) {
	p.digest, p.fingerprint = r.digest, r.fingerprint
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.status
	now := time.Now()
	s.ReadAt, s.ChangedAt, s.Hash, s.Fault = now, now, snapshot.Hash, ""
	p.Logger.Log(context.Background(), levelNotice, "configuration read from Kong's Admin API", "address", p.name(),
		"services", len(snapshot.Services), "routes", len(snapshot.Routes), "hash", snapshot.Hash)
}
