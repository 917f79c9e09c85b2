package database

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"sync"
	"time"

	"sidekong/configs/declarative"
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
	generation int // counts Invalidate and Refresh
	found      memo
	missing    memo
	asking     map[question]*asked
}

// CredentialsOptions bound what Credentials remembers.
type CredentialsOptions struct {
	Entries int           // that are found, and as many that are not; 0: 100,000
	TTL     time.Duration // after which an answer is asked for again; 0: when it changes
}

// NewCredentials makes a cache over a database. Its owner calls Refresh when Watch tells of a change, or Invalidate where
// it cannot learn what changed.
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
func (c *Credentials) Invalidate() { c.forget() }

// forget does what Invalidate does, and gives what was remembered.
func (c *Credentials) forget() (found, missing memo, generation int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, missing = c.found, c.missing
	c.generation++
	c.found, c.missing = memo{bound: found.bound}, memo{bound: missing.bound}
	c.asking = map[question]*asked{}
	return found, missing, c.generation
}

// Refresh forgets what is no longer so, given everything that the database holds now: a change that concerns others
// costs nobody an answer, so that what is remembered still holds when the database goes away. Keys with an end are
// forgotten in any case.
func (c *Credentials) Refresh(document *declarative.Document) {
	found, missing, generation := c.forget()
	keepFound, keepMissing := map[question]answer{}, missing.all()
	remembered := found.all()
	for _, a := range askable {
		for _, e := range document.Entities[a.kind] {
			for _, field := range a.fields {
				value, ok := e.Object[field].(string)
				if !ok {
					continue
				}
				q := ask(a.kind, field, value)
				delete(keepMissing, q)
				known, ok := remembered[q]
				if !ok || e.Object["ttl"] != nil {
					continue
				}
				if decoded, err := a.decode(e.Object); err == nil {
					keepFound[q] = answer{entity: decoded, until: known.until}
				}
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != generation {
		return
	}
	for q, a := range keepFound {
		c.found.keep(q, a)
	}
	for q, a := range keepMissing {
		c.missing.keep(q, a)
	}
}

// askable is what can be asked for.
var askable = []struct {
	kind   string
	fields []string
	decode func(entity.Object) (any, error)
}{
	{"keyauth_credentials", []string{"key"}, decodeTo[entity.KeyAuthCredential]},
	{"basicauth_credentials", []string{"username"}, decodeTo[entity.BasicAuthCredential]},
	{"consumers", []string{"id", "username"}, decodeTo[entity.Consumer]},
}

func decodeTo[T any](object entity.Object) (any, error) {
	to := new(T)
	if err := entity.Decode(object, to); err != nil {
		return nil, err
	}
	return to, nil
}

func ask(kind, field, value string) question {
	return sha256.Sum256([]byte(kind + "\x00" + field + "\x00" + value))
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
	answer, err := c.ask(ctx, ask(kind, field, value), func() (answer, error) {
		asked := c.now()
		object, err := c.db.Find(ctx, kind, field, value)
		if err != nil || object == nil {
			return answer{}, err
		}
		var a answer
		if ttl, ok := object["ttl"].(float64); ok && ttl > 0 {
			a.until = asked.Add(time.Duration(ttl * float64(time.Second)))
			delete(object, "ttl") // it is what is left, not what counts from created_at
		}
		a.entity, err = decodeTo[T](object)
		return a, err
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

// keep is put, unless there is a newer answer.
func (m *memo) keep(q question, a answer) {
	if _, ok := m.get(q); !ok {
		m.put(q, a)
	}
}

func (m *memo) all() map[question]answer {
	all := maps.Clone(m.past)
	if all == nil {
		all = make(map[question]answer, len(m.recent))
	}
	maps.Copy(all, m.recent)
	return all
}
