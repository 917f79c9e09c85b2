package collector_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"runtime"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"sidekong/internal/collector"
	"sidekong/tracing/otlp"
	"sidekong/tracing/queue"
)

// trace is one request's spans, numbered from first.
type trace struct{ first, n int }

func (t trace) AppendFrames(buf []byte) ([]byte, int) {
	for id := t.first; id < t.first+t.n; id++ {
		data, err := proto.Marshal(&tracepb.Span{
			TraceId: make([]byte, 16), SpanId: binary.BigEndian.AppendUint64(nil, uint64(id)+1), Name: "kong.balancer",
		})
		if err != nil {
			panic(err)
		}
		buf = protowire.AppendBytes(protowire.AppendTag(buf, 2, protowire.BytesType), data)
	}
	return buf, t.n
}

// The queue and the client before a receiver with a fault, over real sockets: what is not refused arrives, and the
// account holds to the last span.
func TestExportUnderFaults(t *testing.T) {
	const requests, perRequest, rate = 300, 7, 400 // requests a second
	tests := []struct {
		name  string
		fault func(c *collector.Collector, healthy bool)
		lost  bool // refusals lose spans
	}{
		{"none", func(*collector.Collector, bool) {}, false},
		{"slow", func(c *collector.Collector, _ bool) { c.Behave(collector.Slow(200 * time.Millisecond)) }, false},
		{"503", behaving(collector.Status(503)), false},
		{"429", behaving(collector.RetryAfter(429, "1")), false},
		{"reset", behaving(collector.Reset()), false},
		{"truncated", behaving(collector.Truncated()), false},
		{"hang", behaving(collector.Hang()), false},
		{"garbage", behaving(collector.Garbage()), false},
		{"400", behaving(collector.Status(400)), true},
		{"partial success", behaving(collector.PartialSuccess(3, "no")), true},
		{"refused", func(c *collector.Collector, healthy bool) {
			if !healthy {
				c.Stop()
			} else if err := c.Restart(); err != nil {
				t.Error(err)
			}
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := collector.Start(t)
			client, err := otlp.NewClient(otlp.Config{Endpoint: c.URL(), ReadTimeout: 400 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			settings := queue.DefaultSettings()
			settings.MaxCoalescingDelay = 50 * time.Millisecond
			settings.MaxRetryDelay = 200 * time.Millisecond
			q := queue.New(test.name, settings, client, slog.New(slog.DiscardHandler))
			done := make(chan error, 1)
			go func() { done <- q.Run(t.Context()) }()

			tick := time.NewTicker(time.Second / rate)
			defer tick.Stop()
			for i := range requests {
				switch i {
				case requests / 3:
					test.fault(c, false)
				case 2 * requests / 3:
					test.fault(c, true)
				}
				q.Append(trace{first: i * perRequest, n: perRequest})
				<-tick.C
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := q.Close(ctx); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			s := q.Stats()
			if s.Created != requests*perRequest || s.Created != s.Delivered+s.Rejected+s.Dropped.Total() {
				t.Errorf("accounts differ: %+v", s)
			}
			seen := map[uint64]int{}
			for _, span := range c.Spans() {
				seen[binary.BigEndian.Uint64(span.SpanId)]++
			}
			if uint64(len(seen)) != s.Delivered || len(seen) != len(c.Spans()) {
				t.Errorf("the receiver has %d spans, %d different, want %d", len(c.Spans()), len(seen), s.Delivered)
			}
			if lost := s.Rejected + s.Dropped.Total(); (lost > 0) != test.lost || s.Dropped.Total() > 0 {
				t.Errorf("lost %d spans: %+v", lost, s)
			}
		})
	}
}

// behaving is a fault that lasts as long as the receiver is not healthy.
func behaving(b collector.Behaviour) func(*collector.Collector, bool) {
	return func(c *collector.Collector, healthy bool) {
		if healthy {
			b = nil
		}
		c.Behave(b)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	c := collector.Start(t)
	for range 10 {
		client, err := otlp.NewClient(otlp.Config{Endpoint: c.URL()})
		if err != nil {
			t.Fatal(err)
		}
		q := queue.New("test", queue.DefaultSettings(), client, slog.New(slog.DiscardHandler))
		done := make(chan error, 1)
		go func() { done <- q.Run(t.Context()) }()
		q.Append(trace{n: 300})
		if _, err := c.Wait(300, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		client.Close()
	}
	c.Stop()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}
