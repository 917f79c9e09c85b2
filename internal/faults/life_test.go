package faults

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sidekong/internal/collector"
)

// TestTerminateUnderLoad: SIGTERM cuts no request and refuses none before the listeners close, which answers announce;
// each span of an answered request is delivered.
func TestTerminateUnderLoad(t *testing.T) {
	r := collector.Start(t)
	p := newProgram(t, kongYAML(backend(t), r.URL(), inMemory))
	p.start()

	var mu sync.Mutex
	var asked time.Time // when SIGTERM was sent
	var answered, announced, slow int
	var refused []time.Time
	var failures []error
	note := func(began time.Time, res *http.Response, err error) (goOn bool) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			answered++
			if !asked.IsZero() && began.After(asked) && res.Close {
				announced++
			}
			return true
		// A connection that nobody had accepted when the listener closed is reset by the kernel: refused, too.
		case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET) && !asked.IsZero() && began.Sub(asked) > 900*time.Millisecond:
			refused = append(refused, began)
			return false
		default:
			failures = append(failures, err)
			return false
		}
	}
	get := func(client *http.Client, path string) (*http.Response, error) {
		res, err := client.Get("http://" + p.proxy + path)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "ok" || res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("answered %d %q, %w", res.StatusCode, body, err)
		}
		return res, nil
	}
	var clients sync.WaitGroup
	for range 8 { // each on a connection that it keeps, until an answer says that it ends
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for {
				began := time.Now()
				res, err := get(client, "/")
				if !note(began, res, err) {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	for i := range 10 { // under way when the listeners close
		clients.Go(func() {
			time.Sleep(time.Duration(500+100*i) * time.Millisecond)
			began := time.Now()
			res, err := get(&http.Client{Transport: &http.Transport{}}, "/slow")
			if note(began, res, err) {
				mu.Lock()
				defer mu.Unlock()
				slow++
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	mu.Lock()
	asked = time.Now()
	mu.Unlock()
	took := p.stop()
	clients.Wait()

	for _, err := range failures {
		t.Errorf("a request was cut: %v", err)
	}
	if announced < 8 {
		t.Errorf("%d answers announced the end", announced)
	}
	if slow < 5 {
		t.Errorf("%d slow requests were answered, want those begun before the end", slow)
	}
	for _, at := range refused {
		if d := at.Sub(asked); d < 900*time.Millisecond {
			t.Errorf("refused %v after SIGTERM, before clients could know", d)
		}
	}
	if took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	last := p.lastAccount()
	if !last.exact() || last.Created%answered != 0 || last.Delivered != last.Created {
		t.Errorf("%+v for %d answers", last, answered)
	}
	if n, twice := unique(r.Spans()); n != last.Created || twice != 0 {
		t.Errorf("%d spans received, %d twice, %d created", n, twice, last.Created)
	}
}

// TestTerminateWithoutReceiver: a dead receiver does not hold the end up beyond the grace time, and what it did not get
// is accounted for.
func TestTerminateWithoutReceiver(t *testing.T) {
	for _, tt := range []struct {
		name, queue string
		longest     time.Duration
		kept        bool
	}{
		{"memory", inMemory, 2500 * time.Millisecond, false},
		{"disk", onDisk, 1500 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := collector.Start(t)
			r.Behave(collector.Hang())
			p := newProgram(t, kongYAML(backend(t), r.URL(), tt.queue), "SIDEKONG_SHUTDOWN_TIMEOUT=2")
			p.start()
			l := newLoad(p.proxy)
			l.run(100, 300*time.Millisecond)
			l.noneFailed(t)
			l.client.CloseIdleConnections()
			created := p.account().Created
			if took := p.stop(); took > tt.longest {
				t.Errorf("it took %v", took)
			}
			last := p.lastAccount()
			if !last.exact() || last.Created != created || created == 0 {
				t.Errorf("%+v, %d created", last, created)
			}
			if got := last.Queued == created; got != tt.kept {
				t.Errorf("%+v: kept %v, want %v", last, got, tt.kept)
			}
		})
	}
}

// TestKillAndRestart: with storage on disk nothing is lost when the program is killed, and nothing is delivered twice
// but the post whose answer was not noted.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	lives := 5
	if *full {
		lives = 20
	}
	r := collector.Start(t)
	r.Behave(collector.Slow(100 * time.Millisecond)) // so that a post is under way when the end comes
	p := newProgram(t, kongYAML(backend(t), r.URL(), "{storage: disk, max_batch_size: 100, max_coalescing_delay: 0.1}"))
	answered, perRequest := 0, 0
	for life := range lives {
		p.start()
		l := newLoad(p.proxy)
		l.run(100, 300*time.Millisecond)
		l.noneFailed(t)
		answered += l.answered()
		if life == 0 {
			perRequest = p.account().Created / answered
		}
		time.Sleep(time.Duration(50+17*life) * time.Millisecond) // what is younger than 10 ms may be lost
		p.kill()
	}
	r.Behave(nil)
	p.start()
	p.eventually("all spans to be delivered", 10*time.Second, func() bool { return p.account().Queued == 0 })
	p.stop()
	n, twice := unique(r.Spans())
	if n == 0 || n != perRequest*answered {
		t.Errorf("%d spans received of %d", n, perRequest*answered)
	}
	if twice > lives*100 {
		t.Errorf("%d spans came twice, want a post at most for each kill", twice)
	}
	t.Logf("killed %d times: %d spans, %d of them twice", lives, n, twice)
	if left := p.files(); left != 0 {
		t.Errorf("%d files are left", left)
	}
}

// TestReloadsUnderLoad: 20 times a new configuration with a new queue; no request fails and no span is lost.
func TestReloadsUnderLoad(t *testing.T) {
	for _, storage := range []string{"memory", "disk"} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			r := collector.Start(t)
			upstream := backend(t)
			kong := func(i int) string {
				return kongYAML(upstream, r.URL(), fmt.Sprintf("{storage: %s, max_entries: %d}", storage, 10_000+i))
			}
			p := newProgram(t, kong(0))
			p.start()
			l := newLoad(p.proxy)
			var loading sync.WaitGroup
			loading.Go(func() { l.run(100, 2500*time.Millisecond) })
			for i := range 20 {
				time.Sleep(100 * time.Millisecond)
				p.configure(kong(i + 1))
				p.signal(syscall.SIGHUP)
				p.eventually("the reload", 5*time.Second, func() bool {
					return strings.Count(p.log.String(), `"configuration read" changed=true`) == i+1
				})
			}
			loading.Wait()
			l.noneFailed(t)
			if a := p.account(); !a.exact() {
				t.Errorf("while running: %+v", a)
			}
			p.stop()
			last := p.lastAccount()
			n, twice := unique(r.Spans())
			if last.Created != n || last.Delivered != n || twice != 0 || n == 0 || n%l.answered() != 0 {
				t.Errorf("%+v; %d spans received, %d twice, of %d requests", last, n, twice, l.answered())
			}
		})
	}
}

// TestSlowReceiver: a receiver that takes 200 ms for each answer gets everything.
func TestSlowReceiver(t *testing.T) {
	for name, queue := range map[string]string{"memory": inMemory, "disk": onDisk} {
		t.Run(name, func(t *testing.T) { slowReceiver(t, queue) })
	}
}

func slowReceiver(t *testing.T, queue string) {
	rate, d := 300, 2*time.Second
	if *full {
		rate, d = 4000, 10*time.Second
	}
	r := collector.Start(t)
	r.Behave(collector.Slow(200 * time.Millisecond))
	p := newProgram(t, kongYAML(backend(t), r.URL(), queue))
	p.start()
	l := newLoad(p.proxy)
	began := time.Now()
	l.run(rate, d)
	reached := float64(l.answered()) / time.Since(began).Seconds()
	l.noneFailed(t)
	p.eventually("all spans to be delivered", 20*time.Second, func() bool { return p.account().Queued == 0 })
	a, memory := p.account(), p.memory()
	p.stop()
	n, _ := unique(r.Spans())
	if a.Created != n || a.Delivered != n || n == 0 {
		t.Errorf("%+v, %d received", a, n)
	}
	t.Logf("%.0f requests/s, %d spans, %d posts, memory %d MiB", reached, n, len(r.Requests()), memory>>20)
}

// TestManyRoutes: a configuration with 5,000 routes is read, compiled and in force within a second, and requests don't
// notice.
func TestManyRoutes(t *testing.T) {
	r := collector.Start(t)
	upstream := backend(t)
	kong := func(i int) string {
		var b strings.Builder
		b.WriteString(kongYAML(upstream, r.URL(), inMemory))
		b.WriteString("routes:\n")
		for n := range 4999 {
			fmt.Fprintf(&b, "- {name: other-%d, paths: [/other/%d/v%d], methods: [GET, POST], service: backend}\n", n, n, i)
		}
		return b.String()
	}
	p := newProgram(t, kong(0))
	p.start()
	l := newLoad(p.proxy)
	l.run(100, time.Second)
	quiet := l.p99()

	l = newLoad(p.proxy)
	var loading sync.WaitGroup
	loading.Go(func() { l.run(100, 5*time.Second) })
	quickest := time.Hour
	for i := range 4 {
		time.Sleep(200 * time.Millisecond)
		p.configure(kong(i + 1))
		began := time.Now()
		p.signal(syscall.SIGHUP)
		p.eventually("the reload", 20*time.Second, func() bool {
			return strings.Count(p.log.String(), `"configuration read" changed=true`) == i+1
		})
		quickest = min(quickest, time.Since(began))
	}
	loading.Wait()
	l.noneFailed(t)
	t.Logf("reload %v; p99 %v, undisturbed %v", quickest, l.p99(), quiet)
	// The quickest of four, since other work on this machine makes each of them longer, never shorter.
	if quickest > time.Second {
		t.Errorf("the reload took %v", quickest)
	}
	p.stop()
}
