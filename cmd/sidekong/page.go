package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"sidekong/admin/inventory"
	"sidekong/admin/traces"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing/otlp"
)

// page is what the page on admin_gui_listen knows.
type page struct {
	store     *traces.Store // nil: nobody looks
	size      int64         // bytes that the store may take
	inventory *inventory.Inventory
	keeper    traces.Keeper // nil: nothing outlives the program
	keeping   sync.WaitGroup
}

// openPage makes what the page knows, with what an earlier run left of it.
func (a *app) openPage(ctx context.Context, defaults opentelemetry.Defaults) error {
	s := a.settings
	if len(s.AdminGUIListen) == 0 || s.TracesStoreSize == 0 {
		return nil
	}
	resource, err := otlp.NewResource(defaults.ServiceVersion, defaults.InstanceID, defaults.ResourceAttributes).Bytes()
	if err != nil {
		return err
	}
	a.page.size = storeSize(s.TracesStoreSize, memoryLimit(s.MemoryLimit))
	a.page.store = traces.New(traces.Options{Limit: a.page.size, Resource: resource, Expand: expand})
	a.page.inventory = inventory.New()
	if s.TracesStore == "" {
		return nil
	}
	keeper, err := traces.OpenSQLite(ctx, s.TracesStore, s.TracesStoreSize)
	if err != nil {
		return fmt.Errorf("traces_store: %w", err)
	}
	a.page.keeper = keeper
	if err := a.page.store.Restore(ctx, keeper); err != nil {
		return fmt.Errorf("traces_store: %w", err)
	}
	if err := traces.RestoreInventory(ctx, keeper, a.page.inventory); err != nil {
		return fmt.Errorf("traces_store: %w", err)
	}
	return nil
}

// run learns from what comes, and keeps it, until ctx ends.
func (p *page) run(ctx context.Context, group *errgroup.Group, logger *slog.Logger) {
	if p.store == nil {
		return
	}
	p.keeping.Go(func() { _ = p.store.Feed(ctx, p.inventory.Observe) }) // it ends with ctx alone
	if p.keeper != nil {
		p.keeping.Go(func() { _ = p.store.Keep(ctx, p.keeper, logger) }) // these have logged
		p.keeping.Go(func() { _ = traces.KeepInventory(ctx, p.keeper, p.inventory, logger) })
	}
	group.Go(func() error {
		p.keeping.Wait()
		return nil
	})
}

// close ends what openPage began.
func (p *page) close(logger *slog.Logger) {
	p.keeping.Wait()
	if p.store != nil {
		p.store.Close()
	}
	if p.keeper == nil {
		return
	}
	if err := p.keeper.Close(); err != nil {
		logger.Warn("traces_store: close", "error", err)
	}
}
