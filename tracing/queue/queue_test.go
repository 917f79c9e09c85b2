package queue

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// spans encodes consecutive ids as spans of size payload bytes (8 at least).
type spans struct{ first, n, size int }

func (s spans) AppendFrames(buf []byte) ([]byte, int) {
	for id := s.first; id < s.first+s.n; id++ {
		buf = append(buf, frameTag)
		buf = binary.AppendUvarint(buf, uint64(max(s.size, 8)))
		buf = binary.BigEndian.AppendUint64(buf, uint64(id))
		buf = append(buf, make([]byte, max(s.size-8, 0))...)
	}
	return buf, s.n
}

// ids decodes frames made by spans.
func ids(t testing.TB, frames []byte) []int {
	t.Helper()
	var got []int
	for len(frames) > 0 {
		size := frameLen(frames)
		if size == 0 {
			t.Fatalf("frames do not end at a frame's end: % x", frames)
		}
		_, width := binary.Uvarint(frames[1:])
		got = append(got, int(binary.BigEndian.Uint64(frames[1+width:])))
		frames = frames[size:]
	}
	return got
}

func sequence(first, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = first + i
	}
	return out
}

// receiver is a Sender that answers as its function says and notes what it was sent.
type receiver struct {
	t      testing.TB
	answer func(ctx context.Context, post int) (int64, error) // post counts from 1; nil: accept

	mu       sync.Mutex
	posts    [][]int
	at       []time.Time
	accepted []int // ids of accepted posts
	inFlight int
	most     int // most posts in flight at once
}

func (r *receiver) Send(ctx context.Context, frames []byte, n int) (int64, error) {
	got := ids(r.t, frames)
	if len(got) != n {
		r.t.Errorf("Send: got %d frames, announced as %d", len(got), n)
	}
	r.mu.Lock()
	r.posts = append(r.posts, got)
	r.at = append(r.at, time.Now())
	post := len(r.posts)
	r.inFlight++
	r.most = max(r.most, r.inFlight)
	r.mu.Unlock()
	var rejected int64
	var err error
	if r.answer != nil {
		rejected, err = r.answer(ctx, post)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	if err == nil {
		r.accepted = append(r.accepted, got...)
	}
	return rejected, err
}

// sizes are the numbers of spans of the posts so far.
func (r *receiver) sizes() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []int
	for _, p := range r.posts {
		out = append(out, len(p))
	}
	return out
}

// atOnce is the largest number of posts that were in flight together.
func (r *receiver) atOnce() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

type fault struct {
	final bool
	after time.Duration
}

func (f fault) Error() string                     { return "receiver is unwell" }
func (f fault) Retryable() bool                   { return !f.final }
func (f fault) RetryAfter() (time.Duration, bool) { return f.after, f.after != 0 }

// start runs a queue inside a synctest bubble and closes it at the test's end; the bubble then proves that no
// goroutine is left.
func start(t *testing.T, s Settings, r *receiver) *Queue {
	t.Helper()
	r.t = t
	q := New("test", s, r, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- q.Run(t.Context()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		q.Close(ctx)
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		exact(t, q)
	})
	synctest.Wait()
	return q
}

// exact checks the promise of Stats.
func exact(t testing.TB, q *Queue) Stats {
	t.Helper()
	s := q.Stats()
	if sum := s.Delivered + s.Rejected + s.Dropped.Total() + s.Queued; s.Created != sum {
		t.Errorf("accounts differ: created %d, found again %d: %+v", s.Created, sum, s)
	}
	return s
}

// pass lets d pass in a bubble, and all that is due by then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// account is Stats without times and texts.
func account(s Stats) Stats {
	s.LastError, s.LastErrorAt, s.LastSuccess = "", time.Time{}, time.Time{}
	return s
}

func TestPostAfterCoalescingDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		q := start(t, DefaultSettings(), r)
		start := time.Now()
		q.Append(spans{first: 1, n: 7})
		pass(900 * time.Millisecond)
		q.Append(spans{first: 8, n: 7})
		synctest.Wait()
		if got := r.sizes(); got != nil {
			t.Fatalf("posts before the delay: %v", got)
		}
		pass(100 * time.Millisecond)
		if diff := cmp.Diff(sequence(1, 14), r.accepted); diff != "" {
			t.Error(diff)
		}
		if got := r.at[0].Sub(start); got != time.Second {
			t.Errorf("posted after %v, want 1s", got)
		}
		want := Stats{Created: 14, Delivered: 14, Posts: 1}
		if diff := cmp.Diff(want, account(exact(t, q))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPostSize(t *testing.T) {
	tests := []struct {
		name     string
		settings Settings
		append   []spans
		want     []int // sizes of the posts made at once
	}{
		{"199 wait", Settings{MaxCoalescingDelay: time.Hour}, []spans{{n: 199}}, nil},
		{"200 cause a post", Settings{MaxCoalescingDelay: time.Hour}, []spans{{n: 200}}, []int{200}},
		{"a post takes all", Settings{MaxCoalescingDelay: time.Hour}, []spans{{n: 5000}}, []int{5000}},
		{"max_batch_size bounds", Settings{MaxBatchSize: 3, MaxCoalescingDelay: time.Hour}, []spans{{n: 10}}, []int{3, 3, 3}},
		{"delay 0", Settings{}, []spans{{n: 1}}, []int{1}},
		{
			"bytes cause and bound",
			Settings{PostBytes: 1 << 10, MaxCoalescingDelay: time.Hour},
			[]spans{{n: 5, size: 500}},
			[]int{2, 2},
		},
		{"trigger within max_entries", Settings{MaxEntries: 50, MaxCoalescingDelay: time.Hour}, []spans{{n: 50}}, []int{50}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{}
				q := start(t, test.settings, r)
				for _, s := range test.append {
					q.Append(s)
				}
				synctest.Wait()
				if diff := cmp.Diff(test.want, r.sizes()); diff != "" {
					t.Error(diff)
				}
				exact(t, q)
			})
		})
	}
}

func TestCloseFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		q := start(t, Settings{MaxBatchSize: 10, MaxCoalescingDelay: time.Hour}, r)
		q.Append(spans{n: 9})
		if err := q.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		q.Append(spans{n: 2})
		want := Stats{Created: 11, Delivered: 9, Dropped: Dropped{Shutdown: 2}, Posts: 1}
		if diff := cmp.Diff(want, account(exact(t, q))); diff != "" {
			t.Error(diff)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if err := q.Run(t.Context()); err != nil {
			t.Errorf("Run after Close: %v", err)
		}
	})
}

func TestCloseGivesUpAtItsDeadline(t *testing.T) {
	tests := map[string]func(context.Context, int) (int64, error){
		"refusing": func(context.Context, int) (int64, error) { return 0, fault{} },
		"hanging":  func(ctx context.Context, _ int) (int64, error) { <-ctx.Done(); return 0, ctx.Err() },
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := start(t, DefaultSettings(), &receiver{answer: answer})
				q.Append(spans{n: 300})
				q.Append(spans{n: 20})
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				start := time.Now()
				if err := q.Close(ctx); err == nil || !strings.Contains(err.Error(), "320 spans") {
					t.Errorf("Close: got %v, want an error that names 320 spans", err)
				}
				if got := time.Since(start); got != 3*time.Second {
					t.Errorf("Close took %v, want 3s", got)
				}
				s := exact(t, q)
				if s.Dropped[Shutdown] != 320 || s.Queued != 0 {
					t.Errorf("got %+v, want 320 dropped at shutdown", s)
				}
			})
		})
	}
}

// A queue that is closed before its Run was scheduled loses nothing.
func TestCloseWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{t: t}
		q := New("test", DefaultSettings(), r, slog.New(slog.DiscardHandler))
		q.Append(spans{n: 5})
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if s := exact(t, q); s.Delivered != 5 {
			t.Errorf("got %+v, want 5 delivered", s)
		}
		if err := q.Run(t.Context()); err != nil {
			t.Errorf("Run after Close: %v", err)
		}
	})
}

func TestCloseWithoutRunAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{t: t, answer: func(context.Context, int) (int64, error) { return 0, fault{} }}
		q := New("test", DefaultSettings(), r, slog.New(slog.DiscardHandler))
		q.Append(spans{n: 5})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.Close(ctx); err == nil {
			t.Error("Close: no error although spans were lost")
		}
		if s := exact(t, q); s.Dropped[Shutdown] != 5 {
			t.Errorf("got %+v, want 5 dropped at shutdown", s)
		}
	})
}

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := start(t, Settings{}, &receiver{})
		if err := q.Run(t.Context()); err == nil {
			t.Error("second Run: no error")
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{t: t, answer: func(ctx context.Context, _ int) (int64, error) { <-ctx.Done(); return 0, ctx.Err() }}
		q := New("test", Settings{MaxCoalescingDelay: time.Hour}, r, slog.New(slog.DiscardHandler))
		q.Append(spans{n: 200})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: got %v, want the context's error", err)
		}
		if s := exact(t, q); s.Queued != 200 {
			t.Errorf("got %+v, want 200 still queued", s)
		}
		if err := q.Close(t.Context()); err == nil {
			t.Error("Close: no error although spans were lost")
		}
		exact(t, q)
	})
}

func TestFullQueueDropsTheOldest(t *testing.T) {
	tests := []struct {
		name     string
		settings Settings
		append   []spans
		want     []int // ids delivered in the end
		dropped  Dropped
	}{
		{
			"entries",
			Settings{MaxEntries: 10, MaxCoalescingDelay: time.Hour},
			[]spans{{1, 4, 8}, {5, 4, 8}},
			sequence(1, 8),
			Dropped{},
		},
		{
			"entries, across traces",
			Settings{MaxEntries: 10, MaxBatchSize: 1000, MaxCoalescingDelay: time.Hour},
			[]spans{{1, 7, 8}, {8, 7, 300}, {15, 1, 8}},
			sequence(6, 10),
			Dropped{QueueFull: 5},
		},
		{
			"a trace larger than the queue",
			Settings{MaxEntries: 10, MaxBatchSize: 1000, MaxCoalescingDelay: time.Hour},
			[]spans{{1, 25, 8}},
			sequence(16, 10),
			Dropped{QueueFull: 15},
		},
		{
			"bytes",
			Settings{MaxBytes: 1000, MaxCoalescingDelay: time.Hour}, // a frame takes 103 bytes
			[]spans{{1, 5, 101}, {6, 6, 101}},
			sequence(3, 9),
			Dropped{QueueFull: 2},
		},
		{
			"too large",
			Settings{PostBytes: 1000, MaxCoalescingDelay: time.Hour},
			[]spans{{1, 2, 8}, {3, 1, 2000}, {4, 1, 8}},
			[]int{1, 2, 4},
			Dropped{TooLarge: 1},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{}
				q := start(t, test.settings, r)
				for _, s := range test.append {
					q.Append(s)
				}
				if err := q.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, r.accepted); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(test.dropped, exact(t, q).Dropped); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

type wrong struct {
	bytes string
	n     int
}

func (w wrong) AppendFrames(buf []byte) ([]byte, int) { return append(buf, w.bytes...), w.n }

func TestUnencodable(t *testing.T) {
	for name, e := range map[string]wrong{
		"nothing":         {"", 2},
		"cut off":         {"\x12\x05abc", 2},
		"other field":     {"\x0a\x01a", 2},
		"fewer":           {"\x12\x01a", 2},
		"length wraps":    {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 2},
		"varint too long": {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 2},
	} {
		t.Run(name, func(t *testing.T) {
			q := New("test", Settings{}, &receiver{t: t}, slog.New(slog.DiscardHandler))
			q.Append(e)
			want := Stats{Created: 2, Dropped: Dropped{Unencodable: 2}}
			if diff := cmp.Diff(want, exact(t, q)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(_ context.Context, post int) (int64, error) {
			if post <= 8 {
				return 0, fault{}
			}
			return 0, nil
		}}
		q := start(t, Settings{
			MaxRetryTime: time.Minute, InitialRetryDelay: 10 * time.Millisecond, MaxRetryDelay: 100 * time.Millisecond,
		}, r)
		q.Append(spans{first: 1, n: 3})
		pass(20 * time.Millisecond)
		if s := exact(t, q); !s.Failing || s.LastError != "receiver is unwell" || s.InFlight != 3 || s.Queued != 3 {
			t.Errorf("during the outage: %+v", s)
		}
		q.Append(spans{first: 4, n: 2}) // accumulates behind the batch in retry
		pass(time.Second)
		if diff := cmp.Diff(sequence(1, 5), r.accepted); diff != "" {
			t.Error(diff)
		}
		most := 10 * time.Millisecond
		for i := 1; i <= 8; i++ {
			least := max(most/2, 10*time.Millisecond)
			if got := r.at[i].Sub(r.at[i-1]); got < least || got > most {
				t.Errorf("delay %d: got %v, want %v to %v", i, got, least, most)
			}
			most = min(2*most, 100*time.Millisecond)
		}
		s := exact(t, q)
		if s.Failing || s.Posts != 10 || s.Retries != 8 || s.Delivered != 5 {
			t.Errorf("after the outage: %+v", s)
		}
	})
}

func TestRetryExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(context.Context, int) (int64, error) { return 0, fault{} }}
		q := start(t, DefaultSettings(), r)
		q.Append(spans{n: 200})
		pass(59999 * time.Millisecond)
		if s := exact(t, q); s.Queued != 200 {
			t.Errorf("before max_retry_time: %+v", s)
		}
		pass(2 * time.Millisecond)
		s := exact(t, q)
		if s.Dropped[RetryExpired] != 200 || s.Queued != 0 {
			t.Errorf("after max_retry_time: %+v", s)
		}
		if last := r.at[len(r.at)-1].Sub(r.at[0]); last != time.Minute {
			t.Errorf("last try after %v, want 1m0s: the budget is used to its end", last)
		}
	})
}

func TestOneTryWithoutRetryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(context.Context, int) (int64, error) { return 0, fault{} }}
		q := start(t, Settings{}, r)
		q.Append(spans{n: 4})
		synctest.Wait()
		want := Stats{Created: 4, Dropped: Dropped{RetryExpired: 4}, Posts: 1, Failing: true}
		if diff := cmp.Diff(want, account(exact(t, q))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	tests := []struct{ asked, want time.Duration }{
		{7 * time.Second, 7 * time.Second},
		{time.Hour, time.Minute},              // capped by the budget
		{-time.Second, 10 * time.Millisecond}, // no haste
	}
	for _, test := range tests {
		t.Run(test.asked.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{answer: func(_ context.Context, post int) (int64, error) {
					if post == 1 {
						return 0, fault{after: test.asked}
					}
					return 0, nil
				}}
				q := start(t, DefaultSettings(), r)
				q.Append(spans{n: 200})
				pass(2 * time.Minute)
				if got := r.at[1].Sub(r.at[0]); got != test.want {
					t.Errorf("waited %v, want %v", got, test.want)
				}
				exact(t, q)
			})
		})
	}
}

func TestRefusalIsFinal(t *testing.T) {
	for name, err := range map[string]error{"by the error": fault{final: true}, "by any other error": errors.New("no")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{answer: func(context.Context, int) (int64, error) { return 0, err }}
				q := start(t, Settings{MaxRetryTime: time.Minute}, r)
				q.Append(spans{n: 4})
				pass(time.Second)
				want := Stats{Created: 4, Rejected: 4, Posts: 1, Failing: true}
				if diff := cmp.Diff(want, account(exact(t, q))); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestPartialSuccess(t *testing.T) {
	for _, test := range []struct {
		rejected                int64
		wantDelivered, wantGone uint64
	}{{0, 4, 0}, {3, 1, 3}, {9, 0, 4}, {-2, 4, 0}} {
		synctest.Test(t, func(t *testing.T) {
			r := &receiver{answer: func(context.Context, int) (int64, error) { return test.rejected, nil }}
			q := start(t, Settings{MaxRetryTime: time.Minute}, r)
			q.Append(spans{n: 4})
			synctest.Wait()
			s := exact(t, q)
			if s.Delivered != test.wantDelivered || s.Rejected != test.wantGone || s.Posts != 1 {
				t.Errorf("%d rejected: %+v", test.rejected, s)
			}
		})
	}
}

type remark struct{ error }

func (remark) Accepted() bool { return true }

func TestRemark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(context.Context, int) (int64, error) {
			return 1, remark{errors.New("one was too old")}
		}}
		q := start(t, Settings{MaxRetryTime: time.Minute}, r)
		q.Append(spans{n: 4})
		synctest.Wait()
		want := Stats{Created: 4, Delivered: 3, Rejected: 1, Posts: 1}
		s := exact(t, q)
		if diff := cmp.Diff(want, account(s)); diff != "" {
			t.Error(diff)
		}
		if s.LastError != "one was too old" {
			t.Errorf("last error: got %q, want the remark", s.LastError)
		}
	})
}

// A receiver that takes 200 ms, at 4,000 requests a second with 7 spans each, and Kong's default settings. Between two
// answers 5,600 spans arrive while as many are on the wire: more than max_entries together.
func TestSlowReceiverLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(context.Context, int) (int64, error) {
			time.Sleep(200 * time.Millisecond)
			return 0, nil
		}}
		q := start(t, DefaultSettings(), r)
		const requests, perRequest = 6_000, 7
		for i := range requests {
			q.Append(spans{first: i * perRequest, n: perRequest, size: 300})
			time.Sleep(time.Second / 4000)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := exact(t, q)
		if s.Delivered != requests*perRequest || s.Dropped.Total() != 0 {
			t.Errorf("got %+v, want %d delivered", account(s), requests*perRequest)
		}
		if !slices.Equal(sequence(0, requests*perRequest), r.accepted) {
			t.Error("spans did not arrive in order")
		}
		if got := r.atOnce(); got != 1 {
			t.Errorf("%d posts at once, want 1", got)
		}
	})
}

func TestSeveralPostsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(context.Context, int) (int64, error) {
			time.Sleep(time.Second)
			return 0, nil
		}}
		q := start(t, Settings{MaxBatchSize: 10, ConcurrencyLimit: -1, MaxCoalescingDelay: time.Hour}, r)
		q.Append(spans{n: 1000})
		synctest.Wait()
		if got := r.atOnce(); got != several {
			t.Errorf("%d posts at once, want %d", got, several)
		}
		pass(20 * time.Second)
		if s := exact(t, q); s.Delivered != 1000 {
			t.Errorf("got %+v, want 1000 delivered", s)
		}
	})
}

// While the receiver is away the queue is full in all, what waits for its retry included; the newest entries stay.
func TestOutageKeepsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		r := &receiver{answer: func(context.Context, int) (int64, error) {
			if back.Load() {
				return 0, nil
			}
			return 0, fault{}
		}}
		q := start(t, Settings{MaxEntries: 1000, MaxRetryTime: time.Hour, MaxRetryDelay: time.Second}, r)
		for i := range 1000 {
			q.Append(spans{first: i * 7, n: 7})
			pass(10 * time.Millisecond)
			if s := exact(t, q); s.Queued > 1000 {
				t.Fatalf("queued %d, want 1000 at most", s.Queued)
			}
		}
		back.Store(true)
		pass(3 * time.Second)
		if diff := cmp.Diff(sequence(6000, 1000), r.accepted); diff != "" {
			t.Error(diff)
		}
		if s := exact(t, q); s.Dropped[QueueFull] != 6000 {
			t.Errorf("got %+v, want 6000 dropped", s)
		}
	})
}

// Snapshots taken at any moment add up, whatever the receiver does and however many append.
func TestAccountsAreAlwaysExact(t *testing.T) {
	r := &receiver{t: t, answer: func(ctx context.Context, _ int) (int64, error) {
		switch rand.IntN(6) {
		case 0:
			return 0, fault{}
		case 1:
			return 0, fault{final: true}
		case 2:
			return 2, nil
		case 3:
			time.Sleep(time.Millisecond)
		}
		return 0, nil
	}}
	q := New("test", Settings{
		MaxEntries: 500, MaxBatchSize: 50, MaxRetryTime: 3 * time.Millisecond, InitialRetryDelay: time.Microsecond,
		MaxRetryDelay: time.Millisecond, ConcurrencyLimit: -1, PostBytes: 8 << 10,
	}, r, slog.New(slog.DiscardHandler))
	done := make(chan error)
	go func() { done <- q.Run(t.Context()) }()

	const goroutines, rounds = 8, 2000
	var appending sync.WaitGroup
	for g := range goroutines {
		appending.Go(func() {
			for i := range rounds {
				switch i % 100 {
				case 50:
					q.Append(wrong{"\x12\x7fcut", 1})
				case 99:
					q.Append(spans{n: 1, size: 9 << 10})
				default:
					q.Append(spans{first: g * i, n: 1 + i%9, size: 8 * (i % 40)})
				}
			}
		})
	}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		var before Stats
		for {
			select {
			case <-stop:
				return
			default:
			}
			s := exact(t, q)
			if s.Created < before.Created || s.Delivered < before.Delivered || s.Dropped.Total() < before.Dropped.Total() {
				t.Errorf("counters went back: %+v, then %+v", before, s)
			}
			if s.QueuedBytes < 0 || s.Queued > 500+several*50 {
				t.Errorf("out of bounds: %+v", s)
			}
			before = s
		}
	})
	appending.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := q.Close(ctx); err != nil {
		t.Error(err)
	}
	close(stop)
	watching.Wait()
	if err := <-done; err != nil {
		t.Error(err)
	}
	s := exact(t, q)
	if s.Queued != 0 || s.QueuedBytes != 0 || s.InFlight != 0 {
		t.Errorf("something is left: %+v", s)
	}
	if s.Dropped[Unencodable] != goroutines*rounds/100 || s.Dropped[TooLarge] != goroutines*rounds/100 {
		t.Errorf("got %v dropped, want %d unencodable and as many too large", s.Dropped, goroutines*rounds/100)
	}
}

func TestLogLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{
			Level: slog.LevelInfo,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				switch a.Key {
				case slog.TimeKey, "queued", "delivered": // the last two depend on who comes first
					return slog.Attr{}
				}
				return a
			},
		}))
		var back atomic.Bool
		r := &receiver{t: t, answer: func(context.Context, int) (int64, error) {
			if back.Load() {
				return 0, nil
			}
			return 0, fault{}
		}}
		q := New("q", Settings{MaxEntries: 100, MaxRetryTime: time.Hour, MaxRetryDelay: time.Second}, r, log)
		go q.Run(t.Context())
		q.Append(spans{n: 1})
		pass(5 * time.Millisecond) // so that nothing below happens at the instant at which the next warning may come
		for i := range 1499 {      // 15 seconds
			q.Append(spans{first: i, n: 1})
			pass(10 * time.Millisecond)
		}
		back.Store(true)
		pass(20 * time.Second)
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{
			`level=WARN msg="spans cannot be delivered, trying again" queue=q last_error="receiver is unwell"`,
			`level=WARN msg="spans lost" queue=q queue_full=901 last_error="receiver is unwell"`,
			`level=INFO msg="spans are delivered again" queue=q queue_full=499 last_error="receiver is unwell"`,
			`level=INFO msg="queue closed" queue=q created=1500 queue_full=1400`,
		}
		got := strings.Split(strings.TrimSpace(text.String()), "\n")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// A receiver that takes its time loses nothing where nobody chose a bound, and does where the queue is bounded by Kong's
// number of entries: 36,000 spans a second, 300 ms a post.
func TestSlowReceiverAtSaturation(t *testing.T) {
	for _, entries := range []int{0, 10_000} {
		synctest.Test(t, func(t *testing.T) {
			r := &receiver{t: t, answer: func(ctx context.Context, _ int) (int64, error) {
				sleep(ctx, 300*time.Millisecond, nil, nil)
				return 0, nil
			}}
			settings := DefaultSettings()
			settings.MaxEntries = entries
			q, end := run(t, settings, r)
			created := 0
			for range 500 {
				q.Append(spans{first: created, n: 360, size: 300})
				created += 360
				pass(10 * time.Millisecond)
			}
			got := end(time.Minute)
			if lost := got.Dropped.Total(); (lost > 0) != (entries > 0) || got.Created != uint64(created) || got.Delivered+lost != got.Created {
				t.Errorf("max_entries %d: %d of %d lost (%v)", entries, lost, created, got.Dropped)
			}
		})
	}
}
