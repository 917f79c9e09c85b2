package database

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"sidekong/configs/entity"
)

// Credentials finds consumers and what proves them, for requests: what a database said is remembered until it changes.
// That there is nobody of a name is remembered too, apart from what there is, so that strangers who guess keys push
// nothing out. Its methods are safe for use by several goroutines.
//
// A question that is not remembered goes to the database on the goroutine that asks, with its context; those who ask
// the same meanwhile wait for the answer. What is returned is shared and read-only, nil where there is none. While the
// database is away, what is remembered still holds, and everything else is ErrUnreachable.
type Credentials struct {
	db  DB
	ttl time.Duration
	now func() time.Time

	mu         sync.Mutex
	generation int // counts Invalidate
	found      memo
	missing    memo
	asking     map[question]*asked
}

// CredentialsOptions bound what Credentials remembers.
type CredentialsOptions struct {
	Entries int           // that are found, and as many that are not; 0: 100,000
	TTL     time.Duration // after which an answer is asked for again; 0: when it changes
}

// NewCredentials makes a cache over a database. Its owner calls Invalidate when Watch tells of a change.
func NewCredentials(db DB, o CredentialsOptions) *Credentials {
	entries := cmp.Or(o.Entries, 100_000)
	return &Credentials{
		db: db, ttl: o.TTL, now: time.Now,
		found: memo{bound: entries}, missing: memo{bound: entries}, asking: map[question]*asked{},
	}
}

// question is the digest of kind, field and value: of one size, and no secret.
type question [sha256.Size]byte

type answer struct {
	entity any       // *entity.Consumer and so on, nil if there is none
	until  time.Time // zero: until it changes
}

// asked is a question on its way.
type asked struct {
	done   chan struct{}
	answer answer
	err    error
}

// Invalidate forgets everything. An answer that is on its way is not remembered.
func (c *Credentials) Invalidate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.found, c.missing = memo{bound: c.found.bound}, memo{bound: c.missing.bound}
	c.asking = map[question]*asked{}
}

// KeyAuth finds the credential of a key.
func (c *Credentials) KeyAuth(ctx context.Context, key string) (*entity.KeyAuthCredential, error) {
	return find[entity.KeyAuthCredential](ctx, c, "keyauth_credentials", "key", key)
}

// BasicAuth finds the credential of a user name.
func (c *Credentials) BasicAuth(ctx context.Context, username string) (*entity.BasicAuthCredential, error) {
	return find[entity.BasicAuthCredential](ctx, c, "basicauth_credentials", "username", username)
}

// Consumer finds a consumer by its id.
func (c *Credentials) Consumer(ctx context.Context, id string) (*entity.Consumer, error) {
	return find[entity.Consumer](ctx, c, "consumers", "id", id)
}

// ConsumerNamed finds a consumer by its username.
func (c *Credentials) ConsumerNamed(ctx context.Context, username string) (*entity.Consumer, error) {
	return find[entity.Consumer](ctx, c, "consumers", "username", username)
}

func find[T any](ctx context.Context, c *Credentials, kind, field, value string) (*T, error) {
	q := question(sha256.Sum256([]byte(kind + "\x00" + field + "\x00" + value)))
	answer, err := c.ask(ctx, q, func() (answer, error) {
		asked := c.now()
		object, err := c.db.Find(ctx, kind, field, value)
		if err != nil || object == nil {
			return answer{}, err
		}
		to := new(T)
		if err := entity.Decode(object, to); err != nil {
			return answer{}, err
		}
		a := answer{entity: to}
		if ttl, ok := object["ttl"].(float64); ok && ttl > 0 {
			a.until = asked.Add(time.Duration(ttl * float64(time.Second)))
		}
		return a, nil
	})
	found, _ := answer.entity.(*T)
	return found, err
}

// ask answers from memory, or by a question that only one asks at a time.
func (c *Credentials) ask(ctx context.Context, q question, read func() (answer, error)) (answer, error) {
	for {
		c.mu.Lock()
		if a, ok := c.remembered(q); ok {
			c.mu.Unlock()
			return a, nil
		}
		if other := c.asking[q]; other != nil {
			c.mu.Unlock()
			select {
			case <-ctx.Done():
				return answer{}, context.Cause(ctx)
			case <-other.done:
			}
			if errors.Is(other.err, context.Canceled) || errors.Is(other.err, context.DeadlineExceeded) {
				continue // that was the end of another's request
			}
			return other.answer, other.err
		}
		own := &asked{done: make(chan struct{}), err: errors.New("the question was given up")}
		generation := c.generation
		c.asking[q] = own
		c.mu.Unlock()
		return c.put(q, own, generation, read)
	}
}

func (c *Credentials) put(q question, own *asked, generation int, read func() (answer, error)) (answer, error) {
	defer func() { // whatever happens, nobody waits for ever
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.asking[q] == own {
			delete(c.asking, q)
		}
		if own.err == nil && c.generation == generation {
			c.remember(q, own.answer)
		}
		close(own.done)
	}()
	own.answer, own.err = read()
	return own.answer, own.err
}

func (c *Credentials) remembered(q question) (answer, bool) {
	for _, m := range []*memo{&c.found, &c.missing} {
		if a, ok := m.get(q); ok && (a.until.IsZero() || c.now().Before(a.until)) {
			return a, true
		}
	}
	return answer{}, false
}

func (c *Credentials) remember(q question, a answer) {
	if c.ttl > 0 {
		if until := c.now().Add(c.ttl); a.until.IsZero() || until.Before(a.until) {
			a.until = until
		}
	}
	if a.entity == nil {
		c.missing.put(q, a)
		return
	}
	c.found.put(q, a)
}

// memo remembers the answers that were asked for last: at least half of bound, at most bound.
type memo struct {
	bound        int
	recent, past map[question]answer
}

func (m *memo) get(q question) (answer, bool) {
	if a, ok := m.recent[q]; ok {
		return a, true
	}
	a, ok := m.past[q]
	if ok {
		m.put(q, a)
	}
	return a, ok
}

func (m *memo) put(q question, a answer) {
	if m.recent == nil || len(m.recent) >= max(1, m.bound/2) {
		m.past, m.recent = m.recent, map[question]answer{}
	}
	m.recent[q] = a
}
