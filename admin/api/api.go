// Package api is Kong's Admin API: what Kong 3.9 answers for the entities that Sidekong serves, so that curl lines,
// decK and Terraform that were written for Kong work here.
//
// A request goes one way: guarded (guard.go), matched to a route (routes.go), its body read (body.go, form.go), handled
// (entities.go and its neighbours), answered (answer.go). Handlers return an answer or an error; errors become Kong's
// error objects in one place (fault.go).
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"sidekong/admin"
	"sidekong/configs/database"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// Options is what the API works on. Functions that are nil make what depends on them answer 404 or say nothing.
type Options struct {
	// DB holds the entities. With ReadOnly it is not written: the configuration comes from files, as with Kong's
	// database=off.
	DB       database.DB
	ReadOnly bool
	Schemas  *entity.Schemas
	Plugins  []Plugin

	// Applied returns once this process serves what the database holds. It is called after each write, and the answer
	// waits for it, a second at most. Where it fails the write stands nevertheless.
	Applied func(ctx context.Context) error
	// Replace puts a whole new configuration in force (POST /config with ReadOnly). The error is a declarative.Faults
	// where the configuration is at fault.
	Replace func(ctx context.Context, input declarative.Input) (document *declarative.Document, changed bool, err error)

	// Status serves /status.
	Status http.Handler
	// Node is what / tells beside plugins: node_id, hostname, configuration (without secrets) … Its version is Kong's
	// unless Node says otherwise, since tools choose what they send by it.
	Node func() map[string]any
	// LogLevel and SetLogLevel know Kong's names of levels. SetLogLevel goes back to the configured level after the time.
	LogLevel    func() string
	SetLogLevel func(level string, lasting time.Duration) error
	// Health tells how an upstream does, false where it is not balanced here (yet).
	Health func(upstreamID string) (admin.Upstream, bool)
	// SetHealth marks a target, or one of its addresses unless address is "". The error's text is told to the client.
	SetHealth func(upstreamID, target, address string, healthy bool) error

	// Token, unless "", may come with a request as Authorization: Bearer or Kong-Admin-Token. Such a request sees
	// secrets; all others see Mask in their place.
	Token string
	// Public says that others than this machine's users can reach the listener: every request must bring the token, or
	// what Session takes for it.
	Public bool
	// Session tells of a Public listener whether a request belongs to a page that somebody has logged in to. It may do
	// everything but see secrets.
	Session func(*http.Request) bool
	// AllowedHosts are names that requests may be addressed to without a token, beside addresses and localhost.
	AllowedHosts []string
	// AllowedOrigins are origins (scheme://host[:port]) of pages that may send requests that change something, beside
	// those that this server itself has served.
	AllowedOrigins []string
	// MaxBody bounds the bodies of requests, in bytes; 0 is 10 MiB.
	MaxBody int64
	// Logger is told what goes wrong here; nil: nobody.
	Logger *slog.Logger
}

// Plugin is a plugin that may be configured.
type Plugin struct {
	Name     string
	Version  string
	Priority int
	Runs     bool // false: it is checked and does nothing
}

// api serves requests. It is immutable.
type api struct {
	Options
	guard    *guard
	routes   *table
	document []byte // OpenAPI
}

// appliedWithin bounds how long an answer waits for its change to be in force.
const appliedWithin = time.Second

// Handler serves the API at the root; http.StripPrefix puts it elsewhere. It fails where an origin is malformed or a
// public API would have no token.
func Handler(options Options) (http.Handler, error) {
	options.MaxBody = cmp.Or(options.MaxBody, 10<<20)
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	guard, err := newGuard(options)
	if err != nil {
		return nil, err
	}
	a := &api{Options: options, guard: guard}
	a.routes = a.table()
	if a.document, err = a.openAPI(); err != nil {
		return nil, err
	}
	return a, nil
}

// call is one request on its way.
type call struct {
	*api
	ctx    context.Context
	r      *http.Request
	shows  bool // the answer may show secrets
	route  *route
	params map[string]string // of the path, unescaped
	query  query
	body   entity.Object // of a request with a body; never nil
	form   bool          // the body's values are texts that are typed by the schema
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{api: a, ctx: r.Context(), r: r, body: entity.Object{}}
	answer, err := c.handle(w)
	if err != nil {
		answer = faultAnswer(err)
		if answer.status >= http.StatusInternalServerError {
			a.Logger.ErrorContext(c.ctx, "admin API", "method", r.Method, "status", answer.status, "error", err)
		}
	}
	answer.write(w, r)
}

func (c *call) handle(w http.ResponseWriter) (*answer, error) {
	shows, err := c.guard.admit(c.r)
	if err != nil {
		return nil, err
	}
	c.shows = shows
	if c.route, c.params = c.routes.match(c.r.URL.EscapedPath()); c.route == nil {
		return nil, errNotFound
	}
	if c.r.Method == http.MethodOptions {
		return c.route.options(), nil
	}
	operation, ok := c.route.operation(c.r.Method)
	if !ok {
		return nil, errMethod
	}
	if c.query, err = parseQuery(c.r.URL.RawQuery); err != nil {
		return nil, err
	}
	c.r.Body = http.MaxBytesReader(w, c.r.Body, c.MaxBody)
	if !operation.raw {
		if err := c.readBody(operation.body); err != nil {
			return nil, err
		}
	}
	return operation.handle(c)
}
