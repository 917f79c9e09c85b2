package manager

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"sidekong/admin/traces"
)

const (
	maxStreams   = 32                     // at once
	lookEvery    = 100 * time.Millisecond // for what has changed
	stateEvery   = 2 * time.Second
	beatEvery    = 15 * time.Second // something is sent, so that a client that has gone is noticed
	slowest      = 10 * time.Second // for one write
	eventsAtOnce = 100              // traces in one look without a filter: a thousand a second
	searchAtOnce = 500              // traces that are looked at with one
)

// stream sends server-sent events until the client goes.
func (m *manager) stream(w http.ResponseWriter, r *http.Request) {
	f, ok := filter(w, r)
	if !ok {
		return
	}
	select {
	case m.streams <- struct{}{}:
		defer func() { <-m.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "too many streams are open")
		return
	}
	cursor := r.Header.Get("Last-Event-ID")
	if cursor == "" {
		cursor = r.URL.Query().Get("after")
	}
	atOnce := eventsAtOnce
	if f.String() != "" {
		atOnce = searchAtOnce
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	s := &events{w: w, control: http.NewResponseController(w)}
	if cursor == "" {
		cursor = m.Store.Changes(f, "", 0).Next
	}
	follow(r.Context(), m.Store, f, cursor, atOnce, s)
}

// follow sends what changes until ctx ends or the client does not read.
func follow(ctx context.Context, store *traces.Store, f *traces.Filter, cursor string, atOnce int, s *events) {
	state := store.State()
	s.send("state", cursor, state)
	s.flush()
	var sinceState, sinceBeat time.Duration
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for s.err == nil {
		changes := store.Changes(f, cursor, atOnce)
		if changes.Reset {
			s.send("reset", changes.Next, struct{}{})
		}
		if changes.Skipped > 0 {
			s.send("skipped", cursor, map[string]int{"changes": changes.Skipped})
		}
		for i := range changes.Traces {
			id := cursor // until all of them are sent, the stream would go on at their beginning
			if i == len(changes.Traces)-1 {
				id = changes.Next
			}
			s.send("trace", id, &changes.Traces[i])
		}
		cursor = changes.Next
		if sinceState >= stateEvery {
			sinceState = 0
			if now := store.State(); now != state {
				state = now
				s.send("state", cursor, state)
			}
		}
		if sinceBeat >= beatEvery && !s.dirty {
			s.comment()
		}
		if s.dirty {
			sinceBeat = 0
		}
		s.flush()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			sinceState += lookEvery
			sinceBeat += lookEvery
		}
	}
}

// events writes server-sent events. After the first write that fails or takes too long, err is set.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	dirty   bool // something waits to be flushed
	err     error
}

func (s *events) send(event, id string, data any) {
	text, err := json.Marshal(data)
	if err == nil {
		s.write("event: " + event + "\nid: " + id + "\ndata: " + string(text) + "\n\n")
	}
}

func (s *events) comment() { s.write(": " + strconv.FormatInt(time.Now().Unix(), 10) + "\n\n") }

func (s *events) write(text string) {
	if s.err != nil {
		return
	}
	if !s.dirty {
		// Where deadlines are not possible, the listener's own rules hold.
		_ = s.control.SetWriteDeadline(time.Now().Add(slowest))
	}
	s.dirty = true
	_, s.err = s.w.Write([]byte(text))
}

func (s *events) flush() {
	if s.err == nil && s.dirty {
		s.err = s.control.Flush()
	}
	s.dirty = false
}
