package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Storage says where a queue keeps its spans on disk. What is written there survives the process and is sent by the
// next queue with the same folder, whichever process that is in.
type Storage struct {
	// Folder is made when it is needed. Several queues may share it: those whose spans go to the same receiver with
	// the same credentials.
	Folder string
	// MaxBytes bounds the files of this queue. Beyond it the oldest spans go, a file at a time. 0: 256 MiB.
	MaxBytes int64
	// MaxAge is how long spans are kept. 0: 24 hours.
	MaxAge time.Duration
	// Head describes what all spans of this queue belong to. It is stored with them and handed to a HeadSender.
	Head []byte
}

// A HeadSender is a Sender that can send spans which another queue has left behind, with that queue's Storage.Head.
type HeadSender interface {
	SendWithHead(ctx context.Context, head, frames []byte, n int) (rejected int64, err error)
}

const (
	defaultStorageBytes = 256 << 20
	defaultStorageAge   = 24 * time.Hour

	segmentBytes  = 8 << 20 // a file is closed when it is larger, or has a quarter of Storage.MaxBytes
	segmentSuffix = ".spans"

	// spillDelay is how long spans wait in memory for company before they are written: what kill -9 can lose.
	spillDelay = 10 * time.Millisecond
	spillBytes = 256 << 10 // and no longer than until so many bytes have come
	// tendInterval is the time between two looks for files that others have left behind, and between two tries of a
	// disk that has failed.
	tendInterval = 5 * time.Second
)

func (s Storage) withDefaults() Storage {
	if s.MaxBytes <= 0 {
		s.MaxBytes = defaultStorageBytes
	}
	if s.MaxAge <= 0 {
		s.MaxAge = defaultStorageAge
	}
	return s
}

// A spool is a queue's log on disk. Its lock is taken before the queue's, never the other way round, since files are
// read and written under it.
type spool struct {
	Storage
	log *slog.Logger

	mu       sync.Mutex
	segments []*segment // oldest first
	active   *segment   // the last of them if it takes more; or nil
	failed   bool       // the disk does not take anything; memory stands in
	tryAt    time.Time  // when it may be tried again
}

func newSpool(s Storage, log *slog.Logger) *spool {
	return &spool{Storage: s.withDefaults(), log: log}
}

// append writes n frames. dropped and droppedBytes are what had to give way.
func (d *spool) append(frames []byte, n int) (dropped int, droppedBytes int64, err error) {
	need := int64(len(frames) + recordHeader)
	if d.active != nil && d.active.size+need > min(segmentBytes, d.MaxBytes/4) {
		d.active = nil
		d.tidy()
	}
	for len(d.segments) > 0 && d.size()+need > d.MaxBytes {
		oldest := d.segments[0]
		count, size := oldest.abandon()
		dropped += count
		droppedBytes += size
		d.remove(oldest)
	}
	if d.active == nil {
		if d.active, err = d.create(); err != nil {
			return dropped, droppedBytes, err
		}
		d.segments = append(d.segments, d.active)
	}
	return dropped, droppedBytes, d.active.append(frames, n)
}

func (d *spool) create() (*segment, error) {
	for last := false; ; last = true {
		if err := os.MkdirAll(d.Folder, 0o700); err != nil {
			return nil, fmt.Errorf("create folder of segments: %w", err)
		}
		name := fmt.Sprintf("%019d-%08x%s", time.Now().UnixNano(), rand.Uint32(), segmentSuffix)
		s, err := createSegment(filepath.Join(d.Folder, name), d.Head)
		if err == nil || last {
			return s, err
		}
		// Another queue may have deleted the folder, or taken the new file for one that was left behind.
	}
}

func (d *spool) size() (sum int64) {
	for _, s := range d.segments {
		sum += s.size
	}
	return sum
}

func (d *spool) remove(s *segment) {
	s.remove()
	d.segments = slices.DeleteFunc(d.segments, func(other *segment) bool { return other == s })
	if d.active == s {
		d.active = nil
	}
}

// tidy deletes the files that hold nothing any more, but for the one being written.
func (d *spool) tidy() {
	for _, s := range slices.Clone(d.segments) {
		if s.unread == 0 && s.inFlight == 0 && s != d.active {
			d.remove(s)
		}
	}
}

// settle notes that a batch has been answered for.
func (d *spool) settle(s *segment, part extent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.inFlight--
	if s.gone {
		return
	}
	if err := s.settle(part); err != nil {
		d.log.Debug("delivery not noted, spans may be delivered twice after a crash", "error", err)
	}
	d.tidy()
}

// fail notes the disk's state and says so when it has changed.
func (d *spool) fail(err error) {
	switch {
	case err != nil && !d.failed:
		d.log.Error("storage fails, spans are kept in memory", "error", err)
	case err == nil && d.failed:
		d.log.Info("storage works again")
	}
	d.failed = err != nil
	if d.failed {
		d.tryAt = time.Now().Add(tendInterval)
	}
}

// broken reports whether memory stands in for the disk.
func (d *spool) broken() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// adopt takes over files that others have left behind: those of earlier processes, and of queues that have closed.
func (d *spool) adopt() (n int, size int64) {
	entries, err := os.ReadDir(d.Folder)
	if err != nil {
		return 0, 0 // not made yet, or a fault that writing will meet too
	}
	for _, entry := range entries {
		path := filepath.Join(d.Folder, entry.Name())
		if !strings.HasSuffix(path, segmentSuffix) || d.owns(path) {
			continue
		}
		s, damaged, err := openSegment(path)
		if errors.Is(err, errBusy) {
			continue
		}
		if errors.Is(err, errDamaged) {
			d.log.Warn("storage file was damaged and is deleted", "file", path)
			continue
		}
		if err != nil {
			d.log.Debug("storage file cannot be opened", "file", path, "error", err)
			continue
		}
		if damaged > 0 {
			d.log.Warn("storage file is damaged at its end", "file", path, "bytes", damaged)
		}
		n += s.unread
		size += s.bytes
		d.segments = append(d.segments, s)
	}
	if n > 0 {
		d.log.Info("spans of an earlier queue are sent", "spans", n)
	}
	slices.SortFunc(d.segments, func(a, b *segment) int { return strings.Compare(a.path, b.path) })
	d.tidy()
	return n, size
}

func (d *spool) owns(path string) bool {
	return slices.ContainsFunc(d.segments, func(s *segment) bool { return s.path == path })
}

// close lets go of the files. Those that hold nothing are deleted.
func (d *spool) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active = nil
	d.tidy()
	for _, s := range d.segments {
		_ = s.file.Sync() // the one moment at which it delays nobody
		s.file.Close()
	}
	d.segments = nil
	_ = os.Remove(d.Folder) // as long as it is not empty it stays
}

// Sweep deletes what queues have left in the folders below root and nobody has asked for in maxAge: the receivers are
// no longer configured.
func Sweep(root string, maxAge time.Duration, log *slog.Logger) {
	files, err := filepath.Glob(filepath.Join(root, "*", "*"+segmentSuffix))
	if err != nil {
		return // the pattern is a constant but for root
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < maxAge {
			continue
		}
		s, _, err := openSegment(path)
		if err != nil {
			continue // it is in use, or whoever uses it next will say what is wrong
		}
		log.Warn("spans are lost: their receiver is no longer configured", "file", path, "spans", s.unread)
		s.remove()
		_ = os.Remove(filepath.Dir(path)) // unless there is more
	}
}

// spill moves what waits in memory to the disk. While the disk fails it does so only now and then, or when forced.
func (q *Queue) spill(force bool) {
	d := q.spool
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed && !force && time.Now().Before(d.tryAt) {
		return
	}
	q.mu.Lock()
	chunks := q.waiting.takeAll(&q.spilling)
	q.mu.Unlock()
	for len(chunks) > 0 {
		c := chunks[0]
		dropped, droppedBytes, err := d.append(c.frames(), c.n)
		d.fail(err)
		q.mu.Lock()
		q.stored.n -= dropped
		q.stored.bytes -= droppedBytes
		q.drop(QueueFull, dropped)
		if err != nil {
			q.waiting.putBack(chunks, &q.spilling)
			q.trim()
			q.mu.Unlock()
			return
		}
		q.spilling.move(&q.stored, c.n, int64(len(c.frames())))
		q.mu.Unlock()
		c.recycle()
		chunks = chunks[1:]
	}
}

// takeStored reads the next post from the disk; nil: there is nothing to read.
func (q *Queue) takeStored(maxEntries int) *batch {
	d := q.spool
	d.mu.Lock()
	defer d.mu.Unlock()
	oldest := time.Now().Add(-d.MaxAge).Unix()
	for _, s := range slices.Clone(d.segments) {
		if s.unread == 0 {
			continue
		}
		b := newBatch()
		before := s.bytes
		frames, n, part, expired, err := s.pop(b.buf[:0], maxEntries, q.settings.PostBytes, oldest)
		read := before - s.bytes
		lost, lostBytes := 0, int64(0)
		if err != nil {
			d.log.Error("storage cannot be read", "file", s.path, "error", err)
			lost, lostBytes = s.abandon()
		}
		b.buf, b.frames, b.n, b.onWire = frames, frames, n, true
		b.segment, b.part = s, part
		q.mu.Lock()
		q.stored.n -= n + expired + lost
		q.stored.bytes -= read + lostBytes
		q.drop(RetryExpired, expired)
		q.drop(Unreadable, lost)
		if n > 0 {
			q.posts = append(q.posts, b)
		}
		q.mu.Unlock()
		if n > 0 {
			s.inFlight++
			return b
		}
		*b = batch{buf: b.buf[:0]}
		batches.Put(b)
	}
	d.tidy()
	return nil
}

// recover counts what adopt finds.
func (q *Queue) recover() {
	d := q.spool
	d.mu.Lock()
	defer d.mu.Unlock()
	n, size := d.adopt()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Created += uint64(n)
	q.stats.Recovered += uint64(n)
	q.stored.n += n
	q.stored.bytes += size
	if n > 0 {
		signal(q.wake)
	}
}

// tend writes to the disk what comes in, and looks for what others have left behind, until drained is closed.
func (q *Queue) tend(drained <-chan struct{}) {
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	for {
		select {
		case <-q.spillable:
			select {
			case <-time.After(spillDelay):
			case <-q.spillNow:
			case <-drained:
				return
			}
			q.spill(false)
		case <-tick.C:
			q.recover()
			q.spill(false)
		case <-drained:
			return
		}
	}
}

// send posts a batch, as its own queue would have.
func (q *Queue) send(ctx context.Context, b *batch) (rejected int64, err error) {
	if b.segment != nil && !bytes.Equal(b.segment.head, q.spool.Head) {
		if sender, ok := q.sender.(HeadSender); ok {
			return sender.SendWithHead(ctx, b.segment.head, b.frames, b.n)
		}
	}
	return q.sender.Send(ctx, b.frames, b.n)
}
