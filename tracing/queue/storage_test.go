package queue

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// onDisk are settings with storage in a folder.
func onDisk(folder string) Settings {
	s := DefaultSettings()
	s.Storage = &Storage{Folder: folder, Head: []byte("head")}
	return s
}

// away is a receiver that answers nothing but "later".
func away(context.Context, int) (int64, error) { return 0, fault{} }

func files(t testing.TB, folder string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// run runs a queue until the function that it gives closes it, within the time.
func run(t testing.TB, s Settings, r *receiver) (q *Queue, end func(time.Duration) Stats) {
	t.Helper()
	r.t = t
	q = New("test", s, r, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- q.Run(context.Background()) }()
	return q, func(d time.Duration) Stats {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		_ = q.Close(ctx) // what is lost is in the account
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		return exact(t, q)
	}
}

func TestStorageDeliversAndLeavesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "queue")
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		q, end := run(t, onDisk(folder), r)
		for i := range 100 {
			q.Append(spans{first: 7 * i, n: 7})
			pass(20 * time.Millisecond)
		}
		if got := files(t, folder); len(got) != 1 {
			t.Errorf("files while running: %v, want one", got)
		}
		got := account(end(time.Minute))
		want := Stats{Created: 700, Delivered: 700, Posts: got.Posts}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(sequence(0, 700), r.accepted); diff != "" {
			t.Error(diff)
		}
		if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder is still there: %v", err)
		}
	})
}

func TestStorageOutlivesTheQueue(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q, end := run(t, onDisk(folder), &receiver{answer: away})
		const n = 30_000 // more than max_entries
		for i := range n / 10 {
			q.Append(spans{first: 10 * i, n: 10, size: 100})
			if i%100 == 0 {
				pass(20 * time.Millisecond)
			}
		}
		pass(5 * time.Minute) // beyond max_retry_time
		began := time.Now()
		first := end(time.Minute)
		if took := time.Since(began); took > time.Second {
			t.Errorf("Close waited %v for a receiver that is away", took)
		}
		if first.Queued != n || first.Dropped.Total() != 0 {
			t.Errorf("after Close: %+v, want %d queued", first, n)
		}

		r := &receiver{}
		_, end = run(t, onDisk(folder), r)
		pass(time.Second)
		got := account(end(time.Minute))
		want := Stats{Created: n, Recovered: n, Delivered: n, Posts: got.Posts}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(sequence(0, n), r.accepted); diff != "" {
			t.Errorf("not in order: %s", diff[:min(len(diff), 500)])
		}
	})
}

// copyFolder makes what a process that is killed now would leave behind.
func copyFolder(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	for _, path := range files(t, from) {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(path)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestStorageAfterKill(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		next := 0
		var delivered []int
		for life := range 20 {
			posts := 0
			r := &receiver{answer: func(context.Context, int) (int64, error) {
				if posts++; posts%3 == 0 {
					return 0, fault{}
				}
				return 0, nil
			}}
			s := onDisk(folder)
			s.MaxBatchSize = 30 + life
			s.MaxCoalescingDelay = 100 * time.Millisecond
			if life%2 == 1 {
				s.ConcurrencyLimit = -1
			}
			q, end := run(t, s, r)
			for range 25 {
				q.Append(spans{first: next, n: 7, size: 50})
				next += 7
				pass(time.Duration(1+rand.N(15)) * time.Millisecond)
			}
			pass(2 * spillDelay) // what is younger may go
			before := slices.Clone(r.accepted)
			killed := copyFolder(t, folder)
			delivered = append(delivered, before...)
			end(0)
			folder = killed
		}
		r := &receiver{}
		_, end := run(t, onDisk(folder), r)
		pass(time.Second)
		end(time.Minute)
		delivered = append(delivered, r.accepted...)
		slices.Sort(delivered)
		if diff := cmp.Diff(sequence(0, next), delivered); diff != "" {
			t.Errorf("spans lost or delivered twice:\n%s", diff[:min(len(diff), 1000)])
		}
	})
}

func TestStorageIsBounded(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := onDisk(folder)
		s.Storage.MaxBytes = 1 << 20
		answer := away
		var mu sync.Mutex
		r := &receiver{answer: func(ctx context.Context, post int) (int64, error) {
			mu.Lock()
			defer mu.Unlock()
			return answer(ctx, post)
		}}
		q, end := run(t, s, r)
		const n = 5000 // of a kilobyte
		for i := range n {
			q.Append(spans{first: i, n: 1, size: 1000})
			if i%50 == 0 {
				pass(2 * spillDelay)
			}
		}
		pass(time.Second)
		var size int64
		for _, path := range files(t, folder) {
			if info, err := os.Stat(path); err == nil {
				size += info.Size()
			}
		}
		if size > s.Storage.MaxBytes {
			t.Errorf("%d bytes on disk, want %d at most", size, s.Storage.MaxBytes)
		}
		mu.Lock()
		answer = func(context.Context, int) (int64, error) { return 0, nil }
		mu.Unlock()
		pass(5 * time.Second)
		got := end(time.Minute)
		if got.Dropped[QueueFull] == 0 || got.Delivered+got.Dropped[QueueFull] != n {
			t.Errorf("%+v, want the oldest to have gone and all else delivered", got)
		}
		// One post was in memory; what came after it are the newest.
		last := r.accepted[len(r.accepted)-600:]
		if diff := cmp.Diff(sequence(n-600, 600), last); diff != "" {
			t.Errorf("the newest are not there: %s", diff[:min(len(diff), 500)])
		}
	})
}

func TestStorageThatFails(t *testing.T) {
	parent := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		// A file where the folder should be: nobody can write there, root neither.
		folder := filepath.Join(parent, "queue")
		if err := os.WriteFile(folder, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		r := &receiver{t: t}
		q := New("test", onDisk(folder), r, slog.New(slog.NewTextHandler(&log, nil)))
		done := make(chan error, 1)
		go func() { done <- q.Run(context.Background()) }()
		for i := range 100 {
			q.Append(spans{first: 7 * i, n: 7})
			pass(100 * time.Millisecond)
		}
		if got := strings.Count(log.String(), "storage"); got != 1 {
			t.Errorf("%d lines about the storage, want 1:\n%s", got, log.String())
		}
		if got := exact(t, q); got.Delivered < 600 {
			t.Errorf("without the disk: %+v, want most delivered", got)
		}
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
		pass(2 * tendInterval)
		q.Append(spans{first: 700, n: 7})
		pass(50 * time.Millisecond)
		if got := exact(t, q); got.Stored != 7 {
			t.Errorf("with the disk again: %+v, want 7 stored", got)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		<-done
		if diff := cmp.Diff(sequence(0, 707), r.accepted); diff != "" {
			t.Error(diff)
		}
	})
}

// A disk that fills up under a file that is being written: what was written before is safe, the rest goes by memory.
func TestStorageThatFillsUp(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		q, end := run(t, onDisk(folder), r)
		q.Append(spans{first: 0, n: 7})
		pass(2 * spillDelay)
		q.spool.mu.Lock()
		active := q.spool.active
		writable := active.file
		full, err := os.Open(active.path)
		if err != nil {
			t.Fatal(err)
		}
		active.file = full
		q.spool.mu.Unlock()
		q.Append(spans{first: 7, n: 7})
		pass(2 * spillDelay)
		if got := exact(t, q); got.Stored != 7 || got.Queued != 14 {
			t.Errorf("%+v, want 7 stored of 14", got)
		}
		pass(2 * time.Second)
		if got := exact(t, q); got.Delivered != 14 {
			t.Errorf("%+v, want all delivered", got)
		}
		q.spool.mu.Lock()
		active.file = writable
		q.spool.mu.Unlock()
		full.Close()
		pass(2 * tendInterval)
		q.Append(spans{first: 14, n: 7})
		pass(2 * spillDelay)
		if got := exact(t, q); got.Stored != 7 {
			t.Errorf("with room again: %+v, want 7 stored", got)
		}
		end(time.Second)
		if diff := cmp.Diff(sequence(0, 21), r.accepted); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStorageExpires(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := onDisk(folder)
		s.MaxBatchSize = 10
		q, end := run(t, s, &receiver{answer: away})
		q.Append(spans{n: 30})
		pass(time.Second)
		end(time.Second)
		pass(25 * time.Hour)
		_, end = run(t, s, &receiver{})
		pass(time.Second)
		got := account(end(time.Second))
		want := Stats{Created: 30, Recovered: 30}
		want.Dropped[RetryExpired] = 30
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// Two queues with the same folder each have files of their own; what one leaves the other takes over while it runs.
func TestStorageIsShared(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		one, endOne := run(t, onDisk(folder), &receiver{answer: away})
		r := &receiver{}
		two, endTwo := run(t, onDisk(folder), r)
		one.Append(spans{first: 0, n: 10})
		two.Append(spans{first: 10, n: 10})
		pass(2 * tendInterval)
		if got := exact(t, two); got.Delivered != 10 || got.Recovered != 0 {
			t.Errorf("while both run: %+v, want each its own", got)
		}
		endOne(time.Second)
		pass(2 * tendInterval)
		if got := endTwo(time.Second); got.Delivered != 20 || got.Recovered != 10 {
			t.Errorf("after the first has closed: %+v, want its 10 delivered too", got)
		}
	})
}

// A file of no use is deleted, what is not ours is left alone, and neither is in the way.
func TestStorageWithOtherFiles(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{
		"empty" + segmentSuffix: "", "junk" + segmentSuffix: strings.Repeat("junk", 1000), "notes.txt": "mine",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		q, end := run(t, onDisk(folder), &receiver{})
		q.Append(spans{n: 10})
		pass(2 * time.Second)
		if got := end(time.Second); got.Delivered != 10 || got.Created != 10 {
			t.Errorf("%+v", got)
		}
	})
	if diff := cmp.Diff([]string{filepath.Join(folder, "notes.txt")}, files(t, folder)); diff != "" {
		t.Error(diff)
	}
}

type headed struct {
	receiver
	heads []string
}

func (h *headed) SendWithHead(ctx context.Context, head, frames []byte, n int) (int64, error) {
	h.heads = append(h.heads, string(head))
	return h.Send(ctx, frames, n)
}

func TestStorageKeepsTheHead(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q, end := run(t, onDisk(folder), &receiver{answer: away})
		q.Append(spans{n: 10})
		pass(time.Second)
		end(time.Second)
		s := onDisk(folder)
		s.Storage.Head = []byte("new")
		h := &headed{receiver: receiver{t: t}}
		q = New("test", s, h, slog.New(slog.DiscardHandler))
		q.Append(spans{first: 10, n: 10})
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"head"}, h.heads); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(sequence(0, 20), h.accepted); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSweep(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "old")
	synctest.Test(t, func(t *testing.T) {
		q, end := run(t, onDisk(folder), &receiver{answer: away})
		q.Append(spans{n: 10})
		pass(time.Second)
		end(time.Second)
	})
	log := slog.New(slog.DiscardHandler)
	Sweep(root, time.Hour, log)
	if got := files(t, folder); len(got) != 1 {
		t.Fatalf("files: %v, want one that is young", got)
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(files(t, folder)[0], past, past); err != nil {
		t.Fatal(err)
	}
	Sweep(root, time.Hour, log)
	if got := files(t, root); len(got) != 0 {
		t.Errorf("files: %v, want none", got)
	}
}

// A queue with storage keeps exact accounts over restarts, whatever the receiver and the limits do.
func TestStorageAccountsAreExact(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			folder := t.TempDir()
			var left uint64
			got := map[int]int{}
			next := 0
			var mu sync.Mutex
			intN := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rng.IntN(n)
			}
			for life := range 4 {
				r := &receiver{answer: func(ctx context.Context, _ int) (int64, error) {
					what := intN(8)
					sleep(ctx, time.Duration(intN(300))*time.Millisecond, nil, nil)
					switch {
					case ctx.Err() != nil:
						return 0, ctx.Err()
					case what < 3:
						return 0, fault{}
					case what == 3:
						return 0, fault{final: true}
					}
					return 0, nil
				}}
				s := onDisk(folder)
				s.Storage.MaxBytes = 64 << 10
				s.MaxBatchSize = intN(3) * 40
				s.ConcurrencyLimit = 1 - 2*intN(2)
				q, end := run(t, s, r)
				for range 100 {
					n := 1 + intN(20)
					q.Append(spans{first: next, n: n, size: 10 + intN(400)})
					next += n
					time.Sleep(time.Duration(intN(40)) * time.Millisecond)
					if exact(t, q); t.Failed() {
						return
					}
				}
				stats := end(time.Duration(intN(2000)) * time.Millisecond)
				if stats.Recovered != left {
					t.Errorf("life %d: %d recovered, %d were left", life, stats.Recovered, left)
				}
				left = stats.Queued
				for _, id := range r.accepted {
					got[id]++
				}
			}
			for id, n := range got {
				if n > 1 {
					t.Errorf("span %d was delivered %d times", id, n)
				}
			}
		})
	}
}

// The records that were written whole are found again, wherever the file ends.
func TestSegmentThatIsCutAnywhere(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a"+segmentSuffix)
	s, err := createSegment(path, []byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	type point struct {
		size int64
		n    int
	}
	points := []point{{s.size, 0}}
	for i := range 5 {
		frames, n := spans{first: 3 * i, n: 3}.AppendFrames(nil)
		if err := s.append(frames, n); err != nil {
			t.Fatal(err)
		}
		points = append(points, point{s.size, 3 * (i + 1)})
	}
	// The second record and half of the third are answered for.
	at := points[1].size
	if err := s.settle(extent{at, points[2].size + recordHeader + 10}); err != nil {
		t.Fatal(err)
	}
	s.file.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for end := range len(whole) + 1 {
		want := -1
		for _, p := range points {
			if int64(end) >= p.size {
				want = p.n
			}
		}
		if end == len(whole) {
			want -= 4
		}
		cut := filepath.Join(folder, "cut"+segmentSuffix)
		if err := os.WriteFile(cut, whole[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		got := -1
		if s, _, err := openSegment(cut); err == nil {
			got = s.unread
			s.file.Close()
		} else if !errors.Is(err, errDamaged) {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("cut at %d of %d: %d spans, want %d", end, len(whole), got, want)
		}
	}
}

// FuzzSegment: whatever stands in a file, opening and reading it neither panics nor gives bytes that are no frames.
func FuzzSegment(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed"+segmentSuffix)
	s, err := createSegment(path, []byte("head"))
	if err != nil {
		f.Fatal(err)
	}
	frames, n := spans{n: 5}.AppendFrames(nil)
	if err := errors.Join(s.append(frames, n), s.settle(extent{s.size, s.size + 3}), s.append(frames, n)); err != nil {
		f.Fatal(err)
	}
	s.file.Close()
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-3])
	f.Add([]byte(segmentMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Checksums that fit, so that what lies behind them is reached.
		data = repaired(data)
		path := filepath.Join(t.TempDir(), "x"+segmentSuffix)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, _, err := openSegment(path)
		if err != nil {
			return
		}
		defer s.file.Close()
		want := s.unread
		out, n, _, expired, err := s.pop(nil, 1<<30, 1<<30, math.MinInt64) // however old
		if err != nil || expired != 0 {
			t.Fatalf("pop: %d expired, %v", expired, err)
		}
		if _, _, ok := checkFrames(out, n, 1<<30); !ok || n != want {
			t.Errorf("pop: %d of %d frames, ok %v", n, want, ok)
		}
	})
}

// repaired puts the checksums in place for which there is room.
func repaired(data []byte) []byte {
	data = slices.Clone(data)
	sum := func(at int, covered ...[]byte) {
		binary.LittleEndian.PutUint32(data[at:], checksum(covered...))
	}
	if len(data) < segmentHeader {
		return data
	}
	copy(data, segmentMagic)
	length := int(binary.LittleEndian.Uint32(data[8:]))
	if length > len(data)-segmentHeader {
		return data
	}
	sum(12, data[:12], data[segmentHeader:segmentHeader+length])
	for at := segmentHeader + length; at+recordHeader <= len(data); {
		end := at + recordHeader
		if data[at] == kindData {
			end += int(binary.LittleEndian.Uint32(data[at+4:]))
		}
		if end > len(data) {
			break
		}
		sum(at+20, data[at:at+20], data[at+recordHeader:end])
		at = end
	}
	return data
}

func BenchmarkAppendStored(b *testing.B) {
	settings := onDisk(b.TempDir())
	settings.Storage.MaxBytes = 64 << 20
	benchmark(b, settings, func(q *Queue) {
		t := trace()
		for b.Loop() {
			q.Append(t)
		}
	})
}

// A receiver that was away for two minutes has everything within five seconds of its return: what memory could hold,
// and with storage on disk all of it.
func TestReceiverAwayForTwoMinutes(t *testing.T) {
	for _, name := range []string{"memory", "disk"} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var back atomic.Bool
				r := &receiver{t: t, answer: func(ctx context.Context, _ int) (int64, error) {
					if back.Load() {
						sleep(ctx, 20*time.Millisecond, nil, nil)
						return 0, nil
					}
					return 0, fault{}
				}}
				s := DefaultSettings()
				if name == "disk" {
					s = onDisk(folder)
				}
				q, end := run(t, s, r)
				created := 0
				load := func(d time.Duration) {
					for range d / (50 * time.Millisecond) {
						q.Append(spans{first: created, n: 140, size: 100}) // 2,800 a second
						created += 140
						pass(50 * time.Millisecond)
						if got := exact(t, q); name == "memory" && got.QueuedBytes > defaultBytes {
							t.Fatalf("%d bytes in memory", got.QueuedBytes)
						}
					}
				}
				load(2 * time.Minute)
				back.Store(true)
				load(5 * time.Second)
				got := exact(t, q)
				if got.Queued > 2800 {
					t.Errorf("5 s after its return %d spans wait", got.Queued)
				}
				got = end(time.Second)
				lost := got.Dropped.Total()
				if name == "disk" && lost > 0 || name == "memory" && lost == 0 {
					t.Errorf("lost: %d (%v)", lost, got.Dropped)
				}
				if uint64(created) != got.Created || got.Delivered+lost != got.Created {
					t.Errorf("%+v of %d", got, created)
				}
			})
		})
	}
}
