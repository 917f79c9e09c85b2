package plugin

import (
	"log/slog"

	"sidekong/configs/entity"
)

// Env is what the gateway offers to the instances of plugins beyond their configuration. It belongs to one
// configuration: instances that a reload makes get a new one.
type Env struct {
	Logger    *slog.Logger
	Directory Directory
	// HasUpstream reports whether an Upstream entity of that name is configured.
	HasUpstream func(name string) bool
	// Plugins are all that the configuration makes instances of, not to be changed.
	Plugins []*entity.Plugin
	// RedactedQuery names the query parameters whose values are never recorded.
	RedactedQuery []string
}

// Directory finds consumers and what proves them. Where there is none of that name both results are nil. Looking
// something up may ask a database; its query is part of the request's trace then.
type Directory interface {
	// Consumer finds a consumer by its id, or by its username where byName is true.
	Consumer(ctx *Context, id string, byName bool) (*entity.Consumer, error)
	// KeyAuth finds the credential of a key.
	KeyAuth(ctx *Context, key string) (*entity.KeyAuthCredential, error)
	// BasicAuth finds the credential of a user name.
	BasicAuth(ctx *Context, username string) (*entity.BasicAuthCredential, error)
}
