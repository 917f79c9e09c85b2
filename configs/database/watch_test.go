package database_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidekong/configs/database"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// watched is a DB that is watched until the test ends.
type watched struct {
	changes atomic.Int64
	away    atomic.Bool
	turns   atomic.Int64 // calls of reachable
}

func watch(t testing.TB, db database.DB) *watched {
	t.Helper()
	w := &watched{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- db.Watch(ctx, func() error {
			w.changes.Add(1)
			return nil
		}, func(err error) {
			w.turns.Add(1)
			w.away.Store(err != nil)
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Watch returned %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Watch does not end")
		}
	})
	eventually(t, "the first call", func() bool { return w.changes.Load() > 0 })
	return w
}

func consumer(t testing.TB, n int) entity.Object {
	return object(t, "consumers", n, entity.Object{"username": fmt.Sprintf("consumer %d", n)})
}

// aSecond is how soon others have to see a change, with room for a machine that is busy with other things.
const aSecond = 3 * time.Second

func TestWatch(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		open := b.fresh(t)
		own, other := open(t), open(t)
		watchers := []*watched{watch(t, own), watch(t, other)}
		for n := 1; n <= 5; n++ {
			before := []int64{watchers[0].changes.Load(), watchers[1].changes.Load()}
			began := time.Now()
			if err := own.Insert(t.Context(), "consumers", consumer(t, n)); err != nil {
				t.Fatal(err)
			}
			for i, w := range watchers {
				eventually(t, "a change to be seen", func() bool { return w.changes.Load() > before[i] })
			}
			if took := time.Since(began); took > aSecond {
				t.Errorf("change %d took %v to be seen", n, took)
			}
			if got, err := other.Get(t.Context(), "consumers", id(n)); got == nil || err != nil {
				t.Errorf("the other sees %v, %v", got, err)
			}
		}
		// What changes nothing tells nobody; a change that follows shows that it would have been seen.
		before := watchers[0].changes.Load()
		if _, err := own.Delete(t.Context(), "consumers", id(0xff)); err != nil {
			t.Fatal(err)
		}
		if err := own.Insert(t.Context(), "consumers", consumer(t, 1)); err == nil {
			t.Error("no error for an id that is taken")
		}
		if err := own.Insert(t.Context(), "consumers", consumer(t, 6)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a change to be seen", func() bool { return watchers[0].changes.Load() > before })
		if n := watchers[0].changes.Load() - before; n != 1 {
			t.Errorf("%d calls for one change", n)
		}
		if watchers[0].turns.Load()+watchers[1].turns.Load() != 0 {
			t.Error("an outage was told that never was")
		}
	})
}

// What could not be done about a change is tried again, although nothing else changes.
func TestWatchFails(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := b.fresh(t)(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		calls := 0
		err := db.Watch(ctx, func() error {
			if calls++; calls < 3 {
				return fmt.Errorf("read all: %w", database.ErrUnreachable)
			}
			cancel()
			return nil
		}, func(error) {})
		if calls != 3 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}

func TestWatchMemory(t *testing.T) {
	db := database.NewMemory(seedDocument(t), schemas)
	w := watch(t, db)
	for n := int64(2); n <= 4; n++ {
		db.Replace(&declarative.Document{})
		eventually(t, "a change to be seen", func() bool { return w.changes.Load() == n })
	}
}

// What Watch's owner does, done by several at once: each change leads to a picture that has it.
func TestDocumentAfterChange(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		open := b.fresh(t)
		db, other := open(t), open(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var seen atomic.Int64
		var watching, writing sync.WaitGroup
		watching.Go(func() {
			other.Watch(ctx, func() error {
				document, _, err := other.Document(ctx)
				if err == nil {
					seen.Store(int64(len(document.Entities["consumers"])))
				}
				return err
			}, func(error) {})
		})
		const writers, writes = 3, 10
		for i := range writers {
			writing.Go(func() {
				for j := range writes {
					if err := db.Insert(ctx, "consumers", consumer(t, 1+i*writes+j)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writing.Wait()
		eventually(t, "the last change to be seen", func() bool { return seen.Load() == writers*writes })
		cancel()
		watching.Wait()
	})
}
