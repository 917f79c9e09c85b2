package configs

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Store holds the current snapshot. There is one writer at a time; readers never wait.
type Store struct {
	writing     sync.Mutex
	current     atomic.Pointer[Snapshot]
	subscribers []*subscriber
}

type subscriber struct{ apply func(*Snapshot) error }

// NewStore makes a store that holds a first snapshot.
func NewStore(first *Snapshot) *Store {
	s := &Store{}
	s.current.Store(first)
	return s
}

// Snapshot is the current snapshot.
func (s *Store) Snapshot() *Snapshot { return s.current.Load() }

// Subscribe has apply called with every snapshot that follows, one at a time and before it becomes the current one.
// When apply fails, the old snapshot stays. apply must not call the store's writing methods.
func (s *Store) Subscribe(apply func(*Snapshot) error) (cancel func()) {
	s.writing.Lock()
	defer s.writing.Unlock()
	sub := &subscriber{apply}
	s.subscribers = append(s.subscribers, sub)
	return func() {
		s.writing.Lock()
		defer s.writing.Unlock()
		s.subscribers = slices.DeleteFunc(s.subscribers, func(other *subscriber) bool { return other == sub })
	}
}

// Replace makes next the current snapshot, once every subscriber has taken it. If one refuses, those before it get the
// old snapshot back and the error says why. A next of the same content changes nothing: changed is false.
func (s *Store) Replace(next *Snapshot) (changed bool, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	old := s.current.Load()
	if old != nil && old.Hash == next.Hash {
		return false, nil
	}
	for i, sub := range s.subscribers {
		err := sub.apply(next)
		if err == nil {
			continue
		}
		for _, done := range s.subscribers[:i] {
			if undo := done.apply(old); undo != nil {
				return false, fmt.Errorf("apply configuration: %w (and going back: %w)", err, undo)
			}
		}
		return false, fmt.Errorf("apply configuration: %w", err)
	}
	s.current.Store(next)
	return true, nil
}
