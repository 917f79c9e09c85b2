package faults

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sidekong/internal/collector"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
	"sidekong/tracing/queue"
)

// nameserver answers every question with 127.0.0.1, or with SERVFAIL while it is to fail.
func nameserver(t *testing.T, fail *atomic.Bool) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		switch {
		case fail.Load():
			answer.Rcode = dns.RcodeServerFailure
		case q.Question[0].Qtype == dns.TypeA:
			answer.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET},
				A:   net.IPv4(127, 0, 0, 1),
			}}
		}
		w.WriteMsg(answer)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

// TestDNSFailure is the row of the fault matrix that needs another name server than the machine's, and so the
// exporter inside the test's process.
func TestDNSFailure(t *testing.T) {
	s := scaled()
	var fail atomic.Bool
	before := net.DefaultResolver
	net.DefaultResolver = nameserver(t, &fail)
	defer func() { net.DefaultResolver = before }()

	for _, storage := range []string{"memory", "disk"} {
		t.Run(storage, func(t *testing.T) {
			r := collector.Start(t)
			_, port, err := net.SplitHostPort(r.Address())
			if err != nil {
				t.Fatal(err)
			}
			client, err := otlp.NewClient(otlp.Config{Endpoint: "http://receiver.test:" + port + "/v1/traces"})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			settings := queue.DefaultSettings()
			settings.MaxEntries = 200_000
			if storage == "disk" {
				settings = queue.DefaultSettings()
				settings.Storage = &queue.Storage{Folder: filepath.Join(t.TempDir(), "queue")}
			}
			q := queue.New("test", settings, client, slog.New(slog.DiscardHandler))
			ended := make(chan error, 1)
			go func() { ended <- q.Run(context.Background()) }()
			tracer := tracing.NewTracer(tracing.All, 1)
			load := func(d time.Duration) {
				for range int(d.Seconds() * float64(s.rate)) {
					trace := tracer.Start(time.Now())
					root := trace.StartSpan("kong", tracing.KindServer, tracing.Span{})
					for range 6 {
						trace.StartSpan("child", tracing.KindClient, root).End()
					}
					root.End()
					q.Append(otlp.Frames{Trace: trace})
					trace.Release()
					time.Sleep(time.Second / time.Duration(s.rate))
				}
			}
			load(s.before)
			fail.Store(true)
			r.Stop() // connections that are open need no name
			if err := r.Restart(); err != nil {
				t.Fatal(err)
			}
			load(s.fault)
			failing := q.Stats()
			fail.Store(false)
			load(s.after)
			ctx, cancel := context.WithTimeout(t.Context(), s.patience)
			defer cancel()
			if err := q.Close(ctx); err != nil {
				t.Error(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			stats := q.Stats()
			if n, twice := unique(r.Spans()); uint64(n) != stats.Created || stats.Delivered != stats.Created || twice > 0 {
				t.Errorf("%+v, %d received, %d twice", stats, n, twice)
			}
			if !failing.Failing {
				t.Error("the name server's failure had no effect")
			}
		})
	}
}
