package proxy

import (
	"context"
	"crypto/sha256"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// Credentials finds consumers and what proves them, nil where there is none.
type Credentials interface {
	Consumer(ctx context.Context, id string) (*entity.Consumer, error)
	ConsumerNamed(ctx context.Context, username string) (*entity.Consumer, error)
	KeyAuth(ctx context.Context, key string) (*entity.KeyAuthCredential, error)
	BasicAuth(ctx context.Context, username string) (*entity.BasicAuthCredential, error)
}

// Database is where credentials are asked for while a request is served.
type Database struct {
	Credentials
	System string // db.system of OpenTelemetry's conventions
	// Observe has begin called for each statement that is sent with the context that it returns, on the goroutine that
	// asks. The statement holds no values.
	Observe func(ctx context.Context, begin func(statement string) (end func(error))) context.Context
}

// stored is a directory in a database. Its queries are spans. Kong: kong/observability/tracing/instrumentation.lua db_query
type stored struct{ *Database }

func (d stored) Consumer(c *plugin.Context, id string, byName bool) (*entity.Consumer, error) {
	if byName {
		return d.ConsumerNamed(d.observed(c), id)
	}
	return d.Credentials.Consumer(d.observed(c), id)
}

func (d stored) KeyAuth(c *plugin.Context, key string) (*entity.KeyAuthCredential, error) {
	return d.Credentials.KeyAuth(d.observed(c), key)
}

func (d stored) BasicAuth(c *plugin.Context, username string) (*entity.BasicAuthCredential, error) {
	return d.Credentials.BasicAuth(d.observed(c), username)
}

func (d stored) observed(c *plugin.Context) context.Context {
	ctx := c.Request.Context()
	if !c.Trace.Has(tracing.DBQuery) {
		return ctx
	}
	return d.Observe(ctx, func(statement string) func(error) {
		span := c.Trace.StartSpan("kong.database.query", tracing.KindClient, c.Span)
		span.SetString("db.system", d.System)
		span.SetString("db.statement", statement)
		return func(err error) {
			if err != nil {
				span.RecordError(err.Error())
				span.SetStatus(tracing.StatusError, "")
			}
			span.End()
		}
	})
}

func (g *Gateway) directory(snapshot *configs.Snapshot) plugin.Directory {
	if g.options.Database != nil {
		return stored{g.options.Database}
	}
	return newDirectory(snapshot)
}

// directory finds a snapshot's consumers and credentials.
type directory struct {
	snapshot  *configs.Snapshot
	usernames map[string]*entity.Consumer
	keys      map[[sha256.Size]byte]*entity.KeyAuthCredential // by digest: how long a search takes says nothing of a key
	basic     map[string]*entity.BasicAuthCredential
}

func newDirectory(snapshot *configs.Snapshot) *directory {
	d := &directory{
		snapshot:  snapshot,
		usernames: make(map[string]*entity.Consumer, len(snapshot.Consumers)),
		keys:      make(map[[sha256.Size]byte]*entity.KeyAuthCredential, len(snapshot.KeyAuth)),
		basic:     make(map[string]*entity.BasicAuthCredential, len(snapshot.BasicAuth)),
	}
	for _, c := range snapshot.Consumers {
		if c.Username != "" {
			d.usernames[c.Username] = c
		}
	}
	for _, c := range snapshot.KeyAuth {
		d.keys[sha256.Sum256([]byte(c.Key))] = c
	}
	for _, c := range snapshot.BasicAuth {
		d.basic[c.Username] = c
	}
	return d
}

func (d *directory) Consumer(_ *plugin.Context, id string, byName bool) (*entity.Consumer, error) {
	if byName {
		return d.usernames[id], nil
	}
	c, _ := d.snapshot.Consumer(id)
	return c, nil
}

func (d *directory) KeyAuth(_ *plugin.Context, key string) (*entity.KeyAuthCredential, error) {
	return d.keys[sha256.Sum256([]byte(key))], nil
}

func (d *directory) BasicAuth(_ *plugin.Context, username string) (*entity.BasicAuthCredential, error) {
	return d.basic[username], nil
}
