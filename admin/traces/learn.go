package traces

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"sidekong/admin/inventory"
)

const (
	// inventoryName is the document in which a keeper has the inventory.
	inventoryName = "inventory"
	saveEvery     = 30 * time.Second
	saveTime      = 10 * time.Second // that the last save may take
)

// RestoreInventory fills an inventory with what a keeper has of it.
func RestoreInventory(ctx context.Context, keeper Keeper, v *inventory.Inventory) error {
	document, err := keeper.LoadDocument(ctx, inventoryName)
	if err != nil || document == nil {
		return err
	}
	if err := v.Load(document); err != nil {
		return fmt.Errorf("load inventory: %w", err)
	}
	return nil
}

// KeepInventory saves an inventory now and then until ctx ends, and once more then.
func KeepInventory(ctx context.Context, keeper Keeper, v *inventory.Inventory, logger *slog.Logger) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	saved := uint64(0) // of a revision; what Restore gave is saved once more
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if revision := v.Revision(); revision != saved {
			writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
			err := saveInventory(writing, keeper, v)
			cancel()
			if err != nil {
				logger.Error("the inventory is not kept", "file", keeper.Name(), "error", err)
			} else {
				saved = revision
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

func saveInventory(ctx context.Context, keeper Keeper, v *inventory.Inventory) error {
	document, err := v.Save()
	if err != nil {
		return err
	}
	return keeper.SaveDocument(ctx, inventoryName, document)
}
