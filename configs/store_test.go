package configs_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs"
)

func service(t *testing.T, name string) *configs.Snapshot {
	t.Helper()
	return mustLoad(t, configs.Text("kong.yaml", fmt.Sprintf(`{_format_version: "3.0", services: [{name: %s, host: a.test}]}`, name)))
}

func TestStoreReplace(t *testing.T) {
	a, b := service(t, "a"), service(t, "b")
	store := configs.NewStore(a)
	var seen []string
	cancel := store.Subscribe(func(s *configs.Snapshot) error {
		seen = append(seen, s.Services[0].Name)
		return nil
	})

	if changed, err := store.Replace(service(t, "a")); changed || err != nil {
		t.Errorf("Replace with equal content = %v, %v; want no change", changed, err)
	}
	if changed, err := store.Replace(b); !changed || err != nil || store.Snapshot() != b {
		t.Errorf("Replace = %v, %v; the current one is %v", changed, err, store.Snapshot().Services[0].Name)
	}
	cancel()
	if changed, err := store.Replace(a); !changed || err != nil {
		t.Errorf("Replace = %v, %v", changed, err)
	}
	if diff := cmp.Diff([]string{"b"}, seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}

func TestStoreKeepsTheOldWhenOneRefuses(t *testing.T) {
	a, b := service(t, "a"), service(t, "b")
	store := configs.NewStore(a)
	var seen []string
	store.Subscribe(func(s *configs.Snapshot) error {
		seen = append(seen, s.Services[0].Name)
		return nil
	})
	refusal := errors.New("no")
	store.Subscribe(func(*configs.Snapshot) error { return refusal })
	if changed, err := store.Replace(b); changed || !errors.Is(err, refusal) || store.Snapshot() != a {
		t.Errorf("Replace = %v, %v; want the refusal and the old snapshot", changed, err)
	}
	if diff := cmp.Diff([]string{"b", "a"}, seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}

func TestStoreFromManyGoroutines(t *testing.T) {
	store := configs.NewStore(service(t, "first"))
	snapshots := []*configs.Snapshot{service(t, "a"), service(t, "b"), service(t, "c")}
	var applied []*configs.Snapshot // the store calls one at a time
	store.Subscribe(func(s *configs.Snapshot) error {
		applied = append(applied, s)
		return nil
	})
	var wait sync.WaitGroup
	for i := range 30 {
		wait.Go(func() {
			if _, err := store.Replace(snapshots[i%3]); err != nil {
				t.Error(err)
			}
			if store.Snapshot() == nil {
				t.Error("no snapshot")
			}
		})
	}
	wait.Wait()
	if len(applied) == 0 || applied[len(applied)-1] != store.Snapshot() {
		t.Errorf("the last of %d applied snapshots is not the current one", len(applied))
	}
}
