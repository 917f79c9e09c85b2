package faults

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"sidekong/internal/collector"
)

// scale is what a row of the matrix takes.
type scale struct {
	rate          int // requests a second
	before, after time.Duration
	fault         time.Duration
	restarts      time.Duration // the fault's time in the row of restarts
	patience      time.Duration // until all is delivered
}

func scaled() scale {
	if *full {
		return scale{rate: 400, before: 3 * time.Second, fault: 6 * time.Second, after: 3 * time.Second, restarts: time.Minute, patience: 10 * time.Second}
	}
	return scale{
		rate: 100, before: 200 * time.Millisecond, fault: 600 * time.Millisecond, after: 200 * time.Millisecond,
		restarts: 600 * time.Millisecond, patience: 20 * time.Second,
	}
}

// receiver is a row's collector with what the fault needs.
type receiver struct {
	*collector.Collector
	t       testing.TB
	wrong   atomic.Bool // show a certificate that nobody trusts
	strange *collector.Collector
}

// A row is a fault: begin starts it, end ends it.
type row struct {
	name    string
	begin   func(r *receiver)
	end     func(r *receiver) // nil: it behaves again
	secure  bool              // over TLS
	refuses bool              // some spans are refused for good, and must be counted as such
	during  func(r *receiver, d time.Duration)
}

func behave(b func(r *receiver) collector.Behaviour) func(*receiver) {
	return func(r *receiver) { r.Behave(b(r)) }
}

func always(b collector.Behaviour) func(*receiver) {
	return behave(func(*receiver) collector.Behaviour { return b })
}

func (r *receiver) restart() {
	if err := r.Restart(); err != nil {
		r.t.Error(err)
	}
}

// wear puts the wrong or the right certificate on.
func (r *receiver) wear(wrong bool) {
	r.wrong.Store(wrong)
	r.Stop()
	r.restart()
}

func rows() []row {
	return []row{
		{name: "none", begin: func(*receiver) {}},
		{name: "503", begin: always(collector.Status(http.StatusServiceUnavailable))},
		{name: "502", begin: always(collector.Status(http.StatusBadGateway))},
		{name: "504", begin: always(collector.Status(http.StatusGatewayTimeout))},
		{name: "429 with Retry-After", begin: always(collector.RetryAfter(http.StatusTooManyRequests, "1"))},
		{name: "refused", begin: func(r *receiver) { r.Stop() }, end: (*receiver).restart},
		{name: "TLS error", secure: true, begin: func(r *receiver) { r.wear(true) }, end: func(r *receiver) { r.wear(false) }},
		{name: "500", begin: always(collector.Status(http.StatusInternalServerError)), refuses: true},
		{name: "400", begin: always(collector.Status(http.StatusBadRequest)), refuses: true},
		{name: "partial success", begin: always(collector.PartialSuccess(3, "three too many")), refuses: true},
		{name: "redirect", begin: behave(func(r *receiver) collector.Behaviour { return collector.Redirect(r.strange.URL()) }), refuses: true},
		{name: "hang", begin: always(collector.Hang())},
		{name: "hang in body", begin: always(collector.HangInBody())},
		{name: "slow", begin: always(collector.Slow(200 * time.Millisecond))},
		{name: "reset", begin: always(collector.Reset())},
		{name: "truncated", begin: always(collector.Truncated())},
		{name: "garbage 200", begin: always(collector.Garbage())},
		{name: "256 MiB answer", begin: always(collector.Huge(256 << 20))},
		{name: "flapping", begin: func(r *receiver) {
			var n atomic.Int64
			r.Behave(func(w http.ResponseWriter, _ *http.Request) bool {
				if n.Add(1)%2 == 0 {
					return false
				}
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			})
		}},
		{name: "100 restarts", begin: func(*receiver) {}, during: func(r *receiver, d time.Duration) {
			times := 100
			if !*full {
				times = 10
			}
			for range times {
				r.Stop()
				time.Sleep(d / time.Duration(2*times))
				r.restart()
				time.Sleep(d / time.Duration(2*times))
			}
		}},
	}
}

// A result is a line of the table.
type result struct {
	row, storage             string
	requests, failed         int
	p99                      time.Duration
	cpu                      time.Duration // of each request
	memory                   int64
	account                  account
	received, twice, missing int
	caughtUp                 time.Duration
}

// TestFaultMatrix: whatever the receiver does, requests don't notice, and each span is delivered or accounted for; none
// is lost that the receiver has not refused.
func TestFaultMatrix(t *testing.T) {
	var mu sync.Mutex
	var results []result
	t.Run("rows", func(t *testing.T) {
		for _, storage := range []struct{ name, queue string }{{"memory", inMemory}, {"disk", onDisk}} {
			for _, row := range rows() {
				t.Run(storage.name+"/"+row.name, func(t *testing.T) {
					if !*full {
						t.Parallel()
					}
					got := runRow(t, row, storage.queue)
					got.storage = storage.name
					mu.Lock()
					defer mu.Unlock()
					results = append(results, got)
				})
			}
		}
	})
	compare(t, results)
	print(t, results)
}

func runRow(t *testing.T, row row, queue string) result {
	s := scaled()
	r, env := start(t, row.secure)
	p := newProgram(t, kongYAML(backend(t), r.URL(), queue), env...)
	p.start()
	idle := p.cpu()

	l := newLoad(p.proxy)
	l.run(s.rate, s.before)
	fault := s.fault
	if row.during != nil {
		fault = s.restarts
	}
	var loading sync.WaitGroup
	loading.Go(func() { l.run(s.rate, fault) })
	row.begin(r)
	if row.during != nil {
		row.during(r, fault)
	}
	loading.Wait()
	if row.end != nil {
		row.end(r)
	}
	r.Behave(nil)
	back := time.Now()
	l.run(s.rate, s.after)
	p.eventually("all spans to be answered for", s.patience, func() bool {
		a := p.account()
		if !a.exact() {
			t.Fatalf("not exact: %+v", a)
		}
		return a.Queued == 0
	})
	got := result{
		row: row.name, requests: l.answered(), failed: len(l.failed), p99: l.p99(), memory: p.memory(), account: p.account(),
		caughtUp: time.Since(back), cpu: (p.cpu() - idle) / time.Duration(max(l.answered(), 1)),
	}
	p.stop()

	l.noneFailed(t)
	got.received, got.twice = unique(r.Spans())
	got.missing = got.account.Created - got.received
	a := got.account
	if a.Created == 0 || a.Created%got.requests != 0 {
		t.Errorf("%d spans of %d requests", a.Created, got.requests)
	}
	if last := p.lastAccount(); last.Created != a.Created || last.Delivered != a.Delivered || last.Rejected != a.Rejected {
		t.Errorf("the last log line says %+v, /status said %+v", last, a)
	}
	if a.dropped() > 0 {
		t.Errorf("dropped: %v", a.Dropped)
	}
	if row.refuses != (a.Rejected > 0) {
		t.Errorf("rejected: %d", a.Rejected)
	}
	if got.missing != a.Rejected {
		t.Errorf("%d spans missing, %d rejected", got.missing, a.Rejected)
	}
	if n := len(r.strange.Requests()); n > 0 {
		t.Errorf("%d posts followed a redirect", n)
	}
	return got
}

// start runs a receiver, one that speaks TLS if it is to be secure. env makes the program trust it.
func start(t *testing.T, secure bool) (r *receiver, env []string) {
	t.Helper()
	r = &receiver{t: t, strange: collector.Start(t)}
	if !secure {
		r.Collector = collector.Start(t)
		return r, nil
	}
	authority := collector.NewAuthority(t, "ours")
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	right := authority.Certificate(t, "receiver")
	wrong := collector.NewAuthority(t, "theirs").Certificate(t, "receiver")
	r.Collector = collector.StartTLS(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if r.wrong.Load() {
			return &tls.Config{Certificates: []tls.Certificate{wrong}}, nil
		}
		return &tls.Config{Certificates: []tls.Certificate{right}}, nil
	}})
	return r, []string{"OTEL_EXPORTER_OTLP_CERTIFICATE=" + file}
}

// unique is the number of different spans, and of those that came more than once.
func unique(spans []collector.Span) (n, twice int) {
	seen := map[string]int{}
	for _, s := range spans {
		id := string(s.GetTraceId()) + string(s.GetSpanId())
		if seen[id]++; seen[id] == 2 {
			twice++
		}
	}
	return len(seen), twice
}

// compare holds each row against the undisturbed one.
func compare(t *testing.T, results []result) {
	t.Helper()
	// Latencies of the short form say little: rows run side by side on a machine that does other things too.
	slower, more := 500*time.Millisecond, int64(32<<20)
	if *full {
		slower = 5 * time.Millisecond
	}
	for _, r := range results {
		i := slices.IndexFunc(results, func(b result) bool { return b.row == "none" && b.storage == r.storage })
		if i < 0 {
			continue // only some of the rows were asked for
		}
		if d := r.p99 - results[i].p99; d > slower {
			t.Errorf("%s/%s: p99 is %v above that of the undisturbed row", r.storage, r.row, d)
		}
		if d := r.memory - results[i].memory; d > more {
			t.Errorf("%s/%s: %d MiB above the undisturbed row", r.storage, r.row, d>>20)
		}
	}
}

func print(t *testing.T, results []result) {
	t.Helper()
	order := rows()
	position := func(r result) int { return slices.IndexFunc(order, func(o row) bool { return o.name == r.row }) }
	slices.SortStableFunc(results, func(a, b result) int {
		if a.storage != b.storage {
			return len(b.storage) - len(a.storage) // memory first
		}
		return position(a) - position(b)
	})
	out := tabwriter.NewWriter(t.Output(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "storage\tfault\trequests\tfailed\tp99\tCPU\tmemory\tcreated\tdelivered\trefused\tdropped\tlost\ttwice\tretries\tcaught up\t")
	for _, r := range results {
		a := r.account
		fmt.Fprintf(out, "%s\t%s\t%d\t%d\t%v\t%v\t%d MiB\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t\n", r.storage, r.row, r.requests, r.failed,
			r.p99.Round(10*time.Microsecond), r.cpu.Round(time.Microsecond), r.memory>>20, a.Created, a.Delivered, a.Rejected, a.dropped(),
			r.missing-a.Rejected, r.twice, a.Retries, r.caughtUp.Round(10*time.Millisecond))
	}
	out.Flush()
}
