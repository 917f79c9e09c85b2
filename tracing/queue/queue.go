package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// An Encoder appends spans as frames to buf. n is the number of frames appended.
type Encoder interface {
	AppendFrames(buf []byte) (out []byte, n int)
}

// A Shortener is an Encoder that can also leave something out of spans so that no frame is longer than limit bytes. It
// is asked when AppendFrames has made a frame that is too long for a post.
type Shortener interface {
	AppendFramesWithin(buf []byte, limit int) (out []byte, n int)
}

// A Sender posts n frames and waits for the answer. It must not keep frames after it has returned and must return
// soon after ctx is done.
//
// Without an error the spans were accepted but for the rejected ones. An error that has a method Retryable() bool, and
// says true, means that the same spans may be sent again; its method RetryAfter() (time.Duration, bool), if there is
// one, says how long the receiver asked to wait. An error that has a method Accepted() bool, and says true, is a
// receiver's remark on spans that it took. Any other error is final. Its text must not hold secrets.
type Sender interface {
	Send(ctx context.Context, frames []byte, n int) (rejected int64, err error)
}

// Queue holds encoded spans until they are delivered. All methods may be called at once from several goroutines.
type Queue struct {
	name     string
	settings Settings
	sender   Sender
	log      *slog.Logger

	wake     chan struct{} // a worker should look at the store
	notice   chan struct{} // the reporter should look at the stats
	closing  chan struct{} // closed by Close: flush
	finished chan struct{} // closed when all goroutines have ended

	spool     *spool        // nil: memory only
	spillable chan struct{} // something waits to be written to the disk
	spillNow  chan struct{} // much does

	closeOnce sync.Once
	abort     context.CancelCauseFunc // ends the posts; set by claim

	mu       sync.Mutex
	state    state
	waiting  store     // the newest entries
	spilling load      // taken from waiting, being written to the disk
	stored   load      // on disk, not yet read back
	since    time.Time // the coalescing delay of the waiting entries began here
	posts    []*batch  // taken from waiting or read from the disk, not yet answered for; oldest first
	stats    Stats     // without what is computed from the above
}

type state uint8

const (
	idle    state = iota // neither Run nor Close has been called
	running              // or has run
	closed               // Close has counted what was left
)

// errClosed is the cause that ends posts when Close runs out of time.
var errClosed = errors.New("queue closed")

// New makes a queue that sends through sender. name stands in its log lines. Nothing runs until Run is called.
func New(name string, settings Settings, sender Sender, log *slog.Logger) *Queue {
	settings = settings.withDefaults()
	q := &Queue{
		name:      name,
		settings:  settings,
		sender:    sender,
		log:       log.With("queue", name),
		wake:      make(chan struct{}, 1),
		notice:    make(chan struct{}, 1),
		closing:   make(chan struct{}),
		finished:  make(chan struct{}),
		spillable: make(chan struct{}, 1),
		spillNow:  make(chan struct{}, 1),
	}
	if settings.Storage != nil {
		q.spool = newSpool(*settings.Storage, q.log)
	}
	return q
}

// scratch is where spans are encoded before they are copied into the queue, so that the lock is held for a copy only.
type scratch struct{ buf []byte }

const maxScratch = 256 << 10 // larger ones are not kept

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Append takes e's spans into the queue. It never waits for the network; when the queue is full the oldest entries go.
func (q *Queue) Append(e Encoder) {
	s := scratches.Get().(*scratch)
	frames, n := e.AppendFrames(s.buf[:0])
	if n > 0 {
		limit := q.settings.frameLimit()
		kept, tooLarge, ok := checkFrames(frames, n, limit)
		if short, can := e.(Shortener); ok && tooLarge > 0 && can {
			frames, n = short.AppendFramesWithin(frames[:0], limit)
			kept, tooLarge, ok = checkFrames(frames, n, limit)
		}
		if ok {
			q.push(kept, n, tooLarge)
		} else {
			q.refuse(n)
		}
	}
	if cap(frames) <= maxScratch {
		s.buf = frames
		scratches.Put(s)
	}
}

// push takes the frames of n spans, of which tooLarge are missing.
func (q *Queue) push(frames []byte, n, tooLarge int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Created += uint64(n)
	q.drop(TooLarge, tooLarge)
	n -= tooLarge
	if q.state == closed {
		q.drop(Shutdown, n)
		return
	}
	if n == 0 {
		return
	}
	if q.spool != nil {
		if q.waiting.n == 0 {
			signal(q.spillable)
		}
		if q.waiting.bytes >= spillBytes {
			signal(q.spillNow)
		}
	}
	before := q.unsent().n
	q.waiting.push(frames, n)
	q.trim()
	if before == 0 {
		q.since = time.Now()
	}
	if before == 0 || q.due() {
		signal(q.wake)
	}
}

// unsent is what no post holds.
func (q *Queue) unsent() load {
	return load{q.waiting.n + q.spilling.n + q.stored.n, q.waiting.bytes + q.spilling.bytes + q.stored.bytes}
}

// due reports whether there is enough for a post.
func (q *Queue) due() bool {
	all := q.unsent()
	return all.n >= q.settings.trigger() || all.bytes >= int64(q.settings.PostBytes)
}

// refuse counts n spans whose bytes were not n frames.
func (q *Queue) refuse(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Created += uint64(n)
	q.drop(Unencodable, n)
}

// drop counts n spans that are no longer held.
func (q *Queue) drop(reason Reason, n int) {
	if n > 0 {
		q.stats.Dropped[reason] += uint64(n)
		signal(q.notice)
	}
}

// trim drops the oldest entries until the rest is within the limits. What is on the wire or on disk neither counts nor
// goes.
func (q *Queue) trim() {
	entries, bytes := q.waiting.n+q.spilling.n, q.waiting.bytes+q.spilling.bytes
	for _, b := range q.posts {
		if b.mayShrink() {
			entries += b.n
			bytes += int64(len(b.frames))
		}
	}
	excess, excessBytes := entries-q.settings.entriesLimit(), bytes-q.settings.bytesLimit()
	for _, b := range q.posts {
		for b.mayShrink() && b.n > 0 && (excess > 0 || excessBytes > 0) {
			size := frameLen(b.frames)
			b.frames = b.frames[size:]
			b.n--
			excess--
			excessBytes -= int64(size)
			q.drop(QueueFull, 1)
		}
	}
	if excess > 0 || excessBytes > 0 {
		q.drop(QueueFull, q.waiting.drop(excess, excessBytes))
	}
}

// take removes the next post's entries from those that wait, if it is time for a post. If not, wait says how long until
// then; negative: there is nothing to wait for.
func (q *Queue) take() (b *batch, wait time.Duration) {
	all, wait := q.pending()
	if all == 0 || wait > 0 {
		return nil, wait
	}
	maxEntries := q.settings.MaxBatchSize
	if maxEntries == 0 {
		maxEntries = all
	}
	if q.spool == nil {
		b = q.takeWaiting(maxEntries)
	} else {
		q.spill(q.flushing())
		if b = q.takeStored(maxEntries); b == nil && q.spool.broken() {
			b = q.takeWaiting(maxEntries)
		}
	}
	if b == nil {
		return nil, spillDelay // somebody else was faster, or memory is still to be written
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.since = time.Now()
	if q.unsent().n > 0 {
		signal(q.wake) // another worker may go on
	}
	return b, 0
}

// pending gives the number of entries that no post holds and the time left before they are due; negative: never.
func (q *Queue) pending() (n int, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = q.unsent().n
	switch {
	case n == 0:
		return 0, -1
	case q.flushing() || q.due():
		return n, 0
	default:
		return n, max(q.settings.MaxCoalescingDelay-time.Since(q.since), 0)
	}
}

// takeWaiting makes a post of what waits in memory; nil: nothing does.
func (q *Queue) takeWaiting(maxEntries int) *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting.n == 0 {
		return nil
	}
	b := newBatch()
	b.frames, b.n = q.waiting.pop(b.buf[:0], maxEntries, q.settings.PostBytes)
	b.buf = b.frames
	b.onWire = true
	q.posts = append(q.posts, b)
	return b
}

// Run sends what is appended until Close has flushed the queue, and then returns nil, or until ctx is done, and then
// returns its error and leaves the rest queued for Close to count. It can run once.
func (q *Queue) Run(ctx context.Context) error {
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	if !q.claim(abort) {
		if q.flushing() {
			return nil
		}
		return fmt.Errorf("run queue %s: has run already", q.name)
	}
	q.run(ctx)
	if err := context.Cause(ctx); err != nil && !errors.Is(err, errClosed) {
		return err
	}
	return nil
}

// claim makes the caller the one that runs the queue, which abort ends. It reports false when there was one before.
func (q *Queue) claim(abort context.CancelCauseFunc) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != idle {
		return false
	}
	q.state = running
	q.abort = abort
	return true
}

// run owns the goroutines: it returns when all have ended.
func (q *Queue) run(ctx context.Context) {
	drained := make(chan struct{})
	var workers, others sync.WaitGroup
	if q.spool != nil {
		q.recover()
		others.Go(func() { q.tend(drained) })
	}
	for range q.settings.workers() {
		workers.Go(func() { q.work(ctx) })
	}
	others.Go(func() { q.report(drained) })
	workers.Wait()
	close(drained)
	others.Wait()
	close(q.finished)
}

// work sends one post after the other.
func (q *Queue) work(ctx context.Context) {
	for ctx.Err() == nil {
		flushing := q.flushing() // asked first: what was appended before Close is seen by take
		b, wait := q.take()
		switch {
		case b != nil:
			segment, part := b.segment, b.part // b is used again once it is answered for
			if !q.deliver(ctx, b) {
				return
			}
			if segment != nil {
				q.spool.settle(segment, part)
			}
		case flushing:
			return
		case wait < 0:
			sleep(ctx, time.Hour, q.wake, q.closing)
		default:
			sleep(ctx, wait, q.wake, q.closing)
		}
	}
}

// Close sends what is queued, as long as ctx lasts, and ends Run. What is left then is dropped and counted; the error
// says how much that was. What is on disk stays there and stays Queued; a receiver that does not answer is not waited
// for. Later calls of Append drop and count at once. When Run has not been called, Close does its
// work; when Run has ended by its context, nothing more is sent.
func (q *Queue) Close(ctx context.Context) error {
	q.closeOnce.Do(func() { close(q.closing) })
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	if q.claim(abort) {
		q.run(ctx)
	} else {
		select {
		case <-q.finished:
		case <-ctx.Done():
			q.abort(errClosed)
			<-q.finished
		}
	}

	if q.spool != nil {
		q.spill(true)
	}
	left, first := q.dropAll()
	if first && q.spool != nil {
		q.spool.close()
	}
	if first {
		q.logTotals(q.Stats())
	}
	if left > 0 {
		return fmt.Errorf("close queue %s: %d %s not delivered", q.name, left, q.settings.Records)
	}
	return nil
}

// dropAll ends the queue's life and drops what is left in it. first is true for the call that did.
func (q *Queue) dropAll() (left int, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state == closed {
		return 0, false
	}
	left = q.waiting.n
	for _, b := range q.posts {
		if b.segment != nil && !b.segment.gone {
			q.stored.n += b.n
			q.stored.bytes += int64(len(b.frames))
		} else {
			left += b.n
		}
	}
	q.waiting, q.posts = store{}, nil
	q.drop(Shutdown, left)
	q.state = closed
	return left, true
}

// Stats gives a consistent snapshot.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	all := q.unsent()
	s.QueuedBytes = all.bytes
	for _, b := range q.posts {
		s.InFlight += uint64(b.n)
		s.QueuedBytes += int64(len(b.frames))
	}
	s.Queued = uint64(all.n) + s.InFlight
	s.Stored = uint64(q.stored.n)
	return s
}

// flushing reports whether Close has been called.
func (q *Queue) flushing() bool {
	select {
	case <-q.closing:
		return true
	default:
		return false
	}
}

// signal leaves a token in c, which holds one at most.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sleep returns after d, or when ctx is done or one of the channels is ready.
func sleep(ctx context.Context, d time.Duration, wake, closing <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-closing:
	case <-ctx.Done():
	}
}
