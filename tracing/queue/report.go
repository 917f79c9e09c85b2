package queue

import (
	"context"
	"log/slog"
	"time"
)

// warnInterval is the least time between two warnings of a queue.
const warnInterval = 10 * time.Second

// report logs trouble and its end until drained is closed. It runs on a goroutine of its own, so that a slow log delays
// neither requests nor posts: it is told that something happened and reads what from the stats.
func (q *Queue) report(drained <-chan struct{}) {
	var said Stats             // as of the last line
	var quiet <-chan time.Time // while no further warning may be given
	warned := false            // and not yet recovered
	for ended := false; !ended; {
		select {
		case <-q.notice:
		case <-quiet:
			quiet = nil
		case <-drained:
			ended = true
		}
		now := q.Stats()
		lost := now.lost() - said.lost()
		switch {
		case warned && !now.Failing && (said.Failing || lost == 0):
			if said.Failing || quiet == nil {
				q.logLosses(slog.LevelInfo, q.settings.Records+" are delivered again", said, now)
				said, warned = now, false
			}
		case quiet != nil && !ended:
		case lost > 0:
			q.logLosses(slog.LevelWarn, q.settings.Records+" lost", said, now)
			said, warned, quiet = now, true, time.After(warnInterval)
		case now.Failing && !(warned && said.Failing):
			q.logLosses(slog.LevelWarn, q.settings.Records+" cannot be delivered, trying again", said, now)
			said, warned, quiet = now, true, time.After(warnInterval)
		}
	}
}

// lost is the number of spans that will never be delivered.
func (s Stats) lost() uint64 { return s.Rejected + s.Dropped.Total() }

// logLosses writes one line with what was lost between two snapshots.
func (q *Queue) logLosses(level slog.Level, message string, before, now Stats) {
	attributes := []any{"queued", now.Queued, "delivered", now.Delivered}
	attributes = appendLosses(attributes, before, now)
	if now.LastErrorAt.After(before.LastErrorAt) {
		attributes = append(attributes, "last_error", now.LastError)
	}
	q.log.Log(context.Background(), level, message, attributes...)
}

// logTotals writes the last line of a queue: its whole account.
func (q *Queue) logTotals(s Stats) {
	level := slog.LevelInfo
	if s.Created == 0 {
		level = slog.LevelDebug
	}
	attributes := []any{"created", s.Created, "delivered", s.Delivered}
	if s.Recovered > 0 {
		attributes = append(attributes, "recovered", s.Recovered)
	}
	if s.Queued > 0 {
		attributes = append(attributes, "left_on_disk", s.Queued)
	}
	q.log.Log(context.Background(), level, "queue closed", appendLosses(attributes, Stats{}, s)...)
}

// appendLosses adds what was lost between two snapshots, by reason.
func appendLosses(attributes []any, before, now Stats) []any {
	if n := now.Rejected - before.Rejected; n > 0 {
		attributes = append(attributes, "rejected", n)
	}
	for reason := range reasons {
		if n := now.Dropped[reason] - before.Dropped[reason]; n > 0 {
			attributes = append(attributes, reason.String(), n)
		}
	}
	return attributes
}
