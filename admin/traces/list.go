package traces

import (
	"strconv"
	"strings"
	"time"
)

// How many traces are copied out of the store at a time, and of what size, so that nobody waits long for its lock.
const (
	batch      = 64
	batchBytes = 8 << 20
)

// searchTime bounds one search.
const searchTime = 300 * time.Millisecond

// Page is a part of the list of traces.
type Page struct {
	Traces  []Summary
	Next    string // for the next page; "" at the end
	Resume  string // for Changes: what the list did not show yet
	Partial bool   // the time for searching was over
}

// List gives the newest traces that the filter asks for, limit at most, those before a Page.Next alone where one is
// given. What is not one of these is the beginning.
func (s *Store) List(filter *Filter, before string, limit int) Page {
	page := Page{Traces: []Summary{}}
	deadline := time.Now().Add(searchTime)
	s.mu.Lock()
	next := s.first + uint64(len(s.entries)) // the first one above what is looked at
	if number, ok := s.parseCursor(before); ok {
		next = min(next, number)
	}
	page.Resume = cursor(s.epoch, s.changes)
	epoch := s.epoch
	s.mu.Unlock()
	for len(page.Traces) < limit {
		some := s.down(epoch, &next, min(batch, limit-len(page.Traces)))
		if len(some) == 0 {
			return page
		}
		for i := range some {
			s.prepare(&some[i])
			row := summarise(&some[i], s.resource)
			if filter.match(&some[i], &row, s.resource) {
				page.Traces = append(page.Traces, row)
			}
		}
		if time.Now().After(deadline) {
			page.Partial = len(page.Traces) < limit
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == epoch && next > s.first {
		page.Next = cursor(epoch, next)
	}
	return page
}

// down copies the n traces below a number, the highest first, and moves the number.
func (s *Store) down(epoch uint64, below *uint64, n int) (some []stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return nil
	}
	for size := uint32(0); len(some) < n && size < batchBytes && *below > s.first; *below-- {
		size += s.entry(*below - 1).bytes
		some = append(some, s.read(*below-1))
	}
	return some
}

// cursor writes a number so that it means nothing to another store.
func cursor(epoch, number uint64) string {
	return strconv.FormatUint(epoch, 36) + "-" + strconv.FormatUint(number, 36)
}

// parseCursor reads a cursor of this store. The caller holds the lock.
func (s *Store) parseCursor(text string) (number uint64, ok bool) {
	epoch, rest, ok := strings.Cut(text, "-")
	if !ok || epoch != strconv.FormatUint(s.epoch, 36) {
		return 0, false
	}
	number, err := strconv.ParseUint(rest, 36, 64)
	return number, err == nil
}

// Changes are the traces that are new or have changed.
type Changes struct {
	Traces  []Summary // those that changed first come first
	Next    string    // for the next call
	Skipped int       // changes that are left out because there are more than were asked for
	Reset   bool      // the cursor is not one of this store, or all was cleared: what changed is not known
}

// Changes tells what has changed since a cursor that List or Changes gave: the newest n changes at most. An empty
// cursor stands for now.
func (s *Store) Changes(filter *Filter, after string, n int) Changes {
	s.mu.Lock()
	since, ok := s.parseCursor(after)
	changed := Changes{Traces: []Summary{}, Next: cursor(s.epoch, s.changes)}
	if after == "" || !ok {
		changed.Reset = after != ""
		s.mu.Unlock()
		return changed
	}
	var some []stored
	number := s.newest
	for size := uint32(0); number != 0 && len(some) < n && size < batchBytes && s.entry(number).changed > since; number = s.entry(number).older {
		size += s.entry(number).bytes
		some = append(some, s.read(number))
	}
	if number != 0 && s.entry(number).changed > since {
		changed.Skipped = int(s.entry(number).changed - since)
	}
	s.mu.Unlock()
	for i := len(some) - 1; i >= 0; i-- {
		s.prepare(&some[i])
		row := summarise(&some[i], s.resource)
		if filter.match(&some[i], &row, s.resource) {
			changed.Traces = append(changed.Traces, row)
		}
	}
	return changed
}

// Get gives everything of the trace with that id; ok is false where there is none.
func (s *Store) Get(id string) (t *Trace, ok bool) {
	found, ok := s.find(id)
	if !ok {
		return nil, false
	}
	return s.detail(&found), true
}
