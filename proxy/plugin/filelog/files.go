package filelog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// maxPending bounds the lines of a file that wait to be written, in bytes. What comes beyond it is dropped.
	maxPending = 8 << 20
	// maxKept bounds the buffers that are kept for the next lines.
	maxKept = 256 << 10
	// warnInterval is the least time between two warnings about a file.
	warnInterval = 10 * time.Second
)

// Files are the files that instances write to. Instances with the same path share one, also over a reload. Each file
// has a goroutine that writes it, so that a slow disk delays no request.
type Files struct {
	log     *slog.Logger
	mu      sync.Mutex
	open    map[fileKey]*file
	closed  bool
	running sync.WaitGroup
	ended   Stats // of files that nothing uses any more
}

type fileKey struct {
	path   string
	reopen bool
}

// Stats are the counts of lines.
type Stats struct {
	Written uint64
	Dropped uint64 // because the disk was too slow, or failed
	Pending uint64
}

// NewFiles makes an empty set. Close ends it.
func NewFiles(log *slog.Logger) *Files {
	return &Files{log: log, open: map[fileKey]*file{}}
}

// file is one file with the lines that wait for it.
type file struct {
	owner *Files
	key   fileKey
	users int // guarded by the owner's lock
	wake  chan struct{}
	end   chan struct{} // closed when nobody appends any more

	mu      sync.Mutex
	pending []byte
	lines   uint64 // in pending
	stats   Stats
	over    bool  // nothing is written any more
	lastErr error // of the newest fault, nil once it has been told
}

// acquire gives the file of a path and counts a user.
func (fs *Files) acquire(path string, reopen bool) (*file, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		return nil, errors.New("files are closed")
	}
	key := fileKey{path, reopen}
	f := fs.open[key]
	if f == nil {
		f = &file{owner: fs, key: key, wake: make(chan struct{}, 1), end: make(chan struct{})}
		fs.open[key] = f
		fs.running.Go(f.run)
	}
	f.users++
	return f, nil
}

// release counts a user off. After the last one what waits is written and the file closed.
func (f *file) release() {
	fs := f.owner
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.users--
	if f.users == 0 && fs.open[f.key] == f {
		delete(fs.open, f.key)
		close(f.end)
	}
}

// Close writes what waits, as long as ctx lasts, and closes all files. Lines that come later are dropped.
func (fs *Files) Close(ctx context.Context) error {
	fs.mu.Lock()
	fs.closed = true
	for key, f := range fs.open {
		delete(fs.open, key)
		close(f.end)
	}
	fs.mu.Unlock()
	done := make(chan struct{})
	go func() {
		fs.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close log files: %w", ctx.Err()) // a write hangs; it ends with the program
	}
}

// Stats is the sum over all files, those included that are not open any more.
func (fs *Files) Stats() Stats {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	total := fs.ended
	for _, f := range fs.open {
		f.mu.Lock()
		total.Written += f.stats.Written
		total.Dropped += f.stats.Dropped
		total.Pending += f.lines
		f.mu.Unlock()
	}
	return total
}

// append takes a line, without its newline. It never waits for the disk.
func (f *file) append(line []byte) {
	f.mu.Lock()
	if f.over || len(f.pending)+len(line) >= maxPending {
		f.stats.Dropped++
		f.lastErr = errTooSlow
	} else {
		f.pending = append(append(f.pending, line...), '\n')
		f.lines++
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

var errTooSlow = errors.New("lines come faster than they can be written")

// run writes until the file has no users.
func (f *file) run() {
	w := writer{key: f.key}
	defer w.close()
	var spare []byte
	var told time.Time
	for ended := false; !ended; {
		select {
		case <-f.wake:
		case <-f.end:
			ended = true
		}
		f.mu.Lock()
		batch, lines := f.pending, f.lines
		f.pending, f.lines, f.over = spare[:0], 0, ended
		f.mu.Unlock()
		var err error
		if len(batch) > 0 {
			err = w.write(batch)
		}
		f.mu.Lock()
		if err != nil {
			f.stats.Dropped += lines
			f.lastErr = err
		} else {
			f.stats.Written += lines
		}
		if fault := f.lastErr; fault != nil && (ended || time.Since(told) >= warnInterval) {
			f.owner.log.Warn("requests are not logged", "plugin", Name, "path", f.key.path, "error", fault, "dropped", f.stats.Dropped)
			f.lastErr, told = nil, time.Now()
		}
		f.mu.Unlock()
		spare = batch
		if cap(spare) > maxKept {
			spare = nil
		}
	}
	f.mu.Lock()
	stats := f.stats
	f.mu.Unlock()
	f.owner.mu.Lock()
	defer f.owner.mu.Unlock()
	f.owner.ended.Written += stats.Written
	f.owner.ended.Dropped += stats.Dropped
}

// writer is the open file.
type writer struct {
	key  fileKey
	file *os.File
	torn bool // the last write ended within a line
}

// write appends whole lines. With reopen the file is opened anew, so that one that was moved away is written no more.
func (w *writer) write(lines []byte) error {
	if w.key.reopen {
		w.close()
	}
	if w.file == nil {
		file, err := os.OpenFile(w.key.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		w.file = file
	}
	if w.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := w.file.Write(lines)
	if n > 0 {
		w.torn = lines[n-1] != '\n'
	}
	if err != nil {
		w.close()
	}
	return err
}

func (w *writer) close() {
	if w.file != nil {
		_ = w.file.Close() // what a write had to say, it has said
		w.file = nil
	}
}
