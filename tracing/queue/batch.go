package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// A batch is the entries of one post. The queue's lock guards frames and n except while it is on the wire; then they
// do not change.
type batch struct {
	buf    []byte // the memory behind frames
	frames []byte // the frames not yet answered for; trim may shorten them from the front
	n      int
	onWire bool

	segment *segment // where it was read from; nil: it has been in memory only
	part    extent
}

// mayShrink reports whether b holds memory that the queue's limits are about.
func (b *batch) mayShrink() bool { return !b.onWire && b.segment == nil }

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch() *batch { return batches.Get().(*batch) }

// deliver sends b until it is answered for: accepted, refused, or tried for too long. It reports false when it had to
// leave b among the posts: ctx has ended, or the queue closes and b is safe on disk.
func (q *Queue) deliver(ctx context.Context, b *batch) bool {
	first := time.Now()
	closing := q.closing
	backoff := q.settings.InitialRetryDelay
	stored := b.segment != nil
	limit := q.settings.MaxRetryTime
	if stored && limit > 0 {
		limit = q.spool.MaxAge // there is room for it to wait
	}
	for retry := false; ; retry = true {
		if !q.begin(b, retry) {
			return true
		}
		rejected, err := q.send(ctx, b)
		switch {
		case err == nil || accepted(err):
			q.settle(b, rejected, err)
			return true
		case ctx.Err() != nil:
			q.suspend(b, err)
			return false
		case !retryable(err):
			q.refused(b, err)
			return true
		}
		left := limit - time.Since(first)
		if left <= 0 {
			q.expired(b, err)
			return true
		}
		q.suspend(b, err)
		if stored && q.flushing() {
			return false
		}

		wait := retryAfter(err)
		if wait <= 0 {
			wait = jitter(q.settings.InitialRetryDelay, backoff)
			backoff = min(2*backoff, q.settings.longestDelay())
		}
		wait = min(wait, left, q.settings.MaxRetryTime)
		q.log.Debug("post failed, trying again", "error", err, "wait", wait)
		sleep(ctx, wait, nil, closing)
		if ctx.Err() != nil {
			return false
		}
		select {
		case <-closing: // try now, and then patiently again
			closing = nil
			backoff = q.settings.InitialRetryDelay
		default:
		}
	}
}

// begin puts b on the wire. It reports false when newer entries have taken the place of all of b's.
func (q *Queue) begin(b *batch, retry bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b.n == 0 {
		q.release(b)
		return false
	}
	b.onWire = true
	q.stats.Posts++
	if retry {
		q.stats.Retries++
	}
	return true
}

// suspend takes b off the wire; it counts against the limits again.
func (q *Queue) suspend(b *batch, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b.onWire = false
	q.failed(err)
	q.trim()
}

// settle counts what a receiver took. remark is nil or what it said to it.
func (q *Queue) settle(b *batch, rejected int64, remark error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if remark != nil {
		q.stats.LastError = remark.Error()
		q.stats.LastErrorAt = time.Now()
	}
	refused := min(max(rejected, 0), int64(b.n))
	q.stats.Delivered += uint64(b.n) - uint64(refused)
	q.stats.Rejected += uint64(refused)
	if refused > 0 || q.stats.Failing {
		signal(q.notice)
	}
	q.stats.Failing = false
	q.stats.LastSuccess = time.Now()
	q.release(b)
}

func (q *Queue) refused(b *batch, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed(err)
	q.stats.Rejected += uint64(b.n)
	q.release(b)
}

func (q *Queue) expired(b *batch, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed(err)
	q.drop(RetryExpired, b.n)
	q.release(b)
}

// failed notes the error of a post.
func (q *Queue) failed(err error) {
	q.stats.LastError = err.Error()
	q.stats.LastErrorAt = time.Now()
	q.stats.Failing = true
	signal(q.notice)
}

// release forgets b, whose entries have been counted.
func (q *Queue) release(b *batch) {
	i := slices.Index(q.posts, b)
	q.posts = slices.Delete(q.posts, i, i+1)
	*b = batch{buf: b.buf[:0]}
	batches.Put(b)
}

func accepted(err error) bool {
	var e interface{ Accepted() bool }
	return errors.As(err, &e) && e.Accepted()
}

func retryable(err error) bool {
	var e interface{ Retryable() bool }
	return errors.As(err, &e) && e.Retryable()
}

// retryAfter is how long the receiver asked to wait; 0 when it did not, or asked for haste.
func retryAfter(err error) time.Duration {
	var e interface {
		RetryAfter() (time.Duration, bool)
	}
	if errors.As(err, &e) {
		if wait, ok := e.RetryAfter(); ok {
			return wait
		}
	}
	return 0
}

// jitter spreads a delay over its upper half, never below initial, so that many senders do not return at once.
func jitter(initial, delay time.Duration) time.Duration {
	low := max(initial, delay/2)
	if low >= delay {
		return delay
	}
	return low + rand.N(delay-low)
}
