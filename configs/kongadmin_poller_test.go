package configs_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// remote is a source whose state a test sets.
type remote struct {
	mu          sync.Mutex
	text        string
	fingerprint string
	err         error
	hang        bool
	reads       []time.Time
}

func (r *remote) String() string { return "http://kong.test:8001" }

func (r *remote) set(change func(*remote)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *remote) Inputs(ctx context.Context) ([]declarative.Input, error) {
	r.mu.Lock()
	r.reads = append(r.reads, time.Now())
	text, err, hang := r.text, r.err, r.hang
	r.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []declarative.Input{{Name: "kong", Data: []byte(text)}}, err
}

// pauses are those between the reads, since the last call.
func (r *remote) pauses() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var pauses []time.Duration
	for i := 1; i < len(r.reads); i++ {
		pauses = append(pauses, r.reads[i].Sub(r.reads[i-1]))
	}
	if len(r.reads) > 0 {
		r.reads = r.reads[len(r.reads)-1:]
	}
	return pauses
}

// hashing is a remote with a fingerprint.
type hashing struct{ *remote }

func (h hashing) Fingerprint(context.Context) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fingerprint, h.err
}

// content is a configuration with services of these names.
func content(names ...string) string {
	text := `{"_format_version": "3.0", "services": [`
	for i, name := range names {
		text += strings.Repeat(",", min(i, 1)) + fmt.Sprintf(`{"id": %q, "name": %q, "host": "a.test"}`, id(i+1), name)
	}
	return text + "]}"
}

// follower is a Poller, what it has applied and what it has logged.
type follower struct {
	*configs.Poller
	*logs
	applied []string // names of services
	refuse  error
}

func newFollower(source configs.Source) *follower {
	f := &follower{logs: &logs{}}
	f.Poller = &configs.Poller{
		Source: source, Loader: configs.Loader{Schemas: schemas()}, Interval: 10 * time.Second, Logger: f.logger(),
		Apply: func(s *configs.Snapshot) error {
			f.applied = append(f.applied, services(s))
			return f.refuse
		},
	}
	return f
}

func services(s *configs.Snapshot) string {
	var names []string
	for _, s := range s.Services {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

// run starts the poller until the test ends.
func (f *follower) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func (f *follower) wantLog(t *testing.T, parts ...string) {
	t.Helper()
	lines := f.lines()
	if len(lines) != len(parts) {
		t.Errorf("log has %d lines, want %d:\n%s", len(lines), len(parts), strings.Join(lines, "\n"))
		return
	}
	for i, part := range parts {
		if !strings.Contains(lines[i], part) {
			t.Errorf("log line %s\nwant %s", lines[i], part)
		}
	}
}

func (f *follower) wantApplied(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, f.applied); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	f.applied = nil
}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestPollerFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &remote{text: content("a")}
		f := newFollower(source)
		snapshot, err := f.First(t.Context())
		if err != nil || services(snapshot) != "a" {
			t.Fatalf("First = %v, %v", snapshot, err)
		}
		f.wantLog(t, `level=INFO+2 msg="configuration read from Kong's Admin API" address=http://kong.test:8001 services=1 routes=0 hash=`+snapshot.Hash)
		begun := time.Now()
		f.run(t)
		wait(5 * time.Minute)
		pauses := source.pauses()
		if len(pauses) < 27 || len(pauses) > 34 {
			t.Errorf("%d reads in 5 minutes, want about 30", len(pauses))
		}
		same := true
		for _, pause := range pauses {
			same = same && pause == pauses[0]
			if pause < 9*time.Second || pause > 11*time.Second {
				t.Errorf("%v between two reads, want 10 s and a tenth more or less", pause)
			}
		}
		if same {
			t.Error("all reads have the same distance; want some jitter")
		}
		f.wantApplied(t)
		if s := f.Status(); s.ChangedAt.After(begun) || s.ReadAt.Before(begun.Add(time.Minute)) || s.Hash != snapshot.Hash {
			t.Errorf("status %+v", s)
		}

		source.set(func(r *remote) { r.text = content("a", "b") })
		wait(30 * time.Second)
		f.wantApplied(t, "a b")
		f.wantLog(t, "configuration read from Kong's Admin API")
	})
}

func TestPollerWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &remote{text: content("a")}
		f := newFollower(source)
		if _, err := f.First(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.lines()
		f.run(t)
		read := time.Now().UTC().Format(time.RFC3339)
		source.set(func(r *remote) { r.err = errors.New("connection refused") })
		wait(12 * time.Second)
		if s := f.Status(); s.AwaySince.IsZero() || s.Failures == 0 || s.Error != "connection refused" || s.Source != source.String() {
			t.Errorf("status %+v", s)
		}
		wait(3 * time.Minute)
		f.wantApplied(t)
		f.wantLog(t, `level=WARN msg="Kong's Admin API is away since `+f.Status().AwaySince.UTC().Format(time.RFC3339)+
			`, serving on with what was read at `+read+`" address=http://kong.test:8001 error="connection refused"`)
		pauses := source.pauses()[1:]
		for i, want := range []float64{1, 2, 4, 8, 16, 30, 30} {
			if got := pauses[i].Seconds(); got < 0.9*want || got > 1.1*want {
				t.Errorf("pause %d is %v s, want %v s and a tenth more or less", i, got, want)
			}
		}

		source.set(func(r *remote) { r.err = nil })
		wait(40 * time.Second)
		f.wantApplied(t)
		f.wantLog(t, `level=INFO+2 msg="Kong's Admin API is back"`)
		if s := f.Status(); !s.AwaySince.IsZero() || s.Failures != 0 || s.Error != "" || s.Hash == "" {
			t.Errorf("status %+v", s)
		}
	})
}

func TestPollerFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &remote{text: content("a"), err: errors.New("connection refused")}
		f := newFollower(source)
		if _, err := f.First(t.Context()); err == nil || err.Error() != "connection refused" {
			t.Errorf("First: %v, want the source's error", err)
		}
		f.wantLog(t)

		f.StartEmpty = true
		snapshot, err := f.First(t.Context())
		if err != nil || services(snapshot) != "" || snapshot.Hash == "" {
			t.Fatalf("First = %v, %v, want an empty snapshot", snapshot, err)
		}
		f.wantLog(t, ", serving on with an empty configuration\"")
		f.run(t)
		source.set(func(r *remote) { r.err = nil })
		wait(1200 * time.Millisecond)
		f.wantApplied(t, "a")
		f.wantLog(t, "is back", "configuration read")
	})
	t.Run("at fault", func(t *testing.T) {
		f := newFollower(&remote{text: `{"_format_version": "9"}`})
		var faults declarative.Faults
		if _, err := f.First(t.Context()); !errors.As(err, &faults) {
			t.Errorf("First: %v, want faults", err)
		}
		f.StartEmpty = true
		if _, err := f.First(t.Context()); err != nil {
			t.Errorf("First: %v", err)
		}
		f.wantLog(t, "level=ERROR")
		if f.Status().Fault == "" {
			t.Error("no fault in the status")
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		f := newFollower(&remote{hang: true})
		f.StartEmpty = true
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := f.First(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("First: %v, want the context's error", err)
		}
	})
}

func TestPollerFingerprint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &remote{text: content("a"), fingerprint: "1"}
		f := newFollower(hashing{source})
		if _, err := f.First(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.run(t)
		wait(time.Minute)
		if n := len(source.pauses()); n != 0 {
			t.Errorf("%d reads although the fingerprint stays the same", n)
		}
		// The same content under another fingerprint, then another content.
		source.set(func(r *remote) { r.fingerprint = "2" })
		wait(time.Minute)
		if n := len(source.pauses()); n != 1 {
			t.Errorf("%d reads, want 1", n)
		}
		f.wantApplied(t)
		source.set(func(r *remote) { r.fingerprint, r.text = "3", content("b") })
		wait(time.Minute)
		f.wantApplied(t, "b")
		source.set(func(r *remote) { r.text = content("c") })
		wait(time.Minute)
		f.wantApplied(t)
		if err := f.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.wantApplied(t, "c")
	})
}

func TestPollerRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &remote{text: content("a")}
		f := newFollower(source)
		if _, err := f.First(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.run(t)
		f.lines()
		hash := f.Status().Hash

		f.refuse = errors.New("no such endpoint")
		source.set(func(r *remote) { r.text = content("b") })
		wait(time.Minute)
		f.wantApplied(t, "b")
		f.wantLog(t, `level=ERROR msg="the configuration stays as it is: the one that Kong's Admin API shows now is at fault"`)
		source.set(func(r *remote) { r.err = errors.New("away") })
		wait(time.Minute)
		source.set(func(r *remote) { r.err = nil })
		wait(time.Minute)
		f.wantLog(t, "is away", "is back")
		if s := f.Status(); s.Fault != "no such endpoint" || s.Hash != hash || s.Error != "" {
			t.Errorf("status %+v", s)
		}
		f.wantApplied(t)
		if err := f.Reload(t.Context()); err == nil {
			t.Error("Reload: no error although the configuration is refused again")
		}
		f.wantApplied(t, "b")
		f.lines()

		// Back to what is served: Apply is for the caller to compare.
		f.refuse = nil
		source.set(func(r *remote) { r.text = content("a") })
		wait(time.Minute)
		f.wantApplied(t, "a")
		f.wantLog(t, "configuration read")
		if s := f.Status(); s.Fault != "" || s.Hash != hash {
			t.Errorf("status %+v", s)
		}
	})
}

func TestPollerEndsInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(&remote{hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		wait(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		f.wantLog(t)
	})
}

func TestPollerReadsNoEnvironment(t *testing.T) {
	f := newFollower(&remote{text: content("${{ env 'DECK_SECRET' }}")})
	f.Loader.LookupEnv = func(string) (string, bool) { return "s3cret", true }
	snapshot, err := f.First(t.Context())
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("First = %v, %v; want a fault", snapshot, err)
	}
}

// A Kong that goes, comes back with another configuration, and changes while requests for it are under way.
func TestPollerAgainstKong(t *testing.T) {
	kong := newFakeKong(t, small())
	kong.hash = "11111111111111111111111111111111"
	address := kong.Listener.Addr().String()
	k, _ := admin(t, configs.KongAdminOptions{Address: kong.URL, Timeout: time.Second})
	f := newFollower(k)
	f.Interval = 10 * time.Millisecond
	changed := make(chan string, 10)
	f.Apply = func(s *configs.Snapshot) error {
		changed <- services(s)
		return nil
	}
	if _, err := f.First(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.run(t)
	next := func(want string) {
		t.Helper()
		select {
		case got := <-changed:
			if got != want {
				t.Errorf("applied %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing is applied, want %q; status %+v", want, f.Status())
		}
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not within 10 s; status %+v", what, f.Status())
			}
		}
	}
	kong.took()
	until("skip by hash", func() bool {
		kong.mu.Lock()
		defer kong.mu.Unlock()
		return len(kong.requests) > 3
	})
	for _, request := range kong.took() {
		if request != "/status" {
			t.Errorf("request %s although the hash is the same", request)
		}
	}
	kong.set(func() {
		kong.hash, kong.lists["services"] = strings.Repeat("2", 32), []entity.Object{{"id": id(1), "name": "renamed", "host": "a.test"}}
	})
	next("renamed")

	kong.Close()
	until("away", func() bool { return !f.Status().AwaySince.IsZero() })
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	second := unstartedFakeKong(t, small())
	second.Listener.Close()
	second.Listener = listener
	second.Start()
	next("orders")
	if s := f.Status(); !s.AwaySince.IsZero() || s.Error != "" {
		t.Errorf("status %+v", s)
	}
}

func TestKongAdminSendsTheTokenNowhereElse(t *testing.T) {
	var reached []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = append(reached, r.URL.Path) }))
	defer other.Close()
	kong := newFakeKong(t, small())
	kong.before = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}
	k, _ := admin(t, configs.KongAdminOptions{Address: kong.URL, Token: "s3cret"})
	if _, err := k.Inputs(t.Context()); err == nil {
		t.Error("no error although there is only a redirect")
	}
	if hash, err := k.Fingerprint(t.Context()); hash != "" || err != nil {
		t.Errorf("Fingerprint = %q, %v", hash, err)
	}
	if len(reached) > 0 {
		t.Errorf("the other server got %q", reached)
	}
}
