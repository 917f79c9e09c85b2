package traces

import (
	"context"
	"log/slog"
	"time"
)

// Keeper keeps records where they outlive the program.
type Keeper interface {
	// Load gives all records in the order in which they were put.
	Load(ctx context.Context, take func(Record)) error
	// Put keeps further records, and drops the oldest traces beyond the keeper's own limit.
	Put(ctx context.Context, records []Record) error
	// Clear drops all records.
	Clear(ctx context.Context) error
	// LoadDocument gives what SaveDocument was given for the name; nil: nothing.
	LoadDocument(ctx context.Context, name string) ([]byte, error)
	SaveDocument(ctx context.Context, name string, document []byte) error
	// Name says for people where the records are.
	Name() string
	Close() error
}

// Record is a part of a trace as a Keeper has it.
type Record struct {
	TraceID [16]byte
	Kind    uint8
	Body    []byte
}

const (
	keepEvery = 500 * time.Millisecond
	keepBytes = 4 << 20 // read from the store at a time
)

// Restore fills the store with what a keeper has. It comes before anything else that fills it.
func (s *Store) Restore(ctx context.Context, keeper Keeper) error {
	err := keeper.Load(ctx, func(r Record) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if k := kind(r.Kind); k == kindOwn || k == kindSpans || k == kindLogs {
			s.add(k, r.TraceID, r.Body)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.kept, s.keptEpoch = keeper.Name(), s.ring.head, s.epoch
	return err
}

// Keep copies what has come since Restore to the keeper until ctx ends, and what came until then once more. A keeper
// that fails is told of in State and tried again; what leaves the store until then is not kept.
func (s *Store) Keep(ctx context.Context, keeper Keeper, logger *slog.Logger) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	failing := false
	for {
		last := false
		select {
		case <-tick.C:
		case <-ctx.Done():
			last = true
		}
		// What came before the end is written although ctx has ended.
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		err := s.keep(writing, keeper)
		cancel()
		if err != nil && !failing {
			logger.Error("traces are not kept", "file", keeper.Name(), "error", err)
		}
		failing = err != nil
		s.mu.Lock()
		s.fault = ""
		if failing {
			s.fault = err.Error()
		}
		s.mu.Unlock()
		if last {
			return nil
		}
	}
}

// keep writes what has come since it was called last.
func (s *Store) keep(ctx context.Context, keeper Keeper) error {
	for {
		records, next, epoch := s.since(s.kept, keepBytes)
		if epoch != s.keptEpoch {
			if err := keeper.Clear(ctx); err != nil {
				return err
			}
			s.keptEpoch = epoch
		}
		if len(records) > 0 {
			if err := keeper.Put(ctx, records); err != nil {
				return err
			}
		}
		if s.kept = next; len(records) == 0 {
			return nil
		}
	}
}

// since copies the records from a position on, about so many bytes of them, and tells where to go on.
func (s *Store) since(position uint64, most int) (records []Record, next, epoch uint64) {
	s.mu.Lock()
	memory := make([]byte, 0, min(int(s.ring.head-min(position, s.ring.head)), most+maxTraceBytes))
	for most > 0 {
		found, ok := s.ring.seek(position)
		if !ok {
			position = s.ring.head
			break
		}
		h, body := s.ring.at(found)
		position = found + uint64(h.size)
		most -= h.size
		if h.number < s.first {
			continue // the rest of a trace that has left
		}
		from := len(memory)
		memory = append(memory, body...)
		records = append(records, Record{TraceID: s.entry(h.number).id, Kind: uint8(h.kind), Body: memory[from:len(memory):len(memory)]})
	}
	epoch = s.epoch
	s.mu.Unlock()
	for i := range records {
		k, body := s.expanded(kind(records[i].Kind), records[i].Body)
		records[i].Kind, records[i].Body = uint8(k), body
	}
	return records, position, epoch
}
