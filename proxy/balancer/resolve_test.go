package balancer

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sidekong/proxy/dns"
)

// The whole way, from a nameserver's records to picks: addresses come and go under load, and no pick fails.
func TestAddressesChangeUnderLoad(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var generation atomic.Int32
	generation.Store(1)
	started := make(chan struct{})
	srv := &mdns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }}
	srv.Handler = mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg).SetReply(q)
		if q.Question[0].Qtype == mdns.TypeA {
			for i := range int32(2) {
				rr, err := mdns.NewRR(fmt.Sprintf("%s 0 IN A 10.0.0.%d", q.Question[0].Name, generation.Load()+i))
				if err != nil {
					t.Error(err)
				}
				m.Answer = append(m.Answer, rr)
			}
		}
		w.WriteMsg(m)
	})
	go srv.ActivateAndServe()
	<-started
	defer srv.Shutdown()

	c := dns.DefaultConfig()
	c.Nameservers, c.ResolvConf, c.HostsFile = []string{pc.LocalAddr().String()}, os.DevNull, os.DevNull
	r, err := dns.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	for _, algorithm := range algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			b := newBalancer(t, upstream(algorithm), r, "a.test:80")
			var wg sync.WaitGroup
			stop := make(chan struct{})
			defer wg.Wait()
			defer close(stop)
			var seen sync.Map
			for range 4 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						p, err := b.Pick(t.Context(), nil, new(Tries))
						if err != nil {
							t.Error(err)
							return
						}
						seen.Store(where(p), true)
						b.Report(p, Outcome{Status: 200, Latency: time.Millisecond})
					}
				})
			}
			for range 5 {
				g := generation.Add(1)
				last := fmt.Sprintf("10.0.0.%d:80", g+1)
				end := time.Now().Add(10 * time.Second)
				for {
					b.mu.Lock()
					b.targets[0].due = 0
					b.mu.Unlock()
					b.refresh(t.Context()) // stale at first, then renewed
					time.Sleep(5 * time.Millisecond)
					if _, ok := seen.Load(last); ok {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("the new address %s was never picked", last)
					}
				}
			}
		})
	}
}
