package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"sidekong/configs"
	"sidekong/configs/database"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin/opentelemetry"
)

// chooseSources says where the configuration comes from, and with --upstream where requests go.
func (a *app) chooseSources(ctx context.Context, upstream string) error {
	s := a.settings
	if err := a.openDatabase(ctx, upstream); err != nil {
		return err
	}
	switch {
	case a.stored:
	case s.DeclarativeConfigString != "":
		a.sources = []configs.Source{configs.Text("declarative_config_string", s.DeclarativeConfigString)}
	case len(s.DeclarativeConfig) > 0:
		a.sources = []configs.Source{configs.Files(s.DeclarativeConfig...)}
	}
	if s.KongAdmin.Address != "" && (upstream == "" || a.sources != nil) {
		return usageError{errors.New("kong_admin goes with --upstream, the address of that Kong's proxy, and without declarative_config")}
	}
	if upstream == "" {
		if a.sources == nil && !a.stored {
			notice(a.logger, "no configuration: every request is answered 404. Set declarative_config to a kong.yaml or use --upstream")
		}
		return nil
	}
	everything, err := configs.Upstream(upstream)
	if err != nil {
		return usageError{fmt.Errorf("--upstream: %w", err)}
	}
	snapshot, _, err := a.loader.Load(ctx, everything)
	if err != nil {
		return err
	}
	a.forward = snapshot.Services[0]
	a.naming = a.sources != nil || s.KongAdmin.Address != ""
	switch {
	case a.naming:
		kong := *a.forward
		kong.Name = "kong"
		a.forward = &kong
	default:
		a.sources = []configs.Source{everything}
	}
	if s.KongAdmin.Address == "" {
		return nil
	}
	k := s.KongAdmin
	source, err := configs.NewKongAdmin(configs.KongAdminOptions{
		Address: k.Address, Workspace: k.Workspace, Token: k.Token, CAFile: k.CAFile, CertFile: k.CertFile, KeyFile: k.KeyFile,
		ServerName: k.ServerName, Kinds: []string{"services", "routes", "plugins"}, Plugins: []string{opentelemetry.Name},
		Schemas: a.loader.Schemas, Logger: a.logger,
	})
	if err != nil {
		return configError{fmt.Errorf("kong_admin: %w", err)}
	}
	a.poller = &configs.Poller{
		Source: source, Loader: a.loader, Interval: k.Interval, StartEmpty: true, Logger: a.logger,
		Apply: func(snapshot *configs.Snapshot) error {
			_, err := a.store.Replace(a.complete(snapshot))
			return err
		},
	}
	return nil
}

// openDatabase opens the database that the settings name. Where there is none, what files say is shown as one that
// cannot be written.
func (a *app) openDatabase(ctx context.Context, upstream string) (err error) {
	s := a.settings
	kind := s.Database
	if upstream != "" && s.Origin("database") == "default" {
		kind = "off"
	}
	switch kind {
	case "sqlite":
		if err = os.MkdirAll(s.Prefix, 0o700); err != nil {
			return fmt.Errorf("prefix: %w", err)
		}
		a.db, err = database.OpenSQLite(ctx, filepath.Join(s.Prefix, "sidekong.db"), a.loader.Schemas)
	case "postgres":
		p := s.Postgres
		a.db, err = database.OpenPostgres(ctx, database.PostgresOptions{
			Host: p.Host, Port: p.Port, User: p.User, Password: p.Password, Database: p.Database, Schema: p.Schema,
			Timeout: p.Timeout, PoolSize: p.PoolSize, SSL: p.SSL, SSLRequired: p.SSLRequired, SSLVerify: p.SSLVerify,
			Authorities: a.roots, CertFile: p.SSLKeyPair.Cert, KeyFile: p.SSLKeyPair.Key,
		}, a.loader.Schemas)
	default:
		a.memory = database.NewMemory(&declarative.Document{}, a.loader.Schemas)
		a.db = a.memory
		return nil
	}
	if err != nil {
		return err
	}
	a.stored = true
	a.credentials = database.NewCredentials(a.db, database.CredentialsOptions{TTL: s.DBCacheTTL})
	if len(s.DeclarativeConfig) > 0 || s.DeclarativeConfigString != "" {
		a.logger.Warn("declarative_config is ignored: the configuration is in the database", "database", kind)
	}
	return nil
}

// first reads the configuration for the first time.
func (a *app) first(ctx context.Context) (*configs.Snapshot, error) {
	if a.poller != nil {
		snapshot, err := a.poller.First(ctx)
		if err != nil {
			return nil, err
		}
		return a.complete(snapshot), nil
	}
	snapshot, warnings, err := a.load(ctx)
	for _, w := range warnings {
		a.logger.Warn(w.String())
	}
	return snapshot, err
}

// reading is what was last read from files without a fault.
type reading struct {
	digest   [sha256.Size]byte
	snapshot *configs.Snapshot
	warnings []declarative.Warning
}

func digestOf(inputs []declarative.Input) (digest [sha256.Size]byte) {
	sum := sha256.New()
	for _, input := range inputs {
		fmt.Fprintf(sum, "%q %d\n", input.Name, len(input.Data))
		sum.Write(input.Data)
	}
	sum.Sum(digest[:0])
	return digest
}

// load reads the configuration from its files or from the database.
func (a *app) load(ctx context.Context) (*configs.Snapshot, []declarative.Warning, error) {
	if !a.stored {
		inputs, err := configs.InputsOf(ctx, a.sources...)
		if err != nil {
			return nil, nil, configError{err}
		}
		// A file that is edited and a signal that says so come together; what is the same need not be parsed again.
		digest := digestOf(inputs)
		if a.read.snapshot == nil || a.read.digest != digest {
			snapshot, warnings, err := a.loader.Parse(inputs)
			if err != nil {
				return nil, nil, configError{err}
			}
			a.read = reading{digest, snapshot, warnings}
		}
		return a.complete(a.read.snapshot), a.read.warnings, nil
	}
	document, _, err := a.db.Document(database.WithPause(ctx, a.loader.Pause))
	if err != nil {
		return nil, nil, err
	}
	a.credentials.Refresh(document)
	// Credentials are asked for one by one; there may be many.
	served := *document
	served.Entities = maps.Clone(document.Entities)
	delete(served.Entities, "keyauth_credentials")
	delete(served.Entities, "basicauth_credentials")
	snapshot, err := a.loader.Snapshot(&served)
	if err != nil {
		return nil, nil, err
	}
	return a.complete(snapshot), nil, nil
}

// complete adds the plugins that settings imply.
func (a *app) complete(snapshot *configs.Snapshot) *configs.Snapshot {
	done := a.traced(snapshot)
	if path := a.settings.ProxyAccessLog; path != "" {
		done.ActivePlugins = append(slices.Clip(done.ActivePlugins), accessLogTo(path))
	}
	return done
}

// traced adds an implicit global opentelemetry plugin where a configuration has none at all. Of a Kong's behind us it
// leaves the global opentelemetry plugin alone: whatever else it configures runs there.
func (a *app) traced(snapshot *configs.Snapshot) *configs.Snapshot {
	done := *snapshot
	if a.naming {
		done.Upstreams, done.Targets = nil, nil
		done.ActivePlugins = nil
		for _, p := range snapshot.ActivePlugins {
			if p.Name == opentelemetry.Name && configs.ScopeOf(p) == (configs.Scope{}) && a.implicit.Config["traces_endpoint"] == nil {
				done.ActivePlugins = []*entity.Plugin{p}
			}
		}
		if len(done.ActivePlugins) > 0 {
			return &done
		}
	} else if slices.ContainsFunc(snapshot.Plugins, func(p *entity.Plugin) bool { return p.Name == opentelemetry.Name }) {
		return &done
	}
	if a.implicit.Config["traces_endpoint"] == nil && a.store == nil {
		notice(a.logger, "requests are traced but nothing is exported: no opentelemetry plugin is configured and neither --otlp-endpoint nor OTEL_EXPORTER_OTLP_ENDPOINT is set")
	}
	done.ActivePlugins = append(slices.Clip(done.ActivePlugins), a.implicit)
	return &done
}

// reload takes the configuration from its sources anew. Where that fails, the old one serves on.
func (a *app) reload(ctx context.Context) error {
	if a.poller != nil {
		return a.poller.Reload(ctx)
	}
	a.reloading.Lock()
	defer a.reloading.Unlock()
	snapshot, warnings, err := a.load(ctx)
	return a.replace(snapshot, warnings, err, "configuration read")
}

// replace puts a configuration in force that was read, or notes why there is none.
func (a *app) replace(snapshot *configs.Snapshot, warnings []declarative.Warning, err error, what string) error {
	changed := false
	if err == nil {
		for _, w := range warnings {
			a.logger.Warn(w.String())
		}
		changed, err = a.store.Replace(snapshot)
	}
	if errors.Is(err, database.ErrUnreachable) || errors.Is(err, context.Canceled) {
		return err // it is no fault of the configuration's
	}
	if err != nil {
		text := err.Error()
		a.fault.Store(&text)
		a.logger.Error("the configuration stays as it is: the new one is at fault", "error", err)
		return err
	}
	a.fault.Store(nil)
	if a.memory != nil && changed {
		a.memory.Replace(snapshot.Document)
	}
	if changed || !a.stored {
		notice(a.logger, what, "changed", changed, "hash", snapshot.Hash)
	}
	return nil
}

// replaceWhole is the Admin API's way to put a configuration in the place of that of the files.
func (a *app) replaceWhole(ctx context.Context, input declarative.Input) (*declarative.Document, bool, error) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	before := a.store.Snapshot().Hash
	snapshot, warnings, err := a.loader.Load(ctx, configs.Text(input.Name, string(input.Data)))
	if err != nil {
		return nil, false, err // the client is told
	}
	if err := a.replace(a.complete(snapshot), warnings, nil, "configuration taken from the Admin API"); err != nil {
		return nil, false, err
	}
	return snapshot.Document, snapshot.Hash != before, nil
}

// watchDatabase follows the database: what others write is served, and what is remembered of it is no longer.
func (a *app) watchDatabase(ctx context.Context) error {
	err := a.db.Watch(ctx, func() error {
		err := a.applied(ctx)
		if err != nil && ctx.Err() == nil {
			a.logger.Error("what the database holds is not served", "error", err)
		}
		if errors.Is(err, database.ErrUnreachable) {
			return err
		}
		return nil // another try would come to the same
	}, func(err error) {
		if err != nil {
			text := err.Error()
			a.unreachable.Store(&text)
			a.logger.Error("the database cannot be reached: what is known of it is served on", "error", err)
			return
		}
		a.unreachable.Store(nil)
		notice(a.logger, "the database is back")
	})
	if ctx.Err() == nil {
		return err
	}
	return nil // the program ends
}

// applied returns when this process serves what the database holds.
func (a *app) applied(ctx context.Context) error {
	err := a.reload(ctx)
	if err != nil {
		a.credentials.Invalidate() // something has changed, and it is not known what
	}
	return err
}
